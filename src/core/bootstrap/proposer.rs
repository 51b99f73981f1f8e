//! The proposer's course: when a ballot starts, whom it asks, when it goes on, relaxed or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    Bootstrap,
    campaign::{Campaign, Phase, Promises},
    founding::Founder,
    message::Body,
    readiness::Readiness,
    reason::{Listing, Reason},
    terms::Terms,
    view::{Contact, Sighting},
};
use crate::node::NodeId;

impl Bootstrap {
    /// Starts or drives a ballot, and says what is being waited for.
    pub(super) fn drive(&mut self, readiness: Readiness, now: Instant) -> Vec<Reason> {
        let mut reasons = readiness.reasons;
        self.note_absent(now);
        let mismatch = |reason: &Reason| matches!(reason, Reason::ExpectMismatch { .. });
        if self.agreement.campaign.is_some()
            && (self.situation.standing().terms.is_err() || reasons.iter().any(mismatch))
        {
            self.agreement.campaign = None;
            self.pace.fail(self.agreement.record.node_id, now);
        }
        if self.agreement.campaign.is_none() {
            if !reasons.is_empty() {
                self.pace.unsettle();
                self.wake_at(readiness.wake);
                return reasons;
            }
            let settled = self.pace.settles_at(&readiness.eligible, now);
            if now < settled {
                self.wake_at(Some(settled));
                return vec![Reason::Settling];
            }
            let turn = self.pace.turn(self.agreement.record.node_id, now);
            if turn <= now {
                self.start(now);
            } else {
                self.wake_at(Some(turn));
            }
        }
        self.advance(now);
        let missing: Vec<NodeId> = match &self.agreement.campaign {
            Some(campaign) => {
                self.targets(campaign).into_iter().filter(|id| !campaign.has_answered(*id)).collect()
            }
            None => Vec::new(),
        };
        reasons.push(match self.agreement.record.promised {
            None => Reason::AboutToAgree,
            Some(ballot) if missing.is_empty() => Reason::Agreeing { ballot },
            Some(ballot) => Reason::Unanswered { ballot, missing: Listing(missing) },
        });
        reasons
    }

    /// Whoever is listed in what this server accepted, and is not heard of, is silent from now on.
    fn note_absent(&mut self, now: Instant) {
        let listed = self.agreement.record.accepted.iter().flat_map(|accepted| accepted.founding.ids());
        let known = &self.situation.view.nodes;
        let here = |id: &NodeId| known.get(id).is_some_and(|node| node.contact == Contact::Direct);
        let me = self.agreement.record.node_id;
        let absent = listed.filter(|id| *id != me && !here(id)).collect();
        self.pace.note_absent(&absent, now);
    }

    fn start(&mut self, now: Instant) {
        let standing = self.situation.standing();
        if let Some(ballot) = self.agreement.begin(self.pace.highest_round, &standing) {
            self.pace.highest_round = ballot.round;
            self.pace.start(now);
        }
    }

    /// Takes a ballot as far as the answers allow.
    fn advance(&mut self, now: Instant) {
        self.try_propose(now);
        if self.someone_is_silent(now) {
            self.agreement.relax(&self.situation.standing());
            self.pace.resend_at = None;
            self.try_propose(now);
        }
        if let Some(cluster) = self.agreement.conclude(&self.situation.standing()) {
            let body = Body::Founded(Box::new(cluster));
            let others: Vec<NodeId> = self.situation.view.nodes.keys().copied().collect();
            others.into_iter().for_each(|id| self.send(id, body.clone()));
            return;
        }
        self.ask_again(now);
    }

    /// Fixes the founding once everybody has answered, or those that did had time for it.
    fn try_propose(&mut self, now: Instant) {
        let Some(terms) = self.situation.config.terms.clone() else {
            return;
        };
        let Some(campaign) = &self.agreement.campaign else {
            return;
        };
        let Phase::Preparing(promises) = &campaign.phase else {
            return;
        };
        if promises.len() < terms.quorum() {
            return;
        }
        let everybody = self.targets(campaign).iter().all(|id| campaign.has_answered(*id));
        let until = *self.pace.gather_until.get_or_insert(now + self.pace.retry());
        if !everybody && now < until {
            self.wake_at(Some(until));
            return;
        }
        let known = &self.situation.view.nodes;
        let standing = self.situation.standing();
        if self.agreement.propose(&standing, |promises| choose(&terms, promises, known)) {
            self.pace.resend_at = None;
        }
    }

    /// Whether a founder that the ballot needs has been silent for the patience.
    fn someone_is_silent(&mut self, now: Instant) -> bool {
        let (Some(campaign), Some(terms)) = (&self.agreement.campaign, &self.situation.config.terms) else {
            return false;
        };
        if campaign.relaxed {
            return false;
        }
        let missing = campaign.missing_founders(terms);
        missing.iter().for_each(|id| self.pace.ask(*id, now));
        let first = missing.iter().filter_map(|id| self.pace.silent_at(*id)).min();
        self.wake_at(first.filter(|first| *first > now));
        first.is_some_and(|first| first <= now)
    }

    /// Asks those who have not answered, as often as `retry` says.
    fn ask_again(&mut self, now: Instant) {
        let (Some(campaign), Some(terms)) = (&self.agreement.campaign, &self.situation.config.terms) else {
            return;
        };
        if self.pace.resend_at.is_none_or(|at| at <= now) {
            let body = match campaign.accept(terms) {
                Some(accept) => Body::Accept(Box::new(accept)),
                None => Body::Prepare(campaign.prepare(terms)),
            };
            for id in self.targets(campaign) {
                if self.agreement.campaign.as_ref().is_some_and(|campaign| !campaign.has_answered(id)) {
                    self.pace.ask(id, now);
                    self.send(id, body.clone());
                }
            }
            self.pace.resend_at = Some(now + self.pace.retry());
        }
        self.wake_at(self.pace.resend_at);
    }

    /// Whom the ballot asks now: the living servers that count, and founders that it needs, alive or not.
    fn targets(&self, campaign: &Campaign) -> BTreeSet<NodeId> {
        let Some(terms) = &self.situation.config.terms else {
            return BTreeSet::new();
        };
        let preparing = matches!(campaign.phase, Phase::Preparing(_));
        let founders = match &campaign.phase {
            Phase::Preparing(_) => campaign.missing_founders(terms),
            Phase::Accepting { founding, .. } => founding.ids().collect(),
        };
        let alive = self.situation.alive_servers().map(|node| node.founder.id);
        alive
            .filter(|id| terms.counts(*id) && (preparing || campaign.asks_to_accept(*id)))
            .chain(founders)
            .filter(|id| *id != self.agreement.record.node_id)
            .collect()
    }
}

/// Composes a new founding. Of a count: servers that promised, spread over their zones, the oldest first. Of a named
/// list: all of it, and who has not promised (which only a relaxed ballot allows) as gossip knows it.
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
        Terms::Count(_) => Some(spread(promises, terms.expect())),
    }
}

/// Takes one server of each zone in turn.
fn spread(promises: &Promises, count: usize) -> Vec<Founder> {
    let mut taken: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, &Founder)> = promises
        .values()
        .map(|promise| {
            let turn = taken.entry(promise.zone.as_deref()).or_default();
            *turn += 1;
            (*turn, &promise.founder)
        })
        .collect();
    turns.sort_by_key(|(turn, founder)| (*turn, founder.id));
    turns.into_iter().take(count).map(|(_, founder)| founder.clone()).collect()
}
