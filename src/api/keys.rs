//! How gossip is encrypted, and the keyrings of all members. Keys are shown by their ids only.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::Time;
use crate::node::{NodeId, NodeName};

/// How gossip is encrypted; keys by their ids only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encryption {
    /// Whether it is.
    pub enabled: bool,
    /// The key that seals what is sent; null without keys.
    pub sends: Option<String>,
    /// The keys that are understood, that one first.
    pub keys: Vec<String>,
    /// Why the last change of them, or the last reading of their file, failed; null where it did not.
    pub trouble: Option<String>,
    /// The last packet that no key opened; null where there was none.
    pub last_undecryptable: Option<Undecryptable>,
}

/// A packet that no key opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undecryptable {
    /// Where it came from.
    pub from: SocketAddr,
    /// Why it did not open.
    pub error: String,
    /// When.
    pub at: Time,
}

/// The answer to `GET /v1/keys` and `POST /v1/keys/…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysAnswer {
    /// Whether all members answered and did what was asked.
    pub done: bool,
    /// What each said, this agent last.
    pub members: Vec<MemberKeyring>,
}

/// The keyring of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberKeyring {
    /// Who.
    pub id: NodeId,
    /// Its name; null where it is not known yet.
    pub name: Option<NodeName>,
    /// Where it gossips.
    pub addr: SocketAddr,
    /// The key that seals what it sends; null where it did not say.
    pub sends: Option<String>,
    /// The keys that it understands, that one first.
    pub keys: Vec<String>,
    /// Why it did not answer or did not do what was asked; null where all is well.
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
