//! What the core shows: the snapshot for readers, the log for operators, the members' addresses for the next start.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::core::Core;
use crate::{
    bootstrap::{Decision, Reason},
    snapshot::Snapshot,
};

/// How often a snapshot is published though nothing has changed, so that `last_heard` stays true.
const REFRESH: Duration = Duration::from_secs(1);
/// How often at most the members' addresses are written to the state directory.
const KEEP_PEERS_EVERY: Duration = Duration::from_secs(10);

impl Core {
    /// Publishes a snapshot where there is something new to see, or a second has passed.
    pub(super) fn publish(&mut self, now: Instant) {
        let changed = self.membership.index != self.machine.membership().index;
        let founding = self.founding.index != self.machine.founding().index;
        let quorum = self.quorum.index != self.machine.quorum().index;
        if !changed && !founding && !quorum && now < self.refresh_at {
            return;
        }
        self.refresh_at = now + REFRESH;
        // A new start is no end: the service manager would kill what comes after it.
        self.service_manager.tell(self.leave_by.is_some() && !self.saving.starts_over());
        self.machine.refresh_contact();
        if changed {
            self.note_changes();
        }
        self.membership = Arc::new(self.machine.membership().clone());
        if quorum {
            self.quorum = Arc::new(self.machine.quorum().clone());
        }
        if founding {
            let before = std::mem::replace(&mut self.founding, Arc::new(self.machine.founding().clone()));
            self.note_decision(&before.decision);
        }
        let snapshot = Snapshot {
            about: self.about.clone(),
            membership: self.membership.clone(),
            quorum: self.quorum.clone(),
            founding: self.founding.clone(),
            discovery: self.discovery.clone(),
            counters: self.machine.counters(),
            encryption: self.machine.secrecy(),
            joined: self.machine.gossip().joined(),
            leaving: self.leave_by.is_some(),
            taken: now,
        };
        // Whoever waits for a change is not woken for a refresh.
        self.snapshots.send_if_modified(|current| {
            let news = current.membership.index != snapshot.membership.index
                || current.quorum.index != snapshot.quorum.index
                || current.founding.index != snapshot.founding.index
                || current.discovery.index != snapshot.discovery.index
                || current.joined != snapshot.joined
                || current.leaving != snapshot.leaving;
            *current = Arc::new(snapshot);
            news
        });
        self.keep_peers(now);
    }

    /// Tells an operator's log what the server is told: once for each kind of reason, not for each count in it.
    fn note_decision(&self, before: &Decision) {
        match &self.founding.decision {
            Decision::Wait { reasons } => {
                let known: Vec<_> = match before {
                    Decision::Wait { reasons } => reasons.iter().map(Reason::code).collect(),
                    Decision::Bootstrap(_)
                    | Decision::Resume(_)
                    | Decision::Join(_)
                    | Decision::Conflict(_) => vec![],
                };
                for reason in reasons.iter().filter(|reason| !known.contains(&reason.code())) {
                    tracing::info!(decision = "wait", code = reason.code(), "{reason}");
                }
            }
            same if same == before => {}
            Decision::Bootstrap(group) => tracing::info!(decision = "bootstrap", cluster = %group.cluster_id),
            Decision::Resume(group) => tracing::info!(decision = "resume", cluster = %group.cluster_id),
            Decision::Join(group) => tracing::info!(decision = "join", cluster = %group.cluster_id),
            Decision::Conflict(conflict) => {
                let clusters = &conflict.clusters;
                tracing::error!(
                    decision = "conflict",
                    ?clusters,
                    "an operator has to say which cluster is meant"
                );
            }
        }
    }

    /// Tells an operator's log what has changed.
    fn note_changes(&self) {
        for (id, member) in &self.machine.membership().members {
            let before = self.membership.members.get(id);
            let (name, addr, status) = (&member.name, member.addr, member.status);
            match before {
                Some(before) if before.status == status && before.epoch == member.epoch => {}
                Some(before) => tracing::info!(%name, %id, %addr, %status, was = %before.status, "member"),
                None => tracing::info!(%name, %id, %addr, %status, "member"),
            }
        }
    }

    /// Has the addresses of the members written down where they have changed; in another thread, for a disk may be slow.
    fn keep_peers(&mut self, now: Instant) {
        if now < self.keep_peers_after || self.leave_by.is_some() || !self.writes.is_empty() {
            return;
        }
        let others = self.membership.active().filter(|member| member.id != self.about.id);
        let peers: Vec<_> = others.map(|member| member.addr).collect();
        // Whoever is alone remembers whom it knew.
        if peers.is_empty() || peers == self.kept_peers {
            return;
        }
        self.kept_peers.clone_from(&peers);
        self.keep_peers_after = now + KEEP_PEERS_EVERY;
        let state = self.state.clone();
        self.writes.spawn_blocking(move || {
            if let Err(error) = state.keep_peers(&peers) {
                tracing::warn!(%error, "the members' addresses are not kept");
            }
        });
    }
}
