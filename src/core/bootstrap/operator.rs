//! What only a person may do: name the founders against what is known, and start over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    Bootstrap,
    ballot::Ballot,
    cluster::Cluster,
    founding::{ClusterId, Founder, Founding, Override},
    message::Body,
    record::Record,
};
use crate::node::NodeId;

/// An override that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideRefused {
    /// A group exists here.
    #[error("cluster {0} is established here: an override would make a second one beside it")]
    Established(ClusterId),
    /// A named founder is unknown.
    #[error("no server {0} is known: `chronik-agent members` lists those that are")]
    Unknown(NodeId),
    /// Nobody is named.
    #[error("an override names at least one founder")]
    Nobody,
    /// The record cannot be trusted.
    #[error("this agent cannot write its record: run the override on another one")]
    Fault,
}

/// What a reset did, or what is left to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// The second cluster was forgotten; the established one stays.
    RivalForgotten,
    /// Write this record, and start the machine and gossip anew from it: a server that forgot its votes is another
    /// server, with another id.
    StartOver(Box<Record>),
}

/// A reset that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster {0} is established: forgetting it needs --i-will-lose-data")]
pub struct ResetRefused(pub ClusterId);

impl Bootstrap {
    /// Founds with exactly these servers, under a new cluster id that names the ones it puts an end to. It is taken
    /// in wherever nothing is established; an established node shows a conflict.
    ///
    /// # Errors
    /// Something is established here, or a founder is unknown.
    pub fn override_founders(
        &mut self,
        founders: &BTreeSet<NodeId>,
        now: Instant,
    ) -> Result<ClusterId, OverrideRefused> {
        let cluster = self.overriding(founders)?;
        let id = cluster.id;
        let record = &mut self.agreement.record;
        record.rival = record.rival.filter(|rival| !cluster.has_overridden(*rival));
        record.cluster = Some(cluster.clone());
        self.agreement.campaign = None;
        let others: Vec<NodeId> = self.situation.view.nodes.keys().copied().collect();
        others.into_iter().for_each(|other| self.send(other, Body::Founded(Box::new(cluster.clone()))));
        self.turn(now);
        Ok(id)
    }

    fn overriding(&self, founders: &BTreeSet<NodeId>) -> Result<Cluster, OverrideRefused> {
        let record = &self.agreement.record;
        if self.situation.fault.is_some() {
            return Err(OverrideRefused::Fault);
        }
        if founders.is_empty() {
            return Err(OverrideRefused::Nobody);
        }
        if let Some(cluster) = record.cluster.as_ref().filter(|cluster| cluster.established) {
            return Err(OverrideRefused::Established(cluster.id));
        }
        let mut overrides: BTreeSet<ClusterId> = record.rival.into_iter().collect();
        if let Some(cluster) = &record.cluster {
            let before = cluster.founding.as_ref().and_then(Founding::operator);
            overrides.extend(before.iter().flat_map(|before| &before.overrides));
            overrides.insert(cluster.id);
        }
        let mut known: BTreeMap<NodeId, &Founder> =
            self.situation.view.nodes.iter().map(|(id, node)| (*id, &node.founder)).collect();
        known.insert(record.node_id, &self.situation.founder);
        let entries: Result<Vec<Founder>, OverrideRefused> = founders
            .iter()
            .map(|id| known.get(id).map(|founder| (*founder).clone()).ok_or(OverrideRefused::Unknown(*id)))
            .collect();
        let of_cluster = record.cluster.as_ref().and_then(|cluster| cluster.founding.as_ref());
        let seen = record.promised.map(|promised| promised.round).max(of_cluster.map(|f| f.ballot().round));
        let round = seen.unwrap_or(0).max(self.pace.highest_round).saturating_add(1);
        let ballot = Ballot { round, node: record.node_id };
        let name = &self.situation.config.cluster_name;
        Ok(Cluster::founded(Founding::new(name, ballot, entries?, Some(Override { overrides }))))
    }

    /// Forgets the cluster here. `new_id` is who this server is afterwards.
    ///
    /// # Errors
    /// The cluster is established and `lose_data` is not given.
    pub fn reset(&mut self, new_id: NodeId, lose_data: bool, now: Instant) -> Result<Reset, ResetRefused> {
        let established = self.agreement.record.cluster.as_ref().filter(|cluster| cluster.established);
        match established {
            Some(cluster) if !lose_data && self.agreement.record.rival.is_none() => {
                Err(ResetRefused(cluster.id))
            }
            Some(_) if !lose_data => {
                self.agreement.record.rival = None;
                self.turn(now);
                Ok(Reset::RivalForgotten)
            }
            _ => Ok(Reset::StartOver(Box::new(Record::blank(new_id)))),
        }
    }
}
