//! Whether this server may propose now: every reason against it, and who would take part.

use std::{collections::BTreeSet, time::Instant};

use super::{
    config::{Admission, SeedGate},
    reason::{Listing, OtherExpect, Reason},
    record::Record,
    terms::Terms,
    view::{Attestation, Contact, Sighting, Situation},
};
use crate::node::{NodeId, Role};

/// What stands against a ballot of this server.
#[derive(Debug)]
pub(super) struct Readiness {
    /// Empty: it may propose, once this has been so for the settle time.
    pub(super) reasons: Vec<Reason>,
    /// The servers that could found now, this one included.
    pub(super) eligible: BTreeSet<NodeId>,
    /// When a reason ends by itself.
    pub(super) wake: Option<Instant>,
}

/// Weighs the situation at `now`.
pub(super) fn assess(situation: &Situation, record: &Record, now: Instant) -> Readiness {
    let config = &situation.config;
    let mut reasons = Vec::new();
    let mut eligible = BTreeSet::new();
    let mut wake = None;
    if let Some(fault) = situation.fault.clone() {
        reasons.push(fault);
    }
    if situation.server_holds_data() {
        reasons.push(Reason::ServerHoldsData);
    }
    let known = situation.view.nodes.values().filter(|node| node.contact > Contact::Remembered);
    if let Some(cluster_id) = known.clone().find_map(|node| node.cluster_id) {
        reasons.push(Reason::Learning { cluster_id });
    }
    if config.role == Role::Observer {
        reasons.push(Reason::Observer);
    } else if let Admission::Only(cluster_id) = config.admission {
        reasons.push(Reason::OnlyCluster { cluster_id });
    } else if config.admission == Admission::JoinOnly {
        reasons.push(Reason::JoinOnly);
    } else if let Some(terms) = &config.terms {
        eligible = eligible_servers(situation, terms, record.node_id);
        weigh_servers(situation, record, terms, eligible.len(), &mut reasons);
        wake = weigh_seeds(situation, now, &mut reasons);
    } else {
        reasons.push(Reason::ExpectNotSet);
    }
    let needs_others = config.terms.as_ref().is_none_or(|terms| terms.expect() > 1);
    if known.count() == 0 && needs_others {
        reasons.push(if situation.view.seeds == 0 { Reason::NoSeeds } else { Reason::Alone });
    }
    Readiness { reasons, eligible, wake }
}

fn eligible_servers(situation: &Situation, terms: &Terms, me: NodeId) -> BTreeSet<NodeId> {
    let fits = |node: &&Sighting| {
        node.contact == Contact::Direct
            && node.cluster_id.is_none()
            && node.attestation != Attestation::HoldsData
            && node.expect.map(usize::from) == Some(terms.expect())
    };
    let others = situation.alive_servers().filter(fits).map(|node| node.founder.id);
    others.chain([me]).filter(|id| terms.counts(*id)).collect()
}

fn weigh_servers(
    situation: &Situation,
    record: &Record,
    terms: &Terms,
    have: usize,
    reasons: &mut Vec<Reason>,
) {
    let expect = terms.expect();
    if let Some(accepted) = record.accepted.as_ref().filter(|accepted| accepted.terms != *terms) {
        reasons.push(Reason::TermsChanged { accepted: accepted.terms.expect(), expect });
    }
    if !terms.counts(record.node_id) {
        reasons.push(Reason::NotNamed);
    }
    // A founding of named servers that is under way is finished by their majority.
    let need = if record.accepted.is_some() { terms.quorum() } else { expect };
    if have < need {
        reasons.push(Reason::TooFewServers { have, need });
    }
    let differs = |node: &Sighting| {
        let theirs = node.expect.filter(|theirs| usize::from(*theirs) != expect)?;
        node.cluster_id.is_none().then(|| OtherExpect { name: node.founder.name.clone(), expect: theirs })
    };
    let others: Vec<_> = situation.alive_servers().filter_map(differs).collect();
    if !others.is_empty() {
        reasons.push(Reason::ExpectMismatch { expect, others: Listing(others) });
    }
    if let Some(most) = situation.too_many_servers() {
        reasons.push(Reason::TooManyServers { known: situation.known_servers(), most });
    }
}

fn weigh_seeds(situation: &Situation, now: Instant, reasons: &mut Vec<Reason>) -> Option<Instant> {
    let patience = situation.config.timing.patience;
    let unanswered = &situation.view.unanswered_seeds;
    let strict = situation.config.seed_gate == SeedGate::Strict;
    let addrs: Vec<_> = unanswered
        .iter()
        .filter(|(_, since)| strict || now < **since + patience)
        .map(|(addr, _)| *addr)
        .collect();
    if !addrs.is_empty() {
        reasons.push(Reason::UnheardSeeds { addrs: Listing(addrs) });
    }
    unanswered.values().map(|since| *since + patience).filter(|end| !strict && *end > now).min()
}
