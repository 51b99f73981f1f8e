//! Identity of a node: validated newtypes that every other module speaks in.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::choice::Choice;

/// A node's identity: derived from the key that it makes on its first start and keeps in its state directory, so that it survives
/// restarts and address changes. Never nil.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct NodeId(Uuid);

impl NodeId {
    /// Length on the wire, in bytes.
    pub const LEN: usize = 16;

    /// The sixteen bytes of the id, in network order.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.0.as_bytes()
    }
}

/// Error: the nil UUID names no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the nil UUID is no node id")]
pub struct NilId;

impl TryFrom<Uuid> for NodeId {
    type Error = NilId;
    fn try_from(uuid: Uuid) -> Result<Self, NilId> {
        if uuid.is_nil() { Err(NilId) } else { Ok(Self(uuid)) }
    }
}

impl TryFrom<[u8; 16]> for NodeId {
    type Error = NilId;
    fn try_from(bytes: [u8; 16]) -> Result<Self, NilId> {
        Uuid::from_bytes(bytes).try_into()
    }
}

impl From<NodeId> for Uuid {
    fn from(id: NodeId) -> Self {
        id.0
    }
}

impl FromStr for NodeId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName {
            what: "node id",
            value: text.to_owned(),
            rule: "a UUID as `chronik-agent members` prints it",
        };
        Uuid::parse_str(text).ok().and_then(|uuid| uuid.try_into().ok()).ok_or_else(invalid)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A start of a node: `max(saved + 1, wall clock in milliseconds)`, so that of two starts of one node the later one
/// wins even if the clock went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The last epoch that travels: 48 bits of milliseconds, good until the year 10889.
    pub const LAST: Self = Self((1 << 48) - 1);

    /// The epoch of a start at `unix_ms`, after a start that ran under `previous`; never beyond [`Self::LAST`],
    /// because others would read a later one as a start long ago.
    pub fn next(previous: Option<Self>, unix_ms: u64) -> Self {
        let next = previous.map_or(unix_ms, |previous| unix_ms.max(previous.0.saturating_add(1)));
        Self(next.min(Self::LAST.0))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that breaks the rule of what it should name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no {what}: {rule}")]
pub struct InvalidName {
    /// Kind of name that the text should have been.
    pub what: &'static str,
    /// The text.
    pub value: String,
    /// Rule that it breaks.
    pub rule: &'static str,
}

/// A short text with a rule, checked once and then trusted.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&value) { Ok(Self(value)) } else { Err(InvalidName { what: $what, value, rule: $rule }) }
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                value.to_owned().try_into()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

/// True if a text may be a name that travels in every packet or is a key: no blanks, nothing to quote in a shell.
fn is_word(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

name!(
    /// The name of a cluster; it stands in every packet, and agents of different clusters never merge.
    ClusterName,
    "cluster name",
    "1 to 32 of the characters a-z A-Z 0-9 - _ .",
    |text| is_word(text, 32)
);

name!(
    /// The name of a node, for people. Nothing depends on its being unique.
    NodeName,
    "node name",
    "1 to 128 bytes without control characters",
    |text| !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control)
);

name!(
    /// The name of an endpoint of the co-located server, such as `raft` or `kafka`.
    EndpointName,
    "endpoint name",
    "1 to 32 of the characters a-z A-Z 0-9 - _ .",
    |text| is_word(text, 32)
);

name!(
    /// The key of a tag.
    TagKey,
    "tag key",
    "1 to 64 of the characters a-z A-Z 0-9 - _ .",
    |text| is_word(text, 64)
);

/// The addresses of a co-located server, `HOST:PORT` by name; the host may be a DNS name.
pub type Endpoints = BTreeMap<EndpointName, String>;

/// Free metadata of a node.
pub type Tags = BTreeMap<TagKey, String>;

/// The part of a node in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Stands beside a server: may bootstrap the cluster and vote in it.
    Server,
    /// Gossips and answers queries, but neither bootstraps nor votes.
    Observer,
}

impl Choice for Role {
    const ALL: &'static [Self] = &[Self::Server, Self::Observer];

    fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Observer => "observer",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Server => "Stands beside a server: may bootstrap the cluster and vote in it",
            Self::Observer => "Gossips and answers queries, but neither bootstraps nor votes",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_printing_and_nil_is_none() {
        let id = NodeId::try_from([7; 16]).unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(NodeId::try_from([0; 16]).is_err());
    }

    #[test]
    fn an_epoch_never_goes_back() {
        assert_eq!(Epoch::next(None, 50), Epoch(50));
        assert_eq!(Epoch::next(Some(Epoch(70)), 50), Epoch(71), "the clock went back");
        assert_eq!(Epoch::next(Some(Epoch(70)), 90), Epoch(90));
        assert_eq!(Epoch::next(Some(Epoch(u64::MAX)), 90), Epoch::LAST);
    }

    #[test]
    fn a_bad_name_says_which_rule_it_breaks() {
        let error = "two words".parse::<ClusterName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#""two words" is no cluster name: 1 to 32 of the characters a-z A-Z 0-9 - _ ."#
        );
        assert!("".parse::<NodeName>().is_err());
        assert!("line\nbreak".parse::<NodeName>().is_err());
    }
}
