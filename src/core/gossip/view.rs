//! The membership as readers see it: the engine's members, who said goodbye, and who is in trouble. Kept up entry by
//! entry, since to compute that of a large cluster anew for each piece of news would be the most of all work; described
//! with metadata and contact only where somebody reads it.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use foca::State;
use litemap::LiteMap;

use super::{
    Gossip, Metadata, Peer, Phase,
    peer::Life,
    sync::{self, EntryHash},
};
use crate::{
    membership::{Member, MemberStatus, Membership},
    node::NodeId,
};

/// A member as the engine has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) peer: Peer,
    pub(super) status: MemberStatus,
    pub(super) incarnation: u16,
}

/// One entry of the view, beside its id: of 10,000 members each node holds 10,000.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) life: Life,
    pub(super) status: MemberStatus,
    pub(super) incarnation: u16,
    degraded: bool,
    /// When the status last changed.
    pub(super) since: Instant,
    /// Of the entry and its metadata.
    hash: EntryHash,
}

impl Known {
    /// One that has just been heard of.
    fn new(sight: Sight, since: Instant) -> Self {
        let Sight { peer: Peer { life, .. }, status, incarnation } = sight;
        Self { life, status, incarnation, degraded: false, since, hash: 0 }
    }

    fn sight(&self, id: NodeId) -> Sight {
        let Self { life, status, incarnation, .. } = *self;
        Sight { peer: life.of(id), status, incarnation }
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
        if self.take_in_news(now) {
            self.bound_hearsay();
        }
    }

    /// The same while metadata has come whose owners come next; says whether there was any news.
    pub(super) fn take_in_news(&mut self, now: Instant) -> bool {
        let News { about, all } = std::mem::take(&mut self.news);
        if all {
            self.look_over(now);
        } else if !about.is_empty() {
            self.look_at(&about.iter().copied().collect::<Vec<_>>(), now);
        }
        all || !about.is_empty()
    }

    /// Compares the whole view with the engine; says how many entries differed.
    pub(super) fn look_over(&mut self, now: Instant) -> usize {
        let mut seen = self.see(|_| true);
        seen.push(self.own_sight());
        let mut differ = self.show_all(&seen, now);
        if seen.len() < self.known.len() {
            let present: BTreeSet<_> = seen.iter().map(|sight| sight.peer.id).collect();
            let gone: Vec<_> = self.known.keys().filter(|id| !present.contains(id)).copied().collect();
            differ += gone.len();
            self.forget(&gone);
        }
        differ
    }

    /// Looks at these members only; `ids` are sorted.
    fn look_at(&mut self, ids: &[NodeId], now: Instant) {
        // A datagram brings news of one or two, for which this is half the work of a search.
        let among =
            |id: &NodeId| if ids.len() <= 4 { ids.contains(id) } else { ids.binary_search(id).is_ok() };
        let mut seen = self.see(among);
        if among(&self.me.id) {
            seen.push(self.own_sight());
        }
        self.show_all(&seen, now);
        // Each of many is looked for in a list only where somebody was taken out, which happens to few at a time.
        if seen.len() < ids.len() {
            let gone =
                |id: &&NodeId| self.known.contains_key(id) && !seen.iter().any(|it| it.peer.id == **id);
            self.forget(&ids.iter().filter(gone).copied().collect::<Vec<_>>());
        }
    }

    /// How the engine has the members that are `among` those asked for. Of this node it lists former lives.
    fn see(&self, among: impl Fn(&NodeId) -> bool) -> Vec<Sight> {
        let members = self.foca.iter_membership_state().filter(|member| among(&member.id().id));
        let others = members.filter(|member| member.id().id != self.me.id);
        let sight = |member: &foca::Member<Peer>| Sight {
            peer: *member.id(),
            status: self.status_of(member),
            incarnation: member.incarnation(),
        };
        others.map(sight).collect()
    }

    fn own_sight(&self) -> Sight {
        Sight { peer: self.me, status: self.own_status(), incarnation: 0 }
    }

    /// Shows what was seen; says how many were shown in another status, or in another life.
    fn show_all(&mut self, seen: &[Sight], now: Instant) -> usize {
        let is_new = |sight: &&Sight| !self.known.contains_key(&sight.peer.id);
        let new: Vec<_> = seen.iter().copied().filter(|sight| is_new(&sight)).collect();
        insert_all(&mut self.known, new.iter().map(|sight| (sight.peer.id, Known::new(*sight, now))));
        new.iter().for_each(|sight| self.changed(sight.peer.id));
        new.len() + seen.iter().filter(|sight| self.show(**sight, now)).count()
    }

    /// Shows a known member as it was seen; says whether it was shown in another status, or in another life.
    fn show(&mut self, sight: Sight, now: Instant) -> bool {
        let Sight { peer, status, incarnation } = sight;
        let Some(before) = self.known.get(&peer.id).copied() else { return false };
        let former = before.life.of(peer.id);
        let same_start = former.epoch() == peer.epoch();
        if same_start {
            self.note_trouble(&before, &sight, now);
        }
        let degraded = self.trouble.degraded_until(peer.id, now).is_some();
        let same_story = before.status == status && same_start;
        let same_life = same_story && former == peer;
        if same_life && before.degraded == degraded && before.incarnation == incarnation {
            return false;
        }
        let since = if same_story { before.since } else { now };
        self.known.insert(peer.id, Known { degraded, hash: before.hash, ..Known::new(sight, since) });
        if !same_life || before.degraded != degraded {
            self.changed(peer.id);
        }
        // The end of a degradation is no news, and may be due at this very moment.
        !same_life
    }

    /// A reader would see a member differently now.
    pub(super) fn changed(&mut self, id: NodeId) {
        self.changes.insert(id);
        self.index += 1;
        let stamp = self.records.get(&id).map(|record| record.stamp);
        if let Some(known) = self.known.get_mut(&id) {
            let hash = sync::entry_hash(&known.life.of(id), known.status.is_active(), stamp);
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

    /// Whether `update` says no more than the view does. For each that does the engine would look through all members,
    /// and in a datagram most do.
    pub(super) fn repeats(&self, update: &foca::Member<Peer>) -> bool {
        self.sight_of(&update.id().id).is_some_and(|sight| {
            let same = |state| update.state() == state && update.incarnation() == sight.incarnation;
            sight.peer == *update.id()
                && match sight.status {
                    MemberStatus::Alive => same(State::Alive),
                    MemberStatus::Suspect => same(State::Suspect),
                    // Final for a life.
                    MemberStatus::Failed | MemberStatus::Left => true,
                }
        })
    }

    /// A member as the engine has it, found without a look through all.
    pub(super) fn known_member(&self, id: NodeId) -> Option<foca::Member<Peer>> {
        let Sight { peer, status, incarnation } = self.sight_of(&id)?;
        let state = match status {
            MemberStatus::Alive => State::Alive,
            MemberStatus::Suspect => State::Suspect,
            MemberStatus::Failed | MemberStatus::Left => State::Down,
        };
        Some(foca::Member::new(peer, incarnation, state))
    }

    /// Since when a life of a member is shown as suspect at this incarnation or an earlier one.
    pub(super) fn suspect_since(&self, life: &Peer, incarnation: u16) -> Option<Instant> {
        self.known
            .get(&life.id)
            .filter(|known| {
                known.life.of(life.id) == *life
                    && known.status == MemberStatus::Suspect
                    && known.incarnation <= incarnation
            })
            .map(|known| known.since)
    }

    /// Whether this life is shown as alive, at this incarnation or a later one: to hear from it is no news then.
    pub(super) fn shows_well(&self, life: &Peer, incarnation: u16) -> bool {
        self.sight_of(&life.id).is_some_and(|sight| {
            sight.peer == *life && sight.status == MemberStatus::Alive && sight.incarnation >= incarnation
        })
    }

    /// Whether `update` calls an active life failed.
    pub(super) fn is_verdict(&self, update: &foca::Member<Peer>) -> bool {
        let is_it = |sight: Sight| sight.peer == *update.id() && sight.status.is_active();
        update.state() == State::Down && self.sight_of(&update.id().id).is_some_and(is_it)
    }

    pub(super) fn sight_of(&self, id: &NodeId) -> Option<Sight> {
        self.known.get(id).map(|known| known.sight(*id))
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
        self.known.get(&id).map(|known| self.describe(id, known))
    }

    /// All of them.
    pub fn membership(&self) -> Membership {
        let members = self.known.iter().map(|(id, known)| (*id, self.describe(*id, known)));
        Membership { index: self.index, members: members.collect() }
    }

    fn describe(&self, id: NodeId, known: &Known) -> Member {
        let Known { status, degraded, since, .. } = *known;
        let peer = known.life.of(id);
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

/// Puts `entries` into a map that may be large; of two with one key the later stays. It takes room for an eighth more than
/// is needed, where a vector would double.
pub(super) fn insert_all<V>(
    map: &mut LiteMap<NodeId, V>,
    entries: impl ExactSizeIterator<Item = (NodeId, V)>,
) {
    let mut sorted = std::mem::take(map).into_tuple_vec();
    if sorted.capacity() - sorted.len() < entries.len() {
        sorted.reserve_exact(entries.len() + sorted.len() / 8);
    }
    *map = LiteMap::from_sorted_store_unchecked(sorted);
    // To make room for one moves half of all others; to put in many at once sorts all.
    if entries.len() <= 4 {
        entries.for_each(|(id, value)| drop(map.insert(id, value)));
    } else {
        map.extend(entries);
    }
}
