//! Another process that has this node's key. It is believed only when it proves that itself, and only for as long as it does.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::challenge::{Outcome, Twin};
use crate::node::Epoch;

/// Challenges without an answer after which the other process is gone.
const MISSED: u8 = 3;

/// The other process, if there is one.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    other: Option<Other>,
    /// The last life of another process that this node outlived.
    outlived: Option<Outlived>,
}

#[derive(Debug)]
struct Other {
    /// The address at which it answers.
    at: SocketAddr,
    missed: u8,
}

#[derive(Debug)]
struct Outlived {
    instance: u64,
    epoch: Epoch,
    /// Time at which a later life of that process was seen again.
    grew_at: Option<Instant>,
}

/// The answer to a later life of this node that another process has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rivalry {
    /// The life may be one of the past: this node begins a later one.
    Outlive,
    /// The other process has begun a later life since this node did: it runs. Set if that is news.
    Grows(bool),
}

/// The outcome of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Another process is there. Set if it was not known.
    Met(Twin, bool),
    /// It was there, and has not answered often enough.
    Gone,
    /// Nothing has changed, or there is none.
    Nothing,
}

impl Duplicates {
    /// The address of the other process.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.other.as_ref().map(|other| other.at)
    }

    /// Weighs a later life of this node that another process has signed. Two that cannot reach each other would outlive one another
    /// for ever: neither does while the other was seen to grow within `quiet`.
    pub(super) fn weigh(&mut self, instance: u64, epoch: Epoch, quiet: Duration, now: Instant) -> Rivalry {
        if let Some(known) = self.outlived.as_mut().filter(|known| known.instance == instance) {
            if known.grew_at.is_some_and(|at| now < at + quiet) {
                return Rivalry::Grows(false);
            }
            if epoch > known.epoch {
                known.epoch = epoch;
                return Rivalry::Grows(known.grew_at.replace(now).is_none());
            }
        }
        self.outlived = Some(Outlived { instance, epoch, grew_at: None });
        Rivalry::Outlive
    }

    /// Takes note of how a challenge of the process at `to` ended.
    pub(super) fn note_outcome(&mut self, to: SocketAddr, outcome: Outcome) -> Meeting {
        if let Outcome::Twin(twin) = outcome {
            let is_news = self.other.is_none();
            self.other = Some(Other { at: to, missed: 0 });
            return Meeting::Met(twin, is_news);
        }
        match &mut self.other {
            Some(other) if other.at == to => {
                other.missed += 1;
                if other.missed < MISSED {
                    return Meeting::Nothing;
                }
                self.other = None;
                Meeting::Gone
            }
            Some(_) | None => Meeting::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{peer, start},
        *,
    };

    #[test]
    fn the_other_process_is_gone_after_three_challenges_without_an_answer() {
        let twin = Twin { life: peer(3), instance: 2, has_stopped: false };
        let mut duplicates = Duplicates::default();
        let mut ask = |outcome| duplicates.note_outcome(peer(3).addr(), outcome);
        let (met, none) = (Outcome::Twin(twin), Outcome::Nobody);
        assert_eq!(ask(none), Meeting::Nothing, "a stranger said that there is one");
        assert_eq!(ask(met), Meeting::Met(twin, true));
        assert_eq!((ask(none), ask(met)), (Meeting::Nothing, Meeting::Met(twin, false)));
        assert_eq!(
            [ask(none), ask(Outcome::Myself), ask(none)],
            [Meeting::Nothing, Meeting::Nothing, Meeting::Gone]
        );
        assert_eq!(duplicates.addr(), None);
    }

    #[test]
    fn two_that_cannot_reach_each_other_do_not_outlive_one_another_for_ever() {
        let start = start();
        let quiet = Duration::from_secs(10);
        let mut duplicates = Duplicates::default();
        let mut weigh =
            |epoch, seconds| duplicates.weigh(7, Epoch(epoch), quiet, start + Duration::from_secs(seconds));
        assert_eq!(weigh(10, 0), Rivalry::Outlive);
        assert_eq!(weigh(12, 1), Rivalry::Grows(true), "this node has lived as 11 meanwhile");
        assert_eq!((weigh(12, 2), weigh(14, 3)), (Rivalry::Grows(false), Rivalry::Grows(false)));
        assert_eq!(weigh(12, 20), Rivalry::Outlive, "others only remember it");
    }
}
