//! Everything that the hosts have shown to their readers, from the beginning of the world.

use std::time::Duration;

use chronik_agent::{gossip::Event, membership::MemberStatus};

use super::Node;

/// One change of a member's status in the list of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Time since the beginning of the world.
    pub(crate) at: Duration,
    /// The host with the list.
    pub(crate) observer: Node,
    /// The member.
    pub(crate) subject: Node,
    /// Its new status.
    pub(crate) status: MemberStatus,
}

#[derive(Default)]
pub(crate) struct History {
    pub(crate) changes: Vec<Change>,
    /// Keeps the changes to `Failed` alone: 10,000 nodes that join make 100 million changes to `Alive`.
    pub(crate) only_failures: bool,
    /// Events of each host, for the shell around it.
    pub(crate) events: Vec<(Node, Event)>,
    /// Counter of everything that a condition of `World::run_until` can depend on.
    pub(super) version: u64,
}

impl History {
    pub(super) fn add_change(&mut self, change: Change) {
        if !self.only_failures || change.status == MemberStatus::Failed {
            self.changes.push(change);
        }
    }

    pub(super) fn add_event(&mut self, node: Node, event: Event) {
        self.events.push((node, event));
        self.version += 1;
    }

    /// Changes to `Failed`.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.status == MemberStatus::Failed)
    }
}
