//! The SWIM engine at work: one call at a time, and everything it produced taken in before the next.

use std::time::{Duration, Instant};

use bytes::BufMut as _;
use foca::{AccumulatingRuntime, Codec as _, Foca, Header, Member, Message, OwnedNotification, Timer};
use rand::rngs::StdRng;

use super::{
    Gossip, Peer,
    codec::SwimCodec,
    rumours::{self, Rumours},
    suspicion::Evidence,
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
            self.take_timer(timer, after, now);
        }
        while let Some((peer, payload)) = self.runtime.to_send() {
            self.note_sent(&peer, &payload, now);
            let payload = self.with_coordinate(&peer, &payload);
            self.transmit(peer.addr(), Kind::Swim, &payload);
        }
        while let Some(notification) = self.runtime.to_notify() {
            self.notice(notification, now);
        }
        while let Ok(rumour) = self.pending_rumours.try_recv() {
            self.hear(rumour, now);
        }
        self.fit_engine();
        self.note_crowd(now);
        if std::mem::take(&mut self.rejoined) {
            // It was cut off or paused when it last judged the others.
            self.begin_anew(self.me, std::iter::empty(), now);
        }
    }

    /// Every timer of the engine passes here: probes are paced by this node's health, suspicions judged by our rules,
    /// and gossip rests while there is nothing to tell.
    fn take_timer(&mut self, timer: Timer<Peer>, after: Duration, now: Instant) {
        if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer {
            return self.suspect(member_id, incarnation, Evidence::Silent, true, now);
        }
        if let Timer::ProbeRandomMember(token) = timer {
            self.token = token;
        }
        if let Timer::PeriodicGossip(_) = timer {
            self.resting = self.has_nothing_to_tell().then(|| timer.clone());
            if self.resting.is_some() {
                return;
            }
        }
        let after = self.pace(after, &timer);
        self.timers.schedule(now + after, Tick::Swim(timer));
    }

    fn has_nothing_to_tell(&self) -> bool {
        self.backlog() == (0, 0)
    }

    /// Sets gossip going again once there is something to tell.
    pub(super) fn wake_gossip(&mut self, now: Instant) {
        if self.resting.is_some() && !self.has_nothing_to_tell() {
            let wait = self.spread(self.timing.gossip_period);
            if let Some(timer) = self.resting.take() {
                self.timers.schedule(now + wait, Tick::Swim(timer));
            }
        }
    }

    /// Learns from what the engine sends what it does not tell: probes, and its own incarnation.
    fn note_sent(&mut self, to: &Peer, message: &[u8], now: Instant) {
        let Ok(header) = SwimCodec.decode_header(message) else { return };
        if header.src == self.incarnation.0 && header.src_incarnation > self.incarnation.1 {
            // It had to refute a suspicion.
            self.health.worse(1);
        }
        self.incarnation = (header.src, header.src_incarnation);
        self.probing.note_sent(&header, to, message, now);
    }

    /// A message as the engine writes it, for what the engine does not do: `updates` about members and `items` beside
    /// them, all of which fit one datagram.
    pub(super) fn swim_message(
        &self,
        to: &Peer,
        message: Message<Peer>,
        updates: &[Member<Peer>],
        items: &[Vec<u8>],
    ) -> Vec<u8> {
        let src_incarnation = if self.incarnation.0 == self.me { self.incarnation.1 } else { 0 };
        let header = Header { src: self.me, src_incarnation, dst: *to, message };
        let mut out = Vec::new();
        SwimCodec.encode_header(&header, &mut out).expect("a vector has room");
        out.put_u16(u16::try_from(updates.len()).unwrap_or(0));
        for update in updates {
            SwimCodec.encode_member(update, &mut out).expect("a vector has room");
        }
        for item in items {
            out.put_u16(u16::try_from(item.len()).unwrap_or(0));
            out.put_slice(item);
        }
        out
    }

    /// What the engine wants known. The membership is never built from this, for it is not all that happens.
    fn notice(&mut self, notification: OwnedNotification<Peer>, now: Instant) {
        match notification {
            OwnedNotification::MemberUp(peer) | OwnedNotification::Rename(_, peer) => {
                self.news.of(peer.id);
                if !self.records.contains_key(&peer.id) {
                    self.ask_metadata_soon(now);
                }
            }
            OwnedNotification::Idle => {
                if self.contacts.may_plan() {
                    self.timers.schedule(now, Tick::JoinRound);
                }
            }
            OwnedNotification::Rejoin(me) => {
                self.me = me;
                self.news.of(me.id);
                self.rejoined = true;
                self.counters.renewals += 1;
                tracing::info!(bump = me.bump(), "others took this node for failed; it has renewed itself");
            }
            OwnedNotification::MemberDown(peer) => self.news.of(peer.id),
            OwnedNotification::Active | OwnedNotification::Defunct => {}
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
