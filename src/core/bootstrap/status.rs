//! The founding as readers see it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    advice::Decision, certificate::Certificate, cluster::Cluster, offer::Offer, reason::Reason,
    server::ServerReport, server_id::ServerId, word::Gone,
};
use crate::node::NodeId;

/// The decision, and the cluster as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Grows with every change.
    pub index: u64,
    /// The one decision, as far as it is on disk.
    pub decision: Decision,
    /// The cluster that is known, as far as it is on disk.
    pub cluster: Option<Cluster>,
    /// The proof that servers agreed on it; `None` if it was not founded here.
    pub certificate: Option<Arc<Certificate>>,
    /// The co-located server, if it has attested itself.
    pub server: Option<Server>,
    /// The reason for which the record of this agent cannot be relied on, if there is one.
    pub fault: Option<Reason>,
    /// Things to see to beside a decision that can be carried out.
    pub remarks: Vec<Reason>,
    /// The operators' foundings that are known, with those that have not accepted them.
    pub offers: Vec<Offer>,
    /// The agents that operators have called gone for good and that have not answered since, each with the node at which it was said.
    pub vouched: BTreeMap<Gone, NodeId>,
    /// The agent beside each server that holds data of the cluster.
    pub holders: BTreeMap<ServerId, NodeId>,
    /// The agent beside the leader, as far as it has said a word about the server here of late.
    pub admits: Option<NodeId>,
}

impl Status {
    /// Takes `next` as the new state; the index grows if it differs.
    pub fn update(&mut self, next: Self) -> bool {
        let next = Self { index: self.index, ..next };
        let changed = *self != next;
        *self = Self { index: self.index + u64::from(changed), ..next };
        changed
    }

    /// The decision for the server of this id: another one than the server that runs beside this agent has to wait.
    pub fn decision_for(&self, asker: Option<&ServerId>) -> Decision {
        match (asker, &self.server) {
            (Some(asker), Some(running)) if running.excludes(asker) => {
                let up = running.report.server_id.clone();
                Decision::Wait { reasons: vec![Reason::AnotherServer { up }] }
            }
            _ => self.decision.clone(),
        }
    }
}

/// The co-located server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its last report on itself.
    pub report: ServerReport,
    /// True if that was recent enough for it to count as running; `None` if it reports itself only once.
    pub up: Option<bool>,
}

impl Server {
    /// True if another server than this one may not be started, because this one runs.
    pub fn excludes(&self, other: &ServerId) -> bool {
        self.up == Some(true) && self.report.server_id != *other
    }
}
