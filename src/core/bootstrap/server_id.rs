//! The id of a server beside an agent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::node::InvalidName;

/// A server's own name for itself. It keeps that beside its data, so that a server that lost its data has another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerId(String);

impl TryFrom<String> for ServerId {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        if value.is_empty() || value.len() > 128 || value.chars().any(char::is_control) {
            return Err(InvalidName {
                what: "server id",
                value,
                rule: "1 to 128 bytes without control characters",
            });
        }
        Ok(Self(value))
    }
}

impl From<ServerId> for String {
    fn from(id: ServerId) -> Self {
        id.0
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
