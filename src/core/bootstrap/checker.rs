//! The exhaustive check of the agreement: every interleaving of a small instance, run with the shipped machine.
//!
//! The network delivers anything that was ever sent, at any time, any number of times, or never; servers crash and
//! restart with nothing but their record. The outcome of one input at one server is computed once, by [`Agreement`],
//! and remembered; the search then works on small numbers.
//!
//! Three things are left out because they add no behaviour: a promise is counted at the moment the proposer uses it
//! (its state before is not observable), a `Nack` is never delivered (all it does is end a ballot, as a crash does,
//! and `a_nack_ends_a_ballot_or_does_nothing` in `agreement` tests that), and the owners of ballots are tried only up
//! to renaming (AAB and BBA are the same up to the order of ids, on which nothing but the order of ballots depends;
//! rounds are given, so that any order of ballots is tried).
#![expect(
    clippy::disallowed_types,
    reason = "no order shows: the search visits states in the order of its queue"
)]

mod guard;
mod instances;
mod model;
mod numbering;
mod overrides;
mod rules;
mod verdict;
mod words;

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    rc::Rc,
};

use model::{Action, Bits, Envelope, Instance, Mutant, Seen, Step, WORDS, Way, World};
use verdict::Votes;

use super::{
    acceptor::Participation,
    agreement::Agreement,
    campaign::Campaign,
    doubt::Doubt,
    fixture::{acceptance, counted, founder, id, key, name},
    knowledge::Words,
    message::{Body, Promise},
    record::FoundingRecord,
    terms::Terms,
};
use crate::node::NodeId;

/// The outcome of an exploration.
struct Explored {
    states: usize,
    violation: Option<String>,
}

/// Numbers for things, in the order they turn up.
struct Numbers<T> {
    things: Vec<T>,
    numbers: HashMap<T, u16>,
}

impl<T: Clone + Eq + Hash> Numbers<T> {
    fn new() -> Self {
        Self { things: Vec::new(), numbers: HashMap::new() }
    }

    fn number(&mut self, thing: T) -> u16 {
        if let Some(&number) = self.numbers.get(&thing) {
            return number;
        }
        let number = u16::try_from(self.things.len()).unwrap();
        self.things.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }
}

struct Explorer<'a> {
    instance: &'a Instance,
    states: Numbers<Agreement>,
    messages: Numbers<Envelope>,
    inboxes: Vec<Inbox>,
    votes: Votes,
    delivered: HashMap<(u16, u16), Rc<Step>>,
    proposed: HashMap<(u16, Vec<u16>), Proposals>,
    own: HashMap<u16, OwnSteps>,
}

type Proposals = Rc<Vec<Rc<Step>>>;
type OwnSteps = Rc<Vec<(Action, Rc<Step>)>>;

/// The messages to one server, whenever they are sent.
#[derive(Default)]
struct Inbox {
    promises: Bits,
    accepts: Bits,
    others: Bits,
}

/// Explores `instance` until every state was seen or an invariant is broken.
fn explore(instance: &Instance) -> Explored {
    let mut explorer = Explorer {
        instance,
        states: Numbers::new(),
        messages: Numbers::new(),
        inboxes: (0..instance.servers).map(|_| Inbox::default()).collect(),
        votes: Votes::default(),
        delivered: HashMap::new(),
        proposed: HashMap::new(),
        own: HashMap::new(),
    };
    explorer.search()
}

impl Explorer<'_> {
    fn search(&mut self) -> Explored {
        let mut start = World { servers: [0; 6], sent: [0; WORDS] };
        for server in 0..self.instance.servers {
            start.servers[server] = self.states.number(Agreement::new(FoundingRecord::blank(key(server))));
        }
        let mut seen = Seen::from_iter([(start, 0_u32)]);
        let mut ways = vec![Way { before: 0, server: 0, action: Action::Start }];
        let mut queue = VecDeque::from([start]);
        while let Some(world) = queue.pop_front() {
            let here = seen[&world];
            if let Err(broken) = self.votes.check(&world, self.instance) {
                let trace = verdict::trace(&self.messages.things, &seen, &ways, here);
                return Explored { states: seen.len(), violation: Some(format!("{trace}{broken}")) };
            }
            for server in 0..self.instance.servers {
                for (action, step) in self.steps(&world, server) {
                    let next = world.with(server, &step);
                    if next == world {
                        continue;
                    }
                    let count = u32::try_from(seen.len()).unwrap();
                    seen.entry(next).or_insert_with(|| {
                        ways.push(Way { before: here, server: u8::try_from(server).unwrap(), action });
                        queue.push_back(next);
                        count
                    });
                }
            }
        }
        Explored { states: seen.len(), violation: None }
    }

    /// Everything that `server` can do now.
    fn steps(&mut self, world: &World, server: usize) -> Vec<(Action, Rc<Step>)> {
        let state = world.servers[server];
        let mut steps = self.own_steps(state, server).to_vec();
        for message in world.sent_of(&self.inboxes[server].others) {
            let step = self.deliver(state, server, message);
            if self.instance.mutant == Some(Mutant::ReplyBeforeFsync) {
                let crashed = Agreement::new(self.states.things[usize::from(state)].record().clone());
                let crashed = Step { state: self.states.number(crashed), sent: step.sent.clone() };
                steps.push((Action::Mutate, Rc::new(crashed)));
            }
            steps.push((Action::Deliver(message), step));
        }
        let promises = world.sent_of(&self.inboxes[server].promises);
        steps.extend(
            self.propose(state, server, promises).iter().map(|step| (Action::Propose, Rc::clone(step))),
        );
        if self.instance.learning {
            let accepts = world.sent_of(&self.inboxes[server].accepts);
            let concluded = self.conclude(state, server, &accepts);
            steps.extend(concluded.map(|step| (Action::Conclude, Rc::new(step))));
        }
        steps
    }

    /// The number of a message.
    fn post(&mut self, from: usize, to: usize, body: Body) -> u16 {
        let known = self.messages.things.len();
        let number = self.messages.number(Envelope { from, to, body });
        if usize::from(number) == known {
            self.votes.note(known, &self.messages.things[known]);
            let inbox = &mut self.inboxes[to];
            let kind = match &self.messages.things[known].body {
                Body::Promise(_) => &mut inbox.promises,
                Body::Accepted(_) => &mut inbox.accepts,
                Body::Prepare(_)
                | Body::Accept(_)
                | Body::Known(_)
                | Body::Nack(_)
                | Body::Look(_)
                | Body::Blank(_)
                | Body::NotBlank(_)
                | Body::Ask(_)
                | Body::Answer(_) => &mut inbox.others,
            };
            kind[known / 64] |= 1 << (known % 64);
        }
        number
    }

    /// Runs the shipped machine of `server` in `state`.
    fn run<R>(
        &self,
        state: u16,
        server: usize,
        action: impl FnOnce(&mut Agreement, &Participation<'_>) -> R,
    ) -> (Agreement, R) {
        let mut agreement = self.states.things[usize::from(state)].clone();
        let me = founder(server);
        let name = name();
        let counted = counted(self.instance.servers);
        let part = Participation {
            cluster_name: &name,
            terms: Ok(&self.instance.terms),
            founder: &me,
            zone: None,
            counted: &counted,
            most: None,
        };
        let before = agreement.record().clone();
        let result = action(&mut agreement, &part);
        if self.instance.mutant.is_none() {
            check_record(&before, agreement.record());
        }
        (agreement, result)
    }

    /// Crashes and new ballots: what needs no message.
    fn own_steps(&mut self, state: u16, server: usize) -> OwnSteps {
        if let Some(steps) = self.own.get(&state) {
            return Rc::clone(steps);
        }
        let mut steps = Vec::new();
        let agreement = self.states.things[usize::from(state)].clone();
        let crashed = self.states.number(Agreement::new(agreement.record().clone()));
        if crashed != state {
            steps.push((Action::Crash, Rc::new(Step { state: crashed, sent: Vec::new() })));
        }
        for (round, _) in (1_u64..).zip(self.instance.owners).filter(|(_, owner)| **owner == server) {
            let (begun, ballot) = self.run(state, server, |agreement, part| agreement.begin(round - 1, part));
            if ballot.is_none_or(|ballot| ballot.round != round) {
                continue;
            }
            let campaign = begun.campaign().cloned().unwrap();
            let body = Body::Prepare(campaign.prepare(&self.instance.terms));
            let sent = self.send_all(server, |_| true, &body);
            if self.instance.mutant == Some(Mutant::PrepareBeforeFsync) {
                let mut unwritten = begun.clone();
                *unwritten.record_mut() = agreement.record().clone();
                let unwritten = Step { state: self.states.number(unwritten), sent: sent.clone() };
                steps.push((Action::Mutate, Rc::new(unwritten)));
            }
            steps.push((Action::Begin, Rc::new(Step { state: self.states.number(begun), sent })));
        }
        if self.instance.relaxed && agreement.campaign().is_some_and(is_accepting) {
            let (relaxed, ()) = self.run(state, server, |agreement, part| agreement.relax(part));
            let step = self.second_phase(server, relaxed);
            steps.push((Action::Relax, Rc::new(step)));
        }
        let wiped = || Agreement::new(FoundingRecord::blank(key(server)));
        if self.instance.mutant == Some(Mutant::WipedDisk) {
            let wiped = self.states.number(wiped());
            steps.push((Action::Mutate, Rc::new(Step { state: wiped, sent: Vec::new() })));
        }
        if self.instance.forgets {
            let mut doubted = wiped();
            doubted.doubt(Doubt::Copied);
            let doubted = self.states.number(doubted);
            steps.push((Action::Forget, Rc::new(Step { state: doubted, sent: Vec::new() })));
        }
        let steps = Rc::new(steps);
        self.own.insert(state, Rc::clone(&steps));
        steps
    }

    /// Hands `message` to `server`.
    fn deliver(&mut self, state: u16, server: usize, message: u16) -> Rc<Step> {
        if let Some(step) = self.delivered.get(&(state, message)) {
            return Rc::clone(step);
        }
        let envelope = self.messages.things[usize::from(message)].clone();
        let below = self.instance.mutant == Some(Mutant::AcceptBelowPromise);
        let (agreement, answer) = if let (Body::Accept(accept), true) = (&envelope.body, below) {
            let mut forgetful = self.states.things[usize::from(state)].clone();
            let promised = forgetful.record().promised;
            forgetful.record_mut().promised = promised.min(Some(accept.ballot));
            let forgetful = self.states.number(forgetful);
            let (mut agreement, answer) = self.run(forgetful, server, |agreement, part| {
                agreement.receive(id(envelope.from), &envelope.body, part)
            });
            let record = agreement.record_mut();
            record.promised = record.promised.max(promised);
            (agreement, answer)
        } else {
            self.run(state, server, |agreement, part| {
                if let Body::Known(theirs) = &envelope.body {
                    agreement.learn(theirs, part.cluster_name, Words::Here);
                }
                agreement.receive(id(envelope.from), &envelope.body, part)
            })
        };
        let answer =
            answer.filter(|body| !matches!(body, Body::Nack(_))).map(|body| self.corrupt(server, body));
        let sent = answer.map(|body| self.post(server, envelope.from, body)).into_iter().collect();
        let step = Rc::new(Step { state: self.states.number(agreement), sent });
        self.delivered.insert((state, message), Rc::clone(&step));
        step
    }

    fn corrupt(&self, server: usize, mut body: Body) -> Body {
        if let (Body::Promise(promise), Some(Mutant::OmitAccepted), 0) =
            (&mut body, self.instance.mutant, server)
        {
            promise.accepted = None;
        }
        body
    }

    /// Every founding that a ballot of `server` can fix with some of the promises that were sent.
    fn propose(&mut self, state: u16, server: usize, promises: Vec<u16>) -> Proposals {
        if !self.states.things[usize::from(state)].campaign().is_some_and(Campaign::is_preparing) {
            return Rc::default();
        }
        if let Some(steps) = self.proposed.get(&(state, promises.clone())) {
            return Rc::clone(steps);
        }
        let mut steps = Vec::new();
        for subset in 0..1_u32 << promises.len() {
            let counted: Vec<u16> =
                (0..).zip(&promises).filter(|(bit, _)| subset & (1 << bit) != 0).map(|(_, &m)| m).collect();
            for forged in self.forgeries() {
                for relaxed in [false, true] {
                    if relaxed && !self.instance.relaxed {
                        continue;
                    }
                    self.propose_with(state, server, &counted, &forged, relaxed, &mut steps);
                }
            }
        }
        let steps = Rc::new(steps);
        self.proposed.insert((state, promises), Rc::clone(&steps));
        steps
    }

    /// The blank promises that a mutant adds to the real ones.
    fn forgeries(&self) -> Vec<Vec<usize>> {
        let everyone = 0..self.instance.servers;
        match self.instance.mutant {
            Some(Mutant::SmallQuorum) => everyone.map(|server| vec![server]).chain([vec![]]).collect(),
            Some(Mutant::FoundersFromOutside) => vec![vec![], everyone.collect()],
            _ => vec![vec![]],
        }
    }

    fn propose_with(
        &mut self,
        state: u16,
        server: usize,
        counted: &[u16],
        forged: &[usize],
        relaxed: bool,
        steps: &mut Vec<Rc<Step>>,
    ) {
        let terms = self.instance.terms.clone();
        let mutant = self.instance.mutant;
        let (mut gathered, ()) = self.run(state, server, |agreement, part| {
            for message in counted {
                let envelope = &self.messages.things[usize::from(*message)];
                agreement.receive(id(envelope.from), &envelope.body, part);
            }
            if relaxed {
                agreement.relax(part);
            }
        });
        let campaign = gathered.campaign_mut().unwrap();
        let ballot = campaign.ballot();
        if mutant == Some(Mutant::TakeOverWithoutFounders) {
            campaign.relax();
        }
        let Some(promises) = campaign.promises_mut() else {
            return;
        };
        if mutant == Some(Mutant::OwnValue) {
            promises.values_mut().for_each(|promise| promise.accepted = None);
        }
        if mutant == Some(Mutant::FoundersFromOutside) && !forged.is_empty() {
            let taken_over = promises.values().any(|promise| promise.accepted.is_some());
            if taken_over || promises.len() < terms.quorum() {
                return;
            }
        }
        for &other in forged {
            promises.entry(id(other)).or_insert_with(|| Promise {
                ballot,
                accepted: None,
                founder: founder(other),
                zone: None,
            });
        }
        let promised: Vec<NodeId> = match &terms {
            Terms::Named(named) => named.ids().iter().copied().collect(),
            Terms::Count(_) => promises.keys().copied().collect(),
        };
        let gathered = self.states.number(gathered);
        for choice in choices(&promised, terms.expect()) {
            let mut asked = false;
            let (mut proposed, done) = self.run(gathered, server, |agreement, part| {
                agreement.propose(part, |_| {
                    asked = true;
                    Some(choice.iter().map(|id| (0..6).map(founder).find(|f| f.id == *id).unwrap()).collect())
                })
            });
            if done {
                if mutant == Some(Mutant::TakeOverWithoutFounders) {
                    proposed.campaign_mut().unwrap().make_strict();
                }
                let step = Rc::new(self.second_phase(server, proposed));
                if !steps.contains(&step) {
                    steps.push(step);
                }
            }
            if !asked {
                break;
            }
        }
    }

    /// The `Accept`s of a ballot whose founding is fixed. If nothing is left to do but to count the accepts, which
    /// [`Votes::check`] does for every server, the ballot is dropped at once, as by a crash.
    fn second_phase(&mut self, server: usize, mut agreement: Agreement) -> Step {
        let campaign = agreement.campaign().cloned().unwrap();
        let accept = campaign.accept(&self.instance.terms).unwrap();
        let (ballot, founding) = (accept.ballot, accept.founding.clone());
        let body = Body::Accept(Box::new(accept));
        let mut sent = self.send_all(server, |to| campaign.asks_to_accept(to), &body);
        if campaign.has_answered(id(server)) {
            let own = acceptance(server, ballot, &self.instance.terms, &founding);
            sent.push(self.post(server, server, Body::Accepted(own.into())));
        }
        let relaxes = self.instance.relaxed && !campaign.is_relaxed();
        if !relaxes && !self.instance.learning {
            agreement.abandon();
        }
        Step { state: self.states.number(agreement), sent }
    }

    fn conclude(&mut self, state: u16, server: usize, accepts: &[u16]) -> Option<Step> {
        let (agreement, known) = self.run(state, server, |agreement, part| {
            for message in accepts {
                let envelope = &self.messages.things[usize::from(*message)];
                agreement.receive(id(envelope.from), &envelope.body, part);
            }
            agreement.conclude(part).cloned()
        });
        let sent = self.send_all(server, |_| true, &Body::Known(Box::new(known?)));
        Some(Step { state: self.states.number(agreement), sent })
    }

    fn send_all(&mut self, from: usize, wanted: impl Fn(NodeId) -> bool, body: &Body) -> Vec<u16> {
        (0..self.instance.servers)
            .filter(|to| *to != from && wanted(id(*to)))
            .map(|to| self.post(from, to, body.clone()))
            .collect()
    }
}

fn is_accepting(campaign: &Campaign) -> bool {
    !campaign.is_relaxed() && !campaign.is_preparing()
}

/// Records never go back.
fn check_record(before: &FoundingRecord, after: &FoundingRecord) {
    assert_eq!(before.node_id(), after.node_id());
    assert!(before.promised <= after.promised, "a promise was taken back");
    let ballot = |record: &FoundingRecord| record.accepted.as_ref().map(|accepted| accepted.ballot);
    assert!(ballot(before) <= ballot(after), "an accept was taken back");
    assert!(ballot(after) <= after.promised, "accepted without a promise");
    let knows = |id| after.knowledge.foundings.contains_key(id);
    assert!(before.knowledge.foundings.keys().all(knows), "a founding was forgotten");
}

/// Every way to choose `count` of `from`.
fn choices(from: &[NodeId], count: usize) -> Vec<Vec<NodeId>> {
    (0..1_u32 << from.len())
        .filter(|subset| subset.count_ones() as usize == count)
        .map(|subset| {
            (0..).zip(from).filter(|(bit, _)| subset & (1 << bit) != 0).map(|(_, id)| *id).collect()
        })
        .collect()
}
