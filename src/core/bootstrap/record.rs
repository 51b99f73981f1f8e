//! The durable record of one server agent, saved before anything that depends on it is said.

use std::{collections::BTreeMap, ops::Deref};

use serde::{Deserialize, Serialize};

use super::{
    ballot::Ballot,
    doubt::Doubt,
    founding::{ClusterId, Founding},
    knowledge::{Knowledge, Retirement},
    known::Standing,
    notes::Notes,
    offer,
    report::Report,
    server_id::ServerId,
    terms::Terms,
    word::Spoken,
};
use crate::{
    node::{ClusterName, Epoch, NodeId},
    signing::{NodeKey, Signed},
};

/// The durable state of one server agent. Its id stands in the same record as its vote, so that a server that loses
/// the vote is another server. A field that this version does not know is an error, not something to forget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingRecord {
    /// This agent's key, from its first start on; its id is derived from it.
    pub key: NodeKey,
    /// Doubt about this record, for which this node votes no more under any name.
    #[serde(default)]
    pub doubt: Option<Doubt>,
    /// The name of the cluster that the rest is about; `None` before the first start under a name.
    pub cluster_name: Option<ClusterName>,
    /// The highest ballot it promised to keep to; it never goes back.
    pub promised: Option<Ballot>,
    /// The founding it accepted last.
    pub accepted: Option<Accepted>,
    /// Its knowledge of clusters of this name, each part with whose word it is.
    pub knowledge: Knowledge,
    /// Notes of what was said to the server beside it.
    pub notes: Option<Notes>,
    /// Parts that belong to other names, from times when `--cluster` was another.
    pub shelved: BTreeMap<ClusterName, Shelf>,
}

/// The part of a record that belongs to one cluster name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shelf {
    /// See [`FoundingRecord::promised`].
    pub promised: Option<Ballot>,
    /// See [`FoundingRecord::accepted`].
    pub accepted: Option<Accepted>,
    /// See [`FoundingRecord::knowledge`].
    pub knowledge: Knowledge,
    /// See [`FoundingRecord::notes`].
    pub notes: Option<Notes>,
}

impl Shelf {
    /// True if this node has voted for nothing, said nothing, and is named nowhere.
    fn is_without(&self, me: NodeId) -> bool {
        let Self { promised, accepted, knowledge, notes } = self;
        let is_silent = knowledge.reports.get(&me).is_none_or(|report| {
            report.holds.is_none() && report.group.is_none() && report.consents.is_empty()
        });
        let founders = knowledge.foundings.values().flat_map(|founding| founding.ids());
        let lists = knowledge.reports.values().filter_map(|report| report.group.as_ref());
        let voters = lists.flat_map(|group| &group.voters).filter_map(|voter| voter.id);
        let is_named = founders.chain(voters).any(|id| id == me);
        promised.is_none() && accepted.is_none() && notes.is_none() && is_silent && !is_named
    }
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

impl FoundingRecord {
    /// The record of a server that has never taken part in anything.
    pub fn blank(key: NodeKey) -> Self {
        Self {
            key,
            doubt: None,
            cluster_name: None,
            promised: None,
            accepted: None,
            knowledge: Knowledge::default(),
            notes: None,
            shelved: BTreeMap::new(),
        }
    }

    /// The record of this server after it has given up its id and every vote: another server, which says so of the first if it
    /// `retires` that. An id is not retired while another process has it.
    pub(super) fn retired(&self, key: NodeKey, retires: bool) -> Self {
        let mut next = Self { cluster_name: self.cluster_name.clone(), ..Self::blank(key) };
        next.knowledge.retired.clone_from(&self.knowledge.retired);
        if let Some(name) = self.cluster_name.as_ref().filter(|_| retires) {
            let retirement = Signed::new(&self.key, name, Retirement { id: self.node_id() });
            next.knowledge.retired.insert(self.node_id(), retirement);
        }
        next.knowledge.words.clone_from(&self.knowledge.words);
        next
    }

    /// The record of a new node in this one's place, which keeps what was learnt, if this one has given no vote, has reported nothing,
    /// and has no place in any list: nobody misses it.
    pub fn afresh(&self, key: NodeKey) -> Option<Self> {
        let me = self.node_id();
        let shelf = Shelf {
            promised: self.promised,
            accepted: self.accepted.clone(),
            knowledge: self.knowledge.clone(),
            notes: self.notes.clone(),
        };
        if !self.shelved.values().chain([&shelf]).all(|shelf| shelf.is_without(me)) {
            return None;
        }
        let mut next = Self { key, doubt: None, ..self.clone() };
        for knowledge in
            next.shelved.values_mut().map(|shelf| &mut shelf.knowledge).chain([&mut next.knowledge])
        {
            knowledge.reports.remove(&me);
        }
        Some(next)
    }

    /// This agent's id.
    pub fn node_id(&self) -> NodeId {
        self.key.id()
    }

    /// Lays away what belongs to another name than `name`, and takes out what belongs to it. What belongs to no name yet belongs
    /// to this one from now on.
    #[must_use]
    pub(super) fn under(mut self, name: &ClusterName) -> Self {
        let before = self.cluster_name.replace(name.clone());
        let Some(before) = before.filter(|before| before != name) else { return self };
        let shelf = Shelf {
            promised: self.promised.take(),
            accepted: self.accepted.take(),
            knowledge: std::mem::take(&mut self.knowledge),
            notes: self.notes.take(),
        };
        if shelf != Shelf::default() {
            self.shelved.insert(before, shelf);
        }
        let Shelf { promised, accepted, knowledge, notes } = self.shelved.remove(name).unwrap_or_default();
        Self { promised, accepted, knowledge, notes, ..self }
    }

    /// True if this node has promised or accepted anything under this name.
    pub(super) fn has_voted(&self) -> bool {
        self.promised.is_some() || self.accepted.is_some()
    }

    /// The notes about the server in this cluster.
    pub(super) fn notes_of(&self, cluster_id: ClusterId) -> Option<&Notes> {
        self.notes.as_ref().filter(|notes| notes.cluster_id == cluster_id)
    }

    /// The notes about the server in this cluster, to add to; those of another cluster end.
    pub(super) fn notes_mut(&mut self, cluster_id: ClusterId) -> &mut Notes {
        self.notes.take_if(|notes| notes.cluster_id != cluster_id);
        self.notes.get_or_insert_with(|| Notes::new(cluster_id))
    }

    /// The clusters that stand, as they are seen here.
    pub(super) fn standing(&self) -> Standing<'_> {
        self.knowledge.standing(self.held())
    }

    /// True if any cluster stands.
    pub(super) fn knows_cluster(&self) -> bool {
        !self.standing().clusters.is_empty()
    }

    /// The cluster of which the server here is, unless this node has accepted an override that ends it.
    fn held(&self) -> Option<ClusterId> {
        let noted = self.notes.as_ref().filter(|notes| notes.is_own()).map(|notes| notes.cluster_id);
        let group = self.own_report().and_then(|report| report.group.as_ref());
        let held = noted.or(group.map(|group| group.cluster_id))?;
        let ends = |founding: &Founding| {
            founding.operator().is_some_and(|operator| operator.overrides.contains(&held))
                && offer::has_accepted(&self.knowledge, founding, self.node_id())
                && offer::is_complete(&self.knowledge, founding)
        };
        (!self.knowledge.foundings.values().any(|founding| ends(founding))).then_some(held)
    }

    /// Number of the last start of a server of this cluster: noted here, or reported by any agent that stood beside it.
    pub(super) fn last_start(&self, server_id: &ServerId, cluster_id: ClusterId) -> Option<u64> {
        let noted = self.notes_of(cluster_id).and_then(|notes| notes.start_of(server_id));
        noted.max(self.knowledge.last_start(server_id, cluster_id))
    }

    /// The operator's founding that this node has accepted and that others have not.
    pub(super) fn pending(&self) -> Option<&Founding> {
        offer::pending(&self.knowledge, self.node_id(), &Spoken::weigh(&self.knowledge.words))
    }

    /// The report of this node.
    pub(super) fn own_report(&self) -> Option<&Report> {
        self.knowledge.reports.get(&self.node_id()).map(Deref::deref)
    }

    /// Changes the report of this node. It gets the next number if that changes anything.
    pub(super) fn report(&mut self, change: impl FnOnce(&mut Report)) {
        let Some(name) = &self.cluster_name else { return };
        let before = self.own_report().cloned().unwrap_or_default();
        let mut report = before.clone();
        change(&mut report);
        if report != before {
            report.number += 1;
            let report = Signed::new(&self.key, name, report);
            self.knowledge.reports.insert(self.node_id(), report);
        }
    }
}
