//! The members' addresses in the state directory, for the next start.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{membership::Membership, node::NodeId, state_dir::StateDir};

/// Shortest interval between two writes of the members' addresses.
const INTERVAL: Duration = Duration::from_secs(10);

/// The addresses that were written last, and the write under way.
pub(super) struct KeptPeers {
    state: Arc<StateDir>,
    peers: Vec<SocketAddr>,
    next_at: Instant,
    writes: JoinSet<()>,
}

impl KeptPeers {
    pub(super) fn new(state: Arc<StateDir>, now: Instant) -> Self {
        Self { state, peers: Vec::new(), next_at: now, writes: JoinSet::new() }
    }

    /// Has the addresses of the members other than `me` written if they have changed; in another thread, for a disk may
    /// be slow. A node that is alone keeps the addresses of those it knew.
    pub(super) fn keep(&mut self, membership: &Membership, me: NodeId, now: Instant) {
        self.reap();
        if now < self.next_at || !self.writes.is_empty() {
            return;
        }
        let others = membership.active().filter(|member| member.id != me);
        let peers: Vec<_> = others.map(|member| member.addr).collect();
        if peers.is_empty() || peers == self.peers {
            return;
        }
        self.peers.clone_from(&peers);
        self.next_at = now + INTERVAL;
        let state = self.state.clone();
        self.writes.spawn_blocking(move || {
            if let Err(error) = state.keep_peers(&peers) {
                tracing::warn!(%error, "the members' addresses are not kept");
            }
        });
    }

    /// Waits for the write under way, which is short.
    pub(super) async fn finish(&mut self) {
        while self.writes.join_next().await.is_some() {}
    }

    fn reap(&mut self) {
        while self.writes.try_join_next().is_some() {}
    }
}
