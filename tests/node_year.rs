//! A node-year: thousands of clusters of three to ten whole agents, each from its seed, with an hour of life in which a
//! fault happens every minute or two. No member may be called failed if the fault does not explain it, members on the
//! side of the majority keep their identities and the quorum, and once a fault is over all agree again.
//!
//! Then storms: several faults at once. A failing seed is printed with everything that was done. The year, one seed again,
//! and more storms:
//!
//! ```text
//! tests/nightly node-year
//! NODE_YEAR_SEEDS=17..18 cargo test --no-default-features --test all -- node_year:: --ignored --nocapture
//! NODE_YEAR_SEEDS=100..8000 cargo test --no-default-features --test all -- node_year::after_storms
//! ```

mod fault;
mod storm;
mod tally;

use std::{
    collections::BTreeSet,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use chronik_agent::{
    counters::Counters,
    gossip::Timing,
    membership::MemberStatus::{Failed, Suspect},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IteratorRandom as _};

use self::{fault::Fault, tally::Tally};
use crate::{
    environment, share,
    sim::{Node, World, history::Change},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Hours in 365 days.
const YEAR: u64 = 8_760;
/// Time after a fault until all agree. Slowest are members that must be dialled first: a node that is alone dials with
/// backoff, and a stream is given up after three seconds only.
const LAN_AGREES: Duration = Duration::from_secs(20);
const WAN_AGREES: Duration = Duration::from_secs(90);

/// Size of the cluster of a seed: three to ten, in turn.
fn members(seed: u64) -> u64 {
    3 + seed % 8
}

/// Profile of the cluster of a seed: half live in several data centres, three in eight in one, one in eight on one host.
/// An hour of the last takes five times as long to simulate as one of the first. Each size has its share of each.
fn timing(seed: u64) -> Timing {
    match (seed + seed / 8) % 8 {
        0 | 2 | 6 => Timing::LAN,
        4 => Timing::LOCAL,
        _ => Timing::WAN,
    }
}

/// One cluster and its life.
struct Life {
    world: World,
    rng: StdRng,
    nodes: Vec<Node>,
    voters: BTreeSet<Node>,
    /// Time after a fault within which all must agree.
    agrees: Duration,
    tally: Tally,
    log: String,
}

impl Life {
    /// A cluster that has been founded.
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        world.timing = timing(seed);
        let wide = world.timing == Timing::WAN;
        let count = usize::try_from(members(seed)).unwrap();
        let expect = rng.random_range(count / 2 + 1..=count);
        let nodes = world.add_servers(count, u16::try_from(expect).unwrap());
        for node in &nodes {
            if wide {
                world
                    .network
                    .places
                    .insert(*node, [rng.random_range(0.0..80.0), rng.random_range(0.0..80.0)]);
            }
            if seed.is_multiple_of(2) {
                world.attach_server(*node);
            }
            world.set_skew(*node, rng.random_range(-60_000..60_000));
        }
        let agrees = if wide { WAN_AGREES } else { LAN_AGREES };
        world.found(&nodes, agrees);
        let log = format!("{count} members, {expect} expected, {:?}\n", world.timing.probe_period);
        let voters = BTreeSet::new();
        let mut life = Self { world, rng, nodes, voters, agrees, tally: Tally::default(), log };
        let cluster = life.world.machine(0).founding().cluster.clone().unwrap();
        let is_voter =
            |node: &Node| cluster.voters.iter().any(|voter| voter.id == Some(life.world.id(*node)));
        life.voters = life.nodes.iter().copied().filter(is_voter).collect();
        assert!(life.voters.len() * 2 > count, "{:?} vote", life.voters);
        life
    }

    fn pick(&mut self) -> Fault {
        let count = self.nodes.len();
        let node = self.rng.random_range(0..count);
        match self.rng.random_range(0..12) {
            0 | 1 => Fault::Loss(self.rng.random_range(0.02..0.25)),
            2 | 3 => Fault::Pause(node),
            4 | 5 => Fault::Crash(node),
            6 => Fault::Restart(node),
            7 | 8 => {
                let many = self.rng.random_range(1..=count / 2);
                Fault::Partition(self.nodes.iter().copied().sample(&mut self.rng, many))
            }
            9 => Fault::Mute(node),
            10 => Fault::Deaf(node),
            _ if self.rng.random_bool(0.2) => Fault::Blackout,
            _ => Fault::Leave(node),
        }
    }

    fn begin(&mut self, fault: &Fault) {
        let others: Vec<_> =
            self.nodes.iter().copied().filter(|node| !fault.faulty().contains(node)).collect();
        match fault {
            Fault::Loss(share) => self.world.network.loss = *share,
            Fault::Pause(node) => self.world.pause(*node),
            Fault::Crash(node) => self.world.crash(*node),
            Fault::Restart(node) => {
                self.world.crash(*node);
                self.world.start(*node);
            }
            Fault::Partition(side) => self.world.cut(side, &others),
            Fault::Mute(node) => others.iter().for_each(|to| self.world.cut_one_way(*node, *to)),
            Fault::Deaf(node) => others.iter().for_each(|from| self.world.cut_one_way(*from, *node)),
            Fault::Leave(node) => self.world.leave(*node),
            Fault::Blackout => self.nodes.iter().for_each(|node| self.world.crash(*node)),
        }
    }

    /// Ends these faults: what was cut, paused or stopped is whole and runs again.
    fn end(&mut self, faults: &[Fault]) {
        self.world.mend();
        self.world.network.loss = 0.0;
        for node in self.nodes.clone() {
            if self.world.is_paused(node) {
                self.world.resume(node);
            }
        }
        let leaving = |fault: &Fault| if let Fault::Leave(node) = fault { Some(*node) } else { None };
        let leaving: Vec<_> = faults.iter().filter_map(leaving).collect();
        // A goodbye takes some seconds.
        let all_left = |world: &World| leaving.iter().all(|node| !world.runs(*node));
        if !all_left(&self.world) {
            self.world.run_until(10 * SECOND, all_left).expect("they leave");
        }
        let gone: Vec<_> = self.nodes.iter().copied().filter(|node| !self.world.runs(*node)).collect();
        if faults.iter().any(|fault| matches!(fault, Fault::Blackout)) {
            self.world.start_all(&gone);
        } else {
            gone.iter().for_each(|node| self.world.start(*node));
        }
    }

    /// Checks that all agree within the time, that this lasts, and that all have the quorum.
    fn check_together(&mut self) -> Result<(), String> {
        let (world, nodes) = (&mut self.world, &self.nodes);
        if world.run_until(self.agrees, |world| world.all_agree(nodes)).is_none() {
            return Err(format!("{}\nnot together again {:?} after it", world.describe(), self.agrees));
        }
        world.run_for(self.agrees / 3);
        if !world.all_agree(nodes) {
            return Err("it does not last".to_owned());
        }
        let without = nodes.iter().find(|node| !world.quorum(**node).has_quorum());
        let silent = |node: &Node| format!("n{node} has no quorum afterwards: {:?}", world.quorum(*node));
        without.map_or(Ok(()), |node| Err(silent(node)))
    }

    /// Checks that nothing that was decided was taken back.
    fn check_decisions(&self) -> Result<(), String> {
        self.world.judge.violations.first().map_or(Ok(()), |violation| Err(violation.clone()))
    }

    /// One counter of each of `nodes`, which counts since the start of its process.
    fn counts(&self, nodes: &[Node], counter: impl Fn(Counters) -> u64) -> Vec<(Node, u64)> {
        nodes.iter().map(|node| (*node, counter(self.world.gossip(*node).counters()))).collect()
    }

    /// Members that must notice nothing but that others are gone: the side of the majority, if there is one.
    fn undisturbed(&self, fault: &Fault) -> Vec<Node> {
        let faulty = fault.faulty();
        let (gone, healthy): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|node| faulty.contains(node));
        let is_majority = |side: &Vec<Node>| {
            side.iter().filter(|node| self.voters.contains(node)).count() * 2 > self.voters.len()
        };
        let sides = match fault {
            Fault::Blackout => vec![],
            Fault::Partition(_) => vec![healthy, gone],
            Fault::Loss(_)
            | Fault::Pause(_)
            | Fault::Crash(_)
            | Fault::Restart(_)
            | Fault::Mute(_)
            | Fault::Deaf(_)
            | Fault::Leave(_) => vec![healthy],
        };
        sides.into_iter().find(is_majority).unwrap_or_default()
    }

    /// Begins one fault, and ends it.
    fn suffer(&mut self) -> Result<(), String> {
        let fault = self.pick();
        let lasts = Duration::from_millis(self.rng.random_range(100..40_000));
        self.log += &format!("{:?} {fault:?} for {lasts:?}\n", self.world.elapsed());
        *self.tally.faults.entry(fault.name()).or_default() += 1;
        let undisturbed = self.undisturbed(&fault);
        let from = self.world.history.changes.len();
        let renewals = |life: &Self| life.counts(&undisturbed, |counters| counters.renewals);
        let stalls = |life: &Self| life.counts(&undisturbed, |counters| counters.stalls);
        let (renewed, stalled) = (renewals(self), stalls(self));
        self.begin(&fault);
        self.world.run_for(lasts);
        // By then the members that are gone have been found out.
        if lasts > 20 * SECOND && !matches!(fault, Fault::Loss(_)) {
            let silent = undisturbed.iter().find(|node| !self.world.quorum(**node).has_quorum());
            if let Some(node) = silent {
                return Err(format!("n{node} has no quorum: {:?}", self.world.quorum(*node)));
            }
        }
        // If a partition ends before its larger side has judged the smaller one, the smaller may have judged first, and the
        // member that it called failed renews itself.
        let judged = undisturbed.iter().all(|node| {
            let gone = |of: &&Node| fault.faulty().contains(of) != fault.faulty().contains(node);
            self.nodes.iter().filter(gone).all(|of| self.world.status(*node, *of) == Some(Failed))
        });
        self.end(std::slice::from_ref(&fault));
        self.check_together()?;
        let after = renewals(self);
        if renewed != after && (judged || !matches!(fault, Fault::Partition(_))) {
            return Err(format!("on the side of the majority renewed itself: {renewed:?}, {after:?}"));
        }
        let after = stalls(self);
        if stalled != after {
            return Err(format!("a member says that it was paused: {stalled:?}, {after:?}"));
        }
        self.check_changes(&fault, &undisturbed, from)
    }

    /// Checks that the fault explains the changes since `from`.
    fn check_changes(&mut self, fault: &Fault, undisturbed: &[Node], from: usize) -> Result<(), String> {
        let said = &self.world.history.changes[from..];
        self.tally.suspicions += said.iter().filter(|change| change.status == Suspect).count();
        self.tally.failures += said.iter().filter(|change| change.status == Failed).count();
        // One side calls the other failed, and after a short partition the smaller side hears that of itself.
        let beside = |node: Node| undisturbed.contains(&node);
        let wrong = said.iter().filter(|change| change.status == Failed).find(|change| {
            let Change { observer, subject, .. } = **change;
            !fault.explains(observer, subject) || (beside(observer) && beside(subject))
        });
        if let Some(Change { at, observer, subject, .. }) = wrong {
            return Err(format!("at {at:?} n{observer} called n{subject} failed, which nothing explains"));
        }
        self.check_decisions()
    }

    /// Lets a while pass without faults, in which no member may be called failed.
    fn rest(&mut self) -> Result<(), String> {
        let from = self.world.history.changes.len();
        self.world.run_for(Duration::from_millis(self.rng.random_range(5_000..180_000)));
        let said = self.world.history.changes[from..].iter().find(|change| change.status == Failed);
        said.map_or(Ok(()), |said| Err(format!("at rest a member says {said:?}")))
    }

    fn live(&mut self, time: Duration) -> Result<(), String> {
        while self.world.elapsed() < time {
            self.rest()?;
            let from = self.world.history.changes.len();
            let suffered = self.suffer();
            suffered.map_err(|problem| format!("{:?}\n{problem}", &self.world.history.changes[from..]))?;
        }
        self.tally.node_time = self.nodes.iter().map(|_| self.world.elapsed()).sum();
        Ok(())
    }
}

/// A way for a cluster to live for some time.
type Live = fn(&mut Life, Duration) -> Result<(), String>;

/// Runs the life of one seed. The error is what went wrong, after everything that was done.
fn run_life(seed: u64, live: Live, time: Duration) -> Result<Tally, String> {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut life = Life::new(seed);
        match live(&mut life, time) {
            Ok(()) => Ok(life.tally),
            Err(problem) => Err(format!("{}{problem}", life.log)),
        }
    }));
    lived
        .unwrap_or_else(|_| Err("a panic, above".to_owned()))
        .map_err(|problem| format!("seed {seed}: {problem}"))
}

/// Runs the lives of all these seeds, on one thread for each core.
fn run_lives(seeds: Range<u64>, live: Live, time: Duration) -> Tally {
    let (next, end) = (AtomicU64::new(seeds.start), seeds.end);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let (mut tally, mut failed) = (Tally::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return (tally, failed);
            }
            match run_life(seed, live, time) {
                Ok(lived) => tally.add(lived),
                Err(problem) => failed.push(problem),
            }
        }
    };
    let done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let (mut sum, mut failed) = (Tally::default(), Vec::new());
    for (tally, problems) in done {
        sum.add(tally);
        failed.extend(problems);
    }
    let ends = failed.iter().map(|problem| (problem.lines().next(), problem.lines().last()));
    assert!(
        failed.is_empty(),
        "{} seeds fail, the first:\n{}\n{:#?}",
        failed.len(),
        failed[0],
        ends.collect::<Vec<_>>()
    );
    sum
}

/// The first seeds whose lives of an hour make a year together.
fn year() -> Range<u64> {
    let mut hours = 0;
    let enough = (0..).find(|seed| {
        hours += members(*seed);
        hours >= YEAR
    });
    0..enough.unwrap() + 1
}

#[test]
fn a_share_of_the_year_goes_well() {
    let seeds = 0..share::of(48);
    let tally = run_lives(seeds.clone(), Life::live, HOUR / 12);
    eprintln!("{tally:?}");
    let least = 3 * usize::try_from(seeds.end).unwrap();
    assert!(tally.suspicions > least && tally.failures > least, "nothing happened: {tally:?}");
}

#[test]
fn after_storms_all_are_together_again() {
    let seeds = environment::range("NODE_YEAR_SEEDS", 0..share::of(100));
    let tally = run_lives(seeds.clone(), Life::live_in_storms, HOUR / 12);
    tally.print("storms", &seeds);
    assert!(tally.failures as u64 > seeds.end - seeds.start, "nothing happened: {tally:?}");
}

#[test]
#[ignore = "takes minutes: `tests/nightly node-year`"]
fn a_year_of_nodes_goes_well() {
    let seeds = environment::range("NODE_YEAR_SEEDS", year());
    let tally = run_lives(seeds.clone(), Life::live, HOUR);
    tally.print("node-year", &seeds);
}
