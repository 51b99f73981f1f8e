//! Reports about the keys, without the keys.

use std::{net::SocketAddr, time::Instant};

use super::{error::WireError, key::KeyId};
use crate::node::NodeId;

/// State of the encryption of gossip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrecy {
    /// Ids of the keys, the primary one first; empty if gossip is not encrypted.
    pub keys: Vec<KeyId>,
    /// Error of the last change of the keys, or of the last reading of their file.
    pub trouble: Option<String>,
    /// The last sender heard that has no key in common with this agent.
    pub stranger: Option<Stranger>,
}

/// State of a keyring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyState {
    /// Ids of the keys, the primary one first.
    pub keys: Vec<KeyId>,
    /// Error of the last change of the keyring, or of the last reading of its file.
    pub trouble: Option<String>,
}

/// One member's report on its keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberKeys {
    /// The member.
    pub id: NodeId,
    /// Its address.
    pub addr: SocketAddr,
    /// State of its keyring, or the reason for which there is no answer.
    pub state: Result<KeyState, String>,
}

/// A sender whose packets do not open: an agent with another key or with none, or an attacker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Source address of the packet.
    pub from: SocketAddr,
    /// The reason for which it did not open.
    pub why: WireError,
    /// Time of its arrival.
    pub at: Instant,
}
