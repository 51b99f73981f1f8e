//! The founding as readers see it.

use super::{cluster::Cluster, decision::Decision, reason::Reason, server::ServerReport};

/// The decision, and the cluster as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Grows with every change.
    pub index: u64,
    /// The one decision, as far as it is on disk.
    pub decision: Decision,
    /// The cluster that is known, as far as it is on disk.
    pub cluster: Option<Cluster>,
    /// The co-located server, if it has attested itself.
    pub server: Option<Server>,
    /// The reason for which the record of this agent cannot be relied on, if there is one.
    pub fault: Option<Reason>,
}

impl Status {
    /// Takes `next` as the new state; the index grows if it differs.
    pub fn update(&mut self, next: Self) -> bool {
        let next = Self { index: self.index, ..next };
        let changed = *self != next;
        *self = Self { index: self.index + u64::from(changed), ..next };
        changed
    }
}

/// The co-located server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its last report on itself.
    pub report: ServerReport,
    /// True if that was recent enough for it to count as running; `None` if it reports itself only once.
    pub up: Option<bool>,
}
