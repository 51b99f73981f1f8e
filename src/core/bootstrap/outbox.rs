//! The order of disk and network: no message leaves before everything that it may depend on is durable.

use std::collections::VecDeque;

use super::{message::Message, record::Record};
use crate::node::NodeId;

/// Messages held back at most: a disk that refuses for days would let them pile up. The oldest are lost, as on a network.
const HELD_MAX: usize = 1_024;

/// A record to be made durable. Only whoever was given one can say that it is, and only once.
#[derive(Debug)]
#[must_use = "messages are held back until this is durable and handed to `persisted`"]
pub struct Unsaved {
    version: u64,
    record: Record,
}

impl Unsaved {
    /// What to write.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// Messages, each held back until the record as it was when the message was made is on disk.
#[derive(Debug)]
pub(super) struct Outbox {
    fresh: Vec<(NodeId, Message)>,
    held: VecDeque<(u64, NodeId, Message)>,
    latest: Record,
    latest_version: u64,
    offered_version: u64,
    durable: Record,
    durable_version: u64,
}

impl Outbox {
    /// Starts from a record that is on disk.
    pub(super) fn new(durable: Record) -> Self {
        Self {
            fresh: Vec::new(),
            held: VecDeque::new(),
            latest: durable.clone(),
            latest_version: 0,
            offered_version: 0,
            durable,
            durable_version: 0,
        }
    }

    pub(super) fn push(&mut self, to: NodeId, message: Message) {
        self.fresh.push((to, message));
    }

    /// Ends an input: whatever was said during it waits for the record as it is now.
    pub(super) fn commit(&mut self, record: &Record) {
        if *record != self.latest {
            self.latest.clone_from(record);
            self.latest_version += 1;
        }
        let version = self.latest_version;
        self.held.extend(self.fresh.drain(..).map(|(to, message)| (version, to, message)));
        self.held.drain(..self.held.len().saturating_sub(HELD_MAX));
    }

    pub(super) fn poll_persist(&mut self) -> Option<Unsaved> {
        if self.offered_version == self.latest_version {
            return None;
        }
        self.offered_version = self.latest_version;
        Some(Unsaved { version: self.latest_version, record: self.latest.clone() })
    }

    pub(super) fn persisted(&mut self, saved: Unsaved) {
        if saved.version > self.durable_version {
            self.durable_version = saved.version;
            self.durable = saved.record;
        }
    }

    pub(super) fn poll_message(&mut self) -> Option<(NodeId, Message)> {
        let (version, ..) = self.held.front()?;
        if *version > self.durable_version {
            return None;
        }
        self.held.pop_front().map(|(_, to, message)| (to, message))
    }

    /// The record as it is on disk.
    pub(super) fn durable(&self) -> &Record {
        &self.durable
    }
}
