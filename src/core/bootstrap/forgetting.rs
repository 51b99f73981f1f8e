//! Forgetting: an operator's word that a failed or left node is gone from every view, until it shows that it lives.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::cbor;
use crate::node::{Epoch, NodeId};

/// A node that an operator has forgotten, in the life that it led last. A later life of it is news; so is a report of another number
/// than the one that was known then.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Forgotten {
    /// The node.
    #[cbor(n(0), with = "cbor::node_id")]
    pub id: NodeId,
    /// Its last life; `None` if it was no member, and only others' words spoke of it.
    #[n(1)]
    pub last: Option<LastLife>,
    /// Number of its last report; 0 if it made none.
    #[n(2)]
    pub report: u64,
    /// Set if it counted: it may have given a vote.
    #[n(3)]
    pub counts: bool,
}

/// The last life of a node that is known.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct LastLife {
    /// Number of its start.
    #[cbor(n(0), with = "cbor::epoch")]
    pub epoch: Epoch,
    /// Number of times that it had renewed itself in that start.
    #[n(1)]
    pub bump: u16,
    /// Address at which it gossiped.
    #[cbor(n(2), with = "cbor::text")]
    pub addr: SocketAddr,
}

/// A node that is not forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgetRefused {
    /// It lives.
    #[error(
        "{0} is alive: stop its agent first, with `chronik-agent leave` beside it, and then say it again"
    )]
    Alive(String),
    /// It is this very agent.
    #[error(
        "{0} is this agent, which lives: to take it out, type `chronik-agent leave`, and forget it on another one"
    )]
    Myself(NodeId),
    /// Nothing is known of it.
    #[error("no node {0} is known here: `chronik-agent members` lists those that are")]
    Unknown(NodeId),
}
