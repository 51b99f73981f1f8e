//! The contract between a provider and its asker: what is asked, what is answered, how often.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use async_trait::async_trait;

/// A source of seed addresses, asked again and again for ever.
#[async_trait]
pub trait Discover: Send + Sync {
    /// Polls the source once. The provider itself bounds the time that this takes.
    ///
    /// # Errors
    /// One line that names what failed and what would mend it; never a secret.
    async fn discover(&self) -> Result<Seeds, DiscoverError>;

    /// Intervals at which this source should be asked.
    fn cadence(&self) -> Cadence;
}

/// The answer of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seeds {
    /// Distinct addresses, in the provider's order of preference. An empty list is no error.
    pub addrs: Vec<SocketAddr>,
    /// Time for which the source itself says that the answer holds (the lowest TTL of the records used); `None` if the
    /// source does not say.
    pub valid_for: Option<Duration>,
    /// Problems met beside the addresses found, one line each.
    pub warnings: Vec<String>,
    /// The instances that have these addresses, as far as the provider knows instances.
    pub instances: BTreeMap<SocketAddr, Instance>,
}

/// A machine of a cloud, as its provider tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// The provider's own name for it, which no other machine ever has: `i-0123456789abcdef0`.
    pub id: String,
    /// Its state in the provider's words: `running`.
    pub state: String,
    /// The place within the region that it fails with: `eu-central-1a`.
    pub zone: Option<String>,
}

impl Seeds {
    /// Appends the addresses that are not listed yet.
    pub fn extend(&mut self, addrs: impl IntoIterator<Item = SocketAddr>) {
        for addr in addrs {
            if !self.addrs.contains(&addr) {
                self.addrs.push(addr);
            }
        }
    }
}

/// Kind of a failed poll, by what the asker can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The source gave no answer, or none that makes sense: ask again, ever more slowly.
    Unavailable,
    /// The source has been asked too often: ask less, at once.
    Throttled,
    /// The source refused, or cannot be asked as things are configured: the failure lasts until an operator mends it.
    Rejected,
}

/// A poll that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{provider}: {message}")]
pub struct DiscoverError {
    /// The provider's name, as in `provider=NAME`.
    pub provider: &'static str,
    /// Kind of the failure, by what the asker can do about it.
    pub kind: FailureKind,
    /// One line: what failed and what would mend it.
    pub message: String,
}

/// Intervals at which a source should be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// The shortest interval, kept even while the agent is alone.
    pub floor: Duration,
    /// The interval once the agent has found the others.
    pub settled: Duration,
    /// Set if all agents together use up one quota of calls (a cloud account's): the cluster as a whole should then
    /// make about one call an interval, not one for each node.
    pub rationed: bool,
}
