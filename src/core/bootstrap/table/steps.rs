//! Everything that one founder does without the others, each step taken by the shipped machine.

use super::{
    agent::{Agent, Answer},
    founder::{Disk, Founder, Instance, Kind, Mutant, Process, Progress, Step, Told},
};

/// The steps of founder `me`.
pub(super) fn steps(me: usize, of: &Founder, instance: &Instance) -> Vec<Step> {
    let mut steps =
        Steps { me, of: *of, kind: instance.kinds[me], mutant: instance.mutant, steps: Vec::new() };
    steps.fail();
    match of.process {
        Process::Waits => steps.ask(),
        Process::Told if steps.kind == Kind::Exec => steps.begin(),
        Process::Told | Process::Begun => steps.start(),
        Process::ToldWithData | Process::ToldToResume => steps.start_with_data(),
        Process::Up | Process::Leads => steps.attest_data(),
    }
    steps.steps.retain(|step| step.next != *of);
    steps.steps
}

struct Steps {
    me: usize,
    of: Founder,
    kind: Kind,
    mutant: Option<Mutant>,
    steps: Vec<Step>,
}

impl Steps {
    fn add(&mut self, next: Founder, label: &'static str) {
        self.steps.push(Step { next, label, loses: false, is_good: true });
    }

    fn add_failure(&mut self, next: Founder, label: &'static str, loses: bool) {
        self.steps.push(Step { next, label, loses, is_good: false });
    }

    /// The end of a wait: with it ends the look.
    fn look_after(&self) -> Option<Progress> {
        self.of.look.filter(|_| self.mutant == Some(Mutant::CachedLook))
    }

    /// Kills and lost disks.
    fn fail(&mut self) {
        let of = self.of;
        let (killed, label) = if of.process.is_up() {
            (Founder { process: Process::Waits, ..of }, "server killed")
        } else {
            (Founder { process: Process::Waits, look: self.look_after(), ..of }, "killed before it starts")
        };
        self.add_failure(killed, label, false);
        let label = if of.disk.is_some() { "DISK LOST" } else { "its blank directory is emptied" };
        self.add_failure(of.wiped(self.kind), label, of.disk.is_some());
    }

    /// A question of the one that starts the server, as its kind asks it.
    fn ask(&mut self) {
        if self.kind == Kind::AsksFirst && !self.of.is_noted() {
            self.ask_so(false, false);
        }
        let attests = self.kind != Kind::Unknown;
        self.ask_so(attests, attests);
    }

    fn ask_so(&mut self, attests: bool, names: bool) {
        let has_data = self.of.disk.is_some();
        let mut asked = self.of;
        match self.mutant {
            Some(Mutant::NamedLater) if names && asked.told == Told::Anybody => asked.told = Told::This,
            // The answer of a look that was made before is still there.
            Some(Mutant::LookDecides) if asked.look == Some(Progress::PASSED) => asked.established = false,
            _ => {}
        }
        let mut agent = if attests {
            Agent::beside_waiting(self.me, self.kind, &asked)
        } else {
            Agent::restarted(self.me, &asked)
        };
        if attests {
            agent.attest(self.kind, has_data);
        }
        let answer = if self.kind == Kind::Exec { agent.answer() } else { agent.ask(names) };
        let process = match (answer, has_data) {
            (Answer::Wait, _) => Process::Waits,
            (Answer::Bootstrap, false) => Process::Told,
            (Answer::Bootstrap, true) => Process::ToldWithData,
            // It has no data, so that it does not start: it asks again.
            (Answer::Resume, false) if !attests => Process::Waits,
            (Answer::Resume, _) => Process::ToldToResume,
        };
        let mut next = self.noted(agent.founder(&Founder { process, ..self.of }));
        next.established |= self.of.established;
        if self.mutant == Some(Mutant::CachedLook) {
            next.look = next.look.max(self.of.look);
        }
        let unnoted = Founder { told: self.of.told, ..next };
        if self.mutant == Some(Mutant::NotesLate) && answer == Answer::Bootstrap && self.kind != Kind::Exec {
            self.add_failure(unnoted, "is told bootstrap, agent killed before it notes it", false);
        }
        if self.mutant == Some(Mutant::IgnoresNameless) && !names && self.kind != Kind::Exec {
            next = unnoted;
        }
        let label = match (process, attests) {
            (Process::Told, true) => "is told bootstrap",
            (Process::Told, false) => "is told bootstrap, before it attests",
            (Process::ToldWithData, _) => "with data, is told bootstrap",
            (Process::ToldToResume, _) => "is told to resume",
            _ => "is found blank again",
        };
        self.add(next, label);
    }

    /// The notes of `next`, less what a mutant does not note.
    fn noted(&self, mut next: Founder) -> Founder {
        if self.mutant == Some(Mutant::IgnoresData) && self.kind != Kind::Exec {
            next.begun = self.of.begun;
        }
        next
    }

    /// `exec` says that the server begins, and starts it by the same answer alone.
    fn begin(&mut self) {
        let mut begins = self.of;
        if self.mutant == Some(Mutant::LookDecides) && begins.look == Some(Progress::PASSED) {
            begins.established = false;
        }
        let mut agent = Agent::beside_waiting(self.me, self.kind, &begins);
        let answer = agent.begin(false);
        let process = if answer == Answer::Bootstrap { Process::Begun } else { Process::Waits };
        let mut next = agent.founder(&Founder { process, ..self.of });
        next.established |= self.of.established;
        if self.mutant == Some(Mutant::BeginsLate) {
            next.begun = self.of.begun;
        }
        self.add(next, "says begun");
    }

    fn start(&mut self) {
        let of = self.of;
        let disk = Some(of.disk.unwrap_or_default());
        let up = Founder { process: Process::Up, disk, look: self.look_after(), ..of };
        let started = match (self.kind, self.mutant) {
            (Kind::KeepsIdAttests, mutant) if mutant != Some(Mutant::IgnoresData) => self.attested(&up),
            (Kind::Exec, Some(Mutant::BeginsLate)) => up,
            _ => up,
        };
        self.add(started, "starts blank");
        let failed = Founder { process: Process::Waits, look: self.look_after(), ..of };
        self.add_failure(failed, "its start FAILS, nothing written", false);
    }

    /// The server was told what to do with its data, and starts if that is still there.
    fn start_with_data(&mut self) {
        let of = self.of;
        let up = Founder { process: Process::Up, look: self.look_after(), ..of };
        let again = Founder { process: Process::Waits, ..of };
        let told = if of.process == Process::ToldToResume { Answer::Resume } else { Answer::Bootstrap };
        if of.disk.is_none() && self.mutant == Some(Mutant::StartsBlank) && told == Answer::Bootstrap {
            self.add(Founder { disk: Some(Disk::default()), ..up }, "starts blank on the answer for data");
            return;
        }
        if self.kind != Kind::Exec {
            let (next, label) = if of.disk.is_some() {
                (up, "starts with its data")
            } else {
                (again, "finds no data, asks again")
            };
            self.add(next, label);
            return;
        }
        let mut agent = Agent::restarted(self.me, &of);
        if agent.begin(of.disk.is_some()) == told {
            let disk = Some(of.disk.unwrap_or_default());
            self.add(agent.founder(&Founder { disk, ..up }), "begins with its data");
        } else {
            self.add(agent.founder(&again), "is told something else by now, asks again");
        }
    }

    fn attest_data(&mut self) {
        let attests = !matches!(self.kind, Kind::Exec | Kind::Unknown);
        if attests && self.mutant != Some(Mutant::IgnoresData) {
            let attested = self.attested(&self.of);
            self.add(attested, "its data is attested");
        }
    }

    fn attested(&self, of: &Founder) -> Founder {
        let mut agent = Agent::restarted(self.me, of);
        agent.attest(self.kind, true);
        agent.founder(of)
    }
}

/// The founder after its server has reported its group.
pub(super) fn establish(me: usize, of: &Founder, instance: &Instance) -> Founder {
    let mut agent = Agent::restarted(me, of);
    agent.establish();
    let mut next = agent.founder(of);
    if instance.mutant == Some(Mutant::IgnoresData) {
        next.begun = of.begun;
    }
    next
}

/// The founder after it has heard that the group exists.
pub(super) fn hear(me: usize, of: &Founder, instance: &Instance) -> Founder {
    let mut agent = Agent::beside_waiting(me, instance.kinds[me], of);
    agent.hear((me + 1) % 3);
    let next = agent.founder(of);
    match instance.mutant {
        Some(Mutant::CachedLook | Mutant::LookDecides) => Founder { look: of.look, ..next },
        _ => next,
    }
}

/// The founder after it has seen that the servers of these others are blank, one after the other.
pub(super) fn see(me: usize, of: &Founder, others: &[usize], instance: &Instance) -> Founder {
    let mut agent = Agent::beside_waiting(me, instance.kinds[me], of);
    others.iter().for_each(|other| agent.see_blank(*other));
    let next = agent.founder(of);
    match (instance.mutant, next.look) {
        (Some(Mutant::OneRound), Some(Progress { rounds: 1.., .. })) => {
            Founder { look: Some(Progress::PASSED), ..next }
        }
        _ => next,
    }
}
