//! What survives a restart: one record, written before anything that depends on it is said.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    ballot::Ballot,
    cluster::Cluster,
    founding::{ClusterId, Founding},
    terms::Terms,
};
use crate::node::{Epoch, InvalidName, NodeId};

/// The durable state of one server agent. Its id stands in the same record as its vote, so that whoever loses the
/// vote is somebody else. A field that this version does not know is an error, not something to forget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Who this agent is, from its first start on.
    pub node_id: NodeId,
    /// The highest ballot it promised to keep to; it never goes back.
    pub promised: Option<Ballot>,
    /// What it accepted last.
    pub accepted: Option<Accepted>,
    /// The cluster it belongs to or may join.
    pub cluster: Option<Cluster>,
    /// A second cluster of the same name: nothing is decided until an operator says which one is meant.
    pub rival: Option<ClusterId>,
    /// The server that was told here to initialise.
    pub claim: Option<Claim>,
}

/// Who this node is and what it has voted, in one file, so that whoever loses the vote loses the id. Losing it makes a
/// new node; copying it makes two nodes with one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// Its latest start.
    pub epoch: Epoch,
    /// Its id and its part in the founding.
    pub founding: Record,
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

/// That a server was told to initialise, and with which cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The cluster it was to initialise.
    pub cluster_id: ClusterId,
    /// The server that was told.
    pub server_id: ServerId,
}

/// What a server calls itself; it keeps that beside its data, so that a server that lost its data has another one.
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

impl Record {
    /// The record of a server that has never taken part in anything.
    pub fn blank(node_id: NodeId) -> Self {
        Self { node_id, promised: None, accepted: None, cluster: None, rival: None, claim: None }
    }
}

/// What became of the news of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// It is ours now, or tells more of ours.
    News,
    /// Nothing new.
    Known,
    /// It is one that ours has put an end to.
    Overridden,
    /// It is another one than ours.
    Rival,
}

impl Record {
    /// Learns of a cluster; `pinned` is the only one that the operator allows, if he named one.
    pub(super) fn learn(&mut self, theirs: &Cluster, pinned: Option<ClusterId>) -> Learned {
        if pinned.is_some_and(|pinned| pinned != theirs.id) {
            return self.learn_rival(theirs.id);
        }
        let Some(ours) = &mut self.cluster else {
            self.cluster = Some(theirs.clone());
            return Learned::News;
        };
        if ours.id == theirs.id {
            let before = ours.clone();
            ours.merge(theirs);
            return if *ours == before { Learned::Known } else { Learned::News };
        }
        if ours.overrides(theirs) && !theirs.overrides(ours) {
            return Learned::Overridden;
        }
        if theirs.overrides(ours) && !ours.overrides(theirs) {
            self.rival = self.rival.filter(|rival| *rival != theirs.id && !theirs.has_overridden(*rival));
            self.cluster = Some(theirs.clone());
            return Learned::News;
        }
        self.learn_rival(theirs.id)
    }

    /// Remembers the first rival; one is enough to stop everything.
    pub(super) fn learn_rival(&mut self, id: ClusterId) -> Learned {
        self.rival.get_or_insert(id);
        Learned::Rival
    }
}
