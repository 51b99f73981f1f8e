//! The server beside the agent as its driver saw it last, for readers.

use crate::node::{NodeId, NodeName};

/// The server beside the agent, as it answered last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Grows with every change but that of `applied`.
    pub index: u64,
    /// The flag, `KIND=URL`.
    pub server: String,
    /// True if it gave a good answer when it was asked last.
    pub answers: bool,
    /// Its version; `None` before its first answer.
    pub version: Option<String>,
    /// The group that it is of, by its own name for it.
    pub group: Option<String>,
    /// The member that leads, as this server sees it.
    pub leader: Option<Leader>,
    /// Number of members that vote, by its own list.
    pub voters: usize,
    /// Index that it has applied.
    pub applied: Option<u64>,
    /// Its members, by its own list, where the agents change that.
    pub members: Vec<SeenMember>,
    /// The agents that wait to be admitted, for a vote or to leave; known beside the leader alone.
    pub waits: Vec<SeenWait>,
    /// Troubles, each with its remedy: that of the last answer that was none, or those that the server tells of.
    pub troubles: Vec<String>,
}

/// A member of the server's own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMember {
    /// The server's name for it.
    pub member: String,
    /// Its name for people: that of its agent, if it is known.
    pub name: String,
    /// Its agent, if it is known.
    pub id: Option<NodeId>,
    /// Its address for other members.
    pub address: Option<String>,
    /// True if it votes.
    pub votes: bool,
    /// True if it is seen from here.
    pub up: bool,
}

/// An agent that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenWait {
    /// The agent.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Name of the reason.
    pub code: &'static str,
    /// The reason with its remedy.
    pub message: String,
}

/// The member that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The server's name for it.
    pub member: String,
    /// Its agent, if it is known.
    pub id: Option<NodeId>,
    /// The name of its agent, if it is known.
    pub name: Option<NodeName>,
}

impl Seen {
    /// A server that was not asked yet.
    pub fn unasked(server: String) -> Self {
        Self {
            index: 1,
            server,
            answers: false,
            version: None,
            group: None,
            leader: None,
            voters: 0,
            applied: None,
            members: Vec::new(),
            waits: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Takes `next` as what is seen now; the index grows if readers wait for the difference.
    pub fn update(&mut self, next: Self) -> bool {
        let changed = *self != Self { index: self.index, applied: self.applied, ..next.clone() };
        *self = Self { index: self.index + u64::from(changed), ..next };
        changed
    }
}
