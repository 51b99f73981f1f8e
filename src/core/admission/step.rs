//! Output of one step: a change of the list, with the condition on which it is made.

use std::fmt;

use crate::{bootstrap::ServerId, node::NodeId};

/// One change, to be made at the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The change.
    pub change: Change,
    /// Version that the list must still have for the change to be made; `None` where the server has no versions. A server that
    /// refuses has the step forgotten and the list looked at anew.
    pub on_version: Option<u64>,
}

/// A member on the list, as a step or a sentence names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The server's own id for it.
    pub id: ServerId,
    /// Name for people.
    pub name: String,
}

/// An agent whose server is to be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// The agent.
    pub node: NodeId,
    /// Name for people.
    pub name: String,
    /// Number that its server gets, where servers need one: it is told after the admission.
    pub number: Option<u64>,
}

/// A change of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Takes a server in without a vote; it is started after that.
    AdmitLearner(Newcomer),
    /// Takes a server in with a vote, where the server has no learners; it is started after that.
    AdmitVoter(Newcomer),
    /// Gives a learner its vote.
    Promote(Named),
    /// Removes a member.
    Remove(Named, Removal),
    /// Removes a voter and gives a learner its vote, as one change.
    RemoveAndPromote {
        /// The voter that goes.
        voter: Named,
        /// The learner that takes its place.
        learner: Named,
    },
    /// Gives a member the address that its agent announces.
    UpdateAddress {
        /// The member.
        member: Named,
        /// Its new address.
        address: String,
    },
}

/// Cause of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Admitted, and not up in time.
    NotUp,
    /// Gone for `--replace-failed`.
    Gone,
    /// Told `leave --for-good`.
    Leaves,
    /// Asked for by an operator.
    Asked,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for Newcomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{} as number {number}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdmitLearner(newcomer) => write!(f, "admit {newcomer} without a vote"),
            Self::AdmitVoter(newcomer) => write!(f, "admit {newcomer} with a vote"),
            Self::Promote(learner) => write!(f, "give {learner} a vote"),
            Self::Remove(member, Removal::NotUp) => {
                write!(f, "remove {member} again, which was admitted and is not up")
            }
            Self::Remove(member, Removal::Gone) => write!(f, "remove {member}, which is gone"),
            Self::Remove(member, Removal::Leaves) => write!(f, "remove {member}, which leaves for good"),
            Self::Remove(member, Removal::Asked) => write!(f, "remove {member}"),
            Self::RemoveAndPromote { voter, learner } => {
                write!(f, "remove {voter} and give {learner} its vote, in one change")
            }
            Self::UpdateAddress { member, address } => {
                write!(f, "change the address of {member} to {address}")
            }
        }
    }
}
