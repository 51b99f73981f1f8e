//! The time of a founding: three real agents are started in any order at random moments, and it is measured from the start
//! of the last one until all three have told their readers `bootstrap`, with the same cluster and founders.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on should stop where it stands, and say why"
)]

#[path = "../tests/awaiting.rs"]
mod awaiting;
#[path = "../tests/cluster.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod cluster;
mod line;
#[path = "../tests/running.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod running;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};

use self::{
    awaiting::{now, within},
    line::{Line, quantile, rounded},
};

/// Bound that users are told: from the last start to the decision on all, in seconds.
const BOUND_S: f64 = 2.0;
/// Servers that found together.
const SERVERS: usize = 3;
/// Time for any step: a founding that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts three agents at random moments, again and again, and measures how long the founding takes.
#[derive(Parser)]
struct Args {
    /// Number of foundings
    #[arg(long, default_value_t = 50)]
    starts: u64,
    /// Longest time between the first and the last start of one founding, in seconds
    #[arg(long, default_value_t = 3.0)]
    spread_s: f64,
    /// Seed of the orders and moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// The decision of one agent, as its reader saw it.
struct Told {
    started: Instant,
    decided: Instant,
    answer: Value,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut rng = StdRng::seed_from_u64(args.seed);
    let mut took: Vec<f64> = (0..args.starts).map(|run| measure_founding(run, &args, &mut rng)).collect();
    took.sort_by(f64::total_cmp);
    let Some(worst) = took.last().copied() else {
        return ExitCode::SUCCESS;
    };
    let (median, p99) = (quantile(&took, 0.5), quantile(&took, 0.99));
    eprintln!("{} foundings: median {median} s, p99 {p99} s, worst {worst} s", took.len());
    if worst > BOUND_S {
        eprintln!("a founding took longer than {BOUND_S} s");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Makes one founding; returns the seconds from the last start until all know.
fn measure_founding(run: u64, args: &Args, rng: &mut StdRng) -> f64 {
    let line = Line::begin();
    let mut offsets: [f64; SERVERS] = std::array::from_fn(|_| rng.random_range(0.0..=args.spread_s));
    offsets[0] = 0.0;
    offsets.shuffle(rng);
    let told = read_decisions(&offsets);
    let answers: Vec<_> =
        told.iter().map(|told| [&told.answer["cluster_id"], &told.answer["founders"]]).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "they found different clusters: {answers:?}");
    let last = told.iter().map(|told| told.started).max().unwrap();
    let each: Vec<f64> = told.iter().map(|told| rounded((told.decided - last).as_secs_f64(), 4)).collect();
    let seconds = each.iter().copied().fold(0.0, f64::max);
    let offsets = offsets.map(|offset| rounded(offset, 3));
    line.print(
        "founding",
        json!({"scenario": "founding", "n": SERVERS, "run": run, "seed": args.seed, "offsets_s": offsets,
            "each_s": each, "seconds": seconds}),
    );
    seconds
}

/// Starts an agent at each of these offsets, and reads the decision of each. None ends before all have decided.
fn read_decisions(offsets: &[f64]) -> Vec<Told> {
    let (addrs, seeds) = cluster::addrs(offsets.len());
    let begin = now();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(offsets.iter().zip(&addrs))
            .map(|(number, (offset, addr))| {
                let (done, seeds) = (&done, &seeds);
                let start = begin + Duration::from_secs_f64(*offset);
                scope.spawn(move || read_decision(number, addr, seeds, start, done))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn read_decision(number: usize, addr: &str, seeds: &str, start: Instant, done: &AtomicUsize) -> Told {
    within(PATIENCE, || if now() >= start { Ok(()) } else { Err("too early".to_owned()) });
    let started = now();
    let expect = SERVERS.to_string();
    let endpoint = format!("raft=:{}", 5001 + number);
    let flags = ["--join", seeds, "--bootstrap-expect", &expect, "--endpoint", &endpoint];
    let agent = cluster::start(&format!("n{number}"), addr, &flags);
    let mut index = 0;
    let answer = loop {
        let answer = agent.get(&format!("/v1/bootstrap?index={index}&wait=20s")).json();
        if answer["decision"] == "bootstrap" {
            break answer;
        }
        assert_eq!(answer["decision"], "wait", "{answer}");
        assert!(started.elapsed() < PATIENCE, "still {answer}");
        index = answer["index"].as_u64().unwrap();
    };
    let decided = now();
    // No agent ends before the others have decided; the wait is bounded in case one has failed.
    done.fetch_add(1, Ordering::Relaxed);
    within(PATIENCE, || match done.load(Ordering::Relaxed) {
        SERVERS => Ok(()),
        count => Err(format!("{count} have decided")),
    });
    Told { started, decided, answer }
}
