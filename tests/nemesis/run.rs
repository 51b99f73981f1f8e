//! Carries out a program, mends what it has left, waits until all is as it should be, and checks what was seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::StdRng};

use crate::{
    awaiting::{now, within},
    checks::Account,
    disks::{Act, What},
    history::{Event, Said, Seen, look, since},
    network::{Cut, Network},
    node::{Node, libfaketime},
    operators,
    program::{Fault, Part, Program, Step},
    stranger::Stranger,
    threads::Threads,
};

/// Time for which a look at another server's directory may be old when `exec` counts it.
const LATELY_MS: u64 = 6_000;
/// etcd, which notes first how it is started. One that would join is refused here, as its cluster would refuse it as long as
/// nobody has added it; etcd itself leaves a directory behind then, that looks like data.
const WRAPPER: &str = "#!/bin/sh
if [ -d \"$NEMESIS_DATA/member\" ]; then held=data; else held=blank; fi
echo \"$held $*\" >>\"$NEMESIS_STARTS\"
case $held-$* in blank-*--initial-cluster-state=existing*) echo nobody has added this server; exit 1 ;; esac
exec etcd \"$@\"
";

/// A program under way.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Program,
    pub(crate) begin: Instant,
    pub(crate) nodes: Vec<Node>,
    network: Network,
    stranger: Stranger,
    rng: StdRng,
    incoming: Receiver<Event>,
    pub(crate) events: Vec<Event>,
    pub(crate) acts: Vec<Act>,
    /// Last answer of each host.
    said: Vec<Option<Said>>,
    /// Millisecond at which each server was last seen blank.
    blank_at: Vec<Option<u64>>,
    /// Millisecond of the copy that a step has taken.
    taken: BTreeMap<usize, u64>,
    /// Hosts whose wrong reports are not taken back yet.
    pub(crate) owed: BTreeSet<usize>,
    /// True if an operator's word was taken in anywhere.
    pub(crate) has_words: bool,
    /// Host of an agent that runs with another one's state.
    copies: BTreeSet<usize>,
}

/// Runs a program in a folder of its own; fails with its findings and its history.
pub(crate) fn run(program: &Program, place: &Path) {
    print!("{program}");
    let (events, incoming) = mpsc::sync_channel(10_000);
    let mut run = Run::new(program, place, incoming);
    let threads = Threads::start(&run, &events);
    run.carry_out();
    let mut findings = run.settle();
    let writes = threads.stop();
    run.tend();
    findings.extend(run.judge_writes(&writes));
    findings.extend(run.account().findings());
    findings.extend(run.panics());
    let summary = format!(
        "seed {}: {}, {} answers, {} starts of etcd, {} writes, {} findings, {} s",
        program.seed,
        if run.account().founding().is_some() { "one founding" } else { "not one founding" },
        run.count(|seen| matches!(seen, Seen::Said(_))),
        run.count(|seen| matches!(seen, Seen::Started(_))),
        writes.len(),
        findings.len(),
        run.begin.elapsed().as_secs(),
    );
    println!("{summary}");
    if !findings.is_empty() || crate::environment::text("NEMESIS_HISTORY").is_some() {
        run.print_history();
    }
    drop(run);
    assert!(findings.is_empty(), "{summary}\n{program}{}", findings.join("\n"));
}

impl<'a> Run<'a> {
    fn new(program: &'a Program, place: &Path, incoming: Receiver<Event>) -> Self {
        fs::write(place.join("etcd"), WRAPPER).unwrap();
        fs::set_permissions(place.join("etcd"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place.join("keys"), "NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY=\n").unwrap();
        fs::set_permissions(place.join("keys"), fs::Permissions::from_mode(0o600)).unwrap();
        let network = Network::new(program.hosts);
        let nodes = (0..program.hosts).map(|host| Node::new(host, place, &network, program)).collect();
        Self {
            program,
            begin: now(),
            nodes,
            network,
            stranger: Stranger::new(),
            rng: StdRng::seed_from_u64(program.seed),
            incoming,
            events: Vec::new(),
            acts: Vec::new(),
            said: vec![None; program.hosts],
            blank_at: vec![Some(0); program.hosts],
            taken: BTreeMap::new(),
            owed: BTreeSet::new(),
            has_words: false,
            copies: BTreeSet::new(),
        }
    }

    pub(crate) fn at(&self) -> u64 {
        since(self.begin)
    }

    pub(crate) fn account(&self) -> Account<'_> {
        Account { program: self.program, events: &self.events, acts: &self.acts }
    }

    pub(crate) fn count(&self, is_one: impl Fn(&Seen) -> bool) -> usize {
        self.events.iter().filter(|event| is_one(&event.what)).count()
    }

    pub(crate) fn note(&mut self, host: usize, what: impl Into<String>) {
        let at = self.at();
        self.events.push(Event { at, host, what: Seen::Done(what.into()) });
    }

    /// Starts what should run, and takes in what was seen.
    pub(crate) fn tend(&mut self) {
        self.stranger.listen();
        let at = self.at();
        for event in self.incoming.try_iter() {
            if let Seen::Said(said) = &event.what {
                self.said[event.host] = Some((**said).clone());
            }
            self.events.push(event);
        }
        for host in 0..self.nodes.len() {
            let is_blank = !self.nodes[host].disks.holds_data();
            // A server that is told to join starts once an operator has added it to the cluster, which none does here.
            let joins = self.said[host].as_ref().is_some_and(|said| said.decision == "join");
            let seen = self.nodes[host].tend(at, !(is_blank && joins));
            for mut what in seen {
                if let Seen::Started(start) = &mut what {
                    let is_lately =
                        |blank_at: &Option<u64>| blank_at.is_some_and(|blank| blank + LATELY_MS > at);
                    start.beside_blank = self.blank_at.iter().all(is_lately);
                }
                self.events.push(Event { at, host, what });
            }
            if is_blank {
                self.blank_at[host] = Some(at);
            }
        }
    }

    /// Carries out all steps, each at its time, until the last has ended.
    fn carry_out(&mut self) {
        let program = self.program;
        let mut turns: Vec<(u64, bool, usize)> = Vec::new();
        for (number, step) in program.steps.iter().enumerate() {
            turns.push((step.at_ms, true, number));
            turns.push((step.at_ms + step.for_ms, false, number));
        }
        turns.sort_unstable_by_key(|(at, begins, number)| (*at, !begins, *number));
        for (at, begins, number) in turns {
            self.wait_until(at);
            let step = &program.steps[number];
            if begins {
                self.begin_step(number, step);
            } else {
                self.end_step(number, step);
            }
        }
    }

    pub(crate) fn wait_until(&mut self, at: u64) {
        within(Duration::from_secs(60), || {
            self.tend();
            if self.at() >= at { Ok(()) } else { Err(format!("{at} ms have not passed")) }
        });
    }

    /// Empties a directory, or spoils it otherwise, while its process is dead; notes the loss.
    fn spoil(&mut self, host: usize, part: Part, what: What) {
        let at = self.at();
        for part in [Part::Agent, Part::Server].into_iter().filter(|one| part == Part::Both || part == *one) {
            let node = &self.nodes[host];
            let held_data = part == Part::Server && node.disks.holds_data();
            match what {
                What::Wiped => node.disks.wipe(part),
                What::RolledBack { taken } => drop(node.disks.restore(part, &backup(part, taken))),
                What::Copied { from } => drop(node.disks.take_state_of(&self.nodes[from].disks)),
            }
            self.acts.push(Act { at, host, part, what, held_data });
        }
    }

    fn begin_step(&mut self, number: usize, step: &Step) {
        let at = self.at();
        let mut said = String::new();
        match &step.fault {
            Fault::Cut { cut, both_ways } => self.cut(cut, *both_ways),
            Fault::Loss { thousandths } => self.network.lose(*thousandths),
            Fault::Down { host, part, term } => {
                self.nodes[*host].hold(*part);
                if *term { self.nodes[*host].terminate(*part, at) } else { self.nodes[*host].kill(*part) }
            }
            Fault::Pause { host, part } => self.nodes[*host].pause(*part, true),
            Fault::Wipe { host, part } => {
                self.nodes[*host].hold(*part);
                self.nodes[*host].kill(*part);
                self.spoil(*host, *part, What::Wiped);
            }
            Fault::Rollback { host, part } => {
                self.nodes[*host].kill(*part);
                for part in [Part::Agent, Part::Server] {
                    self.nodes[*host].disks.back_up(part, &backup(part, at));
                }
                self.taken.insert(number, at);
            }
            Fault::Copy { from, to } => {
                self.nodes[*to].kill(Part::Agent);
                self.spoil(*to, Part::Agent, What::Copied { from: *from });
                self.copies.insert(*to);
            }
            Fault::Full { host, part } => {
                each(*part, |part| self.nodes[*host].disks.fill(part));
            }
            Fault::Clock { host, seconds } => {
                said = if libfaketime().is_some() {
                    String::new()
                } else {
                    "not done: no libfaketime here".to_owned()
                };
                self.nodes[*host].set_clock(*seconds);
            }
            Fault::Reflag { host, flags } => {
                self.nodes[*host].other_flags = Some(*flags);
                self.nodes[*host].terminate(Part::Agent, at);
            }
            Fault::WrongReport { host, number } => {
                said = operators::report_wrongly(&self.nodes[*host], *number);
                self.owed.insert(*host);
            }
            Fault::Report { host } => said = operators::report(&self.nodes[*host]),
            Fault::Forge { to, as_if, forgery } => {
                let sent = self.stranger.send(*to, *as_if, *forgery, &mut self.rng);
                said = format!("{sent} datagrams");
            }
            Fault::Words { cut, one, other, number } => {
                self.cut(cut, true);
                said = self.say_opposites(*one, *other, *number);
            }
        }
        self.note(host_of(&step.fault), format!("step {number} begins: {:?} {said}", step.fault));
    }

    fn end_step(&mut self, number: usize, step: &Step) {
        let at = self.at();
        let mut said = String::new();
        match &step.fault {
            Fault::Cut { cut, both_ways } => self.mend(cut, *both_ways),
            Fault::Loss { thousandths } => self.network.lose_no_more(*thousandths),
            Fault::Down { host, part, .. } | Fault::Wipe { host, part } => self.nodes[*host].release(*part),
            Fault::Pause { host, part } => self.nodes[*host].pause(*part, false),
            Fault::Rollback { host, part } => {
                self.nodes[*host].kill(*part);
                let taken = self.taken[&number];
                self.spoil(*host, *part, What::RolledBack { taken });
            }
            Fault::Copy { to, .. } => self.remove_copy(*to),
            Fault::Full { host, part } => each(*part, |part| self.nodes[*host].disks.free(part)),
            Fault::Clock { host, .. } => self.nodes[*host].set_clock(0),
            Fault::Reflag { host, .. } => {
                self.nodes[*host].other_flags = None;
                self.nodes[*host].terminate(Part::Agent, at);
            }
            Fault::WrongReport { host, .. } => said = self.retract(*host),
            Fault::Report { .. } | Fault::Forge { .. } => return,
            Fault::Words { cut, other, .. } => {
                self.mend(cut, true);
                said = self.retract(*other);
            }
        }
        self.note(host_of(&step.fault), format!("step {number} ends: {said}"));
    }

    fn cut(&mut self, cut: &Cut, both_ways: bool) {
        self.network.cut(cut);
        if both_ways {
            self.network.cut(&cut.reversed());
        }
    }

    fn mend(&mut self, cut: &Cut, both_ways: bool) {
        self.network.mend(cut);
        if both_ways {
            self.network.mend(&cut.reversed());
        }
    }

    /// As the reason `duplicate_id` asks: one of the two is stopped, and its copy deleted.
    fn remove_copy(&mut self, host: usize) {
        if self.copies.remove(&host) {
            self.nodes[host].kill(Part::Agent);
            self.spoil(host, Part::Agent, What::Wiped);
        }
    }

    pub(crate) fn retract(&mut self, host: usize) -> String {
        if !self.owed.contains(&host) {
            return "taken back already".to_owned();
        }
        let answer = operators::retract(&self.nodes[host]);
        if operators::is_taken(&answer) {
            self.owed.remove(&host);
        }
        answer
    }

    /// On one side the cluster that is known is to be kept, on the other one that somebody there has made up.
    fn say_opposites(&mut self, one: usize, other: usize, number: u64) -> String {
        let reported = operators::report_wrongly(&self.nodes[other], number);
        self.owed.insert(other);
        let against = operators::resolve(&self.nodes[other], &operators::wrong_id(number));
        let known = look(&self.nodes[one].socket()).ok().and_then(|said| said.cluster);
        let kept = known
            .map_or("no cluster is known".to_owned(), |known| operators::resolve(&self.nodes[one], &known));
        self.has_words |= operators::is_taken(&against) || operators::is_taken(&kept);
        format!("reported: {reported}; against: {against}; kept: {kept}")
    }
}

impl Cut {
    fn reversed(&self) -> Self {
        Self { from: self.to.clone(), to: self.from.clone() }
    }
}

fn each(part: Part, mut act: impl FnMut(Part)) {
    [Part::Agent, Part::Server]
        .into_iter()
        .filter(|one| part == Part::Both || part == *one)
        .for_each(&mut act);
}

/// The name of a copy that was taken at this millisecond.
fn backup(part: Part, at: u64) -> String {
    format!("{part:?}-{at}")
}

/// The host that a fault is told of.
fn host_of(fault: &Fault) -> usize {
    match fault {
        Fault::Cut { cut, .. } => *cut.from.first().unwrap(),
        Fault::Loss { .. } => 0,
        Fault::Down { host, .. }
        | Fault::Pause { host, .. }
        | Fault::Wipe { host, .. }
        | Fault::Rollback { host, .. }
        | Fault::Full { host, .. }
        | Fault::Clock { host, .. }
        | Fault::Reflag { host, .. }
        | Fault::WrongReport { host, .. }
        | Fault::Report { host } => *host,
        Fault::Copy { to, .. } | Fault::Forge { to, .. } => *to,
        Fault::Words { one, .. } => *one,
    }
}
