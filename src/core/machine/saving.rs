//! The machine and the disk: records to save, and what happens if that fails.

use std::time::Instant;

use super::Machine;
use crate::{
    bootstrap::{NodeRecord, Reason, Unsaved},
    node::Epoch,
};

/// A record to save.
#[derive(Debug)]
pub struct Save {
    epoch: Epoch,
    founding: Unsaved,
}

impl Save {
    /// The record to write.
    pub fn record(&self) -> NodeRecord {
        NodeRecord { epoch: self.epoch, founding: self.founding.record().clone() }
    }
}

impl Machine {
    /// Takes in that the record does not read: nothing is voted or saved from here on.
    pub fn handle_fault(&mut self, why: String, now: Instant) {
        self.touched = true;
        self.bootstrap.handle_fault(why, now);
        self.turn(now);
    }

    /// Takes in that a [`Save`] failed: nothing is voted until it succeeds. Keep it, try again, and hand it to
    /// [`Self::saved`] in the end.
    pub fn save_failed(&mut self, why: String, now: Instant) {
        self.touched = true;
        self.bootstrap.save_failed(why, now);
        self.turn(now);
    }

    /// True if a new start of this node has to be on disk before anything more is sent.
    pub fn awaits_save(&self) -> bool {
        !self.epoch_saved && self.bootstrap.fault().is_none()
    }

    /// The reason for which the record cannot be relied on, if there is one.
    pub fn fault(&self) -> Option<&Reason> {
        self.bootstrap.fault()
    }

    /// True if what is known of the cluster here is on disk.
    pub fn is_durable(&self) -> bool {
        self.bootstrap.is_durable()
    }

    /// The next record to save: before anything more is sent if [`Self::awaits_save`] says so; what else depends on it
    /// does not come out before [`Self::saved`].
    pub fn poll_save(&mut self) -> Option<Save> {
        let changed = self.bootstrap.poll_save();
        let founding = changed.or_else(|| self.awaits_save().then(|| self.bootstrap.repeat_save()))?;
        Some(Save { epoch: self.epoch, founding })
    }

    /// Takes in that a record is saved.
    pub fn saved(&mut self, save: Save, now: Instant) {
        self.epoch_saved |= save.epoch == self.epoch;
        self.touched = true;
        self.bootstrap.saved(save.founding, now);
        self.turn(now);
    }
}
