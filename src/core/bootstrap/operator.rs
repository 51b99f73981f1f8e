//! The operator's commands: name the founders against what is known, say which cluster is meant, and start over.

use std::collections::BTreeSet;

use super::{
    ballot::Ballot,
    certificate::{Acceptance, Certificate},
    consent::Consent,
    founding::{ClusterId, Founder, Founding, Override},
    knowledge::MAX_FOUNDINGS,
    offer,
    record::FoundingRecord,
    terms::Terms,
    word::Gone,
};
use crate::node::{ClusterName, NodeId};

/// An override that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideRefused {
    /// A group exists here.
    #[error(
        "cluster {0} is established here: an override would make a second one beside it; if its data is lost in any case, say \
         --i-will-lose-data"
    )]
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
    /// Too many foundings are known.
    #[error(
        "too many overrides are known: say it again once agents have started over with `chronik-agent bootstrap reset`"
    )]
    TooMany,
    /// The record here is doubted.
    #[error(
        "the key of this agent was copied, or its record went back: run `chronik-agent bootstrap reset` here first, and name the id \
         that it has then"
    )]
    Doubted,
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

/// The server of a founder, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerSeen {
    /// True if it holds data, or has begun.
    pub(super) holds_data: bool,
    /// True if it is seen to be blank, and waits.
    pub(super) is_seen_blank: bool,
}

/// The answer of this node to an operator's founding of which it is a founder.
pub(super) fn consider(record: &FoundingRecord, founding: &Founding, server: ServerSeen) -> Consent {
    let Some(operator) = founding.operator() else { return Consent::Accepted };
    if record.doubt.is_some() {
        return Consent::Doubted;
    }
    let standing = record.standing();
    let accepted = offer::accepted(&record.knowledge, record.node_id(), &standing.spoken);
    let known = standing.clusters.keys().copied().chain(accepted.into_iter().map(Founding::id));
    let unnamed: BTreeSet<ClusterId> =
        known.filter(|id| *id != founding.id() && !operator.overrides.contains(id)).collect();
    if !unnamed.is_empty() {
        return Consent::Unnamed(unnamed);
    }
    if operator.forced {
        return Consent::Accepted;
    }
    let is_established =
        |id: &&ClusterId| standing.cluster(**id, &|_| false).is_some_and(|cluster| cluster.established);
    if let Some(id) = standing.clusters.keys().find(is_established) {
        return Consent::Established(*id);
    }
    let noted = record.notes.as_ref().filter(|notes| standing.clusters.contains_key(&notes.cluster_id));
    // A server that was told may be about to start, unless it shows that it waits.
    let has_begun = noted.is_some_and(|notes| notes.begun || notes.is_own() && !server.is_seen_blank);
    if has_begun || server.holds_data { Consent::Begun } else { Consent::Accepted }
}

/// The founding by an operator of exactly these founders, signed by the node at which he named them, under an id that names the clusters it puts an end to. `known` are the
/// servers as gossip knows them, and `seen` is the highest round heard of.
///
/// # Errors
/// A founder is unknown, a group is established, or the server here, if it is a founder's, has begun.
pub(super) fn overriding(
    record: &FoundingRecord,
    cluster_name: &ClusterName,
    founders: &BTreeSet<NodeId>,
    known: &[&Founder],
    seen: u64,
    loss: DataLoss,
    server: ServerSeen,
) -> Result<Certificate, OverrideRefused> {
    if founders.is_empty() {
        return Err(OverrideRefused::Nobody);
    }
    if record.knowledge.foundings.len() >= MAX_FOUNDINGS {
        return Err(OverrideRefused::TooMany);
    }
    let standing = record.standing();
    let foundings = || record.knowledge.foundings.values();
    let overrides: BTreeSet<ClusterId> =
        standing.clusters.keys().copied().chain(foundings().map(|founding| founding.id())).collect();
    let entry = |id: &NodeId| {
        let entry = known.iter().find(|founder| founder.id == *id);
        entry.map(|founder| (*founder).clone()).ok_or(OverrideRefused::Unknown(*id))
    };
    let entries = founders.iter().map(entry).collect::<Result<_, _>>()?;
    let promised = record.promised.map(|promised| promised.round);
    let recorded = promised.max(foundings().map(|founding| founding.ballot().round).max()).unwrap_or(0);
    let ballot = Ballot { round: recorded.max(seen).saturating_add(1), node: record.node_id() };
    let operator = Override { overrides, forced: loss == DataLoss::Allowed };
    let founding = Founding::new(cluster_name, ballot, entries, Some(operator));
    match consider(record, &founding, server) {
        Consent::Established(id) => Err(OverrideRefused::Established(id)),
        Consent::Begun if founders.contains(&record.node_id()) => {
            let begun = record.notes.as_ref().map(|notes| notes.cluster_id);
            Err(OverrideRefused::Begun(begun.unwrap_or(founding.id())))
        }
        Consent::Doubted if founders.contains(&record.node_id()) => Err(OverrideRefused::Doubted),
        Consent::Begun | Consent::Accepted | Consent::Doubted | Consent::Unnamed(_) => {
            proven(record, cluster_name, founding)
        }
    }
}

/// An operator's founding with the signature of the node at which he named the founders.
///
/// # Errors
/// Nobody is named.
fn proven(
    record: &FoundingRecord,
    name: &ClusterName,
    founding: Founding,
) -> Result<Certificate, OverrideRefused> {
    let ids: BTreeSet<NodeId> = founding.ids().collect();
    let terms = Terms::Named(ids.try_into().map_err(|_| OverrideRefused::Nobody)?);
    let acceptance = Acceptance::sign(&record.key, name, founding.ballot(), &terms, &founding);
    Certificate::new(founding, [acceptance]).map_err(|_| OverrideRefused::Nobody)
}
