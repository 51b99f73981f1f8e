//! Looks at members that others suspect, at their request.

use std::{collections::BTreeMap, time::Instant};

use crate::{gossip::peer::Peer, node::NodeId};

/// Upper bound on members looked at at the same time, and on the nodes that are told of one of them.
const MAX_CHECKS: usize = 64;

/// A look at one member.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) accused: Peer,
    pub(super) since: Instant,
    /// Nodes that asked.
    pub(super) askers: Vec<Peer>,
}

/// Looks under way.
#[derive(Debug, Default)]
pub(super) struct Checks {
    running: BTreeMap<NodeId, Check>,
}

impl Checks {
    /// Begins a look, or adds a node to those that are told of the one under way. Returns whether it began: not if too
    /// many are under way.
    pub(super) fn try_begin(&mut self, accused: Peer, asker: Peer, now: Instant) -> bool {
        if let Some(check) = self.running.get_mut(&accused.id) {
            check.askers.push(asker);
            check.askers.truncate(MAX_CHECKS);
            return false;
        }
        let may = self.running.len() < MAX_CHECKS;
        if may {
            self.running.insert(accused.id, Check { accused, since: now, askers: vec![asker] });
        }
        may
    }

    /// Time at which the look at a member began.
    pub(super) fn since(&self, id: &NodeId) -> Option<Instant> {
        self.running.get(id).map(|check| check.since)
    }

    /// Ends the look at a member.
    pub(super) fn end(&mut self, id: &NodeId) -> Option<Check> {
        self.running.remove(id)
    }

    /// Forgets members that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.running.retain(|id, _| known(id));
    }
}
