//! The shapes of the bootstrap: `/v1/bootstrap` with everything below it, and `/v1/server`.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{
    bootstrap::{Certificate, ClusterId},
    node::{Endpoints, NodeId, NodeName},
};

/// `GET /v1/bootstrap`: exactly one decision. `PUT /v1/server` and `PUT /v1/bootstrap/established` answer with it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Grows with every change.
    pub index: u64,
    /// The instruction to the server.
    pub decision: DecisionName,
    /// The cluster that is known here; null before.
    pub cluster_id: Option<ClusterId>,
    /// True once a server has reported that the cluster's group exists.
    pub established: bool,
    /// The index of the newest list of voters; 0 until a server reports.
    pub config_index: u64,
    /// The part of this server in the cluster; absent while it waits and in a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub me: Option<Me>,
    /// The founders by ordinal; absent while it waits and in a conflict, so that no server uses them by mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founders: Option<Vec<Founder>>,
    /// The voters; absent like the founders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<Vec<Voter>>,
    /// True if the server is to come up as the only member, by an operator's word; absent else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recover: bool,
    /// All members on the leader's list, this server and those without a vote included, as they are listed; absent unless this server
    /// joins and was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Voter>>,
    /// False if this server was admitted without a vote; absent unless it joins and was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voting: Option<bool>,
    /// The proof that servers agreed on the founders, for `chronik-agent bootstrap verify`; absent if no agents did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// The clusters that claim one name, this server's first; in a conflict only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<ClusterId>>,
    /// The foundings that operators have said, complete or not; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Offer>,
    /// The agents that operators have called gone for good and that have not answered since; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched: Vec<Vouched>,
    /// The reasons to wait, or the contradictions of a conflict.
    pub reasons: Vec<Reason>,
}

/// An agent that an operator has called gone for good: it counts no more, until it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// Its id, or its address.
    pub gone: String,
    /// The node at which it was said.
    pub said_at: NodeId,
}

/// An operator's founding. It takes effect once each of its founders has accepted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The node at which it was said.
    pub said_at: NodeId,
    /// The ids of its founders.
    pub founders: Vec<NodeId>,
    /// The clusters that it ends.
    pub ends: Vec<ClusterId>,
    /// True if it takes effect.
    pub complete: bool,
    /// The founders that have not accepted it.
    pub missing: Vec<MissingFounder>,
}

/// A founder that has not accepted an operator's founding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFounder {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its reason, to follow its name; null if it has not answered.
    pub why: Option<String>,
    /// The clusters that it knows and that the founding does not end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knows: Vec<ClusterId>,
}

impl Bootstrap {
    /// The reasons as one sentence.
    pub fn why(&self) -> String {
        let messages: Vec<&str> = self.reasons.iter().map(|reason| reason.message.as_str()).collect();
        messages.join("; ")
    }
}

/// The instruction to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionName {
    /// Do nothing yet.
    Wait,
    /// Initialise with exactly the founders.
    Bootstrap,
    /// Start with its data, never initialise.
    Resume,
    /// Ask the voters to be added.
    Join,
    /// Do nothing: an operator has to say which cluster is meant.
    Conflict,
}

impl DecisionName {
    /// All decisions.
    pub const ALL: [Self; 5] = [Self::Wait, Self::Bootstrap, Self::Resume, Self::Join, Self::Conflict];

    /// The name in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Bootstrap => "bootstrap",
            Self::Resume => "resume",
            Self::Join => "join",
            Self::Conflict => "conflict",
        }
    }
}

impl fmt::Display for DecisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A reason: the code is for programs, the message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The code: one word, which never changes.
    pub code: String,
    /// The message: a sentence.
    pub message: String,
}

/// The part of this server in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// True if it is a founder.
    pub founder: bool,
    /// True if it votes.
    pub voter: bool,
    /// Its number among the founders, from 1; null for all others.
    pub ordinal: Option<u16>,
}

/// A founder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Its number, from 1, the same on every node.
    pub ordinal: u16,
    /// Its agent's id.
    pub id: NodeId,
    /// Its name, for people.
    pub name: NodeName,
    /// The address of its agent's gossip at the bootstrap.
    pub addr: SocketAddr,
    /// The addresses of its server at the bootstrap.
    pub endpoints: Endpoints,
}

/// A voter, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// Its number among the founders, if it is one.
    pub ordinal: Option<u16>,
    /// Its agent's id; null if the server named an endpoint that no known agent announces.
    pub id: Option<NodeId>,
    /// Its name, if it is known.
    pub name: Option<NodeName>,
    /// The addresses of its server.
    pub endpoints: Endpoints,
}

/// The last report of the co-located server, in `GET /v1/self`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its id.
    pub server_id: String,
    /// True if it holds data of a cluster.
    pub has_state: bool,
    /// The cluster of that data, if it named one.
    pub cluster_id: Option<ClusterId>,
    /// True if the report is recent enough for the server to count as running; null if it reports only once.
    pub up: Option<bool>,
}

/// The state of the server beside a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// It reports itself, or answers.
    Up,
    /// It no longer does, or never did though it is asked.
    Silent,
}

impl ServerState {
    /// The state of a server that is up or not.
    pub fn of(up: bool) -> Self {
        if up { Self::Up } else { Self::Silent }
    }
}

/// The co-located server as its driver saw it last, in `GET /v1/self`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The value of `--server`.
    pub server: String,
    /// True if it gave a good answer when it was asked last.
    pub answers: bool,
    /// Its version; null before its first answer.
    pub version: Option<String>,
    /// The group that it is of, by its own name for it.
    pub group: Option<String>,
    /// The member that leads, as this server sees it; null if none does.
    pub leader: Option<Leader>,
    /// Number of members that vote, by its own list.
    pub voters: usize,
    /// Index that it has applied.
    pub applied_index: Option<u64>,
    /// Troubles, each with its remedy.
    pub troubles: Vec<String>,
}

/// The member that leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The server's name for it.
    pub member: String,
    /// Its agent, if it is known.
    pub id: Option<NodeId>,
    /// The name of its agent, if it is known.
    pub name: Option<NodeName>,
}

/// `PUT /v1/server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRequest {
    /// Its id, which it keeps beside its data.
    pub server_id: String,
    /// True if it holds data of a cluster.
    pub has_state: bool,
    /// The cluster of that data, if it knows.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// The group of that data by the server's own name for it, which `--server` of its agent understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// True if it will not report again: its silence does not count as its end.
    #[serde(default)]
    pub once: bool,
    /// True if it is started now, by the decision in the answer: that is noted before the answer is given.
    #[serde(default)]
    pub begun: bool,
    /// Number of its last start that lies beside its data; it grows with each start. Data that shows an earlier one than is known
    /// is from a backup. Null if nobody counts: then nothing follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<u64>,
}

/// `PUT /v1/bootstrap/established`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EstablishedRequest {
    /// The cluster whose group exists.
    pub cluster_id: String,
    /// The index of the list of voters, as the server counts; the highest wins. Without one the list counts as newer than all that
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_index: Option<u64>,
    /// The voters, each once; an empty list leaves those that are known.
    #[serde(default)]
    pub voters: Vec<VoterRequest>,
    /// Brings the cluster under this agent, though no server with data has attested itself.
    #[serde(default)]
    pub adopt: bool,
}

/// A voter, named by exactly one of these fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoterRequest {
    /// Its agent's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its number among the founders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<u16>,
    /// One of its endpoints: a name and an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<BTreeMap<String, String>>,
}

/// `POST /v1/bootstrap/override`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// The ids of the founders.
    pub founders: Vec<String>,
    /// Consent to found beside an established cluster, or where a server has begun.
    #[serde(default)]
    pub i_will_lose_data: bool,
}

/// The answer to `POST /v1/bootstrap/override`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideAnswer {
    /// The new cluster.
    pub cluster_id: ClusterId,
    /// True if each founder has accepted it, so that it takes effect.
    pub complete: bool,
    /// The founders that have not, yet.
    pub missing: Vec<MissingFounder>,
}

/// `POST /v1/bootstrap/reset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// Consent to forget an established cluster.
    #[serde(default)]
    pub i_will_lose_data: bool,
    /// The cluster that is over; without it, this agent starts over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
}

/// The answer to `POST /v1/bootstrap/reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetAnswer {
    /// The id under which the agent starts over; null if it goes on.
    pub new_id: Option<NodeId>,
}

/// `POST /v1/bootstrap/resolve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// The cluster that is meant; the others of this name are given up.
    pub keep: String,
}

/// `POST /v1/bootstrap/vouch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VouchRequest {
    /// The id, or the address, of an agent that is gone for good.
    pub gone: String,
}
