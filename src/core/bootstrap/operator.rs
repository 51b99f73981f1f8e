//! The operator's commands: name the founders against what is known, and start over.

use std::collections::BTreeSet;

use super::{
    ballot::Ballot,
    cluster::Cluster,
    founding::{ClusterId, Founder, Founding, Override},
    record::FoundingRecord,
};
use crate::node::{ClusterName, NodeId};

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

/// The operator's word on the data of an established cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLoss {
    /// An established cluster is not forgotten.
    Refused,
    /// `--i-will-lose-data`: it may be.
    Allowed,
}

/// The outcome of a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// The second cluster was forgotten; the established one stays.
    RivalForgotten,
    /// Left to the caller: save this record, and start the machine and gossip anew from it. A server that forgot its
    /// votes is another server, with another id.
    StartOver(Box<FoundingRecord>),
}

/// A reset that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster {0} is established: forgetting it needs --i-will-lose-data")]
pub struct ResetRefused(pub ClusterId);

/// The cluster that an operator founds with exactly these founders, under an id that names the clusters it puts an end
/// to. `known` are the servers as gossip knows them, and `seen` is the highest round heard of.
///
/// # Errors
/// Something is established here, or a founder is unknown.
pub(super) fn overriding(
    record: &FoundingRecord,
    cluster_name: &ClusterName,
    founders: &BTreeSet<NodeId>,
    known: &[&Founder],
    seen: u64,
) -> Result<Cluster, OverrideRefused> {
    if founders.is_empty() {
        return Err(OverrideRefused::Nobody);
    }
    if let Some(cluster) = record.cluster.as_ref().filter(|cluster| cluster.established) {
        return Err(OverrideRefused::Established(cluster.id));
    }
    let mut overrides: BTreeSet<ClusterId> = record.rival.into_iter().collect();
    let before = record.cluster.as_ref().and_then(|cluster| cluster.founding.as_ref());
    if let Some(cluster) = &record.cluster {
        let operator = before.and_then(Founding::operator);
        overrides.extend(operator.iter().flat_map(|before| &before.overrides));
        overrides.insert(cluster.id);
    }
    let entry = |id: &NodeId| {
        let entry = known.iter().find(|founder| founder.id == *id);
        entry.map(|founder| (*founder).clone()).ok_or(OverrideRefused::Unknown(*id))
    };
    let entries = founders.iter().map(entry).collect::<Result<_, _>>()?;
    let promised = record.promised.map(|promised| promised.round);
    let recorded = promised.max(before.map(|founding| founding.ballot().round)).unwrap_or(0);
    let ballot = Ballot { round: recorded.max(seen).saturating_add(1), node: record.node_id };
    Ok(Cluster::founded(Founding::new(cluster_name, ballot, entries, Some(Override { overrides }))))
}
