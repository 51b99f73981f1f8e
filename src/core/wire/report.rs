//! What is told of the keys, without the keys.

use std::{net::SocketAddr, time::Instant};

use super::{WireError, key::KeyId};
use crate::node::NodeId;

/// How gossip is encrypted, without the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrecy {
    /// The names of the keys, the one that sends first; none: it is not encrypted.
    pub keys: Vec<KeyId>,
    /// Why the last change of them, or the last reading of their file, failed.
    pub trouble: Option<String>,
    /// Who was last heard that has no key in common with this agent.
    pub stranger: Option<Stranger>,
}

/// How a keyring stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyState {
    /// The names of the keys, the one that sends first.
    pub keys: Vec<KeyId>,
    /// Why the last change of it, or the last reading of its file, failed.
    pub trouble: Option<String>,
}

/// What one member said of its keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberKeys {
    /// Who.
    pub id: NodeId,
    /// Where.
    pub addr: SocketAddr,
    /// How its keyring stands, or why it did not say.
    pub state: Result<KeyState, String>,
}

/// A sender whose packets do not open: an agent with another key or with none, or whoever else knocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Where the packet came from.
    pub from: SocketAddr,
    /// Why it did not open.
    pub why: WireError,
    /// When.
    pub at: Instant,
}
