//! A small cluster as one node sees it, for tests of single parts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use foca::{Member, State};
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    engine::Engine,
    facts::Facts,
    peer::Peer,
    record::{Goodbye, Reader, Record, Stamp},
    roster::Roster,
    timing::Timing,
};
use crate::{
    membership::{MemberStatus, Metadata},
    node::{ClusterName, Epoch},
    signing::fixture::key,
};

/// The node of this number, in its first life.
pub(super) fn peer(number: u8) -> Peer {
    Peer::new(key(number).id(), ([10, 0, 0, number], 7946).into(), Epoch(1), 0)
}

/// The cluster that all of them are in.
pub(super) fn cluster() -> ClusterName {
    "chronik".parse().unwrap()
}

/// The goodbye of a node's first life.
pub(super) fn goodbye(number: u8) -> Goodbye {
    Goodbye::say(&key(number), &cluster(), peer(number))
}

/// Any instant will do to count from.
#[expect(clippy::disallowed_methods, reason = "nothing depends on which time it is")]
pub(super) fn start() -> Instant {
    Instant::now()
}

/// Metadata of a node, in this version.
pub(super) fn record(number: u8, version: u32) -> Arc<Record> {
    let metadata = Metadata::nameless(peer(number).id);
    let stamp = Stamp { epoch: Epoch(1), version };
    Record::write(&key(number), &cluster(), (peer(number).addr(), stamp, 0), metadata).unwrap()
}

/// Node 1, and the members that it knows.
pub(super) struct View {
    pub(super) engine: Engine,
    pub(super) roster: Roster,
    pub(super) timing: Timing,
    pub(super) now: Instant,
    pub(super) is_settling: bool,
}

impl View {
    /// Node 1 and the members of these numbers, all of them alive.
    pub(super) fn of(numbers: impl IntoIterator<Item = u8>) -> Self {
        let now = start();
        let timing = Timing::LAN;
        let engine =
            Engine::new(peer(1), &timing, StdRng::seed_from_u64(2), Reader::new(cluster(), Record::read));
        let roster = Roster::new(peer(1).id);
        let mut view = Self { engine, roster, timing, now, is_settling: false };
        numbers.into_iter().for_each(|number| view.apply(Member::alive(peer(number))));
        view
    }

    /// Has the engine take a state, and the roster follow it.
    pub(super) fn apply(&mut self, member: Member<Peer>) {
        self.engine.apply(member, super::action::Telling::Quiet);
        while self.engine.poll_output().is_some() {}
        let touched = self.engine.take_touched();
        self.roster.refresh(touched, &self.engine, MemberStatus::Alive, self.now);
    }

    /// Has the engine suspect a member.
    pub(super) fn suspect(&mut self, number: u8, incarnation: u16) {
        self.apply(Member::new(peer(number), incarnation, State::Suspect));
    }

    /// Takes note of direct contact with a member.
    pub(super) fn hear(&mut self, number: u8) {
        self.roster.note_heard(peer(number), self.now);
    }

    pub(super) fn wait(&mut self, wait: Duration) {
        self.now += wait;
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            now: self.now,
            timing: &self.timing,
            engine: &self.engine,
            roster: &self.roster,
            is_settling: self.is_settling,
        }
    }
}
