//! The machine and the disk: what must be made durable, and what happens where that fails.

use std::time::Instant;

use super::Machine;
use crate::bootstrap::{NodeRecord, Reason, Unsaved};

/// What must be made durable.
#[derive(Debug)]
pub struct Save {
    record: NodeRecord,
    founding: Option<Unsaved>,
}

impl Save {
    /// What to write.
    pub fn record(&self) -> &NodeRecord {
        &self.record
    }
}

impl Machine {
    /// The record cannot be read: nothing is voted or written from here on.
    pub fn handle_fault(&mut self, why: String, now: Instant) {
        self.touched = true;
        self.bootstrap.handle_fault(why, now);
        self.turn(now);
    }

    /// A [`Save`] could not be written: nothing is voted until it is. Keep it, try again, and hand it to
    /// [`Self::saved`] in the end.
    pub fn handle_unwritten(&mut self, why: String, now: Instant) {
        self.touched = true;
        self.bootstrap.handle_unwritten(why, now);
        self.turn(now);
    }

    /// Whether a new start of this node has to be on disk before anything more is sent.
    pub fn awaits_save(&self) -> bool {
        !self.epoch_saved && self.bootstrap.fault().is_none()
    }

    /// Why the record cannot be relied on, where that is so.
    pub fn fault(&self) -> Option<&Reason> {
        self.bootstrap.fault()
    }

    /// Whether what is known of the cluster here is on disk.
    pub fn is_durable(&self) -> bool {
        self.bootstrap.is_durable()
    }

    /// What must be made durable. Before anything more is sent where [`Self::awaits_save`] says so; what else depends on
    /// it does not come out before [`Self::saved`].
    pub fn poll_save(&mut self) -> Option<Save> {
        let founding = self.bootstrap.poll_persist();
        if let Some(unsaved) = &founding {
            self.record = unsaved.record().clone();
        }
        let due = founding.is_some() || self.awaits_save();
        due.then(|| Save {
            record: NodeRecord { epoch: self.epoch, founding: self.record.clone() },
            founding,
        })
    }

    /// That is durable now.
    pub fn saved(&mut self, save: Save, now: Instant) {
        self.epoch_saved |= save.record.epoch == self.epoch;
        if let Some(founding) = save.founding {
            self.touched = true;
            self.bootstrap.persisted(founding);
        }
        self.touched |= self.bootstrap.fault().is_some();
        self.bootstrap.handle_written(now);
        self.turn(now);
    }
}
