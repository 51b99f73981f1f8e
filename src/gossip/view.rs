//! The membership as readers see it, computed from the engine's members, their metadata and who said goodbye.

use std::{collections::BTreeMap, time::Instant};

use foca::State;

use super::{Gossip, Peer, Phase};
use crate::{
    membership::{Member, MemberStatus},
    node::{Endpoints, NodeId, Role, Tags},
};

impl Gossip {
    /// Computes the membership again where something may have changed.
    pub(super) fn refresh_view(&mut self, now: Instant) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let myself = if self.phase == Phase::Leaving {
            MemberStatus::Left
        } else {
            MemberStatus::Alive
        };
        let mut members = BTreeMap::from([(self.me.id, self.describe(&self.me, myself, now))]);
        for member in self.foca.iter_membership_state() {
            let peer = member.id();
            // The engine lists our own former lives as down.
            if peer.id == self.me.id {
                continue;
            }
            let status = match member.state() {
                State::Alive => MemberStatus::Alive,
                State::Suspect => MemberStatus::Suspect,
                State::Down if self.has_left(peer) => MemberStatus::Left,
                State::Down => MemberStatus::Failed,
            };
            members.insert(peer.id, self.describe(peer, status, now));
        }
        self.forget_strangers(&members);
        self.membership.update(members);
    }

    fn describe(&self, peer: &Peer, status: MemberStatus, now: Instant) -> Member {
        let known = self.membership.members.get(&peer.id);
        let unchanged = known.filter(|known| known.status == status && known.epoch == peer.epoch);
        let metadata = self.records.get(&peer.id).map(|record| &record.metadata);
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
            epoch: peer.epoch,
            since: unchanged.map_or(now, |known| known.since),
            last_heard: self.heard.get(&peer.id).map(|heard| heard.at),
        }
    }

    /// When each member was last heard from, for a membership that is otherwise unchanged.
    pub fn refresh_last_heard(&mut self) {
        for (id, member) in &mut self.membership.members {
            member.last_heard = self.heard.get(id).map(|heard| heard.at);
        }
    }

    /// Drops what is kept about nodes that the engine has forgotten, so that it cannot grow for ever.
    fn forget_strangers(&mut self, members: &BTreeMap<NodeId, Member>) {
        self.heard.retain(|id, _| members.contains_key(id));
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
