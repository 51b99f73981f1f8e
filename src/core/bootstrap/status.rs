//! The founding as readers see it.

use super::{cluster::Cluster, decision::Decision, reason::Reason, server::ServerReport};

/// What the server is to do, and the cluster as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Grows with every change.
    pub index: u64,
    /// The one decision, as far as it is on disk.
    pub decision: Decision,
    /// The cluster that is known, as far as it is on disk.
    pub cluster: Option<Cluster>,
    /// The co-located server, where it has said who it is.
    pub server: Option<Server>,
    /// Why the record of this agent cannot be relied on, where that is so.
    pub fault: Option<Reason>,
}

impl Status {
    /// Takes `next` as the new state, with a grown index where it differs.
    pub fn update(&mut self, next: Self) -> bool {
        let next = Self { index: self.index, ..next };
        let changed = *self != next;
        *self = Self { index: self.index + u64::from(changed), ..next };
        changed
    }
}

/// What the co-located server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its last word.
    pub report: ServerReport,
    /// Whether that was recent enough for it to count as running; nothing where it speaks only once.
    pub up: Option<bool>,
}
