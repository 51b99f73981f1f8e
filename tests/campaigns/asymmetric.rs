//! Rapid's campaign (Suresh et al., ATC 2018): a few members lose all that is sent to them, for 20 s of every 40, or
//! most of what they send. The healthy ones should say so of those few alone, and not again and again.

use std::collections::BTreeSet;

use chronik_agent::membership::MemberStatus::Failed;
use serde_json::json;

use super::{SECOND, result};
use crate::{
    convergence::cluster,
    share,
    sim::{Node, World},
};

/// What the healthy ones said.
#[derive(Debug)]
struct Said {
    failed: BTreeSet<Node>,
    /// Most changes between failed and not, of one faulty member at one healthy one, after the first verdict.
    flips: usize,
}

fn said(world: &World, faulty: &[Node], from: usize) -> Said {
    let by_healthy =
        || world.history.changes[from..].iter().filter(|change| !faulty.contains(&change.observer));
    let flips = |observer: Node, subject: Node| {
        let seen = by_healthy().filter(|change| change.observer == observer && change.subject == subject);
        seen.filter(|change| change.status == Failed).count().saturating_sub(1)
    };
    let observers: BTreeSet<_> = by_healthy().map(|change| change.observer).collect();
    let most = observers.iter().flat_map(|observer| faulty.iter().map(|subject| flips(*observer, *subject)));
    let failed = by_healthy().filter(|change| change.status == Failed).map(|change| change.subject).collect();
    Said { flips: most.max().unwrap_or(0), failed }
}

/// Of `count` members, `many` do not hear anything for 20 s of every 40.
fn deaf(seed: u64, count: usize, many: usize, rounds: u32) -> (Said, Vec<Node>) {
    let (mut world, nodes) = cluster(seed, count);
    world.run_for(10 * SECOND);
    let (healthy, faulty) = nodes.split_at(count - many);
    let from = world.history.changes.len();
    for _ in 0..rounds {
        for to in faulty {
            nodes.iter().for_each(|node| world.cut_one_way(*node, *to));
        }
        world.run_for(20 * SECOND);
        world.mend();
        world.run_for(20 * SECOND);
    }
    assert!(healthy.iter().all(|node| world.gossip(*node).membership().members.len() == count));
    (said(&world, faulty, from), faulty.to_vec())
}

/// Of `count` members, `many` lose four fifths of what they send.
fn mute(seed: u64, count: usize, many: usize, seconds: u32) -> (Said, Vec<Node>) {
    let (mut world, nodes) = cluster(seed, count);
    world.run_for(90 * SECOND);
    let faulty = &nodes[count - many..];
    let from = world.history.changes.len();
    world.network.egress_loss = faulty.iter().map(|node| (*node, 0.8)).collect();
    world.run_for(seconds * SECOND);
    (said(&world, faulty, from), faulty.to_vec())
}

fn assert_the_faulty_alone(what: &str, seed: u64, (said, faulty): (Said, Vec<Node>), flips: usize) {
    eprintln!("{what}, seed {seed}: {said:?}");
    assert!(said.failed.iter().all(|node| faulty.contains(node)), "{what}, seed {seed}: {said:?}");
    assert!(said.flips <= flips, "{what}, seed {seed}: {said:?}");
}

#[test]
fn members_that_hear_nothing_are_the_only_ones_called_failed() {
    // Once it comes as a surprise, and once more the usual patience is too short.
    for &(seed, count, rounds) in share::first(&[(0, 32, 5), (1, 32, 5), (2, 100, 3)]) {
        let seen = deaf(seed, count, 1, rounds);
        assert!(!seen.0.failed.is_empty(), "seed {seed}: nobody noticed");
        assert_the_faulty_alone("deaf", seed, seen, 1);
    }
}

#[test]
fn members_that_can_hardly_speak_are_the_only_ones_called_failed() {
    for &(seed, count) in share::first(&[(0, 32), (1, 32), (2, 100)]) {
        assert_the_faulty_alone("mute", seed, mute(seed, count, 1, 60), 1);
    }
}

/// Of `count` members one loses four fifths of what it sends, for 120 s: after how many seconds all have marked it, and in
/// how many of those that follow somebody takes it for well.
fn marked(count: usize, seed: u64) -> [f64; 2] {
    let (mut world, nodes) = cluster(seed, count);
    world.run_for(30 * SECOND);
    let (mute, healthy) = nodes.split_last().unwrap();
    world.network.egress_loss = [(*mute, 0.8)].into();
    let marked = |world: &World| {
        let shown = |node: &Node| world.member(*node, *mute).unwrap();
        healthy.iter().filter(|node| shown(node).degraded || shown(node).status == Failed).count()
    };
    let begin = world.passed();
    let (mut all, mut lapses) = (None, 0_u32);
    while world.passed() < begin + 120 * SECOND {
        world.run_for(SECOND);
        if marked(&world) == healthy.len() {
            all.get_or_insert(world.passed() - begin);
        } else if all.is_some() {
            lapses += 1;
        }
    }
    eprintln!("{count} members, seed {seed}: all mark it after {all:?}, and {lapses} s of lapses");
    let healthy_marked = |world: &World| {
        healthy.iter().any(|node| healthy.iter().any(|of| world.member(*node, *of).unwrap().degraded))
    };
    // Of three, half of what is said of a healthy one comes from the mute one, whose probes are lost.
    assert!(count == 3 || !healthy_marked(&world), "{count} members, seed {seed}: a healthy one is marked");
    let after = all.unwrap_or_else(|| panic!("{count} members, seed {seed}: not marked by all"));
    [after.as_secs_f64(), lapses.into()]
}

/// Most of their refutations arrive, so nobody calls them failed; but whoever asks is told that they come and go.
#[test]
fn members_that_can_hardly_speak_are_marked_degraded_and_stay_so() {
    for &(seed, count, within) in
        share::first(&[(0, 3, 10), (1, 3, 10), (2, 10, 10), (3, 10, 10), (4, 32, 20), (5, 64, 40)])
    {
        let [after, lapses] = marked(count, seed);
        assert!(after <= f64::from(within), "{count} members, seed {seed}: {after} s until all mark it");
        assert!(
            lapses <= 6.0,
            "{count} members, seed {seed}: {lapses} s in which somebody takes it for well"
        );
    }
}

/// One seed may be lucky or not: the means are what a change for the worse moves.
#[test]
fn members_that_can_hardly_speak_are_marked_as_soon_and_as_steadily_in_the_mean() {
    for (count, seeds, most) in
        [(3, 8, [4.0, 0.5]), (10, 8, [7.0, 0.5]), (32, 8, [9.0, 0.5]), (64, 4, [11.0, 0.5])]
    {
        let each: Vec<_> = (0..seeds).map(|seed| marked(count, seed)).collect();
        for (what, which) in [("until all mark it", 0), ("in which somebody takes it for well", 1)] {
            let mean = each.iter().map(|run| run[which]).sum::<f64>() / each.len() as f64;
            eprintln!("{count} members: {mean:.1} s {what}, in the mean");
            assert!(mean <= most[which], "{count} members: of 120 s {mean} {what}: {each:?}");
        }
    }
}

fn print_a_thousand(what: &str, (said, faulty): (Said, Vec<Node>)) {
    let wrong = said.failed.iter().filter(|node| !faulty.contains(node)).count();
    result(&json!({
        "suite": "campaign", "scenario": what, "n": 1_000, "seed": 0, "agent": "chronik",
        "faulty": faulty.len(), "faulty_called_failed": said.failed.len() - wrong,
        "healthy_called_failed": wrong, "flips": said.flips,
    }));
}

#[test]
#[ignore = "takes an hour: a measurement"]
fn a_thousand_and_ten_of_them_faulty() {
    print_a_thousand("deaf", deaf(0, 1_000, 10, 5));
    print_a_thousand("mute", mute(0, 1_000, 10, 400));
}
