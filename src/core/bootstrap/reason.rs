//! Reasons why a server waits or must not go on: one table, with a code, a sentence and a remedy each.

use std::{fmt, net::SocketAddr};

use super::{ballot::Ballot, founding::ClusterId, record::ServerId};
use crate::node::{NodeId, NodeName};

/// One row of the table of reasons. In the texts, a name in braces stands for a field of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonEntry {
    /// Name in answers, events and metrics; two variants of which only the sentences differ share one.
    pub code: &'static str,
    /// Sentence that says what is the case.
    pub sentence: &'static str,
    /// Sentence that says what to do about it.
    pub remedy: &'static str,
}

/// Makes [`Reason`], its code and its texts of one row a reason: `Variant { fields } = "code", "sentence", "remedy";`.
macro_rules! reasons {
    ($(
        $(#[$doc:meta])*
        $variant:ident $({ $( $(#[$field_doc:meta])* $field:ident: $type:ty, )* })?
            = $code:literal, $sentence:literal, $remedy:literal;
    )*) => {
        /// Reason to wait or to call for an operator. [`Reason::code`] is for programs, the printed text for people.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reason {
            $( $(#[$doc])* $variant $({ $( $(#[$field_doc])* $field: $type, )* })?, )*
        }

        impl Reason {
            /// Every row of the table, in its order.
            pub const TABLE: &'static [ReasonEntry] =
                &[$( ReasonEntry { code: $code, sentence: $sentence, remedy: $remedy }, )*];

            /// The name of the reason in answers, events and metrics.
            pub fn code(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $code, )*
                }
            }

            /// The sentence that says what is the case.
            #[expect(unused_variables, reason = "not every sentence names every field")]
            pub fn sentence(&self) -> String {
                match self {
                    $( Self::$variant { $($($field,)*)? } => format!($sentence), )*
                }
            }

            /// The sentence that says what to do about it.
            #[expect(unused_variables, reason = "not every remedy names every field")]
            pub fn remedy(&self) -> String {
                match self {
                    $( Self::$variant { $($($field,)*)? } => format!($remedy), )*
                }
            }
        }
    };
}

reasons! {
    /// Neither `--bootstrap-expect` nor `--founders` is set.
    ExpectNotSet = "expect_not_set",
        "no cluster is known and this agent founds none",
        "set --bootstrap-expect on every server, or start the cluster";

    /// This agent is an observer.
    Observer = "observer",
        "no cluster is known and observers found none",
        "start the servers";

    /// `--join-only`: waiting for a cluster that others found.
    JoinOnly = "join_only",
        "no cluster is known and --join-only founds none",
        "check that its members are reachable";

    /// `--cluster-id`: waiting for that cluster.
    OnlyCluster {
        /// The only cluster that this agent joins.
        cluster_id: ClusterId,
    } = "join_only",
        "cluster {cluster_id} of --cluster-id has not been heard of",
        "check that its members are reachable";

    /// `--founders` does not name this server.
    NotNamed = "not_named",
        "--founders does not name this server",
        "it joins once the named ones have founded; start them";

    /// Fewer servers than expected are alive and heard from directly.
    TooFewServers {
        /// Number of such servers, this one included.
        have: usize,
        /// Number of founders.
        need: usize,
    } = "too_few_servers",
        "{have} of {need} servers are alive and heard from",
        "start the others, or check the network";

    /// Servers disagree on the number of founders.
    ExpectMismatch {
        /// Number of founders expected here.
        expect: usize,
        /// Servers that expect another number.
        others: Listing<OtherExpect>,
    } = "expect_mismatch",
        "{expect} founders are expected here, but {others}",
        "set the same --bootstrap-expect everywhere";

    /// This server accepted a founding while it was configured otherwise.
    TermsChanged {
        /// Number of founders expected then.
        accepted: usize,
        /// Number of founders expected now.
        expect: usize,
    } = "expect_mismatch",
        "this server accepted a founding of {accepted} servers and now expects {expect}, or other ones",
        "set the earlier value again, or give it up with `chronik-agent bootstrap reset`";

    /// More servers are known than a count can keep from founding twice.
    TooManyServers {
        /// Number of known servers.
        known: usize,
        /// Largest number under which any two quorums share a server.
        most: usize,
    } = "too_many_servers",
        "{known} servers are known, and beyond {most} two clusters could be founded",
        "start the surplus with --join-only, or name the founders with --founders";

    /// Listed addresses have not answered, and may be members of a cluster.
    UnheardSeeds {
        /// Those addresses.
        addrs: Listing<SocketAddr>,
    } = "unheard_seeds",
        "no answer from {addrs}",
        "a cluster may exist there; wait, start them, or take them out of discovery";

    /// The view changed less than the settle time ago.
    Settling = "settling",
        "the servers in view have just changed",
        "nothing to do";

    /// A ballot is about to start.
    AboutToAgree = "agreeing",
        "the servers are about to agree on the founders",
        "nothing to do";

    /// A ballot is under way, and every server that it asked has answered.
    Agreeing {
        /// Highest ballot that was promised here.
        ballot: Ballot,
    } = "agreeing",
        "the servers are agreeing on the founders in ballot {ballot}",
        "nothing to do";

    /// A ballot of this server is under way, and some have not answered.
    Unanswered {
        /// Highest ballot that was promised here.
        ballot: Ballot,
        /// Servers that have not answered.
        missing: Listing<NodeId>,
    } = "agreeing",
        "the servers are agreeing on the founders in ballot {ballot}",
        "if this lasts, look at {missing}, which have not answered";

    /// Another node knows a cluster; its record is on the way.
    Learning {
        /// The cluster.
        cluster_id: ClusterId,
    } = "learning",
        "another node knows cluster {cluster_id}",
        "nothing to do, its record is being fetched";

    /// No other server is known, though there are seeds.
    Alone = "alone",
        "no other server is known",
        "check the seeds and the network";

    /// No other server is known, and no provider lists an address.
    NoSeeds = "no_seeds",
        "no other server is known and no address to ask",
        "set --retry-join";

    /// The record does not read.
    Fault {
        /// Error of the disk or of the decoder.
        why: String,
    } = "fault",
        "the record of this agent cannot be trusted ({why})",
        "repair its state directory and restart it";

    /// The record has changed, and the change could not be saved yet.
    SaveFailed {
        /// Error of the disk.
        why: String,
    } = "fault",
        "the record of this agent cannot be written ({why})",
        "until that is mended, which is looked for every few seconds, this agent votes nothing";

    /// Another server than this one was told to initialise here.
    ServerStateLost {
        /// The server that was told.
        claimed_by: ServerId,
    } = "server_state_lost",
        "server {claimed_by} was told to initialise here, and this one is another or has lost its data",
        "replace the voter, do not initialise it again";

    /// The server holds data and has not said of which cluster.
    ServerHoldsData = "server_holds_data",
        "the server holds data of a cluster it does not name",
        "report it with PUT /v1/bootstrap/established";

    /// The decision is being saved.
    Saving = "saving",
        "the decision is being written to disk",
        "nothing to do";

    /// Another agent runs under this node's id.
    DuplicateId {
        /// Address of the other agent.
        addr: SocketAddr,
    } = "duplicate_id",
        "the agent at {addr} has this node's id",
        "one state directory was copied; stop one of the two and delete its copy";

    /// Two clusters have one name.
    TwoClusters {
        /// The cluster of this server.
        ours: ClusterId,
        /// The other one.
        rival: ClusterId,
    } = "two_clusters",
        "cluster {ours} is known here and {rival} has the same name",
        "start one of them with another --cluster, or give one up with `chronik-agent bootstrap reset` on each of \
         its nodes";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sentence(), self.remedy())
    }
}

/// A server that expects another number of founders than this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherExpect {
    /// Name of the server.
    pub name: NodeName,
    /// Number of founders that it expects.
    pub expect: u16,
}

impl fmt::Display for OtherExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} expects {}", self.name, self.expect)
    }
}

/// Items that are printed in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T>(pub Vec<T>);

/// Items that a sentence shows: a provider may list thousands, and a reader takes in a few.
const SHOWN: usize = 8;

impl<T: fmt::Display> fmt::Display for Listing<T> {
    /// The first few items, with commas between them, and the number of the others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().take(SHOWN).enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            item.fmt(f)?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_row_has_a_code_for_programs_and_two_texts_that_are_one_sentence() {
        for entry in Reason::TABLE {
            let snake_case = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(entry.code.bytes().all(snake_case), "{entry:?}");
            for text in [entry.sentence, entry.remedy] {
                assert!(!text.is_empty() && !text.ends_with(['.', ':', ' ']), "{entry:?}");
            }
        }
        let texts: BTreeSet<_> = Reason::TABLE.iter().map(|entry| (entry.sentence, entry.remedy)).collect();
        assert_eq!(texts.len(), Reason::TABLE.len(), "no two reasons read alike");
    }

    #[test]
    fn a_reason_is_printed_with_its_fields_and_its_remedy() {
        let reason = Reason::TooFewServers { have: 2, need: 3 };
        assert_eq!(reason.code(), "too_few_servers");
        assert_eq!(reason.remedy(), "start the others, or check the network");
        assert_eq!(
            reason.to_string(),
            "2 of 3 servers are alive and heard from: start the others, or check the network"
        );
    }

    #[test]
    fn a_sentence_names_eight_of_many() {
        assert_eq!(Listing(vec![1, 2]).to_string(), "1, 2");
        assert_eq!(Listing((1..=10).collect()).to_string(), "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
    }
}
