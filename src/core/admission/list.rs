//! The server's own list of members, as its leader has it.

use std::collections::BTreeMap;

use crate::{bootstrap::ServerId, node::NodeId};

/// The list of members that the leader has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Abilities of this kind of server.
    pub kind: Kind,
    /// Version of the list, where the server has one and takes a change on the condition of it.
    pub version: Option<u64>,
    /// The members, by the server's own id for them.
    pub members: BTreeMap<ServerId, Listed>,
}

/// Abilities of a kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Room for members without a vote: 0 where there is no such thing, 1 for etcd, `usize::MAX` without a bound.
    pub learner_room: usize,
    /// True if a removal and a promotion can be one change (ZooKeeper).
    pub can_swap: bool,
    /// False where the server takes no learner while it does not see a voter, whoever asks (etcd's check of changes): there a gone
    /// one is removed first.
    pub admits_beside_the_dead: bool,
}

impl Kind {
    /// True if a newcomer can run without a vote.
    pub fn has_learners(self) -> bool {
        self.learner_room > 0
    }
}

/// A member on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name for people.
    pub name: String,
    /// The agent beside it; `None` if none was ever known. To leave it out by mistake admits a server a second time.
    pub node: Option<NodeId>,
    /// True if it votes.
    pub is_voter: bool,
    /// Sight of it from the leader.
    pub seen: Seen,
    /// True if the list itself shows that it has run under this id, false if it shows the contrary (etcd: a member without a
    /// name); `None` where the server's list does not tell.
    pub has_run: Option<bool>,
    /// Address on the list, by which the others reach it, as the agents announce it.
    pub address: Option<String>,
    /// Number that it has, where the server needs one.
    pub number: Option<u64>,
}

/// Sight of a server from the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The leader does not see it.
    Down,
    /// It runs.
    Up,
    /// It runs, and has what the leader has but for what is under way.
    CaughtUp,
}

impl Listed {
    /// True if the leader sees it.
    pub(super) fn is_up(&self) -> bool {
        self.seen != Seen::Down
    }
}
