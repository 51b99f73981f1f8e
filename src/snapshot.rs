//! The one immutable value that readers see. The agent publishes a new one after every change; HTTP, the library's
//! callers and the retry-join pace read it and never ask the agent anything.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use crate::{
    bootstrap::Status,
    counters::Counters,
    membership::{Member, Membership},
    node::{ClusterName, Epoch, NodeId},
    quorum::Quorum,
    wire::Secrecy,
};

/// Everything a reader may want to know, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// What does not change while the agent runs.
    pub about: Arc<About>,
    /// Who is there.
    pub membership: Arc<Membership>,
    /// Whether that is a majority.
    pub quorum: Arc<Quorum>,
    /// What the server is to do, and the cluster as it is known here.
    pub founding: Arc<Status>,
    /// What each provider last said.
    pub discovery: Arc<Discovery>,
    /// Counters for metrics and diagnosis.
    pub counters: Counters,
    /// How gossip is encrypted.
    pub encryption: Secrecy,
    /// Whether this node has ever been in contact with another one.
    pub joined: bool,
    /// The agent is saying goodbye.
    pub leaving: bool,
    /// When this snapshot was taken.
    pub taken: Instant,
    /// Answers rendered from this snapshot, each at most once, by whoever asks first.
    pub rendered: Rendered,
}

/// Slots for the answers that are asked for most. They belong to the HTTP layer, which alone fills and reads them.
#[derive(Debug, Default)]
pub struct Rendered {
    /// `GET /v1/members` without filters.
    pub members: OnceLock<Bytes>,
    /// `GET /v1/quorum`.
    pub quorum: OnceLock<Bytes>,
    /// `GET /v1/bootstrap`.
    pub founding: OnceLock<Bytes>,
}

impl Snapshot {
    /// This node among the members.
    pub fn myself(&self) -> Option<&Member> {
        self.membership.members.get(&self.about.id)
    }
}

/// What does not change while the agent runs.
#[derive(Debug)]
pub struct About {
    /// This node's id.
    pub id: NodeId,
    /// Which of its starts this is.
    pub epoch: Epoch,
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Where it gossips, as bound.
    pub bound: SocketAddr,
    /// Where others reach it.
    pub advertised: SocketAddr,
    /// Why that address was chosen, a sentence.
    pub advertised_because: String,
    /// Where its records are.
    pub state_dir: String,
    /// The protocol profile's name.
    pub profile: &'static str,
    /// When it started, on both clocks; times in answers are computed from it.
    pub started: Clock,
}

/// One moment on both clocks, so that a monotonic instant can be shown as a time of day.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// On the monotonic clock, which the core counts by.
    pub instant: Instant,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
}

impl Clock {
    /// Milliseconds since the Unix epoch; 0 where the wall clock is before it.
    pub fn unix_ms(&self) -> u64 {
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// The time of day at `instant`.
    pub fn wall_at(&self, instant: Instant) -> SystemTime {
        match instant.checked_duration_since(self.instant) {
            Some(after) => self.wall + after,
            None => self.wall - self.instant.duration_since(instant),
        }
    }
}

/// What the providers said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Grows with every change.
    pub index: u64,
    /// One a `--retry-join`, in the order given.
    pub providers: Vec<ProviderReport>,
}

/// A provider's last answer, error and next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderReport {
    /// As in `provider=NAME`.
    pub provider: &'static str,
    /// The whole spec, secrets masked.
    pub spec: String,
    /// The last good answer; a failed poll keeps it.
    pub addrs: Vec<SocketAddr>,
    /// When that was.
    pub answered: Option<Instant>,
    /// How long the last poll took.
    pub took: Option<Duration>,
    /// What went wrong beside the addresses found.
    pub warnings: Vec<String>,
    /// What went wrong in the last poll, if it failed.
    pub error: Option<String>,
    /// How many polls have failed in a row.
    pub failures: u32,
    /// How often it was asked.
    pub polls: u64,
    /// When it will be asked next.
    pub next: Option<Instant>,
}
