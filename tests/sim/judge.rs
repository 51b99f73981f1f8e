//! A judge over every run: two foundings, a founding that changes and a record that goes back must never happen.

use std::collections::{BTreeMap, BTreeSet};

use chronik_agent::{
    bootstrap::{ClusterId, Decision, Founder, FoundingRecord, NodeRecord, Reason},
    node::NodeId,
};

/// Watches every decision that is shown and every record that is written.
#[derive(Default)]
pub(crate) struct Judge {
    /// Every cluster of which any server was told.
    pub(crate) clusters: BTreeSet<ClusterId>,
    /// The founders with which a server was told to found.
    told: BTreeMap<(NodeId, ClusterId), Vec<Founder>>,
    /// Servers that were told of a cluster; that is never taken back.
    decided: BTreeSet<NodeId>,
    /// Sentences about what happened and must not.
    pub(crate) violations: Vec<String>,
}

impl Judge {
    pub(super) fn check_decision(&mut self, who: NodeId, decision: &Decision) {
        match decision {
            Decision::Wait { reasons } => {
                let taken_back =
                    !reasons.iter().any(|reason| matches!(reason, Reason::ServerStateLost { .. }));
                if taken_back && self.decided.contains(&who) {
                    self.violations.push(format!("{who} forgot what it was told"));
                }
                return;
            }
            Decision::Conflict(conflict) => self.clusters.extend(&conflict.clusters),
            Decision::Bootstrap(group) | Decision::Resume(group) | Decision::Join(group) => {
                self.clusters.insert(group.cluster_id);
            }
        }
        self.decided.insert(who);
        if self.clusters.len() > 1 {
            self.violations.push(format!("two foundings: {:?}", self.clusters));
        }
        if let Decision::Bootstrap(group) = decision {
            let told = self.told.entry((who, group.cluster_id)).or_insert_with(|| group.founders.clone());
            if *told != group.founders {
                self.violations.push(format!("the founders that {who} was told have changed"));
            }
        }
    }

    pub(super) fn check_record(&mut self, before: &NodeRecord, after: &NodeRecord) {
        let (was, is) = (&before.founding, &after.founding);
        let knows = |id| is.knowledge.foundings.contains_key(id);
        let own =
            |record: &FoundingRecord| record.knowledge.reports.get(&record.node_id()).map(|own| own.number);
        let went_back = [
            ("its epoch", before.epoch > after.epoch),
            ("its id", was.node_id() != is.node_id()),
            ("its promise", was.promised > is.promised),
            (
                "what it accepted",
                was.accepted.as_ref().map(|accepted| accepted.ballot)
                    > is.accepted.as_ref().map(|accepted| accepted.ballot),
            ),
            ("a founding", !was.knowledge.foundings.keys().all(knows)),
            ("what it reported", own(was) > own(is)),
            (
                "who has retired",
                !was.knowledge.retired.keys().all(|id| is.knowledge.retired.contains_key(id)),
            ),
            ("what it told its server", was.notes.is_some() && is.notes.is_none()),
        ];
        for (what, _) in went_back.into_iter().filter(|(_, went_back)| *went_back) {
            self.violations.push(format!("{} forgot {what}", was.node_id()));
        }
    }
}
