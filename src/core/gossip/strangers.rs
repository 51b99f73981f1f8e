//! Those whose packets do not open: agents with another key, or with none, and whoever else knocks.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Gossip;
use crate::wire::{Stranger, WireError};

/// How often at most an operator is told of them.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The last one, and when an operator was told.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    last: Option<Stranger>,
    told: Option<Instant>,
}

impl Strangers {
    pub(super) fn last(&self) -> Option<&Stranger> {
        self.last.as_ref()
    }

    /// Remembers one; true where it is time to tell an operator.
    fn note(&mut self, from: SocketAddr, why: &WireError, now: Instant) -> bool {
        self.last = Some(Stranger { from, why: why.clone(), at: now });
        let due = self.told.is_none_or(|at| now.saturating_duration_since(at) >= TOLD_EVERY);
        if due {
            self.told = Some(now);
        }
        due
    }
}

impl Gossip {
    /// Counts a packet that did not open. With keys nobody is told but this agent's operator.
    pub(super) fn refuse(&mut self, from: SocketAddr, error: &WireError, now: Instant) {
        self.counters.refused += 1;
        let key = match error {
            WireError::OtherCluster(_) => {
                self.counters.foreign += 1;
                false
            }
            WireError::Encrypted | WireError::Plain | WireError::UnknownKey(_) | WireError::Forged(_) => true,
            WireError::Foreign | WireError::Damaged | WireError::Version(_) => false,
        };
        if key {
            self.counters.undecryptable += 1;
        }
        if key && self.strangers.note(from, error, now) {
            tracing::warn!(%from, %error, "packet refused; told at most once a minute");
        } else {
            tracing::debug!(%from, %error, "packet refused");
        }
    }
}
