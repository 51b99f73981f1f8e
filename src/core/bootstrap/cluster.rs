//! A cluster that exists: its founders, its voters, and the choice between two that are known.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{
    cbor,
    founding::{ClusterId, Founder, Founding},
};
use crate::node::{ClusterName, Endpoints, NodeId, NodeName};

/// Everything that is known of a cluster. It travels whole, and of two states the one with the higher configuration
/// index wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Cluster {
    /// Its identity.
    #[n(0)]
    pub id: ClusterId,
    /// Its founding; `None` if a server reported a cluster that is older than its agents.
    #[n(1)]
    pub founding: Option<Founding>,
    /// The servers that vote in it: the founders, until a server reports others.
    #[n(2)]
    pub voters: Vec<Voter>,
    /// Version of `voters`, in the servers' own count; 0 until a server reports.
    #[n(3)]
    pub config_index: u64,
    /// True if a server reported that the group exists.
    #[n(4)]
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

    /// A cluster that a server with data belongs to, and that no agent founded.
    pub(super) fn reported(id: ClusterId) -> Self {
        Self { id, founding: None, voters: Vec::new(), config_index: 0, established: true }
    }

    /// True if the founding, if there is one, is what its id says.
    pub(super) fn is_genuine(&self, name: &ClusterName) -> bool {
        self.founding.as_ref().is_none_or(|founding| founding.id() == self.id && founding.is_genuine(name))
    }

    /// True if an operator's founding puts this cluster in the place of `other`: of everything that is not
    /// established, except of another operator's founding that it does not name.
    pub(super) fn overrides(&self, other: &Self) -> bool {
        let operator = |cluster: &Self| cluster.founding.as_ref().and_then(Founding::operator).cloned();
        let Some(mine) = operator(self) else { return false };
        !other.established && (operator(other).is_none() || mine.overrides.contains(&other.id))
    }

    /// True if `id` is a cluster that this one put an end to.
    pub(super) fn has_overridden(&self, id: ClusterId) -> bool {
        let operator = self.founding.as_ref().and_then(Founding::operator);
        operator.is_some_and(|operator| operator.overrides.contains(&id))
    }

    /// Merges `other`, a state of the same cluster, into this one.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.founding.is_none() {
            self.founding.clone_from(&other.founding);
        }
        if other.config_index > self.config_index {
            self.config_index = other.config_index;
            self.voters.clone_from(&other.voters);
        }
        self.established |= other.established;
    }
}
