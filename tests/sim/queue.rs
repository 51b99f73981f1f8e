//! The queue of happenings, in the order of time; of two at the same time the one that was queued first comes first.

use std::{collections::BTreeMap, time::Instant};

use super::network::Happening;

#[derive(Default)]
pub(super) struct Queue {
    /// By time, then by the order in which they were queued.
    happenings: BTreeMap<(Instant, u64), Happening>,
    /// Number of happenings ever queued.
    queued: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, happening: Happening) {
        self.queued += 1;
        self.happenings.insert((at, self.queued), happening);
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, Happening)> {
        let ((at, _), happening) = self.happenings.pop_first()?;
        Some((at, happening))
    }

    /// Time of the next happening.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.happenings.first_key_value().map(|((at, _), _)| *at)
    }
}
