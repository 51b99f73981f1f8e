//! The exhaustive check of operators' foundings: every order in which two of them are said, heard of, accepted and acted on by three
//! agents with their servers, run with the shipped rules.
//!
//! An agent hears all that another one knows, at any time or never. Its server asks at any time; told to initialise, it starts at any
//! time after, even if its agent has heard of something else since.
#![expect(
    clippy::disallowed_types,
    reason = "no order shows: the search visits states in the order of its queue"
)]

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::Numbers;
use crate::bootstrap::{
    advice::Decision,
    agreement::Agreement,
    certificate::Certificate,
    config::Config,
    consent::Consent,
    decision::Outcome,
    fixture::{config, founder, id, key, name, proven, signed},
    founding::{ClusterId, Founding},
    knowledge::Words,
    operator::{self, DataLoss, ServerSeen},
    record::FoundingRecord,
    server::ServerReport,
    situation::Situation,
};
use crate::node::NodeId;

const AGENTS: usize = 3;

/// Override number so and so, said at this agent, with these founders.
const SAID: [(usize, &[usize]); 2] = [(0, &[0, 1, 2]), (2, &[1, 2])];

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// An override that some of its founders have accepted takes effect.
    SomeFounders,
    /// A founder accepts whatever it hears of, and looks neither into its server nor at what it knows.
    AcceptsAll,
}

/// An agent with its server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Host {
    record: FoundingRecord,
    /// The cluster that the server was told to initialise and has not asked since.
    told: Option<ClusterId>,
    /// The cluster that the server has initialised.
    started: Option<ClusterId>,
}

type World = [u16; AGENTS];

struct Search {
    hosts: Numbers<Host>,
    decisions: HashMap<u16, Decision>,
    mutant: Option<Mutant>,
}

impl Host {
    fn seen(&self) -> ServerSeen {
        let waits = self.told.is_none() && self.started.is_none();
        ServerSeen { holds_data: self.started.is_some(), is_seen_blank: waits }
    }

    fn decide(&self, agent: usize) -> Decision {
        let mut situation = Situation::new(Config { terms: None, ..config(agent) }, id(agent));
        situation.set_server(ServerReport {
            server_id: "s".to_owned().try_into().unwrap(),
            has_state: self.started.is_some(),
            cluster_id: self.started,
            once: true,
            starts: None,
        });
        Outcome::decide(&self.record, &situation, &[]).decision
    }

    /// Takes in what has become of the record, and answers the operators' foundings in it.
    fn weigh(mut self, mut agreement: Agreement, mutant: Option<Mutant>) -> Self {
        match mutant {
            Some(Mutant::AcceptsAll) => {
                let me = agreement.me();
                let mine =
                    |founding: &&Founding| founding.operator().is_some() && founding.founder(me).is_some();
                let known = agreement.knowledge().foundings.values().map(Certificate::founding);
                let ids: Vec<_> = known.filter(mine).map(Founding::id).collect();
                agreement
                    .report(|own| own.consents.extend(ids.into_iter().map(|id| (id, Consent::Accepted))));
            }
            Some(Mutant::SomeFounders) | None => _ = agreement.weigh_offers(self.seen()),
        }
        self.record = agreement.record().clone();
        if mutant == Some(Mutant::SomeFounders) {
            let own = self.record.own_report().map(|own| own.consents.clone()).unwrap_or_default();
            for (offer, _) in own.iter().filter(|(_, consent)| **consent == Consent::Accepted) {
                let founders: Vec<NodeId> = self.record.knowledge.foundings[offer].ids().collect();
                for founder in founders {
                    let reports = &mut self.record.knowledge.reports;
                    let mut report =
                        reports.get(&founder).map(|report| (**report).clone()).unwrap_or_default();
                    report.consents.insert(*offer, Consent::Accepted);
                    let server = (0..AGENTS).find(|server| id(*server) == founder).unwrap();
                    reports.insert(founder, signed(server, report));
                }
            }
        }
        self
    }
}

impl Search {
    fn host(&self, number: u16) -> Host {
        self.hosts.things[usize::from(number)].clone()
    }

    fn decision(&mut self, agent: usize, number: u16) -> Decision {
        // The number stands for one agent alone: the id is in the record.
        if let Some(known) = self.decisions.get(&number) {
            return known.clone();
        }
        let decision = self.host(number).decide(agent);
        self.decisions.insert(number, decision.clone());
        decision
    }

    fn steps(&mut self, world: &World) -> Vec<(String, World)> {
        let mut steps = Vec::new();
        for agent in 0..AGENTS {
            for (step, host) in self.steps_of(world, agent) {
                let mut next = *world;
                next[agent] = self.hosts.number(host);
                steps.push((format!("{} {step}", agent + 1), next));
            }
        }
        steps
    }

    fn steps_of(&mut self, world: &World, agent: usize) -> Vec<(String, Host)> {
        let host = self.host(world[agent]);
        let mut steps = Vec::new();
        for other in (0..AGENTS).filter(|other| *other != agent) {
            let theirs = self.host(world[other]).record.knowledge;
            let mut agreement = Agreement::new(host.record.clone());
            if agreement.learn(&theirs, &name(), Words::Everywhere) {
                let learnt = host.clone().weigh(agreement, self.mutant);
                steps.push((format!("hears from {}", other + 1), learnt));
            }
        }
        for (number, (_, founders)) in (1..).zip(SAID).filter(|(_, (at, _))| *at == agent) {
            let founders: BTreeSet<NodeId> = founders.iter().copied().map(id).collect();
            let has_said = host
                .record
                .knowledge
                .foundings
                .values()
                .any(|founding| founding.operator().is_some() && founding.ballot().node == id(agent));
            let known: Vec<_> = (0..AGENTS).map(founder).collect();
            let known: Vec<_> = known.iter().collect();
            let said = operator::overriding(
                &host.record,
                &name(),
                &founders,
                &known,
                0,
                DataLoss::Refused,
                host.seen(),
            );
            if let (false, Ok(certificate)) = (has_said, said) {
                let mut agreement = Agreement::new(host.record.clone());
                agreement.found(certificate);
                steps.push((format!("says override {number}"), host.clone().weigh(agreement, self.mutant)));
            }
        }
        let decision = self.decision(agent, world[agent]);
        if host.started.is_none() {
            let mut asked = host.clone();
            asked.told = None;
            if let Decision::Bootstrap(group) = &decision {
                asked.told = Some(group.cluster_id);
                let server = "s".to_owned().try_into().unwrap();
                asked.record.notes_mut(group.cluster_id).note_told(Some(&server));
            }
            let agreement = Agreement::new(asked.record.clone());
            steps.push(("asks".to_owned(), asked.weigh(agreement, self.mutant)));
        }
        if let Some(told) = host.told.filter(|_| host.started.is_none()) {
            let mut started = Host { told: None, started: Some(told), ..host };
            started.record.notes_mut(told).begun = true;
            let agreement = Agreement::new(started.record.clone());
            steps.push(("starts".to_owned(), started.weigh(agreement, self.mutant)));
        }
        steps
    }

    fn check(&mut self, world: &World) -> Result<(), String> {
        let hosts: Vec<Host> = world.iter().map(|number| self.host(*number)).collect();
        for (agent, host) in hosts.iter().enumerate() {
            let decision = self.decision(agent, world[agent]);
            let (Decision::Bootstrap(group) | Decision::Resume(group)) = &decision else { continue };
            if let Some(other) = host.told.or(host.started).filter(|other| *other != group.cluster_id) {
                return Err(format!("{}'s server of {other} is told {}", agent + 1, group.cluster_id));
            }
        }
        let known = hosts.iter().flat_map(|host| host.record.knowledge.foundings.values());
        let foundings: HashMap<ClusterId, Founding> =
            known.map(|known| (known.id(), known.founding().clone())).collect();
        let has_begun = |founding: &Founding| hosts.iter().any(|host| host.started == Some(founding.id()));
        let names = |one: &Founding, other: &Founding| {
            one.operator().is_some_and(|operator| operator.overrides.contains(&other.id()))
        };
        let overrides = foundings.values().filter(|founding| founding.operator().is_some());
        let begun: Vec<&Founding> = overrides.filter(|founding| has_begun(founding)).collect();
        for (at, one) in begun.iter().enumerate() {
            for other in &begun[at + 1..] {
                let are_rivals = !names(one, other) && !names(other, one);
                if are_rivals && one.ids().any(|id| other.founder(id).is_some()) {
                    return Err(format!(
                        "{} and {} have begun, and neither ends the other",
                        one.id(),
                        other.id()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Explores all orders, from a founding that these agents know and no server was told of; returns the number of states, and the
/// trace to a state that breaks an invariant.
fn explore(knows: &[usize], mutant: Option<Mutant>) -> (usize, Option<String>) {
    let mut search = Search { hosts: Numbers::new(), decisions: HashMap::new(), mutant };
    let ballot = crate::bootstrap::Ballot { round: 1, node: id(0) };
    let agreed = Founding::new(&name(), ballot, (0..3).map(founder).collect(), None);
    let mut start = [0; AGENTS];
    for (agent, number) in start.iter_mut().enumerate() {
        let mut record = FoundingRecord::blank(key(agent)).under(&name());
        if knows.contains(&agent) {
            record.knowledge.foundings.insert(agreed.id(), proven(&agreed));
        }
        *number = search.hosts.number(Host { record, told: None, started: None });
    }
    let mut seen: HashMap<World, Option<(World, String)>> = [(start, None)].into();
    let mut queue = VecDeque::from([start]);
    while let Some(world) = queue.pop_front() {
        if let Err(broken) = search.check(&world) {
            let mut trace = vec![broken];
            let mut here = world;
            while let Some(Some((before, step))) = seen.get(&here).cloned() {
                trace.push(step);
                here = before;
            }
            trace.reverse();
            return (seen.len(), Some(trace.join("\n")));
        }
        for (step, next) in search.steps(&world) {
            if next != world && !seen.contains_key(&next) {
                seen.insert(next, Some((world, step)));
                queue.push_back(next);
            }
        }
    }
    (seen.len(), None)
}

#[test]
fn two_overrides_that_share_a_founder_never_both_take_effect() {
    let (states, violation) = explore(&[], None);
    println!("{states} states");
    assert_eq!(violation, None);
    assert!(states > 1_000, "{states}");
}

#[test]
fn nor_beside_a_founding_that_one_of_them_knows() {
    let (states, violation) = explore(&[1], None);
    println!("{states} states");
    assert_eq!(violation, None);
}

fn caught(mutant: Mutant) {
    let (states, violation) = explore(&[], Some(mutant));
    let trace = violation.unwrap_or_else(|| panic!("{mutant:?} was not caught in {states} states"));
    println!("{mutant:?} caught after {states} states:\n{trace}");
}

#[test]
fn an_override_that_takes_effect_though_only_some_have_accepted_it_is_caught() {
    caught(Mutant::SomeFounders);
}

#[test]
fn a_founder_that_accepts_whatever_it_hears_of_is_caught() {
    caught(Mutant::AcceptsAll);
}
