//! The operator's commands: name the founders against what is known, say which cluster is meant, and start over.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use super::{
    ballot::Ballot,
    certificate::{Acceptance, Certificate},
    founding::{ClusterId, Founder, Founding, Override},
    record::FoundingRecord,
    terms::Terms,
};
use crate::node::{ClusterName, NodeId};

/// An override that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideRefused {
    /// A group exists here.
    #[error("cluster {0} is established here: an override would make a second one beside it")]
    Established(ClusterId),
    /// The server here has begun, or holds data.
    #[error(
        "the server here has begun in cluster {0}, or holds data: an override would make a second cluster beside it; empty its \
         data directory, and say --i-will-lose-data"
    )]
    Begun(ClusterId),
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

/// A choice between clusters that is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveRefused {
    /// The cluster does not stand.
    #[error(
        "no cluster {0} stands here, so that keeping it would leave none: `chronik-agent bootstrap` names those that do"
    )]
    Unknown(ClusterId),
}

/// A node or an address that an operator calls gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// A node.
    Id(NodeId),
    /// An address that a provider lists.
    Addr(SocketAddr),
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

/// A word that somebody is gone which is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VouchRefused {
    /// It is alive.
    #[error("{0} is alive, so that it counts: stop it first, and say it again")]
    Alive(Gone),
    /// It does not count.
    #[error("{0} does not count here: `chronik-agent bootstrap` names those that do")]
    NotCounted(Gone),
}

/// The operator's word on the data of an established cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLoss {
    /// An established cluster is not forgotten.
    Refused,
    /// `--i-will-lose-data`: it may be.
    Allowed,
}

/// A reset that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster {0} is established: forgetting it needs --i-will-lose-data")]
pub struct ResetRefused(pub ClusterId);

/// An operator's founding with the signature of the node at which he named the founders.
///
/// # Errors
/// Nobody is named.
pub(super) fn proven(
    record: &FoundingRecord,
    name: &ClusterName,
    founding: Founding,
) -> Result<Certificate, OverrideRefused> {
    let ids: BTreeSet<NodeId> = founding.ids().collect();
    let terms = Terms::Named(ids.try_into().map_err(|_| OverrideRefused::Nobody)?);
    let acceptance = Acceptance::sign(&record.key, name, founding.ballot(), &terms, &founding);
    Certificate::new(founding, [acceptance]).map_err(|_| OverrideRefused::Nobody)
}

/// The founding by an operator of exactly these founders, under an id that names the clusters it puts an end to. `known` are the
/// servers as gossip knows them, and `seen` is the highest round heard of.
///
/// # Errors
/// A founder is unknown.
pub(super) fn overriding(
    record: &FoundingRecord,
    cluster_name: &ClusterName,
    founders: &BTreeSet<NodeId>,
    known: &[&Founder],
    seen: u64,
) -> Result<Founding, OverrideRefused> {
    if founders.is_empty() {
        return Err(OverrideRefused::Nobody);
    }
    let standing = record.knowledge.standing().clusters;
    let foundings = || standing.values().filter_map(|claimed| claimed.founding);
    let before = foundings().filter_map(Founding::operator).flat_map(|operator| &operator.overrides);
    let overrides: BTreeSet<ClusterId> = standing.keys().chain(before).copied().collect();
    let entry = |id: &NodeId| {
        let entry = known.iter().find(|founder| founder.id == *id);
        entry.map(|founder| (*founder).clone()).ok_or(OverrideRefused::Unknown(*id))
    };
    let entries = founders.iter().map(entry).collect::<Result<_, _>>()?;
    let promised = record.promised.map(|promised| promised.round);
    let recorded = promised.max(foundings().map(|founding| founding.ballot().round).max()).unwrap_or(0);
    let ballot = Ballot { round: recorded.max(seen).saturating_add(1), node: record.node_id() };
    Ok(Founding::new(cluster_name, ballot, entries, Some(Override { overrides })))
}
