//! The counters of an agent, for metrics and diagnosis.

use serde::{Deserialize, Serialize};

/// One counter, as answers and metrics list it.
#[derive(Debug, Clone, Copy)]
pub struct Counter {
    /// The name of the field in JSON; the metric is `chronik_agent_NAME_total`.
    pub name: &'static str,
    /// The help text of the metric.
    pub help: &'static str,
    /// The count.
    pub value: fn(&Counters) -> u64,
}

/// Makes [`Counters`] and its table of one list: the field with its documentation, and the help text of the metric.
macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident: $help:literal,)+) => {
        /// Counts since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// All counters, in the order of the list.
            pub const TABLE: &'static [Counter] = &[
                $(Counter { name: stringify!($name), help: $help, value: |counters| counters.$name },)+
            ];
        }
    };
}

counters! {
    /// Datagrams taken in.
    datagrams_in: "Datagrams taken in.",
    /// Datagrams sent.
    datagrams_out: "Datagrams sent.",
    /// Bytes in the datagrams taken in.
    bytes_in: "Bytes in the datagrams taken in.",
    /// Bytes in the datagrams sent.
    bytes_out: "Bytes in the datagrams sent.",
    /// Exchanges over TCP that others began.
    exchanges_in: "Exchanges over TCP that others began.",
    /// Exchanges over TCP that this node began.
    exchanges_out: "Exchanges over TCP that this agent began.",
    /// Packets and frames refused: not ours, cut short, or of another cluster.
    refused: "Packets and frames refused.",
    /// Packets and frames of another cluster, among those refused.
    foreign: "Packets and frames of another cluster, among those refused.",
    /// Packets and frames that no key opened, or that had none while one is needed, among those refused.
    undecryptable: "Packets and frames that no key of this agent opens, among those refused.",
    /// Datagrams that may have been sent before: seen already, or from an unknown process of no active member.
    replayed: "Datagrams that may have been sent before.",
    /// Requests over streams that were asked for a proof that they are of now.
    challenged: "Requests over TCP that were asked for a proof that they are of now.",
    /// Messages that were cut or not sent, because nobody has answered from their address yet.
    withheld: "Messages that were cut or not sent, because nobody has answered from their address yet.",
    /// Renewals of this node's identity, because others took it for failed.
    renewals: "Times this agent had to renew its identity.",
    /// Stalls noticed: the process was paused or starved.
    stalls: "Times the process was found paused or starved.",
    /// Suspicions that this node followed up.
    suspicions: "Suspicions that this agent followed up.",
    /// Entries of the view that only the look at all of them found to be wrong; more than 0 is a defect of this agent.
    overlooked: "Members that were shown wrongly until the look at all of them; more than 0 is a defect.",
}
