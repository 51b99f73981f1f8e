//! Why a server has to wait, and what to do about it.

use std::{fmt, net::SocketAddr};

use super::{ballot::Ballot, founding::ClusterId, record::ServerId};
use crate::node::{NodeId, NodeName};

/// A reason to wait. [`Reason::code`] is for programs, the printed sentence is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Neither `--bootstrap-expect` nor `--founders` is set.
    ExpectNotSet,
    /// This agent is an observer.
    Observer,
    /// `--join-only` or `--cluster-id`: waiting for a cluster that others founded.
    JoinOnly {
        /// The only cluster that is meant, if one is.
        cluster_id: Option<ClusterId>,
    },
    /// `--founders` does not name this server.
    NotNamed,
    /// Fewer servers than expected are alive and heard from directly.
    TooFewServers {
        /// How many there are, this one included.
        have: usize,
        /// How many found.
        need: usize,
    },
    /// Servers disagree on how many found.
    ExpectMismatch {
        /// What is expected here.
        expect: usize,
        /// Who expects something else, and what.
        others: Vec<(NodeName, u16)>,
    },
    /// This server accepted a founding while it was configured otherwise.
    TermsChanged {
        /// How many founders it expected then.
        accepted: usize,
        /// How many it expects now.
        expect: usize,
    },
    /// More servers are known than a count can keep from founding twice.
    TooManyServers {
        /// How many are known.
        known: usize,
        /// How many there may be.
        most: usize,
    },
    /// Listed addresses have not answered, and may be members of a cluster.
    UnheardSeeds {
        /// Which ones.
        addrs: Vec<SocketAddr>,
    },
    /// The view has changed just now.
    Settling,
    /// A ballot is under way or about to start.
    Agreeing {
        /// The highest ballot that is known here.
        ballot: Option<Ballot>,
        /// Who has not answered ours.
        missing: Vec<NodeId>,
    },
    /// Another node knows a cluster; its record is on the way.
    Learning {
        /// The cluster.
        cluster_id: ClusterId,
    },
    /// No other server is known, though there are seeds.
    Alone,
    /// No other server is known, and no provider lists an address.
    NoSeeds,
    /// The record does not read.
    Fault {
        /// What happened.
        why: String,
    },
    /// The record has changed, and the change could not be written yet.
    Unwritten {
        /// What happened.
        why: String,
    },
    /// Another server than this one was told to initialise here.
    ServerStateLost {
        /// The one that was told.
        claimed_by: ServerId,
    },
    /// The server holds data and has not said of which cluster.
    ServerHoldsData,
    /// The decision is being written.
    Saving,
}

impl Reason {
    /// The name of the reason in answers, events and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ExpectNotSet => "expect_not_set",
            Self::Observer => "observer",
            Self::JoinOnly { .. } => "join_only",
            Self::NotNamed => "not_named",
            Self::TooFewServers { .. } => "too_few_servers",
            Self::ExpectMismatch { .. } | Self::TermsChanged { .. } => "expect_mismatch",
            Self::TooManyServers { .. } => "too_many_servers",
            Self::UnheardSeeds { .. } => "unheard_seeds",
            Self::Settling => "settling",
            Self::Agreeing { .. } => "agreeing",
            Self::Learning { .. } => "learning",
            Self::Alone => "alone",
            Self::NoSeeds => "no_seeds",
            Self::Fault { .. } | Self::Unwritten { .. } => "fault",
            Self::ServerStateLost { .. } => "server_state_lost",
            Self::ServerHoldsData => "server_holds_data",
            Self::Saving => "saving",
        }
    }
}

/// Items in a sentence; a provider may list thousands, and nobody reads more than a few.
const SHOWN: usize = 8;

/// Items with commas between them, the first few.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
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

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpectNotSet => f.write_str(
                "no cluster is known and this agent founds none: set --bootstrap-expect on every server, or start the cluster",
            ),
            Self::Observer => f.write_str("no cluster is known and observers found none: start the servers"),
            Self::JoinOnly { cluster_id: None } => {
                f.write_str("no cluster is known and --join-only founds none: check that its members are reachable")
            }
            Self::JoinOnly { cluster_id: Some(id) } => {
                write!(f, "cluster {id} of --cluster-id has not been heard of: check that its members are reachable")
            }
            Self::NotNamed => {
                f.write_str("--founders does not name this server: it joins once the named ones have founded; start them")
            }
            Self::TooFewServers { have, need } => {
                write!(f, "{have} of {need} servers are alive and heard from: start the others, or check the network")
            }
            Self::ExpectMismatch { expect, others } => {
                let others: Vec<String> =
                    others.iter().map(|(name, expect)| format!("{name} expects {expect}")).collect();
                let others = List(&others);
                write!(f, "{expect} founders are expected here, but {others}: set the same --bootstrap-expect everywhere")
            }
            Self::TermsChanged { accepted, expect } => write!(
                f,
                "this server accepted a founding of {accepted} servers and now expects {expect}, or other ones: set the earlier value again, or give it up with `chronik-agent bootstrap reset`",
            ),
            Self::TooManyServers { known, most } => write!(
                f,
                "{known} servers are known, and beyond {most} two clusters could be founded: start the surplus with --join-only, or name the founders with --founders",
            ),
            Self::UnheardSeeds { addrs } => write!(
                f,
                "no answer from {}: a cluster may exist there; wait, start them, or take them out of discovery",
                List(addrs)
            ),
            Self::Settling => f.write_str("the servers in view have just changed: nothing to do"),
            Self::Agreeing { ballot: None, .. } => {
                f.write_str("the servers are about to agree on the founders: nothing to do")
            }
            Self::Agreeing { ballot: Some(ballot), missing } if missing.is_empty() => {
                write!(f, "the servers are agreeing on the founders in ballot {ballot}: nothing to do")
            }
            Self::Agreeing { ballot: Some(ballot), missing } => write!(
                f,
                "the servers are agreeing on the founders in ballot {ballot}: if this lasts, look at {}, which have not answered",
                List(missing)
            ),
            Self::Learning { cluster_id } => {
                write!(f, "another node knows cluster {cluster_id}: nothing to do, its record is being fetched")
            }
            Self::Alone => f.write_str("no other server is known: check the seeds and the network"),
            Self::NoSeeds => f.write_str("no other server is known and no address to ask: set --retry-join"),
            Self::Fault { why } => {
                write!(f, "the record of this agent cannot be trusted ({why}): repair its state directory and restart it")
            }
            Self::Unwritten { why } => {
                write!(f, "the record of this agent cannot be written ({why}): until that is mended, which is looked for every few seconds, this agent votes nothing")
            }
            Self::ServerStateLost { claimed_by } => write!(
                f,
                "server {claimed_by} was told to initialise here, and this one is another or has lost its data: replace the voter, do not initialise it again",
            ),
            Self::ServerHoldsData => {
                f.write_str("the server holds data of a cluster it does not name: report it with PUT /v1/bootstrap/established")
            }
            Self::Saving => f.write_str("the decision is being written to disk: nothing to do"),
        }
    }
}
