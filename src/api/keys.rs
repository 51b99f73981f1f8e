//! The keyrings of all members. Keys are shown by their ids only.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::node::{NodeId, NodeName};

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
