//! The founding: the agreed set of servers that found the cluster, under an id that is the digest of it.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ballot::Ballot, cbor, digest, terms::Terms};
use crate::node::{ClusterName, Endpoints, InvalidName, NodeId, NodeName};

/// The identity of a cluster, printed like a UUID. Of a founding it is the first 128 bits of the SHA-256 over all of
/// it; of a cluster that existed before its agents it is what its servers report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(Uuid);

impl From<[u8; 16]> for ClusterId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl ClusterId {
    /// The identity of a cluster that is older than its agents: the same on every node that adopts it with these voters.
    pub fn adopted(name: &ClusterName, voters: &BTreeSet<NodeId>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"chronik-adopted-1");
        hash.update([u8::try_from(name.as_str().len()).unwrap_or(u8::MAX)]);
        hash.update(name.as_str());
        voters.iter().for_each(|id| hash.update(id.as_bytes()));
        digest::first(hash).into()
    }

    /// The identity of a cluster that is older than its agents and whose servers of this `kind` have a name of their own for their
    /// `group`: the same wherever it is adopted.
    pub fn adopted_group(name: &ClusterName, kind: &str, group: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"chronik-adopted-group-1");
        for part in [name.as_str(), kind, group] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        digest::first(hash).into()
    }

    /// The sixteen bytes of the id.
    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for ClusterId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidName {
            what: "cluster id",
            value: text.to_owned(),
            rule: "a UUID as `chronik-agent bootstrap` prints it",
        })
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl<C> Encode<C> for ClusterId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ClusterId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes: [u8; 16] = d.bytes()?.try_into().map_err(minicbor::decode::Error::custom)?;
        Ok(bytes.into())
    }
}

/// A server's entry in a founding, as it described itself in its promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Founder {
    /// Its identity.
    #[cbor(n(0), with = "cbor::node_id")]
    pub id: NodeId,
    /// Its name, for people.
    #[cbor(n(1), with = "cbor::text")]
    pub name: NodeName,
    /// Address at which its agent gossips.
    #[cbor(n(2), with = "cbor::text")]
    pub addr: SocketAddr,
    /// Addresses of its server.
    #[cbor(n(3), with = "cbor::endpoints")]
    pub endpoints: Endpoints,
}

/// A set of founders, frozen. Two foundings with the same id are equal to the last byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Founding {
    #[n(0)]
    id: ClusterId,
    /// The ballot it was first proposed in; a later ballot that takes it over leaves it as it is.
    #[n(1)]
    ballot: Ballot,
    #[n(2)]
    founders: Vec<Founder>,
    #[n(3)]
    operator: Option<Override>,
}

/// That an operator named the founders, in spite of what was founded before.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Override {
    /// The clusters it puts an end to; empty if none was known.
    #[n(0)]
    pub overrides: BTreeSet<ClusterId>,
    /// Set if a founder may accept it though its server has begun: `--i-will-lose-data`.
    #[n(1)]
    pub forced: bool,
}

impl Founding {
    /// The founding of exactly `founders`, in any order, by the cluster called `name`.
    pub fn new(
        name: &ClusterName,
        ballot: Ballot,
        mut founders: Vec<Founder>,
        operator: Option<Override>,
    ) -> Self {
        founders.sort();
        let mut founding = Self { id: [0; 16].into(), ballot, founders, operator };
        founding.id = digest::first(founding.hash(name)).into();
        founding
    }

    /// The digest of all of it, of which the id is the first half.
    pub fn digest(&self, name: &ClusterName) -> [u8; 32] {
        self.hash(name).finalize().into()
    }

    /// True if the id is the digest of the rest and the founders are ordered and different. What another node sends
    /// is believed only if it is.
    pub fn is_genuine(&self, name: &ClusterName) -> bool {
        self.founders.is_sorted_by(|earlier, later| earlier.id < later.id)
            && !self.founders.is_empty()
            && self.id == digest::first(self.hash(name)).into()
    }

    /// True if it has as many founders as the terms ask for, and those that they name.
    pub(super) fn fits(&self, terms: &Terms) -> bool {
        match terms {
            Terms::Count(_) => self.founders.len() == terms.expect(),
            Terms::Named(named) => self.ids().eq(named.ids().iter().copied()),
        }
    }

    /// The identity of the cluster.
    pub fn id(&self) -> ClusterId {
        self.id
    }

    /// The ballot it was first proposed in.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The founders, ordered by node id; the first has ordinal 1.
    pub fn founders(&self) -> &[Founder] {
        &self.founders
    }

    /// The clusters that an operator's founding overrides; `None` if servers agreed on it.
    pub fn operator(&self) -> Option<&Override> {
        self.operator.as_ref()
    }

    /// The entry of this node, if it is a founder.
    pub fn founder(&self, id: NodeId) -> Option<&Founder> {
        self.founders.iter().find(|founder| founder.id == id)
    }

    /// The number of this founder, from 1 to N, the same on every node.
    pub fn ordinal(&self, id: NodeId) -> Option<u16> {
        let position = self.founders.iter().position(|founder| founder.id == id)?;
        u16::try_from(position + 1).ok()
    }

    /// The ids of the founders.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.founders.iter().map(|founder| founder.id)
    }

    /// Every field with its length before it, so that no two foundings are written alike.
    fn hash(&self, name: &ClusterName) -> Sha256 {
        let Self { ballot, founders, operator, .. } = self;
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        let number = |count: usize| (count as u64).to_be_bytes();
        field(b"chronik-founding-1");
        field(name.as_str().as_bytes());
        field(&ballot.round.to_be_bytes());
        field(ballot.node.as_bytes());
        field(&number(founders.len()));
        for founder in founders {
            field(founder.id.as_bytes());
            field(founder.name.as_str().as_bytes());
            field(founder.addr.to_string().as_bytes());
            field(&number(founder.endpoints.len()));
            for (name, address) in &founder.endpoints {
                field(name.as_str().as_bytes());
                field(address.as_bytes());
            }
        }
        if let Some(operator) = operator {
            field(if operator.forced { b"operator, forced" } else { b"operator" });
            for overridden in &operator.overrides {
                field(overridden.0.as_bytes());
            }
        }
        hash
    }
}
