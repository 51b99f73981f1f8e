//! A cluster that exists: its founders and its voters.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{
    cbor,
    founding::{ClusterId, Founder, Founding},
};
use crate::node::{Endpoints, NodeId, NodeName};

/// Everything that is known of a cluster, computed from the words of its founders and servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its identity.
    pub id: ClusterId,
    /// Its founding; `None` if a server reported a cluster that is older than its agents.
    pub founding: Option<Founding>,
    /// The servers that vote in it: the founders, until a server reports others.
    pub voters: Vec<Voter>,
    /// Version of `voters`, in the servers' own count; 0 until a server reports.
    pub config_index: u64,
    /// True if a server reported that the group exists.
    pub established: bool,
}

/// A server with a vote in the group, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Voter {
    /// Its agent's id; `None` if the server named an endpoint that no known agent announces.
    #[cbor(n(0), with = "cbor::maybe_node_id")]
    pub id: Option<NodeId>,
    /// Its number among the founders, if it is one.
    #[n(1)]
    pub ordinal: Option<u16>,
    /// Its name, if it is known.
    #[n(2)]
    pub name: Option<VoterName>,
    /// Its addresses, as far as they are known.
    #[cbor(n(3), with = "cbor::endpoints")]
    pub endpoints: Endpoints,
}

/// The name of a voter, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct VoterName(#[cbor(n(0), with = "cbor::text")] pub NodeName);

impl Voter {
    /// The founder with this number.
    pub(super) fn founder(ordinal: u16, founder: &Founder) -> Self {
        Self {
            id: Some(founder.id),
            ordinal: Some(ordinal),
            name: Some(VoterName(founder.name.clone())),
            endpoints: founder.endpoints.clone(),
        }
    }

    /// True if both are the same voter, whatever else is known of it.
    pub(super) fn names_the_same(&self, other: &Self) -> bool {
        match (self.id, other.id) {
            (Some(one), Some(other)) => one == other,
            _ => self.id == other.id && self.endpoints == other.endpoints,
        }
    }

    /// True if this voter is the server of agent `id`, which announces `endpoints`.
    pub fn is(&self, id: NodeId, endpoints: &Endpoints) -> bool {
        match self.id {
            Some(voter) => voter == id,
            None => self.endpoints.iter().any(|(name, address)| endpoints.get(name) == Some(address)),
        }
    }
}

impl fmt::Display for Voter {
    /// Its name, else its id, else one of its endpoints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.id, self.endpoints.first_key_value()) {
            (Some(VoterName(name)), ..) => name.fmt(f),
            (None, Some(id), _) => id.fmt(f),
            (None, None, Some((name, address))) => write!(f, "{name}={address}"),
            (None, None, None) => f.write_str("unknown"),
        }
    }
}

impl Cluster {
    /// A cluster that was just founded.
    pub fn founded(founding: Founding) -> Self {
        let voters = (1..)
            .zip(founding.founders())
            .map(|(ordinal, founder)| Voter::founder(ordinal, founder))
            .collect();
        Self { id: founding.id(), founding: Some(founding), voters, config_index: 0, established: false }
    }

    /// True if this node is one of its founders.
    pub(super) fn has_founder(&self, id: NodeId) -> bool {
        self.founding.as_ref().is_some_and(|founding| founding.founder(id).is_some())
    }

    /// A cluster that a server with data belongs to, and that no agent founded.
    pub(super) fn reported(id: ClusterId) -> Self {
        Self { id, founding: None, voters: Vec::new(), config_index: 0, established: true }
    }
}
