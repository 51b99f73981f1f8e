//! Identity of a node: validated newtypes that every other module speaks in.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{choice::Choice, shown::is_plain};

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
    "1 to 128 bytes without control characters, marks of direction and characters that cannot be seen",
    |text| !text.is_empty() && text.len() <= 128 && text.chars().all(is_plain)
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

/// Most endpoints of one node.
pub const MAX_ENDPOINTS: usize = 32;
/// Most tags of one node.
pub const MAX_TAGS: usize = 64;

/// Checks the address of an endpoint, one's own and another's alike: it ends up in the arguments and the files of servers.
///
/// # Errors
/// If it is no `HOST:PORT`.
pub fn check_endpoint(addr: &str) -> Result<(), InvalidName> {
    let is_name = |host: &str| {
        let mut bytes = host.bytes();
        (1..=253).contains(&host.len())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let is_ipv6 = |ip: &str| ip.parse::<std::net::Ipv6Addr>().is_ok();
    let is_host = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => {
            is_ipv6(ip) || ip.split_once('%').is_some_and(|(ip, zone)| is_ipv6(ip) && is_word(zone, 15))
        }
        None => is_name(host),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match addr.rsplit_once(':') {
        Some((host, port)) if is_host(host) && is_port(port) => Ok(()),
        _ => Err(InvalidName {
            what: "address of an endpoint",
            value: addr.to_owned(),
            rule: "HOST:PORT, such as db1.example.com:5001, 10.0.0.1:5001 or [fd00::1]:5001",
        }),
    }
}

/// Checks the value of a tag, one's own and another's alike.
///
/// # Errors
/// If it has characters that act on a terminal or cannot be seen.
pub fn check_tag_value(value: &str) -> Result<(), InvalidName> {
    if value.chars().all(is_plain) {
        return Ok(());
    }
    Err(InvalidName {
        what: "value of a tag",
        value: value.to_owned(),
        rule: "a text without control characters, marks of direction and characters that cannot be seen",
    })
}

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
        for text in ["line\nbreak", "\u{1b}[2J", "n\u{202e}2", "n\u{200b}"] {
            assert!(text.parse::<NodeName>().is_err(), "{text:?}");
            assert!(check_tag_value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_endpoint_adds_no_argument_no_line_and_no_key() {
        for fine in ["db1:5001", "10.0.0.1:1", "[fd00::1]:65535", "[fe80::1%eth0]:1", "a_b-c.example.com:80"]
        {
            assert_eq!(check_endpoint(fine), Ok(()));
        }
        for wrong in [
            "",
            ":1",
            "db1",
            "db1:0",
            "db1:65536",
            "db1:+1",
            "db1: 1",
            "db1:1\n--data-dir=/x",
            "a b:1",
            "a,b:1",
            "a=b:1",
            "a'b:1",
            "a\"b:1",
            "http://a:1",
            "fd00::1:1",
            "[fd00::1:1",
            "[::1%eth0\n]:1",
            "{{ x }}:1",
            "$HOST:1",
        ] {
            let error = check_endpoint(wrong).unwrap_err();
            assert_eq!(error.value, wrong);
        }
    }
}
