//! Records to save, and this node's latest start.

use crate::{
    bootstrap::{NodeRecord, Unsaved},
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

/// The latest start of this node; one that is later than on disk waits to be saved.
#[derive(Debug)]
pub(super) struct Start {
    epoch: Epoch,
    saved: bool,
}

impl Start {
    /// A start that is on disk.
    pub(super) fn saved(epoch: Epoch) -> Self {
        Self { epoch, saved: true }
    }

    /// Takes note of a later start.
    pub(super) fn begin(&mut self, epoch: Epoch) {
        *self = Self { epoch, saved: false };
    }

    /// True if it is not on disk.
    pub(super) fn is_unsaved(&self) -> bool {
        !self.saved
    }

    /// The record of this start and a founding.
    pub(super) fn save(&self, founding: Unsaved) -> Save {
        Save { epoch: self.epoch, founding }
    }

    /// Takes note that a record is saved; returns its part of the founding.
    pub(super) fn note_saved(&mut self, save: Save) -> Unsaved {
        self.saved |= save.epoch == self.epoch;
        save.founding
    }
}
