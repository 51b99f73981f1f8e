//! Readiness to propose: every reason against a ballot of this server, and the servers that would take part.

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use super::{
    agreement::Agreement,
    config::{Admission, SeedGate},
    counted::Counted,
    doubt::Doubt,
    founding::ClusterId,
    listing::{Counting, Listing, OtherExpect, SilentAddr},
    reason::Reason,
    sightings::{Attestation, Contact, Listed, Sighting},
    situation::Situation,
    terms::Terms,
};
use crate::node::{NodeId, Role};

/// The outcome of an assessment.
#[derive(Debug)]
pub(super) struct Readiness {
    /// Reasons against a ballot. If empty, this server may propose, once that has been so for the settle time.
    pub(super) reasons: Vec<Reason>,
    /// The servers that could found now, this one included.
    pub(super) eligible: BTreeSet<NodeId>,
    /// Time at which a reason ends by itself.
    pub(super) wake: Option<Instant>,
}

impl Readiness {
    /// Assesses the situation at `now`.
    pub(super) fn assess(situation: &Situation, agreement: &Agreement, now: Instant) -> Self {
        let record = agreement.record();
        let config = situation.config();
        let mut reasons = Vec::new();
        let mut eligible = BTreeSet::new();
        let mut wake = None;
        reasons.extend(situation.fault().cloned());
        reasons.extend(record.doubt.map(Doubt::reason));
        // The decision names the operator's founding that this server waits for.
        if record.pending().is_some() {
            reasons.push(Reason::AboutToAgree);
        }
        if situation.server_holds_data() {
            reasons.push(Reason::ServerHoldsData);
        }
        let sightings = situation.sightings();
        let alive = sightings.nodes.values().filter(|node| node.is_alive());
        // A cluster that another node knows is on the way here, unless it is over here.
        let is_news = |id: &ClusterId| !record.knowledge.foundings.contains_key(id);
        if let Some(cluster_id) = alive.clone().filter_map(|node| node.cluster_id).find(is_news) {
            reasons.push(Reason::Learning { cluster_id });
        }
        if config.role == Role::Observer {
            reasons.push(Reason::Observer);
        } else if let Admission::Only(cluster_id) = config.admission {
            reasons.push(Reason::OnlyCluster { cluster_id });
        } else if config.admission == Admission::JoinOnly {
            reasons.push(Reason::JoinOnly);
        } else if let Some(terms) = &config.terms {
            eligible = eligible_servers(situation, terms, record.node_id());
            weigh_servers(situation, agreement, terms, eligible.len(), &mut reasons);
            weigh_count(situation, agreement, terms, now, &mut reasons);
            wake = weigh_seeds(situation, now, &mut reasons);
        } else {
            reasons.push(Reason::ExpectNotSet);
        }
        let needs_others = config.terms.as_ref().is_none_or(|terms| terms.expect() > 1);
        if alive.count() == 0 && needs_others {
            reasons.push(if sightings.seeds == 0 { Reason::NoSeeds } else { Reason::Alone });
        }
        Self { reasons, eligible, wake }
    }
}

fn eligible_servers(situation: &Situation, terms: &Terms, me: NodeId) -> BTreeSet<NodeId> {
    let fits = |node: &&Sighting| {
        node.contact == Contact::Direct
            && node.cluster_id.is_none()
            && node.attestation != Attestation::HoldsData
            && node.expect.map(usize::from) == Some(terms.expect())
            && node.named == terms.named_digest()
    };
    let others = situation.alive_servers().filter(fits).map(|node| node.founder.id);
    others.chain([me]).filter(|id| terms.counts(*id)).collect()
}

fn weigh_servers(
    situation: &Situation,
    agreement: &Agreement,
    terms: &Terms,
    have: usize,
    reasons: &mut Vec<Reason>,
) {
    let record = agreement.record();
    let expect = terms.expect();
    if let Some(accepted) = record.accepted_now().filter(|accepted| accepted.terms != *terms) {
        reasons.push(Reason::TermsChanged { accepted: accepted.terms.expect(), expect });
    }
    if !terms.counts(record.node_id()) {
        reasons.push(Reason::NotNamed);
    }
    // A founding of named servers that is under way is finished by their majority.
    let need = if record.accepted_now().is_some() { terms.quorum() } else { expect };
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
    let named = terms.named_digest();
    let is_other =
        |node: &&Sighting| node.cluster_id.is_none() && node.expect.is_some() && node.named != named;
    let others: Vec<_> =
        situation.alive_servers().filter(is_other).map(|node| node.founder.name.clone()).collect();
    if !others.is_empty() {
        reasons.push(Reason::FoundersDiffer { others: Listing(others) });
    }
}

fn weigh_count(
    situation: &Situation,
    agreement: &Agreement,
    terms: &Terms,
    now: Instant,
    reasons: &mut Vec<Reason>,
) {
    if let Some(most) = situation.too_many_servers() {
        reasons.push(too_many(situation, situation.counted(), most, now));
    } else if let (Some(counted), Some(most)) = (agreement.refused(), terms.most_servers()) {
        reasons.push(too_many(situation, counted, most, now));
    }
}

/// A silent address, with the time of its silence and the providers that list it.
fn silent(situation: &Situation, addr: SocketAddr, now: Instant) -> SilentAddr {
    let listed = situation
        .sightings()
        .unanswered_seeds
        .get(&addr)
        .map(|Listed { since, by }| (now.saturating_duration_since(*since).into(), by.clone()));
    SilentAddr { addr, listed }
}

/// The reason that names every server and every silent address that makes the number too large.
fn too_many(situation: &Situation, counted: &Counted, most: usize, now: Instant) -> Reason {
    let name = |(id, addr): (&NodeId, &SocketAddr)| {
        let name = situation.name_of(*id);
        let id = id.to_string();
        (if name == id { id } else { format!("{name} ({id})") }, *addr)
    };
    let who = Counting {
        servers: counted.ids.iter().map(name).collect(),
        silent: counted.silent.iter().map(|addr| silent(situation, *addr, now)).collect(),
    };
    Reason::TooManyServers { known: counted.len(), most, who }
}

fn weigh_seeds(situation: &Situation, now: Instant, reasons: &mut Vec<Reason>) -> Option<Instant> {
    let config = situation.config();
    let patience = config.timing.patience;
    let counts = |addr: &SocketAddr| situation.counted().silent.contains(addr);
    let unanswered = &situation.sightings().unanswered_seeds;
    // An operator may have said that there is nobody any more.
    let unanswered: Vec<(&SocketAddr, Instant)> = unanswered
        .iter()
        .filter(|(addr, _)| counts(addr))
        .map(|(addr, listed)| (addr, listed.since))
        .collect();
    let strict = config.seed_gate == SeedGate::Strict;
    let holds = unanswered.iter().filter(|(_, since)| strict || now < *since + patience);
    let addrs: Vec<_> = holds.map(|(addr, _)| silent(situation, **addr, now)).collect();
    if strict && situation.sightings().unheard_providers {
        reasons.push(Reason::UnheardProviders);
    }
    if !addrs.is_empty() {
        reasons.push(Reason::UnheardSeeds { addrs: Listing(addrs) });
    }
    unanswered.iter().map(|(_, since)| *since + patience).filter(|end| !strict && *end > now).min()
}
