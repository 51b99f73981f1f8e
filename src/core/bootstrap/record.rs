//! The durable record of one server agent, saved before anything that depends on it is said.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    ballot::Ballot,
    cluster::Cluster,
    founding::{ClusterId, Founding},
    terms::Terms,
};
use crate::node::{Epoch, InvalidName, NodeId};

/// The durable state of one server agent. Its id stands in the same record as its vote, so that a server that loses
/// the vote is another server. A field that this version does not know is an error, not something to forget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingRecord {
    /// This agent's id, from its first start on.
    pub node_id: NodeId,
    /// The highest ballot it promised to keep to; it never goes back.
    pub promised: Option<Ballot>,
    /// The founding it accepted last.
    pub accepted: Option<Accepted>,
    /// The cluster it belongs to or may join.
    pub cluster: Option<Cluster>,
    /// A second cluster of the same name: nothing is decided until an operator says which one is meant.
    pub rival: Option<ClusterId>,
    /// The server that was told here to initialise.
    pub claim: Option<Claim>,
}

/// Everything that a node must not forget, in one file: its epoch, its id and its votes. Losing the file makes a new
/// node; copying it makes two nodes with one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// Its latest start.
    pub epoch: Epoch,
    /// Its id and its part in the founding.
    pub founding: FoundingRecord,
}

/// A founding that this agent accepted, in which ballot, and on which terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The ballot it was accepted in.
    pub ballot: Ballot,
    /// The terms of that ballot.
    pub terms: Terms,
    /// The founding.
    pub founding: Founding,
}

/// Note that a server was told to initialise, and with which cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The cluster it was to initialise.
    pub cluster_id: ClusterId,
    /// The server that was told.
    pub server_id: ServerId,
}

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

impl FoundingRecord {
    /// The record of a server that has never taken part in anything.
    pub fn blank(node_id: NodeId) -> Self {
        Self { node_id, promised: None, accepted: None, cluster: None, rival: None, claim: None }
    }

    /// Learns of a cluster. `pinned` is the only one that the operator allows, if there is such a restriction.
    pub(super) fn learn(&mut self, theirs: &Cluster, pinned: Option<ClusterId>) {
        if pinned.is_some_and(|pinned| pinned != theirs.id) {
            return self.learn_rival(theirs.id);
        }
        let Some(ours) = &mut self.cluster else {
            self.cluster = Some(theirs.clone());
            return;
        };
        if ours.id == theirs.id {
            return ours.merge(theirs);
        }
        match (ours.overrides(theirs), theirs.overrides(ours)) {
            (true, false) => {}
            (false, true) => {
                self.rival = self.rival.filter(|rival| *rival != theirs.id && !theirs.has_overridden(*rival));
                self.cluster = Some(theirs.clone());
            }
            (true, true) | (false, false) => self.learn_rival(theirs.id),
        }
    }

    /// Remembers the first rival; one is enough to stop everything.
    pub(super) fn learn_rival(&mut self, id: ClusterId) {
        self.rival.get_or_insert(id);
    }
}
