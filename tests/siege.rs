//! A cluster of five besieged by the worst of every kind at once, for a time: what that costs the agents, beside the bounds that
//! hold for it. `cargo bench --bench siege` does it for a minute; a short one is a test.

#[path = "siege/attacks.rs"]
mod attacks;
#[path = "siege/frames.rs"]
mod frames;

use std::{
    fmt, fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use self::attacks::Target;
use crate::{
    awaiting::{now, within},
    cluster::{addrs, loopback, start, statuses},
    memory,
    running::{Agent, Dir, run},
};

/// Number of agents.
pub(crate) const AGENTS: usize = 5;

/// Arming of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Anybody who reaches its port may speak.
    None,
    /// The attackers have none.
    Set,
}

/// One figure beside its bound.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measured: f64,
    pub(crate) bound: f64,
    pub(crate) unit: &'static str,
}

impl Row {
    pub(crate) fn holds(&self) -> bool {
        self.measured <= self.bound
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, bound, unit } = self;
        let verdict = if self.holds() { "" } else { "  EXCEEDED" };
        write!(f, "{name:<46} {measured:>10.1} {bound:>10.1} {unit}{verdict}")
    }
}

/// Things that are seen while the siege lasts.
#[derive(Default)]
struct Seen {
    millis: Vec<f64>,
    descriptors: usize,
    dials: f64,
    unanswered: usize,
    failed: usize,
}

/// Besieges a cluster for some time, and says what it cost.
pub(crate) fn besiege(seconds: u64, keys: Keys) -> Vec<Row> {
    let dir = Dir::new();
    let agents = cluster(&dir, keys);
    let third = UdpSocket::bind((loopback(), 7946)).unwrap();
    third.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let third_addr = third.local_addr().unwrap();
    let until = now() + Duration::from_secs(seconds);
    let (first, second) = (Target::of(&agents[0], until), Target::of(&agents[1], until));
    let (sent, ended) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let counting = {
        let ended = ended.clone();
        thread::spawn(move || count_bytes(&third, &ended))
    };
    let mut seen = thread::scope(|scope| {
        scope.spawn(|| attacks::datagrams(first, third_addr, &sent));
        scope.spawn(|| attacks::frames(first));
        scope.spawn(|| attacks::frames(second));
        scope.spawn(|| attacks::half_open(first));
        scope.spawn(|| attacks::answers(first));
        scope.spawn(|| attacks::joins(first));
        scope.spawn(|| attacks::joins(second));
        scope.spawn(|| attacks::slow_readers(first));
        watch(&agents, until)
    });
    // A verdict that fell meanwhile is in a log, though it may have been seen by nobody.
    let names: Vec<_> = (0..AGENTS).map(|number| format!("name=n{number} ")).collect();
    let is_verdict =
        |line: &str| line.contains(" status=failed") && names.iter().any(|name| line.contains(name));
    seen.failed +=
        agents.iter().map(|agent| agent.log().lines().filter(|line| is_verdict(line)).count()).sum::<usize>();
    ended.store(true, Ordering::Relaxed);
    let reflected = counting.join().unwrap();
    let still = agents.iter().filter(|agent| agent.log().contains("has stood still")).count();
    let peak = agents.iter().map(|agent| memory::peak_kb(agent.pid())).max().unwrap_or_default();
    let gone = agents.iter().filter(|agent| !within_reach(agent)).count();
    seen.millis.sort_by(f64::total_cmp);
    let p99 = seen.millis.get(seen.millis.len() * 99 / 100).copied().unwrap_or_default();
    let ratio = reflected as f64 / (sent.load(Ordering::Relaxed) as f64).max(1.0);
    let row = |name, measured, bound, unit| Row { name, measured, bound, unit };
    vec![
        row("peak of resident memory of one agent", peak as f64 / 1024.0, 64.0, "MiB"),
        row("descriptors of one agent", seen.descriptors as f64, 640.0, ""),
        row("dials under way at one agent", seen.dials, 64.0, ""),
        row("answers of the API, p99", p99, 50.0, "ms"),
        row("questions that the API did not answer", seen.unanswered as f64, 0.0, ""),
        row("bytes at a third party for one sent", ratio, 1.0, ""),
        row("healthy members called failed", seen.failed as f64, 0.0, ""),
        row("agents that the watchdog ended", still as f64, 0.0, ""),
        row("agents that do not answer afterwards", gone as f64, 0.0, ""),
    ]
}

fn cluster(dir: &Dir, keys: Keys) -> Vec<Agent> {
    let (addrs, seeds) = addrs(AGENTS);
    let file = dir.file("keys", &run(["keygen"]).out);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut flags = vec!["--join", &seeds, "--bootstrap-expect", "5"];
    if keys == Keys::Set {
        flags.extend(["--encrypt-key-file", &file]);
    }
    let agents: Vec<_> =
        addrs.iter().enumerate().map(|(number, addr)| start(&format!("n{number}"), addr, &flags)).collect();
    within(Duration::from_secs(60), || {
        let lists_all =
            |agent: &Agent| statuses(agent).values().filter(|status| *status == "alive").count() == AGENTS;
        agents.iter().all(lists_all).then_some(()).ok_or_else(|| "they do not list each other".to_owned())
    });
    agents
}

/// Looks at the agents until the time is over.
fn watch(agents: &[Agent], until: Instant) -> Seen {
    let mut seen = Seen::default();
    while now() < until {
        for (number, agent) in agents.iter().enumerate() {
            let open = fs::read_dir(format!("/proc/{}/fd", agent.pid())).map_or(0, Iterator::count);
            seen.descriptors = seen.descriptors.max(open);
            let begin = now();
            let answer =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| agent.get("/v1/quorum").status()));
            seen.millis.push(begin.elapsed().as_secs_f64() * 1_000.0);
            seen.unanswered += usize::from(answer.ok() != Some(200));
            if number < 2 {
                seen.dials = seen.dials.max(metric(agent, "budget_used{budget=\"dials\"}"));
            }
        }
    }
    seen
}

fn metric(agent: &Agent, name: &str) -> f64 {
    let text = agent.get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("chronik_agent_{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn within_reach(agent: &Agent) -> bool {
    let begin = now();
    let answers = || {
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| agent.get("/livez").status()));
        asked.ok() == Some(200)
    };
    while begin.elapsed() < Duration::from_secs(5) {
        if answers() {
            return true;
        }
    }
    false
}

/// Counts what arrives at the address of a third party.
fn count_bytes(socket: &UdpSocket, ended: &AtomicBool) -> u64 {
    let (mut bytes, mut buffer) = (0, [0; 2048]);
    while !ended.load(Ordering::Relaxed) {
        bytes += socket.recv(&mut buffer).unwrap_or(0) as u64;
    }
    bytes
}
