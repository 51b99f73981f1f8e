//! Counters of a machine since its start, for metrics and diagnosis.

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams taken in.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Bytes in those taken in.
    pub bytes_in: u64,
    /// Bytes in those sent.
    pub bytes_out: u64,
    /// Exchanges over TCP that this node began.
    pub exchanges_out: u64,
    /// Exchanges over TCP that others began.
    pub exchanges_in: u64,
    /// Packets and frames refused: not ours, cut short, or of another cluster.
    pub refused: u64,
    /// Packets and frames of another cluster, among those refused.
    pub foreign: u64,
    /// Packets and frames that no key opened, or that were not encrypted though this agent has keys, among those
    /// refused.
    pub undecryptable: u64,
    /// Datagrams that may have been sent before: seen already, or from an unknown process of no active member.
    pub replayed: u64,
    /// Requests over streams that were asked for a proof that they are new.
    pub challenged: u64,
    /// Renewals of this node's identity, because others took it for failed.
    pub renewals: u64,
    /// Stalls noticed: the process was paused or starved.
    pub stalls: u64,
    /// Suspicions that this node followed up.
    pub suspicions: u64,
    /// Entries of the view that only the periodic audit found to be wrong; 0, unless this agent has a defect.
    pub overlooked: u64,
}
