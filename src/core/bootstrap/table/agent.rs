//! The translation between a founder of the model and the shipped machine: whole machines are made from it, and read back.

use std::{
    collections::BTreeSet,
    sync::{LazyLock, OnceLock},
    time::Instant,
};

use rand::{SeedableRng, rngs::StdRng};

use super::founder::{Founder, Kind, Process, Progress, Told};
use crate::bootstrap::{
    Ballot, Body, Bootstrap, Decision, EstablishedReport, Founding, FoundingRecord, GroupReport, Knowledge,
    Looked, Message, Notes, Report, ServerId, ServerReport, Told as Noted, Words,
    certificate::Certificate,
    fixture::{config, founder, id, key, name, proven, signed},
    look::Look,
};
use crate::node::NodeId;

/// The answer to a server, without its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Wait,
    Bootstrap,
    Resume,
}

impl Answer {
    fn of(decision: &Decision) -> Self {
        match decision {
            Decision::Wait { .. } => Self::Wait,
            Decision::Bootstrap(_) => Self::Bootstrap,
            Decision::Resume(_) => Self::Resume,
            Decision::Join(_) | Decision::Conflict(_) => panic!("a founder is told {decision:?}"),
        }
    }
}

/// The agent of one founder, and its clock, which stands still.
pub(super) struct Agent {
    pub(super) machine: Bootstrap,
    pub(super) me: usize,
    pub(super) now: Instant,
}

/// The founding of the three.
pub(super) fn founding() -> Founding {
    let ballot = Ballot { round: 1, node: id(0) };
    Founding::new(&name(), ballot, (0..3).map(founder).collect(), None)
}

/// The proof of that, signed once: the search makes many machines.
static PROOF: LazyLock<Certificate> = LazyLock::new(|| proven(&founding()));

/// The report by which a founder hears that the group exists, signed once by each.
fn established_by(reporter: usize) -> Knowledge {
    static REPORTS: [OnceLock<Knowledge>; 3] = [const { OnceLock::new() }; 3];
    REPORTS[reporter].get_or_init(|| established(reporter)).clone()
}

fn established(reporter: usize) -> Knowledge {
    let group = GroupReport {
        cluster_id: founding().id(),
        index: Default::default(),
        voters: Vec::new(),
        heard: None,
        generation: Default::default(),
    };
    let report = Report { number: 1, group: Some(group), ..Report::default() };
    Knowledge { reports: [(id(reporter), signed(reporter, report))].into(), ..Knowledge::default() }
}

/// The id that lies in the directory now.
fn this_server() -> ServerId {
    "this".to_owned().try_into().unwrap()
}

fn others(me: usize) -> BTreeSet<NodeId> {
    (0..3).filter(|other| *other != me).map(id).collect()
}

/// The record of a founder.
fn record(me: usize, of: &Founder) -> FoundingRecord {
    let founding = founding();
    let mut notes = Notes { begun: of.begun, named: true, ..Notes::new(founding.id()) };
    notes.told = match of.told {
        Told::Nobody => Noted::Nobody,
        Told::This => Noted::Server(this_server()),
        Told::Former => Noted::Server("former".to_owned().try_into().unwrap()),
        Told::Anybody => Noted::Anybody,
    };
    let mut knowledge = if of.established { established_by((me + 1) % 3) } else { Knowledge::default() };
    knowledge.foundings.insert(founding.id(), PROOF.clone());
    FoundingRecord {
        cluster_name: Some(name()),
        knowledge,
        notes: Some(notes),
        ..FoundingRecord::blank(key(me))
    }
}

impl Agent {
    /// The agent as it starts from its record.
    pub(super) fn restarted(me: usize, of: &Founder) -> Self {
        #[expect(clippy::disallowed_methods, reason = "some instant to start from; only differences matter")]
        let now = Instant::now();
        let machine = Bootstrap::new(config(me), record(me, of), now, StdRng::seed_from_u64(7));
        let mut agent = Self { machine, me, now };
        agent.save();
        agent
    }

    /// The agent ends and starts again from its record.
    pub(super) fn restart(&mut self) {
        let record = self.machine.outbox.record().clone();
        self.machine = Bootstrap::new(config(self.me), record, self.now, StdRng::seed_from_u64(8));
        self.save();
    }

    /// The agent while a server waits beside it that has just said so, in the midst of its look.
    pub(super) fn beside_waiting(me: usize, kind: Kind, of: &Founder) -> Self {
        let mut agent = Self::restarted(me, of);
        if of.disk.is_none() {
            agent.machine.situation.set_server(report(kind, false));
            agent.machine.situation.note_wait(agent.now);
        }
        if let Some(Progress { rounds, seen }) = of.look {
            let others = others(me);
            let seen = others.iter().copied().filter(|other| {
                rounds >= 2 || (0..3).any(|founder| seen & (1 << founder) != 0 && *other == id(founder))
            });
            agent.machine.look = Look::at(founding().id(), others.clone(), seen.collect(), rounds);
        }
        agent.machine.finish_input(agent.now);
        agent.save();
        agent
    }

    /// Saves all that changed; returns what was said.
    pub(super) fn save(&mut self) -> Vec<(NodeId, Body)> {
        while let Some(unsaved) = self.machine.poll_save() {
            self.machine.saved(unsaved, self.now);
        }
        std::iter::from_fn(|| self.machine.poll_message())
            .map(|outgoing| (outgoing.to, outgoing.message.body))
            .collect()
    }

    /// The founder that this agent holds; what stands beside the agent is as in `of`.
    pub(super) fn founder(&self, of: &Founder) -> Founder {
        let record = self.machine.outbox.record();
        let notes = record.notes.as_ref().unwrap();
        let told = match &notes.told {
            Noted::Nobody => Told::Nobody,
            Noted::Server(id) if *id == this_server() => Told::This,
            Noted::Server(_) => Told::Former,
            Noted::Anybody => Told::Anybody,
        };
        let look = self.machine.look.progress().map(|(rounds, seen)| match rounds {
            2.. => Progress::PASSED,
            rounds => {
                let seen =
                    (0..3).filter(|founder| seen.contains(&id(*founder))).map(|founder| 1 << founder).sum();
                Progress { rounds, seen }
            }
        });
        let established = self.machine.cluster().unwrap().established;
        Founder { told, begun: notes.begun, established, look, ..*of }
    }

    pub(super) fn answer(&self) -> Answer {
        Answer::of(self.machine.decision())
    }

    /// The server, or whoever starts it, says whether it has data.
    pub(super) fn attest(&mut self, kind: Kind, has_state: bool) {
        self.machine.server_attests(report(kind, has_state), self.now);
        self.save();
    }

    /// The server asks, and is answered once that is on disk.
    pub(super) fn ask(&mut self, names: bool) -> Answer {
        let this = this_server();
        let decision = self.machine.server_asks(names.then_some(&this), self.now);
        self.save();
        Answer::of(&decision)
    }

    /// `exec` says that the server begins.
    pub(super) fn begin(&mut self, has_state: bool) -> Answer {
        let decision = self.machine.server_begins(report(Kind::Exec, has_state), self.now);
        self.save();
        Answer::of(&decision)
    }

    /// The server reports its group.
    pub(super) fn establish(&mut self) {
        let report = EstablishedReport {
            cluster_id: founding().id(),
            config_index: Some(1),
            voters: Vec::new(),
            adopt: false,
        };
        self.machine.established(&report, self.now).unwrap();
        self.save();
    }

    /// The agent learns that the group exists.
    pub(super) fn hear(&mut self, reporter: usize) {
        self.machine.agreement.learn(&established_by(reporter), &name(), Words::Everywhere);
        // The look ends with the input after the one that ends its cause.
        for _ in 0..2 {
            self.machine.finish_input(self.now);
            self.save();
        }
    }

    pub(super) fn receive(&mut self, from: usize, body: Body) -> Vec<(NodeId, Body)> {
        self.machine.handle_message(id(from), &Message { cluster_name: name(), body }, self.now);
        self.save()
    }

    /// True if this agent says that its server is blank and waits.
    pub(super) fn says_blank(&mut self) -> bool {
        let looked = Looked { cluster_id: founding().id(), number: 1, holds: false };
        let said = self.receive((self.me + 1) % 3, Body::Look(looked));
        said.iter().any(|(_, body)| matches!(body, Body::Blank(_)))
    }

    /// This agent looks at `other`, whose server is blank and waits.
    pub(super) fn see_blank(&mut self, other: usize) {
        let looked = Looked { cluster_id: founding().id(), number: self.machine.look.number(), holds: false };
        self.receive(other, Body::Blank(looked));
    }
}

fn report(kind: Kind, has_state: bool) -> ServerReport {
    ServerReport {
        server_id: this_server(),
        has_state,
        cluster_id: None,
        once: kind == Kind::Exec,
        starts: None,
    }
}

/// True if the server of this founder is seen blank by others. While `exec` is about to begin, that is so for some seconds or for
/// none: `lingers` decides.
pub(super) fn is_seen(me: usize, kind: Kind, of: &Founder, lingers: bool) -> bool {
    let waits = match of.process {
        Process::Waits => true,
        Process::Told => kind == Kind::Exec && lingers,
        Process::ToldWithData | Process::ToldToResume | Process::Begun | Process::Up | Process::Leads => {
            false
        }
    };
    let mut agent = if waits { Agent::beside_waiting(me, kind, of) } else { Agent::restarted(me, of) };
    agent.says_blank()
}
