//! The shapes of the HTTP API's answers and requests, which the HTTP layer writes and the command line reads.

pub mod founding;
pub mod keys;
pub mod rtt;
mod time;
pub mod voters;

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::time::Time;
use crate::{
    bootstrap::ClusterId,
    counters::Counters,
    membership::{DIMENSIONS, MemberStatus, Reach},
    node::{ClusterName, Endpoints, Epoch, NodeId, NodeName, Role, Tags},
    quorum::{Basis, QuorumStatus},
};

/// Name of the header that carries the index of an answer, for the next long poll.
pub const INDEX_HEADER: &str = "x-chronik-index";

/// A duration in the form of a field named `*_s`: seconds, to the millisecond.
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

/// A member that the agent has forgotten: the data of a `gone` event of `GET /v1/events`.
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
    /// The address of its gossip.
    pub addr: SocketAddr,
    /// Its state of life, as far as it is known.
    pub status: MemberStatus,
    /// Its part in the cluster.
    pub role: Role,
    /// True for the agent that answers.
    #[serde(rename = "self")]
    pub myself: bool,
    /// Free metadata.
    pub tags: Tags,
    /// Its server's addresses.
    pub endpoints: Endpoints,
    /// The number of this start of it; a later start has a larger one.
    pub epoch: Epoch,
    /// The state of its server, if that reports itself or is asked; else null.
    #[serde(default)]
    pub server: Option<founding::ServerState>,
    /// The time of the last change of its status.
    pub since: Time,
    /// Seconds since it was heard from directly; null if it is known by hearsay only.
    pub last_heard_s: Option<f64>,
    /// True if it comes and goes: suspected or called failed again and again within seconds.
    pub degraded: bool,
    /// Smoothed round trip of datagrams to it in seconds; null until it has answered one.
    pub rtt_s: Option<f64>,
    /// The way by which it answered the last probe: `datagram`; `stream` if datagrams are lost or blocked; `others` if
    /// only other members reach it; null until it was probed.
    pub reach: Option<Reach>,
    /// Its coordinate in the network, by its own account; null until it has given one.
    #[serde(default)]
    pub coordinate: Option<Coordinate>,
    /// The source of its address: a provider, or `gossip`; `self` for the agent that answers, if no provider lists it.
    pub source: String,
}

/// The coordinate of a node in the network: a round trip between two nodes takes about as long as the distance of their
/// positions and both heights in sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coordinate {
    /// Position along each axis, in seconds.
    pub position_s: [f64; DIMENSIONS],
    /// Height, in seconds.
    pub height_s: f64,
    /// Error of estimates by the node's own account: a share of the round trip, 1 if it knows nothing.
    pub error: f64,
}

/// A share in the form of an answer: to a thousandth.
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
    /// True if a majority of the voters of a bootstrapped cluster is alive.
    pub has_quorum: bool,
    /// Number of voters.
    pub voters: usize,
    /// Number of voters that are alive.
    pub voters_alive: usize,
    /// Number of voters that must be alive for a quorum.
    pub required: usize,
    /// `--bootstrap-expect`, or null.
    pub expect: Option<u16>,
    /// True if as many servers as expected are alive.
    pub expect_met: bool,
    /// The set that the majority is counted in.
    pub basis: Basis,
    /// The voters that are not alive.
    pub missing: Vec<Missing>,
    /// True if the view is old.
    pub stale: bool,
    /// The reasons for the status, a sentence each.
    pub reasons: Vec<String>,
}

/// A voter that is not alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its id; absent for a voter that is known by an endpoint only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<NodeId>,
    /// Its name for people, or else its endpoint or id.
    pub name: String,
    /// Its state of life; absent if it was not seen since this agent started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<MemberStatus>,
    /// The time since which it has that status.
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

/// The last answer of one provider. `snapshot::ProviderReport` has the same fields as the agent keeps them: instants and
/// durations, which only the snapshot's clock turns into times of day. A generic type for both would need a parameter
/// for each of the three kinds of field and another name for `took_s`, and would be longer than the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// As in `provider=NAME`.
    pub provider: String,
    /// The whole spec, secrets masked.
    pub spec: String,
    /// The last good answer.
    pub addrs: Vec<SocketAddr>,
    /// The time of that answer.
    pub answered: Option<Time>,
    /// Duration of the last poll in seconds.
    pub took_s: Option<f64>,
    /// Problems beside the addresses found.
    pub warnings: Vec<String>,
    /// The error of the last poll, if it failed.
    pub error: Option<String>,
    /// Number of polls that have failed in a row.
    pub failures: u32,
    /// Number of polls so far.
    pub polls: u64,
    /// The time of the next poll.
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
    /// Its part in the cluster.
    pub role: Role,
    /// Its state of life as the others are told; null before the first view.
    pub status: Option<MemberStatus>,
    /// The address given to the others.
    pub addr: SocketAddr,
    /// The reason for that address.
    pub addr_because: String,
    /// The address of its gossip, as bound.
    pub bound: SocketAddr,
    /// Free metadata.
    pub tags: Tags,
    /// Its server's addresses.
    pub endpoints: Endpoints,
    /// The number of this start; a later start has a larger one.
    pub epoch: Epoch,
    /// The time of this start.
    pub started: Time,
    /// True once it has been in contact with another agent.
    pub joined: bool,
    /// True while it says goodbye.
    pub leaving: bool,
    /// Its coordinate in the network; null before its first probe was answered.
    #[serde(default)]
    pub coordinate: Option<Coordinate>,
    /// The last report of the co-located server; null before the first.
    pub server: Option<founding::Server>,
    /// The co-located server as its driver saw it last; null without `--server`.
    #[serde(default)]
    pub driver: Option<founding::Driver>,
}

/// `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The index of the membership; counters change without it.
    pub index: u64,
    /// The version of the agent.
    pub version: String,
    /// The providers compiled in.
    pub features: Vec<String>,
    /// This agent's id.
    pub id: NodeId,
    /// The time of this start.
    pub started: Time,
    /// The configuration in use, secrets masked.
    pub config: Settings,
    /// The bounds of this API.
    pub limits: Limits,
    /// The encryption of gossip.
    pub encryption: keys::Encryption,
    /// The bootstrap in short.
    pub founding: Founding,
    /// Counts since the start.
    pub counters: Counters,
}

/// The bootstrap in short; `GET /v1/bootstrap` has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The instruction to the server.
    pub decision: founding::DecisionName,
    /// The cluster that is known here; null before.
    pub cluster_id: Option<ClusterId>,
    /// True once a server has reported that the cluster's group exists.
    pub established: bool,
    /// The index of the newest list of voters.
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
    pub server: Option<String>,
    pub server_ca_file: Option<String>,
    pub server_cert_file: Option<String>,
    pub server_key_file: Option<String>,
    pub voters: Option<u16>,
    pub replace_failed: String,
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

/// The bounds of this API.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest body of a request in bytes.
    pub body_bytes: usize,
    /// Largest head of a request in bytes.
    pub head_bytes: usize,
    /// Most headers of a request.
    pub headers: usize,
    /// Most connections from this host, and as many from others.
    pub connections: usize,
    /// Most requests that wait for a change at one time.
    pub long_polls: usize,
    /// The longest wait for a change, in seconds.
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
    /// Number of addresses that worked.
    pub joined: usize,
    /// The result for each address, in the order asked.
    pub results: Vec<JoinResult>,
}

/// The result of the contact to one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinResult {
    /// The address.
    pub addr: SocketAddr,
    /// The reason why it failed; null if it worked.
    pub error: Option<String>,
}

/// The answer to `DELETE /v1/members/{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetAnswer {
    /// The member that is forgotten.
    pub forgotten: NodeId,
    /// True if it goes on counting against the largest number of servers, because it may have given a vote.
    pub counts: bool,
}

/// The answer to `POST /v1/leave`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveAnswer {
    /// True: the goodbye is said, and the agent stops.
    pub left: bool,
}

/// An error: an RFC 9457 problem document, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the status says everything about the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// The problem with this request, and the remedy.
    pub detail: String,
}
