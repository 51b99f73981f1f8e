//! Partitions that heal: within seconds everybody agrees, nobody healthy was ever called failed by its own side, and of
//! the larger side nobody has to renew itself.

use std::time::Duration;

use chronik_agent::membership::MemberStatus::Failed;

use crate::{
    convergence::cluster,
    sim::{Node, World},
};

const SECOND: Duration = Duration::from_secs(1);

/// How often each of `nodes` has renewed itself.
fn renewals(world: &World, nodes: &[Node]) -> Vec<u64> {
    nodes.iter().map(|node| world.gossip(*node).counters().renewals).collect()
}

/// Parts `count` nodes into the first `left` and the rest, for `time`, and says how long all took to agree again.
fn heals(seed: u64, count: usize, left: usize, time: Duration) -> Duration {
    let (mut world, nodes) = cluster(seed, count);
    world.run_for(10 * SECOND);
    let (one, other) = nodes.split_at(left);
    world.cut(one, other);
    world.run_for(time);
    // One that has lost everybody doubts itself first, and may still be counting them.
    let (larger, smaller) = if left * 2 > count { (one, other) } else { (other, one) };
    assert!(smaller.iter().all(|gone| world.all_say(larger, *gone, Failed)), "seed {seed}: not parted");
    let before = renewals(&world, larger);
    world.mend();
    let healed = world.run_until(60 * SECOND, |world| world.agree(&nodes));
    let healed = healed.unwrap_or_else(|| panic!("seed {seed}: {left} of {count} did not heal in 60 s"));
    world.run_for(20 * SECOND);
    assert!(world.agree(&nodes), "seed {seed}: it does not last");
    let side = |node: &Node| *node < left;
    let own = |change: &&(Duration, Node, Node, _)| change.3 == Failed && side(&change.1) == side(&change.2);
    assert_eq!(
        world.changes.iter().find(own),
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
            let mut took: Vec<_> = (0..seeds).map(|seed| heals(seed, count, left, *time * SECOND)).collect();
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
