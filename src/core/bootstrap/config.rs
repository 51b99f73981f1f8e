//! The configuration of the founding.

use std::{net::SocketAddr, time::Duration};

use super::{founding::ClusterId, knowledge::Words, terms::Terms};
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
    /// Address at which this agent gossips.
    pub addr: SocketAddr,
    /// Addresses of the server beside it.
    pub endpoints: Endpoints,
    /// Zone of this node, such as a data centre; founders are spread over zones.
    pub zone: Option<String>,
    /// Number or names of the founders; `None` if this agent never founds.
    pub terms: Option<Terms>,
    /// Permission to found.
    pub admission: Admission,
    /// Set if a server of the kind that runs here is taken among the members before it is started.
    pub is_admitted_first: bool,
    /// Treatment of a seed that does not answer.
    pub seed_gate: SeedGate,
    /// Set if only holders of a group key reach this agent: words of operators then count everywhere.
    pub words: Words,
    /// The waits around a ballot.
    pub timing: BallotTiming,
}

/// Permission to found a cluster or to join one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Found a cluster, or join the one that is found.
    Found,
    /// `--join-only`: join a cluster that others found.
    JoinOnly,
    /// `--cluster-id`: join this one or nothing.
    Only(ClusterId),
}

/// Condition for passing over an address that a provider lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedGate {
    /// The seed has been silent for the patience.
    Patient,
    /// None: each must have answered.
    Strict,
}

/// The waits around a ballot.
///
/// Messages of the founding travel over streams, one stream each, and an answer is a message of its own. So a question
/// and its answer take three round trips (connection and message, each way: `2 × 1.5`), and a ballot takes six, beside
/// what the disks take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BallotTiming {
    /// Time for which the view must be unchanged before a ballot: longer than the last of a group that starts together
    /// is behind the first in gossip.
    pub settle: Duration,
    /// Silence of a founder after which any quorum completes the ballot.
    pub patience: Duration,
    /// Interval at which an unanswered question is asked again: longer than its answer takes. As long, a ballot waits
    /// for the promises of the others once a quorum has promised.
    pub retry: Duration,
    /// Shortest wait before a ballot that is not the first: longer than a ballot, so as not to overtake one that runs.
    pub wait_min: Duration,
    /// Longest wait before a ballot.
    pub wait_max: Duration,
}

impl BallotTiming {
    /// One data centre: nodes answer within a few milliseconds, so that a ballot is over within a fraction of the half
    /// second of `wait_min`, and ten seconds outlast a restart of an agent. If a disk takes 2 s for a sync, and so 4 s
    /// for a vote, a ballot takes 8 s to 16 s: after some that were overtaken, the next waits long enough for one.
    pub const LAN: Self = Self {
        settle: Duration::from_secs(1),
        patience: Duration::from_secs(10),
        retry: Duration::from_millis(300),
        wait_min: Duration::from_millis(500),
        wait_max: Duration::from_secs(30),
    };

    /// One host: the same. Most of a ballot is the disk's time, and the disk is no faster there than elsewhere.
    pub const LOCAL: Self = Self::LAN;

    /// Several data centres: round trips up to 300 ms and loss on the way, as in the gossip of this profile.
    ///
    /// * `retry`: an answer takes three round trips, 0.9 s, and 0.5 s more if a segment is lost (TCP sends it again
    ///   after the round trip and 200 ms).
    /// * `wait_min`: a ballot takes two such answers, 1.8 s, or 2.8 s with a lost segment in each.
    /// * `wait_max`: a ballot on the slow disks of [`Self::LAN`] takes 10 s to 19 s here, a fifth longer.
    /// * `settle`: the first dial of a node that joins waits up to 1 s, its exchange takes 0.6 s, and three rounds of
    ///   gossip, each of a period of 300 ms and half a round trip, pass the news on in 1.4 s.
    /// * `patience`: the restart that [`Self::LAN`] outlasts, and the 10 s in which gossip finds a silent member failed
    ///   (a probe period of 2 s and a suspicion of 8 s).
    pub const WAN: Self = Self {
        settle: Duration::from_secs(3),
        patience: Duration::from_secs(20),
        retry: Duration::from_millis(1_500),
        wait_min: Duration::from_secs(3),
        wait_max: Duration::from_secs(36),
    };
}
