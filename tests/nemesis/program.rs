//! A random program of faults, all of it drawn from a seed before anything runs.

use std::{collections::BTreeSet, fmt};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::network::Cut;

/// Milliseconds in which faults begin.
const ACTIVE_MS: u64 = 20_000;
/// Longest time that one lasts.
const LONGEST_MS: u64 = 7_000;

/// A program: who is there, and what happens to them.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    /// The number of founders.
    pub(crate) expect: usize,
    /// True if the agents have a common key.
    pub(crate) keyed: bool,
    /// Millisecond at which each host starts.
    pub(crate) starts: Vec<u64>,
    /// Sorted by their beginning.
    pub(crate) steps: Vec<Step>,
}

/// A fault and its time.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
    pub(crate) fault: Fault,
}

/// One or both processes of a host, or their directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Agent,
    Server,
    Both,
}

impl Part {
    pub(crate) fn has_agent(self) -> bool {
        self != Self::Server
    }

    pub(crate) fn has_server(self) -> bool {
        self != Self::Agent
    }
}

/// Flags with which an agent is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flags {
    OtherCluster,
    Expect(usize),
    Observer,
    JoinOnly,
}

/// The datagrams of a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgery {
    Garbage,
    Replayed,
    Altered,
}

/// A fault; hosts are numbers.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Packets of the first side do not arrive at the other, or in neither direction.
    Cut { cut: Cut, both_ways: bool },
    /// Packets are lost, as many of a thousand.
    Loss { thousandths: u32 },
    /// Ended by SIGTERM or by SIGKILL, and started again.
    Down { host: usize, part: Part, term: bool },
    /// Stopped, and continued.
    Pause { host: usize, part: Part },
    /// Killed, and started again with empty directories.
    Wipe { host: usize, part: Part },
    /// Killed while its directories are copied away, started, killed again later and started with the copy.
    Rollback { host: usize, part: Part },
    /// The state of one agent comes to stand on another host, in place of what was there.
    Copy { from: usize, to: usize },
    /// No byte more fits under a directory.
    Full { host: usize, part: Part },
    /// The wall clock of an agent is off by so many seconds.
    Clock { host: usize, seconds: i64 },
    /// An agent restarts with other flags, and then with its own again.
    Reflag { host: usize, flags: Flags },
    /// A server is reported to be of another cluster; the report is taken back.
    WrongReport { host: usize, number: u64 },
    /// An operator reports in the server's name that its group exists, as he should.
    Report { host: usize },
    /// A stranger sends to a host, in the name of another one.
    Forge { to: usize, as_if: usize, forgery: Forgery },
    /// The network is in two while operators on both sides say opposite words.
    Words { cut: Cut, one: usize, other: usize, number: u64 },
}

impl Program {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let hosts = *[3, 3, 3, 4, 5, 5, 6, 7].choose(&mut rng).unwrap();
        let expect = if hosts > 5 { 5 } else { 3 };
        let keyed = rng.random();
        // Half of the programs leave the first seconds to the founding; the others have faults while that is under way.
        let (spread, first) =
            *[(1_000, 500), (6_000, 500), (1_000, 5_000), (1_000, 6_000)].choose(&mut rng).unwrap();
        let starts = (0..hosts).map(|_| rng.random_range(0..spread)).collect();
        // A program that does everything shows each thing once; one of few kinds shows them together.
        let kinds: Vec<u8> = (0..14).filter(|_| rng.random_bool(0.45)).collect();
        let mut steps: Vec<Step> = (0..rng.random_range(6..14))
            .map(|_| {
                let kind = kinds.choose(&mut rng).copied().unwrap_or(2);
                let (at_ms, for_ms) = (rng.random_range(first..ACTIVE_MS), rng.random_range(300..LONGEST_MS));
                Step { at_ms, for_ms, fault: fault(kind, hosts, expect, &mut rng) }
            })
            .collect();
        for _ in 0..rng.random_range(0..3) {
            let (at_ms, host) = (rng.random_range(4_000..ACTIVE_MS), rng.random_range(0..hosts));
            steps.push(Step { at_ms, for_ms: 0, fault: Fault::Report { host } });
        }
        steps.sort_by_key(|step| step.at_ms);
        Self { seed, hosts, expect, keyed, starts, steps }
    }

    /// True if this host's server is ever ended, or its disk filled.
    pub(crate) fn disturbs_server(&self, of: usize) -> bool {
        let disturbs = |step: &Step| {
            if let Fault::Down { host, part, .. }
            | Fault::Wipe { host, part }
            | Fault::Rollback { host, part }
            | Fault::Full { host, part } = step.fault
            {
                return host == of && part.has_server();
            }
            false
        };
        self.steps.iter().any(disturbs)
    }

    /// True if the wall clock of this host's agent is ever off.
    pub(crate) fn shifts_clock(&self, host: usize) -> bool {
        self.steps.iter().any(|step| matches!(step.fault, Fault::Clock { host: other, .. } if other == host))
    }
}

fn fault(kind: u8, hosts: usize, expect: usize, rng: &mut StdRng) -> Fault {
    let host = rng.random_range(0..hosts);
    let other = (host + rng.random_range(1..hosts)) % hosts;
    let part = *[Part::Agent, Part::Server, Part::Both].choose(rng).unwrap();
    match kind {
        0 => Fault::Cut { cut: cut(hosts, rng), both_ways: true },
        1 => Fault::Cut { cut: cut(hosts, rng), both_ways: false },
        2 => Fault::Down { host, part, term: rng.random() },
        3 => Fault::Pause { host, part },
        4 => Fault::Wipe { host, part },
        5 => Fault::Rollback { host, part },
        6 => Fault::Copy { from: host, to: other },
        7 => Fault::Full { host, part },
        8 => Fault::Clock { host, seconds: *[-86_400, -30, 30, 3_600, 31_536_000].choose(rng).unwrap() },
        9 => Fault::Reflag {
            host,
            flags: *[Flags::OtherCluster, Flags::Expect(expect - 1), Flags::Observer, Flags::JoinOnly]
                .choose(rng)
                .unwrap(),
        },
        10 => Fault::WrongReport { host, number: rng.random() },
        11 => Fault::Loss { thousandths: rng.random_range(50..400) },
        12 => {
            let forgery = *[Forgery::Garbage, Forgery::Replayed, Forgery::Altered].choose(rng).unwrap();
            Fault::Forge { to: host, as_if: other, forgery }
        }
        _ => {
            let cut = cut(hosts, rng);
            let (one, other) = (*cut.from.first().unwrap(), *cut.to.first().unwrap());
            Fault::Words { cut, one, other, number: rng.random() }
        }
    }
}

/// Two sides, neither of them empty.
fn cut(hosts: usize, rng: &mut StdRng) -> Cut {
    let lonely = rng.random_range(0..hosts);
    let sides: Vec<bool> = (0..hosts).map(|_| rng.random()).collect();
    let is_one = |host: &usize| *host == lonely || (sides[*host] && *host != (lonely + 1) % hosts);
    let (from, to): (BTreeSet<_>, BTreeSet<_>) = (0..hosts).partition(is_one);
    if rng.random() { Cut { from, to } } else { Cut { from: to, to: from } }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = if self.keyed { "with a key" } else { "without a key" };
        writeln!(
            f,
            "seed {}: {} hosts, {} founders, {keys}, started at {:?} ms",
            self.seed, self.hosts, self.expect, self.starts
        )?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(
                f,
                "  step {number}, {:>6} ms, for {:>4} ms: {:?}",
                step.at_ms, step.for_ms, step.fault
            )?;
        }
        Ok(())
    }
}
