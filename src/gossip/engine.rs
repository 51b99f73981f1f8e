//! The SWIM engine at work: one call at a time, and everything it produced taken in before the next.

use std::time::{Duration, Instant};

use foca::{AccumulatingRuntime, Foca, OwnedNotification, Timer};
use rand::rngs::StdRng;

use super::{
    Gossip, Peer,
    codec::SwimCodec,
    rumours::{self, Rumours},
    timers::Tick,
};
use crate::wire::Kind;

impl Gossip {
    /// Runs one call of the engine and takes in everything it produced.
    pub(super) fn engine(
        &mut self,
        now: Instant,
        call: impl FnOnce(
            &mut Foca<Peer, SwimCodec, StdRng, Rumours>,
            &mut AccumulatingRuntime<Peer>,
        ) -> Result<(), foca::Error>,
    ) {
        if let Err(error) = call(&mut self.foca, &mut self.runtime) {
            tracing::trace!(%error, "the engine refused");
            self.counters.refused += 1;
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            if let Timer::ProbeRandomMember(token) = timer {
                self.token = token;
            }
            self.timers.schedule(now + after, Tick::Swim(timer));
        }
        while let Some((peer, payload)) = self.runtime.to_send() {
            self.transmit(peer.addr, Kind::Swim, &payload);
        }
        while let Some(notification) = self.runtime.to_notify() {
            self.dirty = true;
            self.notice(notification, now);
        }
        while let Ok(rumour) = self.pending_rumours.try_recv() {
            self.hear(rumour, now);
        }
        self.fit_engine();
    }

    /// What the engine wants known. The membership is never built from this, for it is not all that happens.
    fn notice(&mut self, notification: OwnedNotification<Peer>, now: Instant) {
        match notification {
            OwnedNotification::MemberUp(peer) | OwnedNotification::Rename(_, peer) => {
                if !self.records.contains_key(&peer.id) {
                    self.after(now, Duration::from_millis(500), Tick::AskMetadata(peer.id));
                }
            }
            OwnedNotification::Idle => self.timers.schedule(now, Tick::JoinRound),
            OwnedNotification::Rejoin(me) => {
                self.me = me;
                self.counters.renewals += 1;
                self.renewals.push_back(now);
                tracing::info!(bump = me.bump, "others took this node for failed; it has renewed itself");
            }
            OwnedNotification::MemberDown(_) | OwnedNotification::Active | OwnedNotification::Defunct => {}
        }
    }

    /// Fits the constants that depend on the cluster's size, once that has changed by a fifth.
    fn fit_engine(&mut self) {
        let size = self.foca.num_members() + 1;
        if size.abs_diff(self.configured_size) * 5 > self.configured_size {
            self.configured_size = size;
            if let Err(error) = self.foca.set_config(self.timing.engine(size)) {
                tracing::debug!(%error, size, "the engine keeps its constants");
            }
        }
    }

    /// Has the engine pass `rumour` on.
    pub(super) fn tell(&mut self, rumour: &[u8]) {
        if let Err(error) = self.foca.add_broadcast(rumour) {
            tracing::debug!(%error, "rumour not told");
        }
    }

    /// Has everybody told the metadata of `owner`.
    pub(super) fn tell_metadata(&mut self, owner: &Peer) {
        if let Some(record) = self.records.get(&owner.id) {
            let rumour = rumours::metadata_rumour(owner, record);
            self.tell(&rumour);
        }
    }
}
