//! The view: who is there, in which life and status, with which metadata, and when each node was last heard. It is kept
//! up entry by entry, because to compute a large cluster's anew for each piece of news would be the most of all work.

mod entries;
mod life;
mod room;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use foca::{Member as MemberState, State};
use litemap::LiteMap;

pub(super) use self::{
    entries::{Change, Sight},
    life::{Heard, Life},
};
use self::{
    entries::{Entries, Entry, insert_all},
    room::Room,
};
use super::{
    engine::{Engine, Touched},
    packet::Fate,
    peer::{LifeNumber, Peer},
    record::{Goodbye, LifeProof, Record, Stamp},
    state::{EntryHash, MAX_MEMBERS},
};
use crate::{
    membership::{Member, MemberStatus, Metadata},
    node::NodeId,
};

/// Nodes that are no members of which metadata and goodbyes are kept at least: both may come before the member does.
const HEARSAY: usize = 64;

/// Everything that is known of members. The engine decides who they are; the roster is compared with it after each call.
#[derive(Debug)]
pub(super) struct Roster {
    entries: Entries,
    /// Metadata of each node, this one included; some may not be members yet.
    records: LiteMap<NodeId, Arc<Record>>,
    /// Room that it takes.
    room: Room,
    /// Proofs of lives whose metadata has not come.
    proofs: BTreeMap<NodeId, LifeProof>,
    /// Latest goodbye of each node.
    left: BTreeMap<NodeId, Goodbye>,
    /// Latest life of each node that an operator has forgotten.
    forgotten: BTreeMap<NodeId, LifeNumber>,
    /// Last direct contact with each node.
    heard: BTreeMap<NodeId, Heard>,
    /// Members whose status may have changed by what the roster itself has learnt.
    outdated: BTreeSet<NodeId>,
    /// Number of entries that only an audit found to be wrong.
    overlooked: u64,
}

/// Result of a comparison with the engine.
#[derive(Debug, Default)]
pub(super) struct Refreshed {
    /// Members that were known before and are different now.
    pub(super) changes: Vec<Change>,
    /// Nodes that the engine has forgotten.
    pub(super) gone: Vec<NodeId>,
    /// Number of entries that were shown in another life or status before.
    differing: usize,
}

impl Roster {
    /// A roster in which only this node will be entered, with what it says of itself.
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            entries: Entries::new(),
            records: LiteMap::new_vec(),
            room: Room::default(),
            proofs: BTreeMap::new(),
            left: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            heard: BTreeMap::new(),
            outdated: [me].into(),
            overlooked: 0,
        }
    }

    /// Compares the entries of `touched`, and those outdated by the roster, with the engine. `own` is this node's status.
    pub(super) fn refresh(
        &mut self,
        touched: Option<Touched>,
        engine: &Engine,
        own: MemberStatus,
        now: Instant,
    ) -> Refreshed {
        let Touched { mut ids, all } = touched.unwrap_or_default();
        ids.append(&mut self.outdated);
        if all {
            self.refresh_all(engine, own, now)
        } else if ids.is_empty() {
            Refreshed::default()
        } else {
            self.refresh_some(&ids.into_iter().collect::<Vec<_>>(), engine, own, now)
        }
    }

    /// Compares every entry with the engine, and counts those that were wrong: none, unless this agent has a defect.
    pub(super) fn audit(&mut self, engine: &Engine, own: MemberStatus, now: Instant) -> Refreshed {
        let refreshed = self.refresh_all(engine, own, now);
        if refreshed.differing > 0 {
            self.overlooked += refreshed.differing as u64;
            tracing::warn!(
                overlooked = refreshed.differing,
                "members were shown wrongly; this is a defect of the agent, please report it"
            );
        }
        refreshed
    }

    fn refresh_all(&mut self, engine: &Engine, own: MemberStatus, now: Instant) -> Refreshed {
        let seen = self.look_at(|_| true, engine, own, now);
        let mut refreshed = self.enter(&seen);
        if seen.len() < self.entries.len() {
            let present: BTreeSet<_> = seen.iter().map(|sight| sight.peer.id).collect();
            let ids = self.entries.iter().map(|(id, _)| *id);
            refreshed.gone = ids.filter(|id| !present.contains(id)).collect();
            refreshed.differing += refreshed.gone.len();
            self.remove(&refreshed.gone);
        }
        refreshed
    }

    /// Compares the entries of `ids`, which are sorted.
    fn refresh_some(
        &mut self,
        ids: &[NodeId],
        engine: &Engine,
        own: MemberStatus,
        now: Instant,
    ) -> Refreshed {
        // A datagram brings news of one or two members, for which this is half the work of a search.
        let among =
            |id: &NodeId| if ids.len() <= 4 { ids.contains(id) } else { ids.binary_search(id).is_ok() };
        let seen = self.look_at(among, engine, own, now);
        let mut refreshed = self.enter(&seen);
        // Only few entries are taken out at a time, so that a search in the list for each is no matter.
        if seen.len() < ids.len() {
            let is_gone =
                |id: &&NodeId| self.entries.contains(id) && !seen.iter().any(|it| it.peer.id == **id);
            refreshed.gone = ids.iter().filter(is_gone).copied().collect();
            self.remove(&refreshed.gone);
        }
        refreshed
    }

    /// Members that are `among` those asked for, as the engine has them. It also lists former lives of this node.
    fn look_at(
        &self,
        among: impl Fn(&NodeId) -> bool,
        engine: &Engine,
        own: MemberStatus,
        now: Instant,
    ) -> Vec<Sight> {
        let me = engine.me();
        let others = engine.states().filter(|member| among(&member.id().id) && member.id().id != me.id);
        let mut seen: Vec<_> = others.map(|member| self.sight_of(member, now)).collect();
        if among(&me.id) {
            seen.push(Sight { peer: me, status: own, incarnation: 0, since: now });
        }
        seen
    }

    fn sight_of(&self, member: &MemberState<Peer>, now: Instant) -> Sight {
        let status = match member.state() {
            State::Alive => MemberStatus::Alive,
            State::Suspect => MemberStatus::Suspect,
            State::Down if self.has_left(member.id()) => MemberStatus::Left,
            State::Down => MemberStatus::Failed,
        };
        Sight { peer: *member.id(), status, incarnation: member.incarnation(), since: now }
    }

    /// Enters members as they were seen.
    fn enter(&mut self, seen: &[Sight]) -> Refreshed {
        let new: Vec<_> = seen.iter().filter(|sight| !self.entries.contains(&sight.peer.id)).collect();
        self.entries.enter_new(&new);
        new.iter().for_each(|sight| self.note_change(sight.peer.id));
        let mut refreshed = Refreshed { differing: new.len(), ..Refreshed::default() };
        for sight in seen {
            if let Some((change, differs)) = self.entries.update(sight) {
                refreshed.changes.push(change);
                if differs {
                    self.note_change(sight.peer.id);
                    refreshed.differing += 1;
                }
            }
        }
        refreshed
    }

    /// Shows a member as degraded, or not.
    pub(super) fn set_degraded(&mut self, id: NodeId, degraded: bool) {
        if self.entries.set_degraded(id, degraded) {
            self.note_change(id);
        }
    }

    /// Takes note that a reader would see a member differently now.
    fn note_change(&mut self, id: NodeId) {
        let stamp = self.records.get(&id).map(|record| record.stamp());
        self.entries.note_change(id, stamp);
    }

    fn remove(&mut self, gone: &[NodeId]) {
        gone.iter().for_each(|id| self.entries.remove(*id));
        if !gone.is_empty() {
            let entries = &self.entries;
            self.heard.retain(|id, _| entries.contains(id));
        }
    }

    /// Drops metadata and goodbyes of strangers once they are many.
    pub(super) fn bound_hearsay(&mut self) {
        let entries = &self.entries;
        let bound = 2 * entries.len() + HEARSAY;
        if self.records.len() > bound {
            self.records.retain(|id, _| entries.contains(id));
            self.room.recount(self.records.values().map(|record| &**record));
        }
        if self.left.len().max(self.proofs.len()) > bound {
            self.left.retain(|id, _| entries.contains(id));
            self.proofs.retain(|id, _| entries.contains(id));
        }
    }

    /// Takes note that a life said goodbye.
    pub(super) fn note_left(&mut self, left: Goodbye) {
        let id = left.life().id;
        if !self.has_left(left.life()) {
            self.left.insert(id, left);
        }
        self.outdated.insert(id);
    }

    /// True if this life of a node, or a later one, said goodbye.
    pub(super) fn has_left(&self, peer: &Peer) -> bool {
        self.left.get(&peer.id).is_some_and(|left| left.life().life() >= peer.life())
    }

    /// Latest goodbyes.
    pub(super) fn left(&self) -> impl Iterator<Item = &Goodbye> {
        self.left.values()
    }

    /// True if the node itself has said that it leads this life.
    pub(super) fn is_proven(&self, life: &Peer) -> bool {
        self.records.get(&life.id).is_some_and(|record| record.life().proves(life))
            || self.proofs.get(&life.id).is_some_and(|proof| proof.proves(life))
    }

    /// Keeps the proof of a life until the metadata of it comes.
    pub(super) fn note_proof(&mut self, life: LifeProof) {
        let known = self.records.get(&life.owner()).map(|record| record.stamp());
        if self.proofs.get(&life.owner()).map(LifeProof::stamp).max(known) < Some(life.stamp()) {
            self.proofs.insert(life.owner(), life);
        }
    }

    /// Takes note that an operator has forgotten this life of a node, and all before it.
    pub(super) fn note_forgotten(&mut self, life: &Peer) {
        let known = self.forgotten.entry(life.id).or_insert(life.life());
        *known = life.life().max(*known);
    }

    /// True if an operator has forgotten this life of a node, or a later one.
    pub(super) fn is_forgotten(&self, peer: &Peer) -> bool {
        self.forgotten.get(&peer.id).is_some_and(|life| *life >= peer.life())
    }

    /// Takes note of direct contact with a life of a node.
    pub(super) fn note_heard(&mut self, life: Peer, now: Instant) {
        self.heard.insert(life.id, Heard { at: now, life });
    }

    /// Last direct contact with a node.
    pub(super) fn heard(&self, id: &NodeId) -> Option<Heard> {
        self.heard.get(id).copied()
    }

    /// True if a node was heard after `since`.
    pub(super) fn was_heard_since(&self, id: &NodeId, since: Instant) -> bool {
        self.heard.get(id).is_some_and(|heard| heard.at > since)
    }

    /// Time of the last contact with anybody; `None` if there was none.
    pub(super) fn last_contact(&self) -> Option<Instant> {
        self.heard.values().map(|heard| heard.at).max()
    }

    /// Time since the last contact with anybody; `None` if there was none.
    pub(super) fn silence(&self, now: Instant) -> Option<Duration> {
        self.last_contact().map(|at| now.saturating_duration_since(at))
    }

    /// Answers what is known of this life of a node.
    pub(super) fn state(&self, peer: &Peer) -> Life {
        let Some(entry) = self.entries.get(&peer.id) else { return Life::Unknown };
        if entry.place.of(peer.id) != *peer {
            return Life::Other;
        }
        let Entry { status, incarnation, since, .. } = *entry;
        match status {
            MemberStatus::Alive => Life::Alive { incarnation },
            MemberStatus::Suspect => Life::Suspect { incarnation, since },
            MemberStatus::Failed => Life::Failed,
            MemberStatus::Left => Life::Left,
        }
    }

    /// A node in the life in which it is a member.
    pub(super) fn peer(&self, id: &NodeId) -> Option<Peer> {
        self.entries.get(id).map(|entry| entry.place.of(*id))
    }

    /// A member's state as the engine has it.
    pub(super) fn member_state(&self, id: &NodeId) -> Option<MemberState<Peer>> {
        let entry = self.entries.get(id)?;
        let state = match entry.status {
            MemberStatus::Alive => State::Alive,
            MemberStatus::Suspect => State::Suspect,
            MemberStatus::Failed | MemberStatus::Left => State::Down,
        };
        Some(MemberState::new(entry.place.of(*id), entry.incarnation, state))
    }

    /// A member's state as the engine has it, if this life of it is active.
    pub(super) fn active_state(&self, life: &Peer) -> Option<MemberState<Peer>> {
        if self.state(life).is_active() { self.member_state(&life.id) } else { None }
    }

    /// Decides what becomes of an update about another node. For each that the engine is given it looks through all
    /// members, and most updates in a datagram say no more than is known.
    pub(super) fn fate(&self, update: &MemberState<Peer>) -> Fate {
        let known = self.state(update.id());
        if update.state() == State::Down && known.is_active() {
            return Fate::Verdict;
        }
        let repeats = match known {
            Life::Alive { incarnation } => {
                update.state() == State::Alive && update.incarnation() == incarnation
            }
            Life::Suspect { incarnation, .. } => {
                update.state() == State::Suspect && update.incarnation() == incarnation
            }
            // Final for a life.
            Life::Failed | Life::Left => true,
            Life::Unknown | Life::Other => false,
        };
        if repeats { Fate::Drop } else { Fate::Keep }
    }

    /// True if the node is a member, in whichever life.
    pub(super) fn knows(&self, id: &NodeId) -> bool {
        self.entries.contains(id)
    }

    /// True if no further member may be taken in.
    pub(super) fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Number of members that may still be taken in.
    pub(super) fn room(&self) -> usize {
        MAX_MEMBERS.saturating_sub(self.entries.len())
    }

    /// True if this member may be taken in; one that is known always may.
    pub(super) fn has_room_for(&self, id: &NodeId) -> bool {
        !self.is_full() || self.knows(id)
    }

    /// Number of members, this node and the failed ones included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The other members that failed and did not say goodbye.
    pub(super) fn failed(&self, me: NodeId) -> impl Iterator<Item = Peer> {
        let failed =
            self.entries.iter().filter(move |(id, entry)| entry.status == MemberStatus::Failed && **id != me);
        failed.map(|(id, entry)| entry.place.of(*id))
    }

    /// Members that nobody suspects, this node included.
    pub(super) fn alive(&self) -> impl Iterator<Item = Peer> {
        let alive = self.entries.iter().filter(|(_, entry)| entry.status == MemberStatus::Alive);
        alive.map(|(id, entry)| entry.place.of(*id))
    }

    /// True if metadata is newer than the node's that is kept here; only this node writes its own.
    pub(super) fn wants(&self, me: NodeId, owner: NodeId, stamp: Stamp) -> bool {
        owner != me && self.records.get(&owner).is_none_or(|known| known.stamp() < stamp)
    }

    /// Keeps metadata, all of it newer than what is kept. The owners may be about to become members.
    pub(super) fn keep(&mut self, mut records: Vec<Arc<Record>>) {
        // Of two records of one owner the newer comes last, and stays.
        records.sort_unstable_by_key(|record| (record.owner(), record.stamp()));
        records.retain(|record| {
            self.room.try_take(record, self.records.get(&record.owner()).map(|known| &**known))
        });
        let owners: Vec<_> = records.iter().map(|record| record.owner()).collect();
        insert_all(&mut self.records, records.into_iter().map(|record| (record.owner(), record)));
        for owner in owners {
            let newest = self.records.get(&owner).map(|record| record.stamp());
            if self.proofs.get(&owner).is_some_and(|proof| Some(proof.stamp()) <= newest) {
                self.proofs.remove(&owner);
            }
            if self.knows(&owner) {
                self.note_change(owner);
            }
        }
    }

    /// Keeps this node's own metadata.
    pub(super) fn keep_own(&mut self, record: Arc<Record>) {
        let owner = record.owner();
        self.records.insert(owner, record);
        self.note_change(owner);
    }

    /// Metadata of a node and its stamp.
    pub(super) fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.records.get(id)
    }

    /// All metadata, by owner.
    pub(super) fn records(&self) -> impl Iterator<Item = (&NodeId, &Arc<Record>)> {
        self.records.iter()
    }

    /// Digest of all entries: equal for two nodes that show the same.
    pub(super) fn digest(&self) -> EntryHash {
        self.entries.digest()
    }

    /// Hash of each entry.
    pub(super) fn hashes(&self) -> impl Iterator<Item = (NodeId, EntryHash)> {
        self.entries.iter().map(|(id, entry)| (*id, entry.hash))
    }

    /// Version of the view.
    pub(super) fn index(&self) -> u64 {
        self.entries.index()
    }

    /// The next member that changed since this last returned `None`.
    pub(super) fn poll_change(&mut self) -> Option<NodeId> {
        self.entries.poll_change()
    }

    /// Number of entries that only an audit found to be wrong.
    pub(super) fn overlooked(&self) -> u64 {
        self.overlooked
    }

    /// Status of a member; `None` for a stranger.
    pub(super) fn status(&self, id: &NodeId) -> Option<MemberStatus> {
        self.entries.get(id).map(|entry| entry.status)
    }

    /// Status of each member, by id.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (NodeId, MemberStatus)> {
        self.entries.iter().map(|(id, entry)| (*id, entry.status))
    }

    /// A member for readers, without what contact has taught.
    pub(super) fn describe(&self, id: &NodeId) -> Option<Member> {
        let Entry { place, status, degraded, since, .. } = *self.entries.get(id)?;
        let peer = place.of(*id);
        let metadata = self.record(id).map(|record| Arc::clone(record.metadata()));
        Some(Member {
            id: *id,
            addr: peer.addr(),
            status,
            metadata: metadata.unwrap_or_else(|| Metadata::nameless(*id).into()),
            epoch: peer.epoch(),
            since,
            last_heard: None,
            degraded,
            rtt: None,
            reach: None,
            coordinate: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gossip::fixture::{View, goodbye, peer, record},
        node::Epoch,
    };

    #[test]
    fn one_question_tells_all_that_is_known_of_a_life() {
        let mut view = View::of([2, 3, 4]);
        let begin = view.now;
        view.wait(Duration::from_secs(1));
        view.suspect(3, 0);
        view.roster.note_left(goodbye(4));
        view.apply(MemberState::down(peer(4)));
        view.apply(MemberState::down(peer(2)));
        let state = |peer: Peer| view.roster.state(&peer);
        assert_eq!(state(peer(1)), Life::Alive { incarnation: 0 }, "this node itself");
        assert_eq!(state(peer(2)), Life::Failed);
        assert_eq!(state(peer(2).reborn(Epoch(1), 1)), Life::Other);
        assert_eq!(state(peer(3)), Life::Suspect { incarnation: 0, since: view.now });
        assert!(begin < view.now);
        assert_eq!(state(peer(4)), Life::Left);
        assert_eq!(state(peer(9)), Life::Unknown);
        assert_eq!(view.roster.failed(peer(1).id).collect::<Vec<_>>(), [peer(2)]);
    }

    #[test]
    fn an_update_is_kept_dropped_or_weighed_by_what_is_known() {
        let mut view = View::of([2, 3]);
        view.suspect(3, 4);
        let fate = |number, incarnation, state| {
            view.roster.fate(&MemberState::new(peer(number), incarnation, state))
        };
        assert_eq!(fate(2, 0, State::Alive), Fate::Drop);
        assert_eq!(fate(2, 1, State::Alive), Fate::Keep);
        assert_eq!(fate(2, 0, State::Suspect), Fate::Keep);
        assert_eq!(fate(3, 4, State::Suspect), Fate::Drop);
        assert_eq!(fate(3, 5, State::Alive), Fate::Keep, "it refutes");
        assert_eq!(fate(3, 4, State::Down), Fate::Verdict);
        assert_eq!(fate(9, 0, State::Down), Fate::Keep, "of a stranger the engine is told");
    }

    #[test]
    fn two_views_with_the_same_entries_have_one_digest_however_they_came_about() {
        let (mut a, mut b) = (View::of([2, 3, 4]), View::of([4, 2]));
        assert_ne!(a.roster.digest(), b.roster.digest());
        b.apply(MemberState::alive(peer(3)));
        assert_eq!(a.roster.digest(), b.roster.digest());
        for view in [&mut a, &mut b] {
            view.roster.keep(vec![record(2, 1)]);
        }
        assert_eq!(a.roster.digest(), b.roster.digest());
        a.suspect(3, 0);
        assert_eq!(a.roster.digest(), b.roster.digest(), "suspicions come and go");
        a.roster.keep(vec![record(2, 2)]);
        assert_ne!(a.roster.digest(), b.roster.digest());
    }

    #[test]
    fn readers_are_told_of_each_change_once_and_an_audit_finds_what_was_overlooked() {
        let mut view = View::of([2]);
        while view.roster.poll_change().is_some() {}
        let index = view.roster.index();
        view.suspect(2, 0);
        assert_eq!((view.roster.poll_change(), view.roster.poll_change()), (Some(peer(2).id), None));
        assert!(view.roster.index() > index);
        let audit = |view: &mut View| {
            view.roster.audit(&view.engine, MemberStatus::Alive, view.now);
            view.roster.overlooked()
        };
        assert_eq!(audit(&mut view), 0);
        view.engine.apply(MemberState::alive(peer(3)), crate::gossip::action::Telling::Quiet);
        let _unread = view.engine.take_touched();
        assert_eq!((audit(&mut view), audit(&mut view)), (1, 1));
    }

    #[test]
    fn metadata_and_goodbyes_of_strangers_are_kept_until_they_are_many() {
        let mut view = View::of([2]);
        view.roster.note_left(goodbye(2));
        for number in 101..=200 {
            view.roster.note_left(goodbye(number));
            view.roster.bound_hearsay();
        }
        assert!(view.roster.left().count() <= 2 * 2 + HEARSAY);
        assert!(view.roster.has_left(&peer(2)), "it is a member");
    }
}
