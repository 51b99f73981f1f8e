//! When to ask: the waits around the agreement. None of it can make a founding unsafe.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};

use super::config::BallotTiming;
use crate::node::NodeId;

/// The clockwork of one server's ballots.
#[derive(Debug)]
pub(super) struct Pace {
    timing: BallotTiming,
    rng: StdRng,
    /// Who could found, and since when that is so.
    settled: Option<(BTreeSet<NodeId>, Instant)>,
    /// When this server starts its next ballot.
    attempt_at: Option<Instant>,
    /// How often its ballots were overtaken.
    failures: u32,
    /// The highest round heard of.
    pub(super) highest_round: u64,
    /// Since when a question to a server is unanswered.
    asked: BTreeMap<NodeId, Instant>,
    /// Since when a server that somebody accepted as a founder is out of direct contact.
    absent: BTreeMap<NodeId, Instant>,
    campaign_ended: Option<Instant>,
    pub(super) resend_at: Option<Instant>,
    pub(super) gather_until: Option<Instant>,
    /// When a server was last told, or asked, about a cluster.
    told: BTreeMap<NodeId, Instant>,
}

impl Pace {
    pub(super) fn new(timing: BallotTiming, rng: StdRng) -> Self {
        Self {
            timing,
            rng,
            settled: None,
            attempt_at: None,
            failures: 0,
            highest_round: 0,
            asked: BTreeMap::new(),
            absent: BTreeMap::new(),
            campaign_ended: None,
            resend_at: None,
            gather_until: None,
            told: BTreeMap::new(),
        }
    }

    /// When the view will have been unchanged long enough, if these can found and nothing stands against it.
    pub(super) fn settles_at(&mut self, eligible: &BTreeSet<NodeId>, now: Instant) -> Instant {
        let since = match &self.settled {
            Some((before, since)) if before == eligible => *since,
            _ => {
                self.attempt_at = None;
                now
            }
        };
        self.settled = Some((eligible.clone(), since));
        since + self.timing.settle
    }

    /// Something stands against a ballot.
    pub(super) fn unsettle(&mut self) {
        self.settled = None;
        self.attempt_at = None;
    }

    /// When this server's turn comes: at once for the first, later for those behind it and after every failure.
    pub(super) fn turn(&mut self, me: NodeId, now: Instant) -> Instant {
        let rank = self.rank(me);
        let at_once = rank == 0 && self.failures == 0;
        match self.attempt_at {
            Some(at) => at,
            None if at_once => now,
            None => self.postpone(me, now),
        }
    }

    fn rank(&self, me: NodeId) -> u32 {
        let before = self.settled.iter().flat_map(|(eligible, _)| eligible).filter(|id| **id < me).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// Draws a new wait. Its range grows with the rank and doubles with every failure, so that one server's turn
    /// comes well before the others'.
    pub(super) fn postpone(&mut self, me: NodeId, now: Instant) -> Instant {
        let BallotTiming { wait_min, wait_max, .. } = self.timing;
        let steps =
            self.rank(me).saturating_add(2).saturating_mul(2_u32.saturating_pow(self.failures.min(8)));
        let longest = wait_min.saturating_mul(steps).min(wait_max).max(wait_min);
        let wait = self.rng.random_range(wait_min..=longest);
        let at = now + wait;
        self.attempt_at = Some(at);
        at
    }

    /// A ballot of this server starts. Silences from long before it tell nothing about now.
    pub(super) fn start(&mut self, now: Instant) {
        let long_ago = |ended: Instant| ended + self.timing.patience < now;
        if self.campaign_ended.is_some_and(long_ago) {
            self.asked.clear();
        }
        self.attempt_at = None;
        self.resend_at = None;
        self.gather_until = None;
    }

    /// A ballot of this server ended without a founding.
    pub(super) fn fail(&mut self, me: NodeId, now: Instant) {
        self.campaign_ended = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.postpone(me, now);
    }

    /// Another server's ballot is under way: it gets its time.
    pub(super) fn saw_round(&mut self, round: u64, me: NodeId, now: Instant) {
        if round > self.highest_round {
            self.highest_round = round;
            self.postpone(me, now);
        }
    }

    /// A question was sent.
    pub(super) fn ask(&mut self, id: NodeId, now: Instant) {
        self.asked.entry(id).or_insert(now);
    }

    /// A server answered, in a way that helps a ballot on.
    pub(super) fn answered(&mut self, id: NodeId) {
        self.asked.remove(&id);
        self.absent.remove(&id);
    }

    /// These, and only these, are out of direct contact now. Ballots of several servers overtake each other while
    /// they wait for a founder that is gone; its silence goes on through all of them.
    pub(super) fn note_absent(&mut self, absent: &BTreeSet<NodeId>, now: Instant) {
        self.absent.retain(|id, _| absent.contains(id));
        absent.iter().for_each(|id| _ = self.absent.entry(*id).or_insert(now));
    }

    /// When this server will have been silent for the patience.
    pub(super) fn silent_at(&self, id: NodeId) -> Option<Instant> {
        let since = [self.asked.get(&id), self.absent.get(&id)].into_iter().flatten().min();
        since.map(|since| *since + self.timing.patience)
    }

    /// Whether it is time to tell this server again; if not, when.
    pub(super) fn may_tell(&mut self, id: NodeId, now: Instant) -> Result<(), Instant> {
        let again = self.told.get(&id).map(|told| *told + 2 * self.timing.retry);
        if let Some(again) = again.filter(|again| now < *again) {
            return Err(again);
        }
        self.told.insert(id, now);
        Ok(())
    }

    pub(super) fn retry(&self) -> Duration {
        self.timing.retry
    }
}
