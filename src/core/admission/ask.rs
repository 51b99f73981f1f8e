//! An operator's `voters add|remove|replace`: the answer is a plan that says first what will be done, or a refusal that says why.

use std::fmt;

use super::{
    step::{Named, Step},
    wait::Wait,
};
use crate::{bootstrap::ServerId, node::NodeId};

/// A wish of an operator. It is not kept: the command asks again with each new look, until it is done or refused, and ends
/// with whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// `voters add NODE`: this agent's server is to vote.
    Add(NodeId),
    /// `voters remove NODE`: this member is to be on the list no more.
    Remove(ServerId),
    /// `voters replace NODE`: another is to have this voter's place, or itself with a new, empty directory.
    Replace(ServerId),
}

/// Answer to a wish in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The step to make now, and what follows.
    Does(Plan),
    /// Nothing to do now: a step made before has yet to take effect.
    Waits(Wait),
    /// It is as it was asked for.
    Done,
}

/// A plan: one step now, and what comes after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The step to make now.
    pub step: Step,
    /// The rest, in order; each is judged by a look of its own.
    pub then: Vec<Then>,
    /// Consequences that are said before.
    pub notes: Vec<Note>,
}

/// A later part of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The newcomer is started.
    Starts(String),
    /// The newcomer gets its vote once it has caught up.
    Votes(String),
    /// The newcomer is admitted with a vote.
    Admitted(String),
    /// The voter is removed and the learner gets its vote.
    Swapped {
        /// The voter.
        voter: Named,
        /// The learner.
        learner: String,
    },
}

/// A consequence of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Failures that the list bears now and after the step.
    Spare {
        /// Failures that it bears now.
        before: usize,
        /// Failures that it bears after the step.
        after: usize,
    },
    /// The new list is even.
    Even {
        /// Its voters.
        voters: usize,
    },
    /// More voters than `--voters` keeps.
    Beyond {
        /// Most that are kept.
        most: usize,
    },
    /// From the admission until the newcomer runs there is no quorum.
    NoQuorumUntilUp(String),
    /// The vote is given only after this.
    VoteAfter(Wait),
    /// Without a group key the newcomer must be added by name afterwards.
    AddAfterwards(String),
}

/// A wish that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such agent is known.
    #[error("no agent {0} is known here: see `chronik-agent members`")]
    UnknownAgent(NodeId),
    /// The agent is not alive.
    #[error("agent {0} is not alive: start it first")]
    NotAlive(String),
    /// The agent leaves for good.
    #[error("agent {0} leaves for good: start it again first")]
    Leaves(String),
    /// The agent is an observer.
    #[error("agent {0} is an observer, which stands beside no server: start it with --role server")]
    Observer(String),
    /// No such member is on the list.
    #[error("member {0} is not on the server's list: see `chronik-agent voters`")]
    NotListed(ServerId),
    /// The member has no vote that another could take over.
    #[error("{0} has no vote to replace: remove it with `chronik-agent voters remove {0}`")]
    NoVoter(Named),
    /// Nobody is there who could take the place.
    #[error("no blank server waits to take the place of {0}: start one with its agent, {hint}", hint = hint(.1))]
    NoNewcomer(Named, HasGroupKey),
    /// It would cost the quorum, or cannot be done, for this reason.
    #[error("{0}")]
    For(Wait),
}

/// True if a group key is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasGroupKey(pub bool);

fn hint(key: &HasGroupKey) -> &'static str {
    if key.0 { "then ask again" } else { "then say `chronik-agent voters add NODE`" }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts(name) => write!(f, "start the server of {name}"),
            Self::Votes(name) => write!(f, "give {name} a vote once it has caught up"),
            Self::Admitted(name) => write!(f, "admit {name} with a vote"),
            Self::Swapped { voter, learner } => {
                write!(f, "remove {voter} and give {learner} its vote once that has caught up")
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spare { before, after } => {
                write!(f, "the list bears {before} more failures now, and {after} after this step")
            }
            Self::Even { voters } => {
                write!(f, "{voters} voters bear no more failures than {}", voters.saturating_sub(1))
            }
            Self::Beyond { most } => write!(f, "--voters keeps {most}, and this is one more"),
            Self::NoQuorumUntilUp(name) => {
                write!(f, "from this step until the server of {name} runs, the cluster has no quorum")
            }
            Self::VoteAfter(wait) => write!(f, "it gets no vote before that ends: {}", wait.sentence()),
            Self::AddAfterwards(name) => {
                write!(f, "no group key is set, so say `chronik-agent voters add {name}` after this step")
            }
        }
    }
}

impl fmt::Display for Plan {
    /// One sentence: the step, the rest and the consequences.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first {}", self.step.change)?;
        for then in &self.then {
            write!(f, ", then {then}")?;
        }
        for note in &self.notes {
            write!(f, "; {note}")?;
        }
        Ok(())
    }
}
