//! The time to look again at what gossip knows, and at what has come of it.

use std::time::{Duration, Instant};

/// Interval at which ages (last contact, server heartbeat) are re-evaluated.
const AGES: Duration = Duration::from_secs(1);

/// Marks of what was looked at, and when.
#[derive(Debug)]
pub(super) struct Review {
    /// Version of the membership that the founding has seen; `None` if it is to look again in any case.
    seen: Option<u64>,
    /// Time at which ages were last evaluated.
    aged_at: Instant,
    /// Set if the answers for readers must be made anew at the end of this input.
    outdated: bool,
}

/// Reason to look at the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It has changed.
    Changed,
    /// Ages are due; they may have changed.
    Aged,
    /// Neither.
    NotDue,
}

impl Review {
    /// Nothing was looked at yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { seen: None, aged_at: now, outdated: true }
    }

    /// Has the answers made anew at the end of this input.
    pub(super) fn mark_outdated(&mut self) {
        self.outdated = true;
    }

    /// Has the membership looked at again, though its version is the same.
    pub(super) fn look_again(&mut self) {
        self.seen = None;
    }

    /// The reason to look at the membership of version `index` now. Contact grows old without any change of it.
    pub(super) fn look(&mut self, index: u64, now: Instant) -> Look {
        let is_fresh = self.seen == Some(index) && now.duration_since(self.aged_at) < AGES;
        if is_fresh {
            return Look::NotDue;
        }
        self.aged_at = now;
        if self.seen == Some(index) { Look::Aged } else { Look::Changed }
    }

    /// Takes note that the founding has seen the membership of version `index`.
    pub(super) fn mark_seen(&mut self, index: u64) {
        self.seen = Some(index);
        self.outdated = true;
    }

    /// True if the answers are to be made anew; they count as such from here on.
    pub(super) fn take_outdated(&mut self) -> bool {
        std::mem::take(&mut self.outdated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_looked_at_at_once_and_ages_once_a_second() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut review = Review::new(now);
        assert_eq!(review.look(1, now), Look::Changed);
        review.mark_seen(1);
        assert!(review.take_outdated() && !review.take_outdated());
        assert_eq!(review.look(1, now + AGES / 2), Look::NotDue);
        assert_eq!(review.look(2, now + AGES / 2), Look::Changed);
        review.mark_seen(2);
        assert_eq!(review.look(2, now + AGES), Look::NotDue, "it was looked at half a second ago");
        assert_eq!(review.look(2, now + AGES * 2), Look::Aged);
        review.look_again();
        assert_eq!(review.look(2, now + AGES * 2), Look::Changed);
    }
}
