//! The order of disk and network: no message leaves before everything that it may depend on is saved.

use std::{collections::VecDeque, sync::Arc};

use super::{
    message::{Body, Message, Outgoing},
    record::FoundingRecord,
};
use crate::node::{ClusterName, NodeId};

/// Bound on messages held back: a disk that refuses for days would let them pile up. The oldest are lost, as on a
/// network.
const HELD_MAX: usize = 1_024;

/// A record to be saved. Only its holder can say that it is, and only once.
#[derive(Debug)]
#[must_use = "messages are held back until this is saved and handed to `saved`"]
pub struct Unsaved {
    version: u64,
    record: Arc<FoundingRecord>,
}

impl Unsaved {
    /// The record to write.
    pub fn record(&self) -> &FoundingRecord {
        &self.record
    }
}

/// A message that waits for a version of the record.
#[derive(Debug)]
struct Held {
    version: u64,
    outgoing: Outgoing,
}

/// Messages, each held back until the record as it was when the message was made is saved.
///
/// The record itself belongs to the agreement. Its versions are counted here: the one that is saved, the one that was
/// given to the disk last, and, if it has changed since, the next.
#[derive(Debug)]
pub(super) struct Outbox {
    cluster_name: ClusterName,
    /// Messages of the input that is being taken in; the record may still change during it.
    fresh: Vec<Outgoing>,
    held: VecDeque<Held>,
    /// The record as it was given to the disk last, or read from it.
    offered: Arc<FoundingRecord>,
    offered_version: u64,
    /// Set while the record differs from `offered`, or did since.
    has_changed: bool,
    saved: Arc<FoundingRecord>,
    saved_version: u64,
}

impl Outbox {
    /// Starts from a record that is on disk.
    pub(super) fn new(cluster_name: ClusterName, record: FoundingRecord) -> Self {
        let record = Arc::new(record);
        Self {
            cluster_name,
            fresh: Vec::new(),
            held: VecDeque::new(),
            offered: Arc::clone(&record),
            offered_version: 0,
            has_changed: false,
            saved: record,
            saved_version: 0,
        }
    }

    /// Adds a message of the input that is being taken in.
    pub(super) fn push(&mut self, to: NodeId, body: Body) {
        let message = Message { cluster_name: self.cluster_name.clone(), body };
        self.fresh.push(Outgoing { to, message });
    }

    pub(super) fn push_to_all(&mut self, all: Vec<NodeId>, body: &Body) {
        all.into_iter().for_each(|to| self.push(to, body.clone()));
    }

    /// Ends an input: its messages wait for the record as it is now.
    pub(super) fn commit(&mut self, record: &FoundingRecord) {
        self.has_changed |= *record != *self.offered;
        let version = self.offered_version + u64::from(self.has_changed);
        self.held.extend(self.fresh.drain(..).map(|outgoing| Held { version, outgoing }));
        self.held.drain(..self.held.len().saturating_sub(HELD_MAX));
    }

    /// The next version to save, if the committed `record` has changed.
    pub(super) fn poll_save(&mut self, record: &FoundingRecord) -> Option<Unsaved> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        self.offered_version += 1;
        self.offered = Arc::new(record.clone());
        Some(self.repeat_save())
    }

    /// The version that was given to the disk last, once more.
    pub(super) fn repeat_save(&self) -> Unsaved {
        Unsaved { version: self.offered_version, record: Arc::clone(&self.offered) }
    }

    /// Takes in that a version is on disk.
    pub(super) fn saved(&mut self, unsaved: Unsaved) {
        if unsaved.version > self.saved_version {
            self.saved_version = unsaved.version;
            self.saved = unsaved.record;
        }
    }

    pub(super) fn poll_message(&mut self) -> Option<Outgoing> {
        let next = self.held.front()?;
        if next.version > self.saved_version {
            return None;
        }
        self.held.pop_front().map(|held| held.outgoing)
    }

    /// The record as it is on disk.
    pub(super) fn record(&self) -> &FoundingRecord {
        &self.saved
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{id, key, name},
        *,
    };

    #[test]
    fn a_message_about_a_record_that_changed_back_is_free_after_one_more_save() {
        let blank = FoundingRecord::blank(key(0));
        let changed = FoundingRecord { cluster_name: Some(name()), ..blank.clone() };
        let mut outbox = Outbox::new(name(), blank.clone());
        outbox.push(id(1), Body::Ask(7));
        outbox.commit(&changed);
        outbox.commit(&blank);
        assert_eq!(outbox.poll_message(), None);
        let unsaved = outbox.poll_save(&blank).unwrap();
        assert!(outbox.poll_save(&blank).is_none());
        outbox.saved(unsaved);
        assert!(outbox.poll_message().is_some());
    }
}
