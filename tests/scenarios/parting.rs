//! Partitions before and after the founding, and pauses: no side without a majority has quorum, and no second cluster is
//! founded.

use chronik_agent::{bootstrap::Decision, quorum::QuorumStatus};

use super::{SECOND, Servers, all_told, assert_sound, founded};
use crate::sim::World;

const SPLITS: [(usize, usize); 3] = [(2, 1), (3, 2), (5, 5)];

#[test]
fn a_partition_before_the_founding_founds_nothing_until_it_heals() {
    for (one, other) in SPLITS {
        for seed in 0..3 {
            let mut world = World::new(seed);
            let count = one + other;
            let nodes = world.add_servers(count, u16::try_from(count).unwrap());
            let (left, right) = nodes.split_at(one);
            world.cut(left, right);
            world.start_all(&nodes);
            world.run_for(60 * SECOND);
            assert!(all_told(&world, &nodes, "wait"), "{one}|{other}\n{}", world.describe());
            assert!(nodes.iter().all(|node| world.quorum(*node).status == QuorumStatus::Forming));
            world.mend();
            let decided = world.run_until(15 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
            assert!(decided.is_some(), "{one}|{other}, seed {seed}\n{}", world.describe());
            assert_sound(&world);
        }
    }
}

#[test]
fn a_partition_after_the_founding_leaves_quorum_to_the_majority_alone() {
    for (one, other) in SPLITS {
        for (seed, servers) in [(1, Servers::Silent), (2, Servers::Attached)] {
            let count = one + other;
            let (mut world, nodes) = founded(seed, count, u16::try_from(count).unwrap(), servers);
            world.run_for(5 * SECOND);
            let told: Vec<Decision> = nodes.iter().map(|node| world.decision(*node).clone()).collect();
            let (left, right) = nodes.split_at(one);
            world.cut(left, right);
            world.run_for(60 * SECOND);
            let expected = |side: &[usize]| {
                if side.len() > count / 2 { QuorumStatus::Quorate } else { QuorumStatus::Lost }
            };
            for side in [left, right] {
                for node in side {
                    let quorum = world.quorum(*node);
                    assert_eq!(quorum.status, expected(side), "{one}|{other}, host {node}");
                    assert_eq!((quorum.voters_alive, quorum.required), (side.len(), count / 2 + 1));
                    assert!(!quorum.expect_met);
                }
            }
            world.mend();
            let healed = world.run_until(15 * SECOND, |world| {
                nodes.iter().all(|node| world.quorum(*node).status == QuorumStatus::Quorate)
                    && world.all_agree(&nodes)
            });
            assert!(healed.is_some(), "{one}|{other}, seed {seed}");
            let after: Vec<Decision> = nodes.iter().map(|node| world.decision(*node).clone()).collect();
            assert_eq!(told, after, "nobody is told anything else");
            assert_sound(&world);
        }
    }
}

fn minority_with_new_servers(seed: u64) {
    let (mut world, nodes) = founded(seed, 3, 3, Servers::Silent);
    world.run_for(5 * SECOND);
    let fresh = world.add_servers(2, 3);
    // The new servers reach only the one that is cut off.
    world.cut(&nodes[..2], &[nodes[2], fresh[0], fresh[1]]);
    fresh.iter().for_each(|node| world.set_seeds(*node, vec![World::addr_of(nodes[2])]));
    world.start_all(&fresh);
    world.run_for(60 * SECOND);
    assert!(all_told(&world, &fresh, "join"), "seed {seed}\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn a_minority_with_new_servers_on_its_side_founds_no_second_cluster() {
    for seed in 0..5 {
        minority_with_new_servers(seed);
    }
}

#[test]
fn a_node_that_hears_nobody_claims_no_quorum_after_three_seconds() {
    for seed in 0..10 {
        let (mut world, nodes) = founded(seed, 3, 3, Servers::Silent);
        world.run_for(5 * SECOND);
        world.cut(&nodes[..2], &nodes[2..]);
        world.run_for(3 * SECOND);
        let (cut_off, other) = (world.quorum(2), world.quorum(0));
        assert!(cut_off.stale && !cut_off.has_quorum(), "seed {seed}: {cut_off:?}");
        assert!(other.has_quorum(), "seed {seed}: {other:?}");
        // By now it suspects the others at most, and still may not count them as alive.
        for _quarter in 0..120 {
            if world.run_until(SECOND / 4, |world| !world.quorum(2).stale).is_some() {
                break;
            }
            let quorum = world.quorum(2);
            assert_eq!((quorum.voters_alive, quorum.missing.len()), (1, 2), "seed {seed}: {quorum:?}");
            assert!(!quorum.expect_met && !quorum.has_quorum(), "seed {seed}: {quorum:?}");
        }
        let later = world.quorum(2);
        assert!(!later.stale, "seed {seed}: after half a minute it judges: {later:?}");
        assert_eq!((later.voters_alive, later.missing.len()), (1, 2), "seed {seed}: {later:?}");
        world.mend();
        let back = world.run_until(15 * SECOND, |world| {
            (0..3).all(|node| world.quorum(node).has_quorum() && world.quorum(node).voters_alive == 3)
        });
        assert!(back.is_some(), "seed {seed}: {:?}", world.quorum(2));
        assert_sound(&world);
    }
}

#[test]
fn a_node_that_is_cut_off_before_the_founding_counts_itself_alone() {
    let mut world = World::new(1);
    let nodes = world.add_servers(3, 4);
    world.start_all(&nodes);
    assert!(world.run_until(5 * SECOND, |world| world.quorum(2).voters_alive == 3).is_some());
    world.cut(&nodes[..2], &nodes[2..]);
    world.run_for(4 * SECOND);
    let (cut_off, other) = (world.quorum(2), world.quorum(0));
    assert!(cut_off.stale && cut_off.voters_alive == 1, "{cut_off:?}");
    assert!(!other.stale && other.voters_alive == 2, "{other:?}");
    world.mend();
    let more = world.add_servers(1, 4);
    world.set_seeds(more[0], vec![World::addr_of(0)]);
    world.start_all(&more);
    let all = [&nodes[..], &more].concat();
    let told = world.run_until(30 * SECOND, |world| all_told(world, &all, "bootstrap"));
    assert!(told.is_some(), "{}", world.describe());
    assert_sound(&world);
}

fn paused_agent(seed: u64) {
    let (mut world, nodes) = founded(seed, 3, 3, Servers::Silent);
    world.run_for(5 * SECOND);
    assert!(!world.quorum(2).stale);
    world.pause(2);
    world.run_for(30 * SECOND);
    world.resume(2);
    assert!(world.quorum(2).stale, "{:?}", world.quorum(2));
    let fresh = world.run_until(15 * SECOND, |world| {
        !world.quorum(2).stale && nodes.iter().all(|node| world.quorum(*node).voters_alive == 3)
    });
    assert!(fresh.is_some(), "{:?}", world.quorum(2));
    assert_sound(&world);
}

#[test]
fn a_paused_agent_marks_its_quorum_stale_and_recovers() {
    paused_agent(1);
}
