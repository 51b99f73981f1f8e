//! The shapes of the HTTP API's answers and requests: what the HTTP layer writes and the command line reads.

pub mod founding;
pub mod keys;
pub mod rtt;

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    bootstrap::ClusterId,
    counters::Counters,
    membership::{DIMENSIONS, MemberStatus, Reach},
    node::{ClusterName, Endpoints, Epoch, NodeId, NodeName, Role, Tags},
    quorum::{Basis, QuorumStatus},
};

/// A time of day; RFC 3339, UTC, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub jiff::Timestamp);

impl TryFrom<String> for Time {
    type Error = jiff::Error;
    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

/// A duration as it stands in a field named `*_s`: seconds, to the millisecond.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// `GET /v1/members`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// The cluster.
    pub cluster: ClusterName,
    /// The id of the agent that answers.
    #[serde(rename = "self")]
    pub myself: NodeId,
    /// Grows with every change.
    pub index: u64,
    /// By id.
    pub members: Vec<Member>,
}

/// A member that the agent has forgotten, of which `GET /v1/events` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its id.
    pub id: NodeId,
    /// Its name for people.
    pub name: NodeName,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Its name for people.
    pub name: NodeName,
    /// Where it gossips.
    pub addr: SocketAddr,
    /// What is known of its life.
    pub status: MemberStatus,
    /// What it takes part in.
    pub role: Role,
    /// Whether it is the agent that answers.
    #[serde(rename = "self")]
    pub myself: bool,
    /// Free metadata.
    pub tags: Tags,
    /// Its server's addresses.
    pub endpoints: Endpoints,
    /// Which of its starts this is.
    pub epoch: Epoch,
    /// When its status last changed.
    pub since: Time,
    /// How long ago it was heard from directly; null for hearsay.
    pub last_heard_s: Option<f64>,
    /// Whether it comes and goes: suspected or called failed again and again within seconds.
    pub degraded: bool,
    /// Smoothed round trip of datagrams to it in seconds; null until it has answered one.
    pub rtt_s: Option<f64>,
    /// By which way it answered the last probe: `datagram`; `stream`, where datagrams are lost or blocked; `others`,
    /// where only other members reach it; null until it was probed.
    pub reach: Option<Reach>,
    /// Where it is in the network, by its own account; null until it has said so.
    #[serde(default)]
    pub coordinate: Option<Coordinate>,
    /// Who named its address: a provider, or `gossip`; `self` for the agent that answers, if no provider lists it.
    pub source: String,
}

/// Where a node is in the network: a round trip between two nodes takes about as long as their positions are apart, and
/// both heights on top.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coordinate {
    /// Along each axis, in seconds.
    pub position_s: [f64; DIMENSIONS],
    /// In seconds.
    pub height_s: f64,
    /// How far off estimates are, by the node's own account: a share of the round trip, 1 where it knows nothing.
    pub error: f64,
}

/// A share as it stands in an answer: to a thousandth.
pub fn share(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

/// `GET /v1/quorum`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quorum {
    /// Grows with every change.
    pub index: u64,
    /// The answer in one word.
    pub status: QuorumStatus,
    /// Whether a majority of the voters of a founded cluster is alive.
    pub has_quorum: bool,
    /// How many voters there are.
    pub voters: usize,
    /// How many of them are alive.
    pub voters_alive: usize,
    /// How many must be.
    pub required: usize,
    /// `--bootstrap-expect`, or null.
    pub expect: Option<u16>,
    /// Whether as many servers as expected are alive.
    pub expect_met: bool,
    /// Whom the majority is counted among.
    pub basis: Basis,
    /// The voters that are not there.
    pub missing: Vec<Missing>,
    /// The view is old.
    pub stale: bool,
    /// Why, a sentence each.
    pub reasons: Vec<String>,
}

/// A voter that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its id; absent for a voter that is known by an endpoint only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<NodeId>,
    /// Its name for people, or what else is known of it.
    pub name: String,
    /// What is known of its life; absent where it was not seen since this agent started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<MemberStatus>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// `GET /v1/discovery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Discovery {
    /// Grows with every change.
    pub index: u64,
    /// One a `--retry-join`, in the order given.
    pub providers: Vec<Provider>,
}

/// What one provider last said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// As in `provider=NAME`.
    pub provider: String,
    /// The whole spec, secrets masked.
    pub spec: String,
    /// The last good answer.
    pub addrs: Vec<SocketAddr>,
    /// When that was.
    pub answered: Option<Time>,
    /// How long the last poll took.
    pub took_s: Option<f64>,
    /// What went wrong beside the addresses found.
    pub warnings: Vec<String>,
    /// What went wrong in the last poll, if it failed.
    pub error: Option<String>,
    /// How many polls have failed in a row.
    pub failures: u32,
    /// How often it was asked.
    pub polls: u64,
    /// When it will be asked next.
    pub next: Option<Time>,
}

/// `GET /v1/self`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Myself {
    /// Grows with every change of any member.
    pub index: u64,
    /// The cluster.
    pub cluster: ClusterName,
    /// This agent's id.
    pub id: NodeId,
    /// Its name for people.
    pub name: NodeName,
    /// What it takes part in.
    pub role: Role,
    /// What the others are told of its life; null before the first picture.
    pub status: Option<MemberStatus>,
    /// The address given to the others.
    pub addr: SocketAddr,
    /// Why that one.
    pub addr_because: String,
    /// Where it gossips, as bound.
    pub bound: SocketAddr,
    /// Free metadata.
    pub tags: Tags,
    /// Its server's addresses.
    pub endpoints: Endpoints,
    /// Which of its starts this is.
    pub epoch: Epoch,
    /// When it started.
    pub started: Time,
    /// Whether it has ever been in contact with another agent.
    pub joined: bool,
    /// Whether it is saying goodbye.
    pub leaving: bool,
    /// Where it is in the network; null before its first probe was answered.
    #[serde(default)]
    pub coordinate: Option<Coordinate>,
    /// What the co-located server said of itself; null before it does.
    pub server: Option<founding::Server>,
}

/// `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Of the membership; counters change without it.
    pub index: u64,
    /// The version of the agent.
    pub version: String,
    /// The providers compiled in.
    pub features: Vec<String>,
    /// This agent's id.
    pub id: NodeId,
    /// When it started.
    pub started: Time,
    /// The configuration in use, secrets masked.
    pub config: Settings,
    /// What bounds this API.
    pub limits: Limits,
    /// How gossip is encrypted.
    pub encryption: keys::Encryption,
    /// What became of the founding.
    pub founding: Founding,
    /// Counts since the start.
    pub counters: Counters,
}

/// The founding in short; `GET /v1/bootstrap` has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// What the server is to do.
    pub decision: founding::DecisionName,
    /// The cluster that is known here; null before.
    pub cluster_id: Option<ClusterId>,
    /// Whether a server reported that the cluster's group exists.
    pub established: bool,
    /// How new the list of voters is.
    pub config_index: u64,
}

/// The configuration in use; each field is the flag of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the flag of that name, which `--help` explains")]
pub struct Settings {
    pub retry_join: Vec<String>,
    pub bootstrap_expect: Option<u16>,
    pub founders: Option<Vec<NodeId>>,
    pub cluster_id: Option<ClusterId>,
    pub join_only: bool,
    pub seed_gate: String,
    pub role: Role,
    pub cluster: ClusterName,
    pub node_name: NodeName,
    pub endpoint: Vec<String>,
    pub tag: Tags,
    pub bind: SocketAddr,
    pub advertise: Option<String>,
    pub http: Vec<String>,
    pub encrypt_key_file: Option<String>,
    pub require_encryption: bool,
    pub http_allow_host: Vec<String>,
    pub http_token_file: Option<String>,
    pub state_dir: String,
    pub profile: String,
    pub log_format: String,
    pub log_level: String,
}

/// What bounds this API.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes in the body of a request.
    pub body_bytes: usize,
    /// Bytes in the head of a request.
    pub head_bytes: usize,
    /// Headers in it.
    pub headers: usize,
    /// Open connections of this host's, and as many of others.
    pub connections: usize,
    /// Requests that wait for a change, at one time.
    pub long_polls: usize,
    /// The longest wait for a change.
    pub wait_s: f64,
}

/// `POST /v1/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// `ADDR` or `ADDR:PORT`.
    pub addrs: Vec<String>,
}

/// The answer to `POST /v1/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// How many of the addresses worked.
    pub joined: usize,
    /// How each ended, in the order asked.
    pub results: Vec<JoinResult>,
}

/// How the contact to one address ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinResult {
    /// The address.
    pub addr: SocketAddr,
    /// Null, or why it failed.
    pub error: Option<String>,
}

/// The answer to `POST /v1/leave`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveAnswer {
    /// The goodbye is said; the agent stops.
    pub left: bool,
}

/// An error: an RFC 9457 problem document, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    pub detail: String,
}
