//! The membership as readers see it: the engine's members, who said goodbye, and who is in trouble. Kept up entry by
//! entry, since to compute that of a large cluster anew for each piece of news would be the most of all work; described
//! with metadata and contact only where somebody reads it.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use foca::State;
use litemap::LiteMap;

use super::{
    Gossip, Metadata, Peer, Phase,
    sync::{self, EntryHash},
    timers::Tick,
};
use crate::{
    membership::{Member, MemberStatus, Membership},
    node::NodeId,
};

/// One entry of the view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    peer: Peer,
    status: MemberStatus,
    degraded: bool,
    /// When the status last changed.
    since: Instant,
    /// Of the entry and its metadata.
    hash: EntryHash,
}

impl Known {
    /// One that has just been heard of.
    fn new(peer: Peer, status: MemberStatus, since: Instant) -> Self {
        Self { peer, status, degraded: false, since, hash: 0 }
    }
}

/// What may have to be shown differently.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Whose entries.
    about: BTreeSet<NodeId>,
    /// The engine has been replaced.
    all: bool,
}

impl News {
    /// Something may have happened to a member.
    pub(super) fn of(&mut self, id: NodeId) {
        self.about.insert(id);
    }

    /// Something may have happened to anybody.
    pub(super) fn of_all(&mut self) {
        self.all = true;
    }
}

impl Gossip {
    /// Brings the view up to date.
    pub(super) fn refresh_view(&mut self, now: Instant) {
        self.wake_gossip(now);
        let News { about, all } = std::mem::take(&mut self.news);
        if all {
            self.look_over(now);
        } else if !about.is_empty() {
            self.look_at(&about.into_iter().collect::<Vec<_>>(), now);
        } else {
            return;
        }
        self.bound_hearsay();
    }

    /// Compares the whole view with the engine; says how many entries differed.
    pub(super) fn look_over(&mut self, now: Instant) -> usize {
        let mut present = BTreeSet::from([self.me.id]);
        let mut shown: Vec<_> =
            self.foca.iter_membership_state().map(|member| (*member.id(), self.status_of(member))).collect();
        // The engine lists our own former lives as down.
        shown.retain(|(peer, _)| present.insert(peer.id));
        shown.push((self.me, self.own_status()));
        let mut differ = self.show_all(&shown, now);
        let gone: Vec<_> = self.known.keys().filter(|id| !present.contains(id)).copied().collect();
        differ += gone.len();
        self.forget(&gone);
        differ
    }

    /// Looks at these members only; `ids` are sorted.
    fn look_at(&mut self, ids: &[NodeId], now: Instant) {
        // A datagram brings news of one or two, for which this is half the work of a search.
        let among =
            |id: &NodeId| if ids.len() <= 4 { ids.contains(id) } else { ids.binary_search(id).is_ok() };
        let mut shown: Vec<_> = self
            .foca
            .iter_membership_state()
            .filter(|member| among(&member.id().id))
            .map(|member| (*member.id(), self.status_of(member)))
            .collect();
        let gone = |id: &NodeId| *id != self.me.id && !shown.iter().any(|(peer, _)| peer.id == *id);
        // Each of many is looked for in a list only where somebody was taken out, which happens to few at a time.
        let gone: Vec<_> = if shown.len() == ids.len() {
            Vec::new()
        } else {
            ids.iter().filter(|id| self.known.contains_key(id) && gone(id)).copied().collect()
        };
        shown.retain(|(peer, _)| peer.id != self.me.id);
        if among(&self.me.id) {
            shown.push((self.me, self.own_status()));
        }
        self.show_all(&shown, now);
        self.forget(&gone);
    }

    /// Shows members in these statuses; says how many were shown in other ones, or in other lives.
    fn show_all(&mut self, shown: &[(Peer, MemberStatus)], now: Instant) -> usize {
        // Those who are new come in together: to make room for each would move half of all others every time.
        let new: Vec<_> = shown.iter().filter(|(peer, _)| !self.known.contains_key(&peer.id)).collect();
        self.known.extend(new.iter().map(|(peer, status)| (peer.id, Known::new(*peer, *status, now))));
        new.iter().for_each(|(peer, _)| self.changed(peer.id));
        new.len() + shown.iter().filter(|(peer, status)| self.show(*peer, *status, now)).count()
    }

    /// Shows a known member in this status; says whether it was shown in another one, or in another life.
    fn show(&mut self, peer: Peer, status: MemberStatus, now: Instant) -> bool {
        let Some(before) = self.known.get(&peer.id).copied() else { return false };
        let same_start = before.peer.epoch() == peer.epoch();
        if before.status != status && same_start {
            self.note_trouble(&before, status, now);
        }
        let degraded = self.trouble.degraded_until(peer.id).is_some_and(|until| now < until);
        let same_story = before.status == status && same_start;
        if same_story && before.peer == peer && before.degraded == degraded {
            return false;
        }
        let since = if same_story { before.since } else { now };
        self.known.insert(peer.id, Known { peer, status, degraded, since, hash: before.hash });
        self.changed(peer.id);
        // The end of a degradation is no news, and may be due at this very moment.
        !same_story || before.peer != peer
    }

    /// Remembers that a member comes and goes.
    fn note_trouble(&mut self, before: &Known, status: MemberStatus, now: Instant) {
        let id = before.peer.id;
        let refuted = (before.status, status) == (MemberStatus::Suspect, MemberStatus::Alive);
        let late = refuted && now.duration_since(before.since) > self.timing.suspicion(self.known.len());
        if late {
            self.trouble.note_late(id, now);
        }
        if (self.trouble.note(id, before.status, status, now) || late)
            && let Some(until) = self.trouble.degraded_until(id)
        {
            self.timers.schedule(until, Tick::Refresh(id));
        }
    }

    /// A reader would see a member differently now.
    pub(super) fn changed(&mut self, id: NodeId) {
        self.changes.insert(id);
        self.index += 1;
        let stamp = self.records.get(&id).map(|record| record.stamp);
        if let Some(known) = self.known.get_mut(&id) {
            let hash = sync::entry_hash(&known.peer, known.status.is_active(), stamp);
            self.digest ^= std::mem::replace(&mut known.hash, hash) ^ hash;
        }
    }

    /// The hashes of all entries.
    pub(super) fn hashes(&self) -> impl Iterator<Item = (NodeId, EntryHash)> {
        self.known.iter().map(|(id, known)| (*id, known.hash))
    }

    /// Drops what is kept about nodes that the engine has forgotten, so that it cannot grow for ever.
    fn forget(&mut self, gone: &[NodeId]) {
        if gone.is_empty() {
            return;
        }
        for id in gone {
            self.digest ^= self.known.remove(id).map_or(0, |known| known.hash);
            self.changed(*id);
        }
        let known = &self.known;
        self.heard.retain(|id, _| known.contains_key(id));
        self.probing.retain(|id| known.contains_key(id));
        self.coordinates.retain(|id| known.contains_key(id));
        self.suspicions.retain(|id| known.contains_key(id));
        self.trouble.retain(|id| known.contains_key(id));
        self.bound_hearsay();
    }

    /// Metadata and goodbyes may arrive before the member itself does; those of strangers go once they are many.
    pub(super) fn bound_hearsay(&mut self) {
        let known = &self.known;
        let bound = 2 * known.len() + 64;
        if self.records.len() > bound {
            self.records.retain(|id, _| known.contains_key(id));
        }
        if self.left.len() > bound {
            self.left.retain(|id, _| known.contains_key(id));
        }
    }

    /// Whether taking in `update` can change nothing that is shown: the same life in the same state, or an old word of
    /// a life that is over.
    pub(super) fn shows_already(&self, update: &foca::Member<Peer>) -> bool {
        self.known.get(&update.id().id).is_some_and(|known| {
            known.peer == *update.id()
                && match known.status {
                    MemberStatus::Alive => update.state() == State::Alive,
                    MemberStatus::Suspect => update.state() == State::Suspect,
                    // Final for a life.
                    MemberStatus::Failed | MemberStatus::Left => true,
                }
        })
    }

    fn own_status(&self) -> MemberStatus {
        match self.phase {
            Phase::Leaving => MemberStatus::Left,
            Phase::Running | Phase::Duplicate => MemberStatus::Alive,
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

    /// The next member whose entry has changed, been added or been taken out since this was last asked.
    pub fn poll_change(&mut self) -> Option<NodeId> {
        self.changes.pop_first()
    }

    /// Grows with every change of an entry.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How a member is shown; `None` for a stranger.
    pub fn status(&self, id: NodeId) -> Option<MemberStatus> {
        self.known.get(&id).map(|known| known.status)
    }

    /// How all are shown, this node among them, by id.
    pub fn statuses(&self) -> impl Iterator<Item = MemberStatus> {
        self.known.values().map(|known| known.status)
    }

    /// What a node says of itself, where that has arrived.
    pub fn metadata(&self, id: NodeId) -> Option<&Arc<Metadata>> {
        self.records.get(&id).map(|record| &record.metadata)
    }

    /// A member's entry; `None` for a stranger.
    pub fn member(&self, id: NodeId) -> Option<Member> {
        self.known.get(&id).map(|known| self.describe(known))
    }

    /// All of them.
    pub fn membership(&self) -> Membership {
        let members = self.known.iter().map(|(id, known)| (*id, self.describe(known)));
        Membership { index: self.index, members: members.collect() }
    }

    fn describe(&self, known: &Known) -> Member {
        let Known { peer, status, degraded, since, hash: _ } = *known;
        let metadata = self.metadata(peer.id).cloned();
        let mut member = Member {
            id: peer.id,
            addr: peer.addr(),
            status,
            metadata: metadata.unwrap_or_else(|| Metadata::nameless(peer.id).into()),
            epoch: peer.epoch(),
            since,
            last_heard: None,
            degraded,
            rtt: None,
            reach: None,
            coordinate: None,
        };
        self.refresh_contact(&mut member);
        member
    }

    /// When and how a member was last heard from, for an entry that is otherwise unchanged.
    pub fn refresh_contact(&self, member: &mut Member) {
        let way = self.probing.ways.get(&member.id).copied().unwrap_or_default();
        member.last_heard = self.heard.get(&member.id).map(|heard| heard.at);
        (member.rtt, member.reach) = (way.rtt, way.reach);
        member.coordinate = self.coordinate_of(&member.id);
    }
}

/// How each member is shown.
pub(super) type View = LiteMap<NodeId, Known>;
