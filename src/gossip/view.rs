//! The membership as readers see it, computed from the engine's members, their metadata and who said goodbye.

use std::{collections::BTreeMap, time::Instant};

use foca::State;

use super::{Gossip, Peer, Phase, metadata::Stamp, timers::Tick};
use crate::{
    membership::{Member, MemberStatus},
    node::{Endpoints, NodeId, Role, Tags},
};

/// What a member's entry was made from; while that is the same, so is the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    status: MemberStatus,
    peer: Peer,
    stamp: Option<Stamp>,
    degraded: bool,
}

impl Gossip {
    /// Computes the membership again where something may have changed. Only entries that differ are made anew: this
    /// runs after every datagram that carries news.
    pub(super) fn refresh_view(&mut self, now: Instant) {
        self.wake_gossip(now);
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let mut present: BTreeMap<NodeId, Shown> =
            self.present(now).map(|shown| (shown.peer.id, shown)).collect();
        let mut changed = false;
        self.note_trouble(&mut present, now);
        for (id, shown) in &present {
            if self.shown.get(id) != Some(shown) {
                let member = self.describe(shown, now);
                self.membership.members.insert(*id, member);
                changed = true;
            }
        }
        if present.len() < self.membership.members.len() {
            self.membership.members.retain(|id, _| present.contains_key(id));
            changed = true;
        }
        std::mem::swap(&mut self.shown, &mut present);
        self.membership.index += u64::from(changed);
        self.forget_strangers();
    }

    /// Whether taking in `update` can change nothing that is shown: the same life in the same state, or an old word of
    /// a life that is over.
    pub(super) fn shows_already(&self, update: &foca::Member<Peer>) -> bool {
        self.shown.get(&update.id().id).is_some_and(|shown| {
            shown.peer == *update.id()
                && match shown.status {
                    MemberStatus::Alive => update.state() == State::Alive,
                    MemberStatus::Suspect => update.state() == State::Suspect,
                    // Final for a life.
                    MemberStatus::Failed | MemberStatus::Left => true,
                }
        })
    }

    /// This node and the engine's members, as they should be shown.
    fn present(&self, now: Instant) -> impl Iterator<Item = Shown> {
        let myself = match self.phase {
            Phase::Leaving => MemberStatus::Left,
            Phase::Running | Phase::Duplicate => MemberStatus::Alive,
        };
        // The engine lists our own former lives as down.
        let others = self.foca.iter_membership_state().filter(|member| member.id().id != self.me.id);
        let others = others.map(|member| (*member.id(), self.status_of(member)));
        [(self.me, myself)].into_iter().chain(others).map(move |(peer, status)| Shown {
            status,
            peer,
            stamp: self.records.get(&peer.id).map(|record| record.stamp),
            degraded: self.trouble.degraded_until(peer.id).is_some_and(|until| now < until),
        })
    }

    /// Who is in trouble again, and from when on no more.
    fn note_trouble(&mut self, present: &mut BTreeMap<NodeId, Shown>, now: Instant) {
        for (id, shown) in present {
            let Some(before) = self.shown.get(id).filter(|before| before.status != shown.status) else {
                continue;
            };
            let same_start = before.peer.epoch == shown.peer.epoch;
            if same_start
                && self.trouble.note(*id, before.status, shown.status, now)
                && let Some(until) = self.trouble.degraded_until(*id)
            {
                shown.degraded = true;
                self.timers.schedule(until, Tick::Refresh);
            }
        }
    }

    fn status_of(&self, member: &foca::Member<Peer>) -> MemberStatus {
        match member.state() {
            State::Alive => MemberStatus::Alive,
            State::Suspect => MemberStatus::Suspect,
            State::Down if self.has_left(member.id()) => MemberStatus::Left,
            State::Down => MemberStatus::Failed,
        }
    }

    fn describe(&self, shown: &Shown, now: Instant) -> Member {
        let Shown { status, peer, .. } = *shown;
        let known = self.membership.members.get(&peer.id);
        let unchanged = known.filter(|known| known.status == status && known.epoch == peer.epoch);
        let metadata = self.records.get(&peer.id).map(|record| &record.metadata);
        let way = self.probing.ways.get(&peer.id).copied().unwrap_or_default();
        let unnamed = || peer.id.to_string().parse().expect("a node id is a valid name");
        Member {
            id: peer.id,
            name: metadata.map_or_else(unnamed, |metadata| metadata.name.clone()),
            addr: peer.addr,
            status,
            role: metadata.map_or(Role::Observer, |metadata| metadata.role),
            tags: metadata.map_or_else(Tags::new, |metadata| metadata.tags.clone()),
            endpoints: metadata.map_or_else(Endpoints::new, |metadata| metadata.endpoints.clone()),
            expect: metadata.and_then(|metadata| metadata.expect),
            founding: metadata.map(|metadata| metadata.founding).unwrap_or_default(),
            epoch: peer.epoch,
            since: unchanged.map_or(now, |known| known.since),
            last_heard: self.heard.get(&peer.id).map(|heard| heard.at),
            degraded: shown.degraded,
            rtt: way.rtt,
            reach: way.reach,
            coordinate: self.coordinate_of(&peer.id),
        }
    }

    /// When and how each member was last heard from, for a membership that is otherwise unchanged.
    pub fn refresh_contact(&mut self) {
        let mut members = std::mem::take(&mut self.membership.members);
        for (id, member) in &mut members {
            let way = self.probing.ways.get(id).copied().unwrap_or_default();
            member.last_heard = self.heard.get(id).map(|heard| heard.at);
            (member.rtt, member.reach) = (way.rtt, way.reach);
            member.coordinate = self.coordinate_of(id);
        }
        self.membership.members = members;
    }

    /// Drops what is kept about nodes that the engine has forgotten, so that it cannot grow for ever.
    fn forget_strangers(&mut self) {
        let members = &self.membership.members;
        self.heard.retain(|id, _| members.contains_key(id));
        self.probing.retain(|id| members.contains_key(id));
        self.coordinates.retain(|id| members.contains_key(id));
        self.suspicions.retain(|id| members.contains_key(id));
        self.trouble.retain(|id| members.contains_key(id));
        // Metadata and goodbyes may arrive before the member itself does; they go once they are many.
        let bound = 2 * members.len() + 64;
        if self.records.len() > bound {
            self.records.retain(|id, _| members.contains_key(id));
        }
        if self.left.len() > bound {
            self.left.retain(|id, _| members.contains_key(id));
        }
    }
}
