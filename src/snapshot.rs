//! The one immutable value that readers see. The agent publishes a new one after every change; HTTP, the library's
//! callers and the retry-join pace read it and never ask the agent anything.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use chronik_providers::Instance;

use crate::{
    bootstrap::Status,
    budget::Use,
    counters::Counters,
    membership::{Member, Membership},
    node::{ClusterName, Epoch, NodeId},
    quorum::Quorum,
    servers::Seen,
    wire::Secrecy,
};

/// The state of the agent at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Facts that do not change while the agent runs.
    pub about: Arc<About>,
    /// The members.
    pub membership: Arc<Membership>,
    /// The quorum among them.
    pub quorum: Arc<Quorum>,
    /// The decision for the server, and the cluster as it is known here.
    pub founding: Arc<Status>,
    /// The last answer of each provider.
    pub discovery: Arc<Discovery>,
    /// The server beside the agent, if a driver asks it.
    pub server: Option<Arc<Seen>>,
    /// Counters for metrics and diagnosis.
    pub counters: Counters,
    /// Bounds on what others may have of this agent, and their use.
    pub budgets: Vec<Use>,
    /// The encryption of gossip.
    pub encryption: Secrecy,
    /// True once this node has been in contact with another one.
    pub joined: bool,
    /// True while the agent says goodbye.
    pub leaving: bool,
    /// The moment of this snapshot.
    pub taken: Instant,
}

impl Snapshot {
    /// This node among the members.
    pub fn myself(&self) -> Option<&Member> {
        self.membership.members.get(&self.about.id)
    }
}

/// Facts that do not change while the agent runs.
#[derive(Debug)]
pub struct About {
    /// This node's id.
    pub id: NodeId,
    /// The number of this start; a later start has a larger one.
    pub epoch: Epoch,
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// The address of its gossip, as bound.
    pub bound: SocketAddr,
    /// The address under which others reach it.
    pub advertised: SocketAddr,
    /// The reason for that address, a sentence.
    pub advertised_because: String,
    /// The directory of its records.
    pub state_dir: String,
    /// The protocol profile's name.
    pub profile: &'static str,
    /// The moment of this start on both clocks; times in answers are computed from it.
    pub started: Clock,
}

/// One moment on both clocks, so that a monotonic instant can be shown as a time of day.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The moment on the monotonic clock, which the core counts by.
    pub instant: Instant,
    /// That moment on the wall clock.
    pub wall: SystemTime,
}

impl Clock {
    /// Milliseconds since the Unix epoch; 0 if the wall clock is before it.
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

/// The last answers of the providers.
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
    /// The instances that have those addresses, as far as the provider knows instances.
    pub instances: BTreeMap<SocketAddr, Instance>,
    /// The moment of that answer.
    pub answered: Option<Instant>,
    /// Duration of the last poll.
    pub took: Option<Duration>,
    /// Problems beside the addresses found.
    pub warnings: Vec<String>,
    /// The error of the last poll, if it failed.
    pub error: Option<String>,
    /// Number of polls that have failed in a row.
    pub failures: u32,
    /// Number of polls so far.
    pub polls: u64,
    /// The moment of the next poll.
    pub next: Option<Instant>,
}
