//! What the operator decided about the founding.

use std::{net::SocketAddr, time::Duration};

use super::{founding::ClusterId, terms::Terms};
use crate::node::{ClusterName, Endpoints, NodeName, Role};

/// The configuration of one agent's part in the founding.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster to found or to join.
    pub cluster_name: ClusterName,
    /// Observers neither found nor vote.
    pub role: Role,
    /// This node's name.
    pub name: NodeName,
    /// Where this agent gossips.
    pub addr: SocketAddr,
    /// Where the server beside it is reached.
    pub endpoints: Endpoints,
    /// Where this node runs; founders are spread over zones.
    pub zone: Option<String>,
    /// How many servers found, or which; nothing: this agent never founds.
    pub terms: Option<Terms>,
    /// Whether it may found at all.
    pub admission: Admission,
    /// What a seed that does not answer means.
    pub seed_gate: SeedGate,
    /// How long to wait for what.
    pub timing: Timing,
}

/// Whether a founding is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Found a cluster, or join the one that is found.
    Found,
    /// `--join-only`: join a cluster that others found.
    JoinOnly,
    /// `--cluster-id`: join this one or nothing.
    Only(ClusterId),
}

/// When an address that a provider lists may be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedGate {
    /// When it has been silent for the patience.
    Patient,
    /// Never: each must have answered.
    Strict,
}

/// The waits of the founding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the view must be unchanged before a ballot: longer than the last of a group that starts together is
    /// behind the first in gossip.
    pub settle: Duration,
    /// How long a founder may be silent before any quorum completes the ballot.
    pub patience: Duration,
    /// How often a question without an answer is asked again.
    pub retry: Duration,
    /// The shortest wait before a ballot that is not the first.
    pub wait_min: Duration,
    /// The longest.
    pub wait_max: Duration,
}

impl Timing {
    /// For nodes that answer within a few milliseconds. A ballot takes two round trips, so that a wait of half a
    /// second is long enough not to disturb one that runs, and ten seconds outlast a restart of an agent. Where a disk
    /// takes 2 s for a sync, and so 4 s for a vote, a ballot takes 8 s to 16 s: after some that were overtaken, the next
    /// waits long enough for one.
    pub const LAN: Self = Self {
        settle: Duration::from_secs(1),
        patience: Duration::from_secs(10),
        retry: Duration::from_millis(300),
        wait_min: Duration::from_millis(500),
        wait_max: Duration::from_secs(30),
    };
}
