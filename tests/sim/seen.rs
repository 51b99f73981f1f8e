//! Questions to the hosts: their picture of each other, and what they agree on.

use std::cell::Cell;

use chronik_agent::{
    gossip::{Gossip, Peer},
    membership::{Member, MemberStatus},
    node::NodeId,
};

use super::{Node, World, history::Change, process::Process};

impl World {
    /// Adds to the history what has changed in the list that the readers of `node` see.
    pub(super) fn note_changes(&mut self, node: Node) {
        let at = self.now.duration_since(self.start);
        let host = &mut self.hosts[node];
        if let Some(bare) = host.process.as_mut().and_then(Process::bare_mut) {
            for (addr, status) in bare.changes.drain(..) {
                let change = Change { at, observer: node, subject: self.by_addr[&addr], status };
                self.history.add_change(change);
                self.history.version += 1;
            }
            return;
        }
        let process = host.process.as_mut().unwrap();
        if process.gossip().index() == host.seen_index {
            return;
        }
        host.seen_index = process.gossip().index();
        assert_eq!(process.gossip().counters().overlooked, 0, "n{node} showed a member wrongly");
        self.history.version += 1;
        let now = self.now;
        for member in process.poll_changed().into_iter().filter(|member| member.since == now) {
            let subject = self.by_addr[&member.addr];
            self.history.add_change(Change { at, observer: node, subject, status: member.status });
        }
    }

    pub(crate) fn gossip(&self, node: Node) -> &Gossip {
        self.hosts[node].process.as_ref().unwrap().gossip()
    }

    pub(crate) fn id(&self, node: Node) -> NodeId {
        self.hosts[node].disk.as_ref().unwrap().founding.node_id()
    }

    /// The identity of a node before it has renewed itself.
    pub(super) fn peer(&self, node: Node) -> Peer {
        let epoch = self.hosts[node].disk.as_ref().unwrap().epoch;
        Peer::new(self.id(node), self.hosts[node].addr, epoch, 0)
    }

    pub(crate) fn status(&self, observer: Node, subject: Node) -> Option<MemberStatus> {
        if let Some(bare) = self.hosts[observer].process.as_ref().and_then(Process::bare) {
            return bare.status(self.id(subject));
        }
        self.gossip(observer).status(self.id(subject))
    }

    /// The entry of `subject` in the list of `observer`.
    pub(crate) fn member(&self, observer: Node, subject: Node) -> Option<Member> {
        self.gossip(observer).member(self.id(subject))
    }

    /// True if `observer` has the metadata of `subject`.
    fn has_name(&self, observer: Node, subject: Node) -> bool {
        let metadata = self.gossip(observer).metadata(self.id(subject));
        metadata.is_some_and(|metadata| metadata.name.as_str() == self.hosts[subject].name)
    }

    /// True if each of `nodes` lists exactly `nodes` as alive, with their metadata.
    pub(crate) fn all_agree(&self, nodes: &[Node]) -> bool {
        nodes.iter().all(|observer| {
            let alive = self.gossip(*observer).statuses().filter(|status| *status == MemberStatus::Alive);
            alive.count() == nodes.len() && nodes.iter().all(|subject| self.has_name(*observer, *subject))
        })
    }

    /// True if each of `nodes` lists all of them, with their metadata, as alive or at worst suspected.
    pub(crate) fn all_know_each_other(&self, nodes: &[Node]) -> bool {
        nodes.iter().all(|observer| self.knows_all(*observer, nodes))
    }

    fn knows_all(&self, observer: Node, nodes: &[Node]) -> bool {
        let gossip = self.gossip(observer);
        gossip.statuses().count() >= nodes.len()
            && nodes.iter().all(|subject| {
                let status = self.status(observer, *subject);
                status.is_some_and(MemberStatus::is_active) && self.has_name(observer, *subject)
            })
    }

    /// True if each of `observers` gives `subject` this status.
    pub(crate) fn all_say(&self, observers: &[Node], subject: Node, status: MemberStatus) -> bool {
        observers.iter().all(|observer| self.status(*observer, subject) == Some(status))
    }
}

/// [`World::all_know_each_other`] as a condition that is checked again and again: each check begins at the node at which
/// the last one ended, and the condition holds only after all nodes in one go.
pub(crate) fn come_to_know_each_other(nodes: &[Node]) -> impl Fn(&World) -> bool {
    let doubtful = Cell::new(0);
    move |world| {
        let from_here = nodes[doubtful.get()..].iter();
        doubtful.set(doubtful.get() + from_here.take_while(|node| world.knows_all(**node, nodes)).count());
        if doubtful.get() < nodes.len() {
            return false;
        }
        doubtful.set(0);
        world.all_know_each_other(nodes)
    }
}
