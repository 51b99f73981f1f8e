//! Where seed addresses come from. A provider returns addresses and how long they hold, nothing else: it knows no
//! node, no cluster and no quorum.

mod address;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "dns")]
mod dns;
mod fixed;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(feature = "aws", test))]
mod masking;
#[cfg(feature = "aws")]
mod secret;
mod spec;

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;

pub use crate::spec::{GrammarFault, Spec, SpecError};

/// A source of seed addresses, asked again and again for ever.
#[async_trait]
pub trait Discover: Send + Sync {
    /// Asks once. Bounded in time by the provider itself.
    ///
    /// # Errors
    /// One line that names what failed and what would mend it; never a secret.
    async fn discover(&self) -> Result<Seeds, DiscoverError>;

    /// How often this source likes to be asked.
    fn cadence(&self) -> Cadence;
}

/// The answer of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seeds {
    /// Distinct addresses, in the provider's order of preference. May be empty: a source that lists nobody is no error.
    pub addrs: Vec<SocketAddr>,
    /// How long the answer holds by the source's own word (the lowest TTL of the records used), if it says so.
    pub valid_for: Option<Duration>,
    /// What went wrong beside the addresses found, a line each.
    pub warnings: Vec<String>,
}

impl Seeds {
    /// Adds addresses behind those that are there, each once.
    pub fn extend(&mut self, addrs: impl IntoIterator<Item = SocketAddr>) {
        for addr in addrs {
            if !self.addrs.contains(&addr) {
                self.addrs.push(addr);
            }
        }
    }
}

/// The text as one line without control characters: what others answered is shown on terminals and in logs.
#[cfg(any(feature = "aws", feature = "dns"))]
fn line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// What the asker can do about a failed poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The source gave no answer, or none that makes sense: ask again, ever more slowly.
    Unavailable,
    /// The source has been asked too often: ask less, at once.
    Throttled,
    /// The source refused, or cannot be asked as things are configured: it will go on so until an operator mends it.
    Rejected,
}

/// A poll that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{provider}: {message}")]
pub struct DiscoverError {
    /// The provider's name, as in `provider=NAME`.
    pub provider: &'static str,
    /// What the asker can do about it.
    pub kind: FailureKind,
    /// One line: what failed and what would mend it.
    pub message: String,
}

/// How often a source likes to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Never more often than this, even while the agent is alone.
    pub floor: Duration,
    /// The interval once the agent has found the others.
    pub settled: Duration,
    /// Calls are rationed for everybody together (a cloud account's quota): the cluster as a whole should make about
    /// one call an interval, not one a node.
    pub rationed: bool,
}
