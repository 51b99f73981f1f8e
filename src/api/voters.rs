//! The shapes of `/v1/voters`: the members of the servers' own group, and operators' wishes about them.

use serde::{Deserialize, Serialize};

use super::founding::Leader;
use crate::node::NodeId;

/// `GET /v1/voters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voters {
    /// Grows with every change.
    pub index: u64,
    /// The server that says so, as `--server` has it.
    pub server: String,
    /// True if it gave a good answer when it was asked last.
    pub answers: bool,
    /// The member that leads, as this server sees it; null if none does.
    pub leader: Option<Leader>,
    /// The members by its own list; empty where the agents do not change that.
    pub members: Vec<Member>,
    /// The agents that wait to be admitted or for a vote; known beside the leader alone.
    pub waits: Vec<Wait>,
}

/// A member by the server's own list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The server's name for it.
    pub member: String,
    /// Its name for people.
    pub name: String,
    /// Its agent, if it is known.
    pub id: Option<NodeId>,
    /// Its address for other members.
    pub address: Option<String>,
    /// True if it votes.
    pub votes: bool,
    /// True if it is seen from here.
    pub up: bool,
}

/// An agent that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The name of the reason.
    pub code: String,
    /// The reason with its remedy.
    pub message: String,
}

/// `POST /v1/voters/add`, `/remove` and `/replace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WishRequest {
    /// The agent or member, by id or name.
    pub node: String,
    /// The ticket of the plan whose first step is to be made; without one the plan is given and nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<u64>,
}

/// `POST /v1/voters/recover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// The agent whose server is kept, by id or name: it must be the one that is asked.
    pub keep: String,
    /// Consent to lose what that server has not heard of.
    #[serde(default)]
    pub i_will_lose_data: bool,
}

/// The answer to a wish that is not refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishAnswer {
    /// The kind of answer.
    pub verdict: VerdictName,
    /// A sentence: the plan, the step that was made, or the reason to wait.
    pub text: String,
    /// The ticket of a plan; it serves once, for two minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<u64>,
    /// The agent whose server is to be added next, where another was removed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newcomer: Option<String>,
}

/// The kind of answer to a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictName {
    /// It is as it was asked for.
    Done,
    /// This is what will be done.
    Plan,
    /// The first step of the plan was made.
    Made,
    /// A step that was made before has yet to take effect.
    Waits,
}
