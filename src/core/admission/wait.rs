//! Reasons for which a server is not admitted, has no vote yet, or does not leave yet; and for which an operator is refused.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::step::Named;
use crate::node::NodeId;

/// Reason to wait. [`Wait::code`] is for programs, the printed text, with its remedy, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A voter is gone and has not been replaced yet.
    VoterToReplace {
        /// The voter.
        voter: Named,
        /// Time until it is replaced; `None` if `--replace-failed never` is set.
        left: Option<Duration>,
    },
    /// The leader does not see a voter, and it is not gone.
    VoterDown {
        /// The voter.
        voter: Named,
    },
    /// There are as many voters as are to be.
    EnoughVoters {
        /// Number of voters.
        voters: usize,
        /// Most that are kept.
        most: usize,
    },
    /// The server is not blank and not on the list.
    RemovedVoter,
    /// Nobody has attested the server.
    ServerUnknown,
    /// No group key is set, and nobody has asked for it by name.
    NoGroupKey,
    /// The agent has not proven itself.
    NotProven,
    /// No majority of the list is up.
    QuorumLost {
        /// Voters that are up.
        up: usize,
        /// Voters on the list.
        voters: usize,
    },
    /// Another learner has the room that there is.
    LearnerFirst {
        /// That learner.
        learner: Named,
    },
    /// A member at this server's address is on the list.
    AddressListed {
        /// That member.
        member: Named,
    },
    /// It runs without a vote and has not caught up.
    CatchingUp,
    /// An admitted server is not up.
    NotUpYet {
        /// That server.
        member: Named,
        /// Time until it is removed again; `None` if nobody knows that it never ran.
        left: Option<Duration>,
    },
    /// The list has one voter, and the server has no learners.
    SingleVoter,
    /// It is the last voter.
    LastVoter,
    /// Its turn comes after another change.
    InLine,
    /// The agents that were asked for numbers have not answered.
    NumberUnknown {
        /// Voters whose agents have answered.
        answered: usize,
        /// Answers that are needed.
        need: usize,
    },
    /// The highest number is on too few disks for a removal. The caller sends it to those that lack it.
    NumberNotKept {
        /// The number.
        number: u64,
        /// Voters that stay and have it on disk.
        have: usize,
        /// Voters that must have it.
        need: usize,
        /// Agents of voters that stay and lack it.
        without: BTreeSet<NodeId>,
    },
    /// The highest number there is was given.
    NumbersSpent,
}

impl Wait {
    /// Name of the reason in answers, events and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::VoterToReplace { .. } => "voter_to_replace",
            Self::VoterDown { .. } => "voter_down",
            Self::EnoughVoters { .. } => "enough_voters",
            Self::RemovedVoter => "removed_voter",
            Self::ServerUnknown => "server_unknown",
            Self::NoGroupKey => "no_group_key",
            Self::NotProven => "not_proven",
            Self::QuorumLost { .. } => "quorum_lost",
            Self::LearnerFirst { .. } => "learner_first",
            Self::AddressListed { .. } => "address_listed",
            Self::CatchingUp => "catching_up",
            Self::NotUpYet { .. } => "admitted_not_up",
            Self::SingleVoter => "single_voter",
            Self::LastVoter => "last_voter",
            Self::InLine => "in_line",
            Self::NumberUnknown { .. } => "number_unknown",
            Self::NumberNotKept { .. } => "number_not_kept",
            Self::NumbersSpent => "numbers_spent",
        }
    }

    /// Sentence that says what is the case.
    pub fn sentence(&self) -> String {
        match self {
            Self::VoterToReplace { voter, .. } => format!("voter {voter} is gone and not replaced yet"),
            Self::VoterDown { voter } => {
                format!("voter {voter} is down, and meanwhile an odd list bears neither a voter more nor one less")
            }
            Self::EnoughVoters { voters, most } => format!("there are {voters} voters, and {most} are kept"),
            Self::RemovedVoter => "the server holds data and is not on the cluster's list".to_owned(),
            Self::ServerUnknown => "nobody has said whether the server holds data".to_owned(),
            Self::NoGroupKey => "without --encrypt-key-file no server is admitted by itself".to_owned(),
            Self::NotProven => "its agent has not proven that it has the group key".to_owned(),
            Self::QuorumLost { up, voters } => {
                format!("{up} of {voters} voters are up, too few to change the list")
            }
            Self::LearnerFirst { learner } => format!("{learner} is catching up without a vote, and there is room for no other"),
            Self::AddressListed { member } => format!("member {member} on the list has the same address"),
            Self::CatchingUp => "it runs without a vote and has not caught up".to_owned(),
            Self::NotUpYet { member, .. } => format!("{member} was admitted and is not up"),
            Self::SingleVoter => {
                "the cluster has one voter, which could do nothing from the admission of a second until that runs".to_owned()
            }
            Self::LastVoter => "it is the last voter".to_owned(),
            Self::InLine => "another change of the list comes first".to_owned(),
            Self::NumberUnknown { answered, need } => {
                format!("{answered} of {need} voters' agents have said which numbers were given")
            }
            Self::NumberNotKept { number, have, need, .. } => {
                format!("{have} of {need} voters that stay have number {number} on disk as given")
            }
            Self::NumbersSpent => "the highest number there is was given".to_owned(),
        }
    }

    /// This reason without the times that are left, which would make it news each second.
    pub fn without_times(mut self) -> Self {
        if let Self::NotUpYet { left, .. } = &mut self {
            *left = None;
        }
        if let Self::VoterToReplace { left: Some(left), .. } = &mut self {
            *left = Duration::ZERO;
        }
        self
    }

    /// Sentence that says what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::VoterToReplace { voter, left: Some(left) } if left.is_zero() => format!(
                "it is replaced as soon as a majority of the others is up and a newcomer is ready; start {voter} if it is to stay"
            ),
            Self::VoterToReplace { voter, left: Some(left) } => {
                format!("start {voter} if it is to stay; else it is replaced in {} s", left.as_secs())
            }
            Self::VoterToReplace { voter, left: None } | Self::VoterDown { voter } => {
                format!("start {voter}, or replace it with `chronik-agent voters replace {voter}`")
            }
            Self::EnoughVoters { .. } => "nothing to do; --voters keeps more, or fewer".to_owned(),
            Self::RemovedVoter => "empty its data directory, then it joins as a new one".to_owned(),
            Self::ServerUnknown => {
                "start it through `chronik-agent exec`, or attest it with PUT /v1/server before it asks"
                    .to_owned()
            }
            Self::NoGroupKey => {
                "set one on every agent, or admit this one with `chronik-agent voters add NODE`".to_owned()
            }
            Self::NotProven => "give it the key of the others with --encrypt-key-file".to_owned(),
            Self::QuorumLost { .. } => {
                "start the others; if they are lost for good, `chronik-agent voters recover`".to_owned()
            }
            Self::LearnerFirst { .. } | Self::CatchingUp => {
                "nothing to do; see the server's log if this lasts".to_owned()
            }
            Self::AddressListed { member } => {
                format!(
                    "replace that with `chronik-agent voters replace {member}`, or announce another address"
                )
            }
            Self::NotUpYet { member, left: Some(left) } => {
                format!("start {member}; else it is removed again in {} s", left.as_secs())
            }
            Self::NotUpYet { member, left: None } => {
                format!("start {member}, or remove it with `chronik-agent voters remove {member}`")
            }
            Self::SingleVoter => {
                "say `chronik-agent voters add NODE`, and start the server at once".to_owned()
            }
            Self::LastVoter => "add another first, or stop it without --for-good".to_owned(),
            Self::InLine => "nothing to do".to_owned(),
            Self::NumberUnknown { .. } => "start the agents of the other voters".to_owned(),
            Self::NumberNotKept { .. } => {
                "nothing to do, they are being told; start those that are not alive".to_owned()
            }
            Self::NumbersSpent => "correct the number file or the report that shows it".to_owned(),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sentence(), self.remedy())
    }
}
