//! The shapes of encryption: how this agent encrypts gossip, and the keyrings of all members. Keys are shown by their ids
//! only.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::time::Time;
use crate::node::{NodeId, NodeName};

/// The encryption of gossip; keys by their ids only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encryption {
    /// True if gossip is encrypted.
    pub enabled: bool,
    /// The key that seals what is sent; null without keys.
    pub sends: Option<String>,
    /// The keys that are understood, the sending key first.
    pub keys: Vec<String>,
    /// The reason why the last change of the keys, or the last reading of their file, failed; null if it did not.
    pub trouble: Option<String>,
    /// The last packet that no key opened; null if there was none.
    pub last_undecryptable: Option<Undecryptable>,
}

/// A packet that no key opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undecryptable {
    /// The address it came from.
    pub from: SocketAddr,
    /// The reason why it did not open.
    pub error: String,
    /// The time of its arrival.
    pub at: Time,
}

/// The answer to `GET /v1/keys` and `POST /v1/keys/…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysAnswer {
    /// True if all members answered and made the change.
    pub done: bool,
    /// The keyring of each member, this agent last.
    pub members: Vec<MemberKeyring>,
}

/// The keyring of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberKeyring {
    /// The member's id.
    pub id: NodeId,
    /// Its name; null if it is not known yet.
    pub name: Option<NodeName>,
    /// The address of its gossip.
    pub addr: SocketAddr,
    /// The key that seals what it sends; null if it did not answer.
    pub sends: Option<String>,
    /// The keys that it understands, the sending key first.
    pub keys: Vec<String>,
    /// The reason why it did not answer or did not make the change; null if all is well.
    pub error: Option<String>,
}

/// `POST /v1/keys/install`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallRequest {
    /// The key, as `chronik-agent keygen` prints it.
    pub key: String,
}

impl fmt::Debug for InstallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallRequest(a key)")
    }
}

/// `POST /v1/keys/use` and `POST /v1/keys/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyIdRequest {
    /// The key's id, as `GET /v1/keys` shows it.
    pub id: String,
}
