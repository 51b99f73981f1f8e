//! The instruction to the server as data: one decision, with all that it needs.

use std::net::SocketAddr;

use super::{
    cluster::Voter,
    founding::{ClusterId, Founder},
    reason::Reason,
};

/// The decision for the server beside this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet. Carries no founders and no voters, so that they cannot be used by mistake.
    Wait {
        /// Every reason that applies.
        reasons: Vec<Reason>,
    },
    /// Initialise with exactly these founders. The same answer after every restart, until the group is established.
    Bootstrap(Group),
    /// You are a member: start with your data, never initialise.
    Resume(Group),
    /// A cluster exists: ask its voters to add you.
    Join(Group),
    /// Nothing is decided until an operator says what is meant.
    Conflict(Conflict),
}

/// A cluster, and this server's place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its identity.
    pub cluster_id: ClusterId,
    /// True if a server reported that the group exists.
    pub established: bool,
    /// This server in it.
    pub me: Me,
    /// Its founders as they were founded, the first with ordinal 1; empty if it is older than its agents.
    pub founders: Vec<Founder>,
    /// Its voters, with what they announce now.
    pub voters: Vec<Voter>,
    /// True if the server is to come up as the only member, by an operator's word: what the others alone had acknowledged is lost.
    pub recovers: bool,
    /// All members on the leader's list, this server and those without a vote included, as they are listed; empty unless the agent
    /// beside the leader has said that this server is one of them, though it is no voter that holds data.
    pub members: Vec<Voter>,
}

/// This server's place in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Me {
    /// True if it is a founder.
    pub founder: bool,
    /// True if it votes.
    pub voter: bool,
    /// Its number among the founders, from 1, the same on every node.
    pub ordinal: Option<u16>,
}

/// Facts that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The clusters of this name that stand, one of which this node is a founder of first.
    pub clusters: Vec<ClusterId>,
    /// Address of another agent that uses this node's id.
    pub duplicate: Option<SocketAddr>,
    /// The contradictions, with how to end each.
    pub reasons: Vec<Reason>,
}
