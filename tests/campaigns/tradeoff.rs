//! The cost of a shorter or longer suspicion: the time until a crash and a silent host are known, against the pauses that
//! are never taken for failures and the false failures under loss of packets. The suspicion and the probe period of each
//! point are the LAN profile's, times a factor.

use std::time::Duration;

use chronik_agent::{gossip::Timing, membership::MemberStatus::Failed};
use serde_json::json;

use super::{SECOND, print_result};
use crate::sim::{Node, World};

const COUNT: usize = 10;

fn settled(timing: Timing, seed: u64) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    world.timing = timing;
    let nodes = world.add_hosts(COUNT, "chronik");
    world.start_all(&nodes);
    assert!(world.run_until(60 * SECOND, |world| world.all_agree(&nodes)).is_some());
    world.run_for(20 * SECOND + Duration::from_millis(seed * 37));
    (world, nodes)
}

/// Time until all know that a member is gone.
struct Known {
    median_s: f64,
    worst_s: f64,
}

/// Measures ten clusters of which one member is ended by `end`.
fn measure_known(timing: Timing, end: impl Fn(&mut World, &[Node], Node)) -> Known {
    let mut took: Vec<_> = (0..10)
        .map(|seed| {
            let (mut world, nodes) = settled(timing, seed);
            let (gone, others) = nodes.split_last().unwrap();
            end(&mut world, others, *gone);
            world.run_until(120 * SECOND, |world| world.all_say(others, *gone, Failed)).unwrap()
        })
        .collect();
    took.sort_unstable();
    Known { median_s: took[took.len() / 2].as_secs_f64(), worst_s: took[took.len() - 1].as_secs_f64() }
}

fn count_failures(world: &World) -> usize {
    world.history.failures().count()
}

/// The longest pause that is not taken for a failure in ten tries.
fn longest_survived_pause(timing: Timing) -> Duration {
    let mut longest = Duration::ZERO;
    for step in 1..=40 {
        let pause = Duration::from_millis(250 * step);
        let fails = (0..10).any(|seed| {
            let (mut world, _) = settled(timing, seed);
            world.pause(3);
            world.run_for(pause);
            world.resume(3);
            world.run_for(5 * SECOND);
            count_failures(&world) > 0
        });
        if fails {
            break;
        }
        longest = pause;
    }
    longest
}

/// Number of false failures in half an hour of simulated time with this share of packets lost.
fn false_failures(timing: Timing, loss: f64) -> usize {
    let one = |seed| {
        let (mut world, _) = settled(timing, seed);
        world.network.loss = loss;
        world.run_for(360 * SECOND);
        count_failures(&world)
    };
    (0..5).map(one).sum()
}

/// Measures and prints one point.
fn print_point(suspicion: f64, period: f64) {
    let lan = Timing::LAN;
    let timing = Timing {
        suspicion: lan.suspicion.mul_f64(suspicion),
        probe_period: lan.probe_period.mul_f64(period),
        probe_rtt: lan.probe_rtt.mul_f64(period),
        ..lan
    };
    let crash = measure_known(timing, |world, _, gone| world.crash(gone));
    let silent = measure_known(timing, |world, others, gone| world.cut(others, &[gone]));
    let [quarter, two_fifths, half] = [0.25, 0.4, 0.5].map(|loss| false_failures(timing, loss));
    print_result(&json!({
        "suite": "tradeoff", "scenario": "tradeoff", "n": COUNT, "agent": "chronik",
        "suspicion_ms": timing.suspicion.as_millis() as u64, "probe_ms": timing.probe_period.as_millis() as u64,
        "crash_s": crash.median_s, "crash_worst_s": crash.worst_s,
        "silent_s": silent.median_s, "silent_worst_s": silent.worst_s,
        "pause_ms": longest_survived_pause(timing).as_millis() as u64,
        "false_25": quarter, "false_40": two_fifths, "false_50": half,
    }));
}

#[test]
#[ignore = "takes minutes: a measurement"]
fn suspicion_and_period_against_false_failures() {
    for suspicion in [0.25, 0.5, 1.0, 2.0, 4.0] {
        print_point(suspicion, 1.0);
    }
    for period in [0.5, 2.0, 4.0] {
        print_point(1.0, period);
    }
}
