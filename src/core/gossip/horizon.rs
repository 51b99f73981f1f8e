//! The latest epoch that is believed: epochs are times, and no clock is a year ahead. Without it one packet could use up the
//! numbers of a node, which then could never be heard again.

use std::time::{Duration, Instant};

use crate::node::Epoch;

/// Time by which another node's clock may be ahead of this one's.
const AHEAD: Duration = Duration::from_secs(366 * 86_400);
/// 2026-01-01: a clock before that has not been set, and tells nothing about others.
const SET_FROM: Epoch = Epoch(1_767_225_600_000);

/// This node's clock, as far as its start tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    start: Epoch,
    at: Instant,
}

impl Horizon {
    /// The horizon of a node that started at `at`, in this epoch.
    pub(super) fn new(start: Epoch, at: Instant) -> Self {
        Self { start, at }
    }

    /// True if a life of this epoch may have begun by `now`.
    pub(super) fn reaches(&self, epoch: Epoch, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at) + AHEAD;
        let latest = self.start.0.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        epoch < Epoch::LAST && (self.start < SET_FROM || epoch.0 <= latest)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::start, *};

    #[test]
    fn an_epoch_more_than_a_year_ahead_is_not_believed_by_a_clock_that_is_set() {
        let (now, day) = (start(), Duration::from_secs(86_400));
        let horizon = Horizon::new(Epoch(SET_FROM.0 + 1), now);
        let later = |days: u32| Epoch(SET_FROM.0 + u64::try_from((day * days).as_millis()).unwrap());
        assert!(horizon.reaches(later(366), now) && !horizon.reaches(later(367), now));
        assert!(horizon.reaches(later(367), now + day), "time goes on");
        assert!(!horizon.reaches(Epoch::LAST, now));
        assert!(
            Horizon::new(Epoch(0), now).reaches(later(9_999), now),
            "a clock that is not set judges nobody"
        );
    }
}
