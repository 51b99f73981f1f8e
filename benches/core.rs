//! The cost of the hot paths of the core, driven by hand through its public interface as the running agent drives it.
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

/// Cost of the hot paths of the core.
#[derive(Parser)]
struct Args {
    /// Part of the names of the measurements to make
    #[arg(default_value = "")]
    filter: String,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

const SAMPLES: usize = 30;
/// Least length of a sample, so that the clock's resolution does not show.
const SAMPLE: Duration = Duration::from_millis(5);
/// Sizes of a small and a large cluster.
const SIZES: [usize; 2] = [10, 1_000];
const LARGE: usize = 1_000;

fn main() {
    let args = Args::parse();
    let wanted = |name: &str| name.contains(&args.filter);
    for size in SIZES {
        if wanted("ping") {
            measure_ping("ping", size, Hub::of);
            measure_ping("ping_news", size, Hub::with_news);
        }
        if wanted("busy_second") {
            measure_busy_second(size);
        }
    }
    if wanted("compare") {
        measure_compare(LARGE);
    }
    if wanted("exchange") {
        measure_exchange(LARGE);
    }
    if wanted("publish") {
        measure_publish(LARGE);
    }
    if wanted("members") {
        api::measure_members(LARGE);
    }
    if wanted("decision_turn") {
        measure_decision_turn(10);
    }
}

/// Takes samples of `work`, each over as many calls as last `SAMPLE`, and prints the time of one call.
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

/// Prints the times of one call, which are given in seconds.
fn print(line: &Line, name: &str, size: usize, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let micros = |share| rounded(quantile(&seconds, share) * 1e6, 3);
    line.print(
        "core",
        json!({"scenario": name, "n": size, "samples": seconds.len(), "min_us": micros(0.0),
            "median_us": micros(0.5), "max_us": micros(1.0)}),
    );
}

/// A probe comes in and its acknowledgement goes out, without any news, or with news that are known.
fn measure_ping(name: &str, size: usize, hub: fn(usize, Instant) -> Hub) {
    let mut hub = hub(size, now());
    let (from, ping) = hub.next_ping();
    while hub.node.backlog() != chronik_agent::gossip::Backlog::default() {
        hub.node.handle_datagram(from, &ping, hub.now);
        assert_eq!(hub.drain(), 1, "an acknowledgement and nothing else");
    }
    measure(name, size, || {
        hub.node.handle_datagram(from, &ping, hub.now);
        assert_eq!(hub.drain(), 1);
    });
}

/// A second of a node's life right after all have joined, while rumours fill every packet.
fn measure_busy_second(size: usize) {
    let line = Line::begin();
    let second = |_| {
        let mut hub = Hub::of(size, now());
        assert!(hub.node.backlog().updates > size / 2, "the rumours wait");
        let end = hub.now + Duration::from_secs(1);
        let begin = now();
        while let Some(due) = hub.node.poll_timeout().filter(|due| *due <= end) {
            hub.node.handle_timeout(due);
            hub.drain();
            while hub.node.poll_dial().is_some() {}
        }
        begin.elapsed().as_secs_f64()
    };
    print(&line, "busy_second", size, (0..SAMPLES / 3).map(second).collect());
}

/// Another node compares its state with ours, and they are equal.
fn measure_compare(size: usize) {
    let mut hub = Hub::of(size - 1, now());
    let (mut last, addr) = hub.join(size);
    let frame = nodes::next_comparison(&mut last, hub.now);
    measure("compare", size, || {
        let reply = hub.node.handle_request(addr, &frame, hub.now).unwrap();
        assert!(reply.len() < 100, "the states differ");
    });
}

/// Two nodes with equal states exchange them whole; both ends are counted.
fn measure_exchange(size: usize) {
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

/// The core copies its members for a reader's snapshot.
fn measure_publish(size: usize) {
    let hub = Hub::of(size, now());
    let mut membership = hub.node.membership();
    measure("publish", size, || {
        membership.members.values_mut().for_each(|member| hub.node.refresh_contact(member));
        std::hint::black_box(membership.clone());
    });
}

/// A turn of the founding once a second, with ten servers, while it waits for one more.
fn measure_decision_turn(size: usize) {
    let start = now();
    let expect = u16::try_from(size + 1).ok().and_then(NonZeroU16::new).unwrap();
    let mut machine = nodes::machine(size, expect, start);
    let mut at: Instant = start;
    measure("decision_turn", size, || {
        at += Duration::from_secs(1);
        machine.finish_input(at);
    });
}
