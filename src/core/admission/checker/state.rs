//! A state of the small world: servers, each in one of a few conditions, and what may still go wrong.

use std::fmt;

/// Condition of a server and of the agent beside it, in the order of the model's letters: of two removed ones the first gives up
/// its place in the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Is {
    /// Not there yet.
    Absent,
    /// A voter that is blank again: its disk was lost.
    Blank,
    /// A learner that runs and has not caught up. Only in fine instances.
    CatchingUp,
    /// A learner that is dead. Only in fine instances.
    DeadLearner,
    /// A voter that is gone: failed or left.
    Down,
    /// A voter that is gone for `--replace-failed`.
    DownLong,
    /// A joiner that waits, blank.
    Joiner,
    /// A learner that has caught up.
    Learner,
    /// A learner that was admitted and is not up. Only in fine instances.
    NewLearner,
    /// Admitted with a vote, not up yet.
    Pending,
    /// Admitted with a vote, and dead.
    PendingDead,
    /// Removed, and back.
    RemovedBack,
    /// A voter whose server is down, and whose agent lives.
    ServerDown,
    /// A voter that is up after it was gone: an old look would have it gone.
    UpAgain,
    /// A voter that is up.
    Voter,
    /// A voter that is up and was told `leave --for-good`.
    Leaving,
    /// A voter that is lost for ever.
    Lost,
    /// A voter that is lost for ever, and gone for `--replace-failed`.
    LostLong,
    /// Removed, and lost for ever.
    RemovedLost,
    /// Removed, and down.
    Removed,
    /// A removed one that votes.
    RemovedVotes,
    /// A voter that stops without having been removed.
    Stopping,
    /// Gone for good, and not on the list.
    Ended,
}

impl Is {
    /// True if it is on the list with a vote, and up.
    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Voter | Self::UpAgain | Self::Leaving | Self::Stopping)
    }

    /// True if it is on the list with a vote that it had used, and not up.
    pub(super) fn is_down(self) -> bool {
        self.is_gone() || matches!(self, Self::ServerDown | Self::Blank)
    }

    /// True if it is a voter that is gone.
    pub(super) fn is_gone(self) -> bool {
        matches!(self, Self::Down | Self::DownLong | Self::Lost | Self::LostLong)
    }

    /// True if it was admitted with a vote and is not up.
    pub(super) fn is_pending(self) -> bool {
        matches!(self, Self::Pending | Self::PendingDead)
    }

    /// True if it is on the list with a vote.
    pub(super) fn is_voter(self) -> bool {
        self.is_up() || self.is_down() || self.is_pending()
    }

    /// True if it is on the list without a vote.
    pub(super) fn is_learner(self) -> bool {
        matches!(self, Self::Learner | Self::NewLearner | Self::CatchingUp | Self::DeadLearner)
    }

    /// True if it was removed after it had voted, and has not ended.
    pub(super) fn is_removed(self) -> bool {
        matches!(self, Self::Removed | Self::RemovedBack | Self::RemovedLost)
    }

    /// The condition of a member after its removal.
    pub(super) fn removed(self) -> Self {
        match self {
            Self::Down | Self::DownLong => Self::Removed,
            Self::Lost | Self::LostLong => Self::RemovedLost,
            Self::Pending | Self::NewLearner => Self::Joiner,
            Self::PendingDead | Self::DeadLearner | Self::Stopping | Self::Leaving => Self::Ended,
            Self::Voter | Self::UpAgain | Self::ServerDown | Self::Blank => Self::RemovedBack,
            other => other,
        }
    }
}

/// A server in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Server {
    pub(super) is: Is,
    /// In the baseline: the list as it was when all were up.
    pub(super) in_baseline: bool,
    /// Subject of the last change of the list.
    pub(super) is_last: bool,
}

/// A state: equal servers are one, so that states are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) servers: Vec<Server>,
    /// Voters that may still crash.
    pub(super) crashes: u8,
    /// Newcomers that may still die.
    pub(super) joiner_crashes: u8,
    /// Voters that may still be told to leave.
    pub(super) leaves: u8,
    /// The agent that admitted the pending one is beside the leader no more.
    pub(super) admitter_is_gone: bool,
}

impl State {
    pub(super) fn conditions(&self) -> Vec<Is> {
        self.servers.iter().map(|server| server.is).collect()
    }

    /// Takes in changes of conditions, and keeps the books: the baseline, the last change, the order.
    pub(super) fn changed(mut self, changes: &[(usize, Is)], last: Option<usize>) -> Self {
        let servers = &mut self.servers;
        for (at, is) in changes {
            // Up with a vote: it takes a removed one's place in the baseline.
            let was_new = servers[*at].is.is_learner() || servers[*at].is == Is::Pending;
            let removed = servers.iter().position(|server| server.is.is_removed() && server.in_baseline);
            if let Some(removed) = removed.filter(|_| was_new && *is == Is::Voter) {
                servers[removed].in_baseline = false;
                servers[*at].in_baseline = true;
            }
            servers[*at].in_baseline &= *is != Is::Ended;
            servers[*at].is = *is;
        }
        if let Some(last) = last {
            servers.iter_mut().enumerate().for_each(|(at, server)| server.is_last = at == last);
        }
        let voters = servers.iter().filter(|server| server.is.is_voter());
        let is_whole = voters.clone().all(|voter| voter.is.is_up())
            && voters.count() >= servers.iter().filter(|server| server.in_baseline).count();
        if is_whole {
            servers.iter_mut().for_each(|server| server.in_baseline = server.is.is_voter());
        }
        self.admitter_is_gone &= servers.iter().any(|server| server.is.is_pending());
        servers.sort();
        self
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in self.servers.iter().filter(|server| server.is != Is::Absent) {
            let in_baseline = if server.in_baseline { "" } else { "+" };
            write!(f, " {:?}{in_baseline}", server.is)?;
        }
        Ok(())
    }
}
