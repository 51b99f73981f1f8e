//! The entries of the view, and what follows from them: digest, version and changes.

use std::{collections::BTreeSet, time::Instant};

use litemap::LiteMap;

use crate::{
    gossip::{
        peer::{Peer, Place},
        record::Stamp,
        state::{self, EntryHash},
    },
    membership::MemberStatus,
    node::NodeId,
};

/// Table of members, by id.
#[derive(Debug)]
pub(super) struct Entries {
    table: LiteMap<NodeId, Entry>,
    /// Hashes of all entries, combined.
    digest: EntryHash,
    /// Version of the view: it grows with each change that a reader can see.
    index: u64,
    /// Members that changed since a reader last took one.
    changes: BTreeSet<NodeId>,
}

/// One member, without its id. Each of 10,000 nodes holds 10,000 of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) status: MemberStatus,
    pub(super) incarnation: u16,
    pub(super) degraded: bool,
    /// Time at which the status last changed.
    pub(super) since: Instant,
    /// Hash of the entry and its metadata.
    pub(super) hash: EntryHash,
}

/// Change of a member's entry.
#[derive(Debug, Clone, Copy)]
pub(in crate::gossip) struct Change {
    pub(in crate::gossip) before: Sight,
    pub(in crate::gossip) after: Sight,
}

/// One member at one time.
#[derive(Debug, Clone, Copy)]
pub(in crate::gossip) struct Sight {
    pub(in crate::gossip) peer: Peer,
    pub(in crate::gossip) status: MemberStatus,
    pub(in crate::gossip) incarnation: u16,
    /// Time from which on it had this status.
    pub(in crate::gossip) since: Instant,
}

impl Entry {
    fn new(sight: &Sight) -> Self {
        let Sight { peer: Peer { place, .. }, status, incarnation, since } = *sight;
        Self { place, status, incarnation, degraded: false, since, hash: 0 }
    }

    pub(super) fn sight(&self, id: NodeId) -> Sight {
        let Self { place, status, incarnation, since, .. } = *self;
        Sight { peer: place.of(id), status, incarnation, since }
    }
}

impl Entries {
    /// No entries.
    pub(super) fn new() -> Self {
        Self { table: LiteMap::new_vec(), digest: 0, index: 0, changes: BTreeSet::new() }
    }

    /// Enters members that are not known yet.
    pub(super) fn enter_new(&mut self, new: &[&Sight]) {
        insert_all(&mut self.table, new.iter().map(|sight| (sight.peer.id, Entry::new(sight))));
    }

    /// Brings a known entry up to date, if it is not. Says whether it was shown in another life or status.
    pub(super) fn update(&mut self, seen: &Sight) -> Option<(Change, bool)> {
        let id = seen.peer.id;
        let entry = self.table.get_mut(&id)?;
        let before = entry.sight(id);
        let same_status = before.status == seen.status && before.peer.epoch() == seen.peer.epoch();
        let same = same_status && before.peer == seen.peer;
        if same && before.incarnation == seen.incarnation {
            return None;
        }
        let since = if same_status { before.since } else { seen.since };
        let after = Sight { since, ..*seen };
        *entry = Entry { degraded: entry.degraded, hash: entry.hash, ..Entry::new(&after) };
        Some((Change { before, after }, !same))
    }

    /// Shows a member as degraded, or not. Returns whether that is a change.
    pub(super) fn set_degraded(&mut self, id: NodeId, degraded: bool) -> bool {
        let entry = self.table.get_mut(&id).filter(|entry| entry.degraded != degraded);
        entry.map(|entry| entry.degraded = degraded).is_some()
    }

    /// Takes note that a reader would see a member differently now, whose metadata has this stamp.
    pub(super) fn note_change(&mut self, id: NodeId, stamp: Option<Stamp>) {
        self.changes.insert(id);
        self.index += 1;
        if let Some(entry) = self.table.get_mut(&id) {
            let hash = state::entry_hash(&entry.place.of(id), entry.status.is_active(), stamp);
            self.digest ^= std::mem::replace(&mut entry.hash, hash) ^ hash;
        }
    }

    /// Takes members out.
    pub(super) fn remove(&mut self, id: NodeId) {
        self.digest ^= self.table.remove(&id).map_or(0, |entry| entry.hash);
        self.note_change(id, None);
    }

    /// Entry of a member.
    pub(super) fn get(&self, id: &NodeId) -> Option<&Entry> {
        self.table.get(id)
    }

    /// All entries, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Entry)> {
        self.table.iter()
    }

    /// True if there is an entry of a node.
    pub(super) fn contains(&self, id: &NodeId) -> bool {
        self.table.contains_key(id)
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Digest of all entries: equal for two nodes that show the same.
    pub(super) fn digest(&self) -> EntryHash {
        self.digest
    }

    /// Version of the view.
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// The next member that changed since this last returned `None`.
    pub(super) fn poll_change(&mut self) -> Option<NodeId> {
        self.changes.pop_first()
    }
}

/// Puts `entries` into a map that may be large; of two with one key the later stays. The map takes room for an eighth more
/// than is needed, where a vector would double.
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
