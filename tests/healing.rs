//! Partitions that heal: all agree within seconds, no healthy member was ever called failed by its own side, and no member
//! of the larger side has to renew itself.

use std::time::Duration;

use chronik_agent::{gossip::Timing, membership::MemberStatus::Failed};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    convergence::cluster,
    share,
    sim::{Node, World, history::Change},
};

const SECOND: Duration = Duration::from_secs(1);

/// Number of renewals of each of `nodes`.
fn renewals(world: &World, nodes: &[Node]) -> Vec<u64> {
    nodes.iter().map(|node| world.gossip(*node).counters().renewals).collect()
}

/// Parts `count` nodes into the first `left` and the rest for `time`, and returns how long all took to agree again.
fn heals(seed: u64, count: usize, left: usize, time: Duration) -> Duration {
    let (mut world, nodes) = cluster(seed, count);
    world.run_for(10 * SECOND);
    let (one, other) = nodes.split_at(left);
    world.cut(one, other);
    world.run_for(time);
    // A member that has lost all others doubts itself first, and may still list them as alive.
    let (larger, smaller) = if left * 2 > count { (one, other) } else { (other, one) };
    assert!(smaller.iter().all(|gone| world.all_say(larger, *gone, Failed)), "seed {seed}: not parted");
    let before = renewals(&world, larger);
    world.mend();
    let healed = world.run_until(60 * SECOND, |world| world.all_agree(&nodes));
    let healed = healed.unwrap_or_else(|| panic!("seed {seed}: {left} of {count} did not heal in 60 s"));
    world.run_for(20 * SECOND);
    assert!(world.all_agree(&nodes), "seed {seed}: it does not last");
    let side = |node: &Node| *node < left;
    let own = |change: &&Change| change.status == Failed && side(&change.observer) == side(&change.subject);
    assert_eq!(
        world.history.changes.iter().find(own),
        None,
        "seed {seed}: {left} of {count}: called failed by its own side"
    );
    if left * 2 != count {
        assert_eq!(renewals(&world, larger), before, "seed {seed}: the larger side has renewed itself");
    }
    healed
}

#[test]
fn a_partition_heals_within_three_seconds_and_disturbs_nobody() {
    for (count, left, seeds) in
        [(3, 1, 20), (3, 2, 20), (5, 2, 10), (10, 1, 10), (10, 5, 20), (50, 1, 2), (50, 25, 2)]
    {
        for time in if count < 50 { &[30, 90][..] } else { &[30][..] } {
            let mut took: Vec<_> =
                (0..share::of(seeds)).map(|seed| heals(seed, count, left, *time * SECOND)).collect();
            took.sort_unstable();
            let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
            eprintln!("{left} of {count} parted for {time} s: healed after {median:.2?}, worst {worst:.2?}");
            assert!(worst <= 3 * SECOND, "{left} of {count} parted for {time} s: {took:?}");
        }
    }
}

#[test]
fn two_that_lost_each_other_find_each_other_again() {
    for seed in 0..20 {
        let took = heals(seed, 2, 1, 90 * SECOND);
        assert!(took <= 4 * SECOND, "seed {seed}: {took:?}");
    }
}

/// Servers that have founded a cluster and have come to rest; with the WAN profile each has a place of its own.
fn founded(seed: u64, timing: Timing, count: usize) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    world.timing = timing;
    let nodes = world.add_servers(count, u16::try_from(count).unwrap());
    if timing == Timing::WAN {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut place = || [rng.random_range(0.0..80.0), rng.random_range(0.0..80.0)];
        world.network.places.extend(nodes.iter().map(|node| (*node, place())));
    }
    world.found(&nodes, 90 * SECOND);
    (world, nodes)
}

/// Asserts that all agree within `limit`, and that none of `these` has called another of them failed since `from`.
fn assert_agreement(
    world: &mut World,
    limit: Duration,
    nodes: &[Node],
    these: &[Node],
    from: usize,
    what: &str,
) {
    let agreed = world.run_until(limit, |world| world.all_agree(nodes));
    let said = world.history.changes[from..].to_vec();
    assert!(agreed.is_some(), "{what}: not together again, {said:?}");
    world.run_for(30 * SECOND);
    assert!(world.all_agree(nodes), "{what}: it does not last");
    let wrong = world.history.changes[from..].iter().find(|change| {
        change.status == Failed && these.contains(&change.observer) && these.contains(&change.subject)
    });
    assert_eq!(wrong, None, "{what}: {said:?}");
}

/// A member that hears the others and is not heard learns that it is called failed, begins a new life, and after half a
/// minute calls all others failed. Without the guard, when it is heard again the others take that life for a new member
/// and believe its verdicts.
fn mute(seed: u64, timing: Timing) {
    let (mut world, nodes) = founded(seed, timing, 3 + usize::try_from(seed % 8).unwrap());
    let (mute, others) = nodes.split_first().unwrap();
    let (from, before) = (world.history.changes.len(), renewals(&world, others));
    others.iter().for_each(|to| world.cut_one_way(*mute, *to));
    world.run_for(26 * SECOND + SECOND / 2 * u32::try_from(seed).unwrap());
    world.mend();
    let what = format!("{:?}, seed {seed}", timing.probe_period);
    assert_agreement(&mut world, 20 * SECOND, &nodes, others, from, &what);
    assert_eq!(renewals(&world, others), before, "{what}: others renew themselves");
}

#[test]
fn a_member_that_was_not_heard_disturbs_no_other_when_it_is_back() {
    for timing in [Timing::LOCAL, Timing::LAN] {
        for seed in 0..share::of(16) {
            mute(seed, timing);
        }
    }
}

/// Verdicts fall one after the other, each after another time. If the partition ends meanwhile, the smaller side seems
/// large to its members that have not judged all others, and verdicts of both sides are on their way.
fn ends_while_verdicts_fall(seed: u64) {
    let (mut world, nodes) = founded(seed, Timing::WAN, 4 + usize::try_from(seed % 7).unwrap());
    let (smaller, larger) = nodes.split_at((nodes.len() - 1) / 2);
    let (from, before) = (world.history.changes.len(), renewals(&world, larger));
    world.cut(smaller, larger);
    world.run_for(9 * SECOND + SECOND / 2 * u32::try_from(seed).unwrap());
    let judged = smaller.iter().all(|gone| world.all_say(larger, *gone, Failed));
    world.mend();
    let what = format!("{} of {}, seed {seed}", smaller.len(), nodes.len());
    assert_agreement(&mut world, 90 * SECOND, &nodes, larger, from, &what);
    if judged {
        assert_eq!(renewals(&world, larger), before, "{what}: the larger side renews itself");
    }
}

#[test]
fn a_partition_that_ends_while_verdicts_fall_makes_no_member_fail_on_its_own_side() {
    for seed in 0..40 {
        ends_while_verdicts_fall(seed);
    }
}

/// A member that is not heard suspects the members that do not answer it, and that is not heard either. Without the guard
/// the suspicion lasts for as long as the patience with the suspect does.
fn untold_suspect(seed: u64) {
    let (mut world, nodes) = founded(seed, Timing::WAN, 3);
    let (mute, others) = nodes.split_first().unwrap();
    let from = world.history.changes.len();
    others.iter().for_each(|to| world.cut_one_way(*mute, *to));
    world.run_for(5 * SECOND + SECOND / 20 * u32::try_from(seed).unwrap());
    world.mend();
    assert_agreement(&mut world, 15 * SECOND, &nodes, others, from, &format!("seed {seed}"));
}

#[test]
fn a_suspect_that_was_never_told_is_told_when_it_is_heard() {
    for seed in 0..40 {
        untold_suspect(seed);
    }
}
