//! The campaign of Lifeguard (Dadgar, Phillips and Currey, DSN 2018): some of 128 members stand still, once or again and
//! again, and the healthy members that are called failed for it are counted. Beside the shipped core runs the engine
//! alone, which is SWIM with suspicions, with the same constants and with memberlist's.

use std::{collections::BTreeSet, num::NonZeroU8, time::Duration};

use chronik_agent::{gossip::Timing, membership::MemberStatus::Failed};
use foca::Config;
use serde_json::json;

use super::{SECOND, print_result};
use crate::sim::{Node, World, bare::like_memberlist};

/// The software on the hosts.
#[derive(Debug, Clone, Copy)]
enum Column {
    /// The shipped core.
    Shipped,
    /// The engine alone with the core's constants.
    Swim,
    /// The engine alone with memberlist's constants.
    Memberlist,
}

/// The anomaly: members that stand still.
#[derive(Debug, Clone, Copy)]
struct Anomaly {
    /// Number of anomalous members.
    members: usize,
    /// Time for which they stand still.
    still: Duration,
    /// Time for which they run in between; `None` if they stand still once only.
    between: Option<Duration>,
}

/// The verdicts and the cost of one run.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    /// Times that any member called a healthy one failed; the paper's FP.
    false_failed: usize,
    /// Times that a healthy member called a healthy one failed; the paper's FP-.
    false_failed_by_healthy: usize,
    /// Times that any member called an anomalous one failed, which had not crashed either.
    anomalous_failed: usize,
    /// Seconds from a crash until the first healthy member knows.
    first_s: Option<f64>,
    /// Seconds from a crash until all healthy members know.
    all_s: Option<f64>,
    datagrams: u64,
    bytes: u64,
}

/// The engine's constants as the core sets them: probes, suspicion, gossip, and repetitions of a rumour.
fn same_constants(size: u32) -> Config {
    let timing = Timing::LAN;
    let mut config = like_memberlist(size);
    config.probe_period = timing.probe_period;
    config.probe_rtt = timing.probe_rtt;
    config.suspect_to_down_after = timing.suspicion(usize::try_from(size).unwrap());
    config.max_transmissions = NonZeroU8::new(15).unwrap();
    if let Some(gossip) = &mut config.periodic_gossip {
        gossip.frequency = timing.gossip_period;
    }
    config
}

fn together(column: Column, seed: u64, count: usize) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    let size = u32::try_from(count).unwrap();
    let nodes = match column {
        Column::Shipped => {
            let nodes = world.add_hosts(count, "chronik");
            world.start_all(&nodes);
            assert!(world.run_until(30 * SECOND, |world| world.all_agree(&nodes)).is_some(), "not together");
            nodes
        }
        Column::Swim => world.add_bare_hosts(count, same_constants(size)),
        Column::Memberlist => world.add_bare_hosts(count, like_memberlist(size)),
    };
    world.run_for(10 * SECOND);
    (world, nodes)
}

/// Makes the first members stand still while the last one crashes.
fn run(column: Column, seed: u64, count: usize, anomaly: Anomaly, lasts: Duration) -> Outcome {
    let (mut world, nodes) = together(column, seed, count);
    let anomalous: BTreeSet<_> = nodes[..anomaly.members].iter().copied().collect();
    let (crashed, others) = nodes.split_last().unwrap();
    let healthy = &others[anomaly.members..];
    let (begin, datagrams, bytes, seen) =
        (world.elapsed(), world.traffic.datagrams, world.traffic.bytes, world.history.changes.len());
    world.crash(*crashed);
    loop {
        anomalous.iter().for_each(|node| world.block(*node));
        world.run_for(anomaly.still);
        anomalous.iter().for_each(|node| world.unblock(*node));
        let Some(between) = anomaly.between.filter(|_| world.elapsed() - begin < lasts) else { break };
        world.run_for(between);
    }
    // All consequences show within half a minute.
    world.run_for(30 * SECOND);
    let changes = &world.history.changes[seen..];
    let failed = || changes.iter().filter(|change| change.status == Failed && change.subject != *crashed);
    let wrong = || failed().filter(|change| !anomalous.contains(&change.subject));
    let known: Vec<_> = healthy
        .iter()
        .filter_map(|node| {
            let mut known =
                changes.iter().filter(|change| change.observer == *node && change.subject == *crashed);
            Some((known.find(|change| change.status == Failed)?.at - begin).as_secs_f64())
        })
        .collect();
    Outcome {
        false_failed: wrong().count(),
        false_failed_by_healthy: wrong().filter(|change| !anomalous.contains(&change.observer)).count(),
        anomalous_failed: failed().count() - wrong().count(),
        first_s: known.iter().copied().reduce(f64::min),
        all_s: known.iter().copied().reduce(f64::max).filter(|_| known.len() == healthy.len()),
        datagrams: world.traffic.datagrams - datagrams,
        bytes: world.traffic.bytes - bytes,
    }
}

fn measure(scenario: &str, column: Column, seed: u64, count: usize, anomaly: Anomaly) -> Outcome {
    let outcome = run(column, seed, count, anomaly, 120 * SECOND);
    let rounded = |seconds: Option<f64>| seconds.map(|seconds| (seconds * 1_000.0).round() / 1_000.0);
    print_result(&json!({
        "suite": "campaign", "scenario": scenario, "n": count, "seed": seed,
        "agent": match column {
            Column::Shipped => "chronik",
            Column::Swim => "SWIM",
            Column::Memberlist => "SWIM, memberlist's constants",
        },
        "anomalous": anomaly.members, "still_ms": anomaly.still.as_millis() as u64,
        "between_ms": anomaly.between.map(|between| between.as_millis() as u64),
        "false_failed": outcome.false_failed, "false_failed_by_healthy": outcome.false_failed_by_healthy,
        "anomalous_failed": outcome.anomalous_failed,
        "first_s": rounded(outcome.first_s), "all_s": rounded(outcome.all_s),
        "datagrams": outcome.datagrams, "bytes": outcome.bytes,
    }));
    outcome
}

/// Asserts at most 1.5 % of the false failures of SWIM with the same constants; Lifeguard's published share is 1.53 %.
fn assert_share(shipped: usize, swim: usize, what: &str) {
    assert!(swim >= 67, "{what}: the anomalies were too kind to show anything: {swim}");
    assert!(shipped * 1_000 <= swim * 15, "{what}: {shipped} of SWIM's {swim}");
}

#[test]
fn members_that_stand_still_make_few_healthy_ones_fail() {
    let (mut shipped, mut swim) = (Outcome::default(), Outcome::default());
    let anomalies = [(8, 4_096, None), (8, 8_192, None), (4, 2_048, Some(64))];
    for (seed, (members, still_ms, between_ms)) in (0..).zip(anomalies) {
        let anomaly = Anomaly {
            members,
            still: Duration::from_millis(still_ms),
            between: between_ms.map(Duration::from_millis),
        };
        for (column, sum) in [(Column::Shipped, &mut shipped), (Column::Swim, &mut swim)] {
            let outcome = run(column, seed, 32, anomaly, 10 * SECOND);
            eprintln!("{column:?} {anomaly:?}: {outcome:?}");
            sum.false_failed += outcome.false_failed;
            sum.false_failed_by_healthy += outcome.false_failed_by_healthy;
            assert!(outcome.all_s.is_some(), "{column:?}: a crash did not show");
        }
    }
    assert_share(shipped.false_failed, swim.false_failed, "by any member");
}

#[test]
#[ignore = "takes an hour: a measurement"]
fn the_threshold_campaign() {
    for still_ms in [128, 512, 2_048, 8_192, 16_384, 32_768] {
        for members in [1, 4, 8, 12, 16, 20, 24, 28, 32] {
            let anomaly = Anomaly { members, still: Duration::from_millis(still_ms), between: None };
            for column in [Column::Shipped, Column::Swim, Column::Memberlist] {
                measure("threshold", column, still_ms + members as u64, 128, anomaly);
            }
        }
    }
}

#[test]
#[ignore = "takes an hour: a measurement"]
fn the_interval_campaign() {
    for still_ms in [128, 512, 2_048, 8_192, 16_384, 32_768] {
        for between_ms in [1, 4, 16, 64, 256, 1_024, 4_096, 16_384] {
            for members in [4, 16] {
                let between = Some(Duration::from_millis(between_ms));
                let anomaly = Anomaly { members, still: Duration::from_millis(still_ms), between };
                for column in [Column::Shipped, Column::Swim, Column::Memberlist] {
                    measure("interval", column, still_ms + between_ms, 128, anomaly);
                }
            }
        }
    }
}
