//! The speed of the local API: whole member lists over one connection that stays open, and the time until a reader that
//! waits for a change has it.
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
mod keep_alive;
mod line;
#[path = "../tests/running.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod running;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;
use serde_json::{Value, json};

use self::{
    awaiting::{now, within},
    keep_alive::Connection,
    line::{Line, quantile, rounded},
    running::Agent,
};

/// Answers by the local API of one agent in a cluster of real ones.
#[derive(Parser)]
struct Args {
    /// Number of agents
    #[arg(long, default_value_t = 60)]
    members: usize,
    /// Time for which members are asked for, in seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Number of changes to wait for
    #[arg(long, default_value_t = 500)]
    changes: usize,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let (agents, joined) = start_cluster(args.members);
    eprintln!("{} agents list each other {joined:?} after the last start", args.members);
    let line = Line::begin();
    line.print("api", measure_members(agents[0].http, &args));
    let line = Line::begin();
    line.print("api", measure_wakes(agents[0].http, &args));
}

/// Starts `count` agents, and waits until the first and the last list all of them.
fn start_cluster(count: usize) -> (Vec<Agent>, Duration) {
    let (addrs, _) = cluster::addrs(count);
    let flags = ["--join", &addrs[0]];
    let agents: Vec<_> = (0..)
        .zip(&addrs)
        .map(|(number, addr): (usize, _)| cluster::start(&format!("n{number}"), addr, &flags))
        .collect();
    let all = || {
        for agent in [&agents[0], &agents[count - 1]] {
            let alive = cluster::statuses(agent).values().filter(|status| *status == "alive").count();
            if alive != count {
                return Err(format!("{alive} of {count} are alive"));
            }
        }
        Ok(())
    };
    let ((), joined) = within(Duration::from_secs(60), all);
    (agents, joined)
}

/// Asks for all members, again and again, over one connection.
fn measure_members(http: SocketAddr, args: &Args) -> Value {
    let mut connection = Connection::open(http);
    // The first request finds nothing warm, and is not measured.
    connection.get("/v1/members");
    let begin = now();
    let (mut micros, mut bytes) = (Vec::new(), 0);
    while begin.elapsed().as_secs_f64() < args.seconds {
        let asked = now();
        let body = connection.get("/v1/members");
        micros.push(micros_since(asked));
        bytes = body.len();
    }
    let per_second = micros.len() as f64 / begin.elapsed().as_secs_f64();
    micros.sort_by(f64::total_cmp);
    json!({"scenario": "members", "n": args.members, "requests": micros.len(),
        "requests_per_s": rounded(per_second, 0), "body_bytes": bytes, "p50_us": quantile(&micros, 0.5),
        "p99_us": quantile(&micros, 0.99), "worst_us": quantile(&micros, 1.0)})
}

/// Lets one connection wait for a change, makes the change over another, and measures from before the request that makes
/// it until the waiting one has its answer.
fn measure_wakes(http: SocketAddr, args: &Args) -> Value {
    let (mut reader, mut writer) = (Connection::open(http), Connection::open(http));
    let mut micros = Vec::new();
    let mut index = index_of(&reader.get("/v1/bootstrap"));
    for change in 0..args.changes {
        reader.send("GET", &format!("/v1/bootstrap?index={index}&wait=20s"), "");
        // The answer comes after the agent has had time to take in the request that waits.
        writer.get("/livez");
        let changed = now();
        let report = json!({"server_id": "measured", "has_state": false, "once": change % 2 == 0});
        writer.send("PUT", "/v1/server", &report.to_string());
        let body = reader.receive();
        micros.push(micros_since(changed));
        writer.receive();
        let before = std::mem::replace(&mut index, index_of(&body));
        assert!(index > before, "change {change} was not seen: {}", String::from_utf8_lossy(&body));
    }
    micros.sort_by(f64::total_cmp);
    json!({"scenario": "wake", "n": args.members, "changes": micros.len(), "p50_us": quantile(&micros, 0.5),
        "p99_us": quantile(&micros, 0.99), "worst_us": quantile(&micros, 1.0)})
}

fn micros_since(begin: Instant) -> f64 {
    rounded(begin.elapsed().as_secs_f64() * 1e6, 1)
}

fn index_of(body: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(body).unwrap();
    answer["index"].as_u64().unwrap()
}
