//! The proposer: the start of a ballot, its questions, and its way to a founding, strict or relaxed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    agreement::Agreement,
    campaign::{Campaign, Promises},
    founding::Founder,
    listing::Listing,
    message::Body,
    outbox::Outbox,
    pace::Pace,
    readiness::Readiness,
    reason::Reason,
    sightings::{Contact, Sighting},
    situation::Situation,
    terms::Terms,
};
use crate::node::NodeId;

/// The parts that a ballot needs, at one moment.
pub(super) struct Proposer<'a> {
    pub(super) situation: &'a Situation,
    pub(super) agreement: &'a mut Agreement,
    pub(super) pace: &'a mut Pace,
    pub(super) outbox: &'a mut Outbox,
    pub(super) now: Instant,
}

impl Proposer<'_> {
    /// Starts or drives a ballot; returns the reasons for which there is no founding yet.
    pub(super) fn drive(mut self, readiness: Readiness) -> Vec<Reason> {
        let mut reasons = readiness.reasons;
        self.note_absent();
        let mismatch =
            |reason: &Reason| matches!(reason, Reason::ExpectMismatch { .. } | Reason::FoundersDiffer { .. });
        let takes_part = self.situation.participation().terms.is_ok();
        if self.agreement.campaign().is_some() && (!takes_part || reasons.iter().any(mismatch)) {
            self.agreement.abandon();
            self.pace.fail(self.now);
        }
        if self.agreement.campaign().is_none() {
            if !reasons.is_empty() {
                self.pace.unsettle();
                self.pace.wake_at(readiness.wake);
                return reasons;
            }
            let settled = self.pace.settles_at(&readiness.eligible, self.now);
            if self.now < settled {
                self.pace.wake_at(settled);
                return vec![Reason::Settling];
            }
            let attempt = self.pace.next_attempt(self.now);
            if attempt <= self.now {
                self.start();
            } else {
                self.pace.wake_at(attempt);
            }
        }
        self.advance();
        let missing = self.agreement.campaign().map(|campaign| self.unanswered(campaign)).unwrap_or_default();
        reasons.push(match self.agreement.record().promised {
            None => Reason::AboutToAgree,
            Some(ballot) if missing.is_empty() => Reason::Agreeing { ballot },
            Some(ballot) => Reason::Unanswered { ballot, missing: Listing(missing.into_iter().collect()) },
        });
        reasons
    }

    /// Notes that a founder which this server accepted, and which is not heard from, is silent from now on.
    fn note_absent(&mut self) {
        let listed =
            self.agreement.record().accepted_now().into_iter().flat_map(|accepted| accepted.founding.ids());
        let known = &self.situation.sightings().nodes;
        let here = |id: &NodeId| known.get(id).is_some_and(|node| node.contact == Contact::Direct);
        let me = self.agreement.me();
        let absent = listed.filter(|id| *id != me && !here(id)).collect();
        self.pace.note_absent(&absent, self.now);
    }

    fn start(&mut self) {
        let part = self.situation.participation();
        if let Some(ballot) = self.agreement.begin(self.pace.highest_round(), &part) {
            self.pace.start(ballot.round, self.now);
        }
    }

    /// Takes a ballot as far as the answers allow.
    fn advance(&mut self) {
        self.try_propose();
        if self.is_patience_over() {
            self.agreement.relax(&self.situation.participation());
            self.pace.ask_at_once();
            self.try_propose();
        }
        if let Some(knowledge) = self.agreement.conclude(&self.situation.participation()) {
            self.outbox.push_to_all(self.situation.others(), &Body::known(knowledge));
            return;
        }
        self.ask_again();
    }

    /// Fixes the founding once every server that was asked has answered, or has had time for it.
    fn try_propose(&mut self) {
        let (Some(terms), Some(campaign)) = (&self.situation.config().terms, self.agreement.campaign())
        else {
            return;
        };
        if !campaign.can_propose(terms) {
            return;
        }
        let all_answered = self.unanswered(campaign).is_empty();
        let until = self.pace.gather_until(self.now);
        if !all_answered && self.now < until {
            self.pace.wake_at(until);
            return;
        }
        let known = &self.situation.sightings().nodes;
        let part = self.situation.participation();
        if self.agreement.propose(&part, |promises| choose(terms, promises, known)) {
            self.pace.ask_at_once();
        }
    }

    /// True if a founder that the ballot needs has been silent for the patience.
    fn is_patience_over(&mut self) -> bool {
        let (Some(campaign), Some(terms)) = (self.agreement.campaign(), &self.situation.config().terms)
        else {
            return false;
        };
        if campaign.is_relaxed() {
            return false;
        }
        let missing = campaign.missing_founders(terms);
        missing.iter().for_each(|id| self.pace.note_asked(*id, self.now));
        let first = missing.iter().filter_map(|id| self.pace.silent_at(*id)).min();
        self.pace.wake_at(first.filter(|first| *first > self.now));
        first.is_some_and(|first| first <= self.now)
    }

    /// Asks the servers that have not answered, at the interval of `retry`.
    fn ask_again(&mut self) {
        let (Some(campaign), Some(terms)) = (self.agreement.campaign(), &self.situation.config().terms)
        else {
            return;
        };
        if self.pace.try_ask(self.now) {
            let question = campaign.question(terms);
            for id in self.unanswered(campaign) {
                self.pace.note_asked(id, self.now);
                self.outbox.push(id, question.clone());
            }
        }
    }

    /// The servers that the ballot asks now and that have not answered.
    fn unanswered(&self, campaign: &Campaign) -> BTreeSet<NodeId> {
        let alive = self.situation.alive_servers().map(|node| node.founder.id);
        let terms = self.situation.config().terms.as_ref();
        terms.map(|terms| campaign.unanswered(terms, alive)).unwrap_or_default()
    }
}

/// Composes a new founding. Of a count: servers that promised, across their zones, the oldest first. Of a named list:
/// all of it, and a server that has not promised (which only a relaxed ballot allows) as gossip knows it.
fn choose(terms: &Terms, promises: &Promises, known: &BTreeMap<NodeId, Sighting>) -> Option<Vec<Founder>> {
    match terms {
        Terms::Named(named) => named
            .ids()
            .iter()
            .map(|id| {
                let promised = promises.get(id).map(|promise| promise.founder.clone());
                promised.or_else(|| known.get(id).map(|node| node.founder.clone()))
            })
            .collect(),
        Terms::Count(_) => Some(pick_across_zones(promises, terms.expect())),
    }
}

/// Takes one server of each zone in turn.
fn pick_across_zones(promises: &Promises, count: usize) -> Vec<Founder> {
    let mut taken: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut rounds: Vec<(usize, &Founder)> = promises
        .values()
        .map(|promise| {
            let round = taken.entry(promise.zone.as_deref()).or_default();
            *round += 1;
            (*round, &promise.founder)
        })
        .collect();
    rounds.sort_by_key(|(round, founder)| (*round, founder.id));
    rounds.into_iter().take(count).map(|(_, founder)| founder.clone()).collect()
}
