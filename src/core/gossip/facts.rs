//! Facts that a part may look at beside its own state.

use std::time::Instant;

use super::{engine::Engine, peer::Peer, roster::Roster, timing::Timing};

/// The cluster as it is at one moment, to be read by parts that do not own it.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) now: Instant,
    pub(super) timing: &'a Timing,
    pub(super) engine: &'a Engine,
    pub(super) roster: &'a Roster,
    /// Set shortly after this node gave way to another half of the cluster: its former side may still be wrong about the
    /// other.
    pub(super) is_settling: bool,
}

impl Facts<'_> {
    /// This node in its present life.
    pub(super) fn me(&self) -> Peer {
        self.engine.me()
    }

    /// Number of active nodes, this one included.
    pub(super) fn size(&self) -> usize {
        self.engine.size()
    }

    /// Number of active nodes beside this one.
    pub(super) fn others(&self) -> usize {
        self.size() - 1
    }
}

/// Facts of the parts given, at a time. A method would borrow all parts, and no other could be told the facts; this
/// borrows those that are read.
macro_rules! facts {
    ($parts:expr, $now:expr) => {
        $crate::gossip::facts::Facts {
            now: $now,
            timing: &$parts.timing,
            engine: &$parts.engine,
            roster: &$parts.roster,
            is_settling: $parts.partition.is_settling($now),
        }
    };
}

pub(super) use facts;
