//! The waits around the agreement. None of it can make a founding unsafe.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use rand::{RngExt, rngs::StdRng};

use super::{
    ballot::Ballot,
    config::BallotTiming,
    message::{Body, Nack, Prepare, Refusal},
};
use crate::node::NodeId;

/// Servers that could found, and the time since which nothing has changed about that.
#[derive(Debug)]
struct Settled {
    eligible: BTreeSet<NodeId>,
    since: Instant,
}

/// The clockwork of one server's ballots.
#[derive(Debug)]
pub(super) struct Pace {
    me: NodeId,
    timing: BallotTiming,
    rng: StdRng,
    settled: Option<Settled>,
    /// Time at which this server starts its next ballot.
    attempt_at: Option<Instant>,
    /// Number of its ballots that were overtaken.
    failures: u32,
    /// The highest round heard of.
    highest_round: u64,
    /// Time since which a question to a server is unanswered.
    asked: BTreeMap<NodeId, Instant>,
    /// Time since which a server that is listed in an accepted founding is out of direct contact.
    absent: BTreeMap<NodeId, Instant>,
    campaign_ended: Option<Instant>,
    resend_at: Option<Instant>,
    /// Time until which a ballot waits for further promises, once a quorum has promised.
    gather_until: Option<Instant>,
    /// Time at which a server was last told, or asked, about a cluster.
    told: BTreeMap<NodeId, Instant>,
    /// Number of the last question to a server for what it knows: nobody else can know it.
    questions: BTreeMap<NodeId, u64>,
    /// Earliest time at which something is due.
    wake: Option<Instant>,
}

impl Pace {
    pub(super) fn new(me: NodeId, timing: BallotTiming, rng: StdRng) -> Self {
        Self {
            me,
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
            questions: BTreeMap::new(),
            wake: None,
        }
    }

    /// The highest round heard of.
    pub(super) fn highest_round(&self) -> u64 {
        self.highest_round
    }

    /// Time at which something is due, if nothing happens before.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Forgets what was due: the end of an input says anew what is.
    pub(super) fn clear_wake(&mut self) {
        self.wake = None;
    }

    /// Makes something due at `at`, if that is a time.
    pub(super) fn wake_at(&mut self, at: impl Into<Option<Instant>>) {
        self.wake = [self.wake, at.into()].into_iter().flatten().min();
    }

    /// Notes what a message tells about its sender and about ballots: a sender that does not refuse to take part has
    /// answered, and another server's ballot gets its time.
    pub(super) fn note_message(&mut self, from: NodeId, body: &Body, now: Instant) {
        let refuses = matches!(body, Body::Nack(nack) if nack.refusal != Refusal::Promised);
        if !refuses {
            self.asked.remove(&from);
            self.absent.remove(&from);
        }
        let highest = Some(Ballot { round: self.highest_round, node: self.me });
        let is_near = |ballot: &Ballot| ballot.follows(highest);
        if let Body::Prepare(Prepare { ballot, .. }) = body
            && ballot.round > self.highest_round
            && is_near(ballot)
        {
            self.highest_round = ballot.round;
            self.postpone(now);
        }
        if let Body::Nack(Nack { promised: Some(promised), .. }) = body
            && is_near(promised)
        {
            self.highest_round = self.highest_round.max(promised.round);
        }
    }

    /// Time at which the view will have been unchanged for long enough, if `eligible` can found and nothing stands
    /// against it.
    pub(super) fn settles_at(&mut self, eligible: &BTreeSet<NodeId>, now: Instant) -> Instant {
        let since = match &self.settled {
            Some(settled) if settled.eligible == *eligible => settled.since,
            _ => {
                self.attempt_at = None;
                now
            }
        };
        self.settled = Some(Settled { eligible: eligible.clone(), since });
        since + self.timing.settle
    }

    /// Notes that something stands against a ballot.
    pub(super) fn unsettle(&mut self) {
        self.settled = None;
        self.attempt_at = None;
    }

    /// Time of this server's next ballot: at once for the first server, later for those behind it and after every
    /// failure.
    pub(super) fn next_attempt(&mut self, now: Instant) -> Instant {
        let at_once = self.rank() == 0 && self.failures == 0;
        match self.attempt_at {
            Some(at) => at,
            None if at_once => now,
            None => self.postpone(now),
        }
    }

    /// Number of eligible servers with a lower id.
    fn rank(&self) -> u32 {
        let eligible = self.settled.iter().flat_map(|settled| &settled.eligible);
        u32::try_from(eligible.filter(|id| **id < self.me).count()).unwrap_or(u32::MAX)
    }

    /// Draws a new wait. Its range grows with the rank and doubles with every failure, so that one server's turn comes
    /// well before the others'.
    fn postpone(&mut self, now: Instant) -> Instant {
        let BallotTiming { wait_min, wait_max, .. } = self.timing;
        let steps = self.rank().saturating_add(2).saturating_mul(2_u32.saturating_pow(self.failures.min(8)));
        let longest = wait_min.saturating_mul(steps).min(wait_max).max(wait_min);
        let at = now + self.rng.random_range(wait_min..=longest);
        self.attempt_at = Some(at);
        at
    }

    /// Notes that a ballot of this server starts. Silences from long before it tell nothing about now.
    pub(super) fn start(&mut self, round: u64, now: Instant) {
        self.highest_round = round;
        let long_ago = |ended: Instant| ended + self.timing.patience < now;
        if self.campaign_ended.is_some_and(long_ago) {
            self.asked.clear();
        }
        self.attempt_at = None;
        self.resend_at = None;
        self.gather_until = None;
    }

    /// Notes that a ballot of this server ended without a founding.
    pub(super) fn fail(&mut self, now: Instant) {
        self.campaign_ended = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.postpone(now);
    }

    /// Notes that an answer of this server is awaited.
    pub(super) fn note_asked(&mut self, id: NodeId, now: Instant) {
        self.asked.entry(id).or_insert(now);
    }

    /// Notes that these servers, and only these, are out of direct contact now. Ballots of several servers overtake
    /// each other while they wait for a founder that is gone; its silence goes on through all of them.
    pub(super) fn note_absent(&mut self, absent: &BTreeSet<NodeId>, now: Instant) {
        self.absent.retain(|id, _| absent.contains(id));
        absent.iter().for_each(|id| _ = self.absent.entry(*id).or_insert(now));
    }

    /// Time at which this server will have been silent for the patience.
    pub(super) fn silent_at(&self, id: NodeId) -> Option<Instant> {
        let since = [self.asked.get(&id), self.absent.get(&id)].into_iter().flatten().min();
        since.map(|since| *since + self.timing.patience)
    }

    /// Time until which a ballot with a quorum of promises waits for the others; it counts from the first call on.
    pub(super) fn gather_until(&mut self, now: Instant) -> Instant {
        *self.gather_until.get_or_insert(now + self.timing.retry)
    }

    /// Lets the next question go out at once: it is another one.
    pub(super) fn ask_at_once(&mut self) {
        self.resend_at = None;
    }

    /// True if it is time to ask; the next time is an interval later, and due.
    pub(super) fn try_ask(&mut self, now: Instant) -> bool {
        let is_time = self.resend_at.is_none_or(|at| at <= now);
        if is_time {
            self.resend_at = Some(now + self.timing.retry);
        }
        self.wake_at(self.resend_at);
        is_time
    }

    /// The number of a question to a server for what it knows. It stays until it is answered, so that the answer to one of several
    /// questions counts.
    pub(super) fn number_question(&mut self, id: NodeId) -> u64 {
        let Self { questions, rng, .. } = self;
        *questions.entry(id).or_insert_with(|| rng.random())
    }

    /// A number that nobody can know.
    pub(super) fn draw(&mut self) -> u32 {
        self.rng.random()
    }

    /// True if this server was asked under this number; the question is answered then.
    pub(super) fn take_answer(&mut self, id: NodeId, number: u64) -> bool {
        let is_asked = self.questions.get(&id) == Some(&number);
        if is_asked {
            self.questions.remove(&id);
        }
        is_asked
    }

    /// Notes that these servers were just told all that is known here.
    pub(super) fn note_told(&mut self, ids: &[NodeId], now: Instant) {
        ids.iter().for_each(|id| _ = self.told.insert(*id, now));
    }

    /// True if it is time to tell this server of a cluster, or to ask it for one; the next time is two intervals
    /// later, and due.
    pub(super) fn try_tell(&mut self, id: NodeId, now: Instant) -> bool {
        let pause = 2 * self.timing.retry;
        let again = self.told.get(&id).map(|told| *told + pause);
        if let Some(again) = again.filter(|again| now < *again) {
            self.wake_at(again);
            return false;
        }
        self.told.insert(id, now);
        self.wake_at(now + pause);
        true
    }
}
