//! Random campaigns against whole agents: gossip and founding, disks that fail, servers that attest or do not. Under the
//! assumption of at most 2N − 1 servers with intact records, no agent is ever told of a second cluster, nothing that was
//! told or written is taken back, and thirty quiet seconds bring a decision to every agent.
//!
//! A failing seed is printed with everything that was done. More seeds, or one again (ten thousand take 7 minutes on one core):
//!
//! ```text
//! FOUNDING_SEEDS=0..10000 cargo test --no-default-features --test all -- founding_sim::campaigns
//! ```

use std::{fmt::Write as _, ops::Range, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    environment, share,
    sim::{
        Node, World,
        servers::{Disk, Plan},
    },
};

/// Campaigns of a whole test run.
const SEEDS: u64 = 300;

/// The seeds to run.
fn seeds() -> Range<u64> {
    environment::range("FOUNDING_SEEDS", 0..share::of(SEEDS))
}

/// One run: servers that start, suffer faults, and are left in peace at last.
struct Campaign {
    world: World,
    rng: StdRng,
    expect: u16,
    nodes: Vec<Node>,
    /// Identities that may still be added without breaking the assumption.
    spare: usize,
    log: String,
}

impl Campaign {
    fn new(seed: u64, disk: Disk) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        let expect: u16 = rng.random_range(2..=5);
        let most = usize::from(2 * expect - 1);
        let count = rng.random_range(usize::from(expect).max(3)..=most.min(7));
        // A seed that never answers counts as a server, as it does for the agents.
        let dead = rng.random_range(0..=(most - count).min(2));
        let addrs: Vec<_> = (0..count).chain(200..200 + dead).map(World::addr_of).collect();
        let listed_everywhere = rng.random_bool(0.5);
        let mut nodes = Vec::new();
        for number in 0..count {
            let mut seeds = addrs.clone();
            if !listed_everywhere {
                // Each server lists an earlier one, so that the graph of seeds is connected, and few others.
                let earlier = number.checked_sub(1).map(|last| addrs[rng.random_range(0..=last)]);
                seeds.retain(|addr| Some(*addr) == earlier || rng.random_bool(0.2));
            }
            nodes.push(world.add_server(Plan::expect(expect), seeds));
        }
        for node in &nodes {
            world.set_skew(*node, rng.random_range(-3_600_000..3_600_000));
            if rng.random_bool(0.5) {
                world.attach_server(*node);
            }
        }
        if count > usize::from(expect) && rng.random_bool(0.3) {
            world.change_plan(nodes[0], |plan| *plan = Plan::expect(expect + 1));
        }
        world.network.loss = rng.random_range(0.0..0.3);
        world.disk = disk;
        let log =
            format!("expect {expect}, {count} servers, {dead} dead seeds, {:.2} lost\n", world.network.loss);
        // A wiped server that keeps its id is no further identity.
        let spare = if world.disk.keeps_id { usize::MAX } else { most - count - dead };
        Self { world, rng, expect, nodes, spare, log }
    }

    fn note(&mut self, what: &str) {
        let words: Vec<_> = self.nodes.iter().map(|node| self.world.word(*node)).collect();
        writeln!(self.log, "{:?} {what}: {}", self.world.elapsed(), words.join(" ")).unwrap();
    }

    fn pick(&mut self) -> Node {
        self.nodes[self.rng.random_range(0..self.nodes.len())]
    }

    fn start(&mut self, node: Node) {
        if !self.world.runs(node) {
            self.world.start(node);
        }
    }

    /// Makes one random thing happen.
    fn act(&mut self) {
        let node = self.pick();
        let other = self.pick();
        let what = match self.rng.random_range(0..14) {
            0 | 1 => {
                self.world.crash(node);
                "crash"
            }
            2 if self.spare > 0 && !self.world.never_ran(node) => {
                self.spare -= 1;
                self.world.crash(node);
                self.world.replace(node);
                self.start(node);
                "replace"
            }
            3 if self.world.runs(node) && !self.world.is_paused(node) => {
                self.world.pause(node);
                "pause"
            }
            4 if self.world.is_paused(node) => {
                self.world.resume(node);
                "resume"
            }
            5 => {
                let mut side = self.nodes.clone();
                side.retain(|_| self.rng.random_bool(0.5));
                let rest: Vec<_> = self.nodes.iter().copied().filter(|node| !side.contains(node)).collect();
                self.world.cut(&side, &rest);
                "cut"
            }
            6 => {
                self.world.cut_one_way(node, other);
                "one way"
            }
            7 | 8 => {
                self.world.mend();
                "mend"
            }
            9 if self.rng.random_bool(0.2) => {
                self.nodes.clone().into_iter().for_each(|node| self.world.crash(node));
                "all crash"
            }
            10 => {
                self.world.set_skew(node, self.rng.random_range(-86_400_000..86_400_000));
                "clock"
            }
            11 if self.world.has_server(node) && self.rng.random_bool(0.2) => {
                self.world.lose_server_data(node);
                "lose server data"
            }
            _ => {
                self.start(node);
                "start"
            }
        };
        self.note(&format!("{what} {node}"));
    }

    fn run(&mut self, time: Duration) -> Result<(), String> {
        self.world.run_for(time);
        match self.world.judge.violations.first() {
            Some(violation) => {
                let violation = violation.clone();
                self.note("then");
                Err(violation)
            }
            None => Ok(()),
        }
    }

    fn run_chaos(&mut self) -> Result<(), String> {
        let mut order = self.nodes.clone();
        while !order.is_empty() {
            let node = order.swap_remove(self.rng.random_range(0..order.len()));
            self.start(node);
            let pause = self.rng.random_range(0..1_000);
            self.run(Duration::from_millis(pause))?;
        }
        for _ in 0..self.rng.random_range(5..25) {
            self.act();
            let pause = self.rng.random_range(20..2_500);
            self.run(Duration::from_millis(pause))?;
        }
        Ok(())
    }

    /// Ends all faults. At least N servers run and are connected; the others may be gone for ever.
    fn run_peace(&mut self) -> Result<(), String> {
        self.world.mend();
        self.world.network.loss = 0.05;
        self.world.disk.crashes = 0;
        let mut gone = self.nodes.len() - usize::from(self.expect);
        for node in self.nodes.clone() {
            let odd =
                self.world.record(node).founding.knowledge.foundings.is_empty() && node == self.nodes[0];
            if odd || (gone > 0 && self.rng.random_bool(0.3)) {
                self.world.crash(node);
            }
            if odd {
                let expect = self.expect;
                self.world.change_plan(node, |plan| *plan = Plan::expect(expect));
            } else if !self.world.runs(node) && gone > 0 && self.rng.random_bool(0.5) {
                gone -= 1;
                continue;
            }
            if self.world.is_paused(node) {
                self.world.resume(node);
            }
            self.start(node);
        }
        // A server that knew the others only through one that is gone needs the provider to find them.
        let addrs: Vec<_> = self.nodes.iter().map(|node| World::addr_of(*node)).collect();
        self.nodes.iter().for_each(|node| self.world.set_seeds(*node, addrs.clone()));
        self.note("peace");
        self.run(Duration::from_secs(30))?;
        let waiting = |node: &Node| {
            // A server that lost its data is told so, and waits for an operator.
            self.world.word(*node) == "wait" && self.world.codes(*node) != ["server_state_lost"]
        };
        if self.nodes.iter().any(waiting) {
            let problem = format!("undecided after 30 s of peace:\n{}", self.world.describe());
            let late = self.world.run_until(Duration::from_secs(300), |world| {
                self.nodes.iter().all(|node| world.word(*node) != "wait")
            });
            return Err(format!("{problem}\n{late:?} later all are decided"));
        }
        Ok(())
    }
}

/// Runs one seed. The error is what went wrong, after everything that was done.
fn campaign(seed: u64, disk: Disk) -> Result<(), String> {
    let mut campaign = Campaign::new(seed, disk);
    let ran = campaign.run_chaos().and_then(|()| campaign.run_peace());
    ran.map_err(|problem| format!("seed {seed}: {}{problem}", campaign.log))
}

#[test]
fn campaigns_found_once_forget_nothing_and_end_decided() {
    let failed: Vec<_> = seeds().filter_map(|seed| campaign(seed, Disk::failing()).err()).collect();
    assert!(failed.is_empty(), "{} seeds fail; the first:\n{}", failed.len(), failed[0]);
}

/// Number of the first `seeds` seeds that fail on such disks.
fn count_failing(seeds: u64, disk: impl Fn() -> Disk) -> usize {
    (0..seeds).filter(|seed| campaign(*seed, disk()).is_err()).count()
}

#[test]
fn the_campaigns_catch_a_wiped_disk_that_keeps_its_id() {
    let caught = count_failing(100, || Disk { keeps_id: true, ..Disk::failing() });
    assert!(caught >= 15, "{caught} of 100");
}

#[test]
fn the_campaigns_catch_sending_before_saving() {
    let caught = count_failing(300, || Disk { lies: true, crashes: 200, ..Disk::default() });
    assert!(caught >= 4, "{caught} of 300");
}
