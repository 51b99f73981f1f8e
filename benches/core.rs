//! What the hot paths of the core cost, driven by hand through its public interface as the running agent drives it.
//!
//! A loop and a clock, no framework: criterion brings 17 packages that would be compiled for the tests too, and the
//! lighter ones print tables, not raw results.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on should stop where it stands, and say why"
)]

#[path = "core/api.rs"]
mod api;
#[path = "../tests/awaiting.rs"]
#[expect(dead_code, reason = "the tests wait, this only measures")]
mod awaiting;
mod keep_alive;
mod line;
#[path = "core/nodes.rs"]
mod nodes;

use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};

use clap::Parser;
use serde_json::json;

use self::{
    awaiting::now,
    line::{Line, quantile, rounded},
    nodes::Hub,
};

/// What the hot paths of the core cost.
#[derive(Parser)]
struct Args {
    /// Only what has this in its name
    #[arg(default_value = "")]
    filter: String,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

const SAMPLES: usize = 30;
/// A sample lasts at least this long, so that the clock's resolution does not show.
const SAMPLE: Duration = Duration::from_millis(5);
/// Clusters small and large.
const SIZES: [usize; 2] = [10, 1_000];
const LARGE: usize = 1_000;

fn main() {
    let args = Args::parse();
    let wanted = |name: &str| name.contains(&args.filter);
    for size in SIZES {
        if wanted("ping") {
            ping("ping", size, Hub::of);
            ping("ping_news", size, Hub::with_news);
        }
        if wanted("busy_second") {
            busy_second(size);
        }
    }
    if wanted("compare") {
        compare(LARGE);
    }
    if wanted("exchange") {
        exchange(LARGE);
    }
    if wanted("publish") {
        publish(LARGE);
    }
    if wanted("members") {
        api::members(LARGE);
    }
    if wanted("decision_turn") {
        decision_turn(10);
    }
}

/// Takes samples of `work`, each over as many calls as last long enough, and prints what one call takes.
fn measure(name: &str, size: usize, mut work: impl FnMut()) {
    let line = Line::begin();
    let begin = now();
    let mut calls = 0_u32;
    while begin.elapsed() < SAMPLE {
        work();
        calls += 1;
    }
    let sample = |_| {
        let begin = now();
        for _ in 0..calls {
            work();
        }
        begin.elapsed().as_secs_f64() / f64::from(calls)
    };
    print(&line, name, size, (0..SAMPLES).map(sample).collect());
}

/// Prints what one call took, in these seconds.
fn print(line: &Line, name: &str, size: usize, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let micros = |share| rounded(quantile(&seconds, share) * 1e6, 3);
    line.print(
        "core",
        json!({"scenario": name, "n": size, "samples": seconds.len(), "min_us": micros(0.0),
            "median_us": micros(0.5), "max_us": micros(1.0)}),
    );
}

/// A probe comes in, its acknowledgement goes out, and nobody has any news; or the probe brings some that is known.
fn ping(name: &str, size: usize, hub: fn(usize, Instant) -> Hub) {
    let mut hub = hub(size, now());
    let (from, ping) = hub.ping();
    while hub.node.backlog() != chronik_agent::gossip::Backlog::default() {
        hub.node.handle_datagram(from, &ping, hub.now);
        assert_eq!(hub.sent(), 1, "an acknowledgement and nothing else");
    }
    measure(name, size, || {
        hub.node.handle_datagram(from, &ping, hub.now);
        assert_eq!(hub.sent(), 1);
    });
}

/// A second of a node's life in which everything is news: all have just joined, and rumours fill every packet.
fn busy_second(size: usize) {
    let line = Line::begin();
    let second = |_| {
        let mut hub = Hub::of(size, now());
        assert!(hub.node.backlog().updates > size / 2, "the rumours wait");
        let end = hub.now + Duration::from_secs(1);
        let begin = now();
        while let Some(due) = hub.node.poll_timeout().filter(|due| *due <= end) {
            hub.node.handle_timeout(due);
            hub.sent();
            while hub.node.poll_dial().is_some() {}
        }
        begin.elapsed().as_secs_f64()
    };
    print(&line, "busy_second", size, (0..SAMPLES / 3).map(second).collect());
}

/// Another node asks whether the states are equal, and they are.
fn compare(size: usize) {
    let mut hub = Hub::of(size - 1, now());
    let (mut last, addr) = hub.join(size);
    let frame = nodes::comparison(&mut last, hub.now);
    measure("compare", size, || {
        let reply = hub.node.handle_request(addr, &frame, hub.now).unwrap();
        assert!(reply.len() < 100, "the states differ");
    });
}

/// Two nodes that know the same exchange their whole states, both ends counted.
fn exchange(size: usize) {
    let mut hub = Hub::of(size - 1, now());
    let (mut last, addr) = hub.join(size);
    let to = hub.node.me().addr();
    measure("exchange", size, || {
        last.join([to], hub.now);
        let dial = last.poll_dial().unwrap();
        let reply = hub.node.handle_request(addr, &dial.frame, hub.now).unwrap();
        assert!(reply.len() > 20 * size, "that is not the whole state");
        last.handle_reply(dial.exchange, Ok(&reply), hub.now);
        while last.poll_event().is_some() {}
    });
}

/// What a reader's snapshot costs the core.
fn publish(size: usize) {
    let hub = Hub::of(size, now());
    let mut membership = hub.node.membership();
    measure("publish", size, || {
        membership.members.values_mut().for_each(|member| hub.node.refresh_contact(member));
        std::hint::black_box(membership.clone());
    });
}

/// A second has passed: what the founding makes of ten servers, of which it waits for one more.
fn decision_turn(size: usize) {
    let start = now();
    let expect = u16::try_from(size + 1).ok().and_then(NonZeroU16::new).unwrap();
    let mut machine = nodes::machine(size, expect, start);
    let mut at: Instant = start;
    measure("decision_turn", size, || {
        at += Duration::from_secs(1);
        machine.finish_input(at);
    });
}
