//! Clusters that form, split, heal and restart, in the simulated world.

use std::time::Duration;

use chronik_agent::membership::MemberStatus::{Alive, Failed, Left};

use crate::{
    share,
    sim::{Node, World},
};

const SECOND: Duration = Duration::from_secs(1);

/// A cluster of `count` that has come together.
pub(crate) fn cluster(seed: u64, count: usize) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    let nodes = world.add_hosts(count, "chronik");
    world.start_all(&nodes);
    assert!(
        world.run_until(30 * SECOND, |world| world.all_agree(&nodes)).is_some(),
        "seed {seed}: did not form"
    );
    (world, nodes)
}

#[test]
fn clusters_of_every_size_form_through_one_seed_whatever_is_lost() {
    for count in [1, 2, 3, 5, 10, 50] {
        for (loss, limit) in [(0.0, 2), (0.1, 5), (0.3, 20)] {
            for seed in 0..share::of(5) {
                let mut world = World::new(seed);
                world.network.loss = loss;
                let nodes = world.add_hosts(count, "chronik");
                world.start_all(&nodes);
                // While packets are lost, some member is under suspicion at almost every moment.
                let formed = world.run_until(limit * SECOND, |world| {
                    if loss > 0.0 { world.all_know_each_other(&nodes) } else { world.all_agree(&nodes) }
                });
                assert!(
                    formed.is_some(),
                    "{count} nodes, {loss} lost, seed {seed}: not formed within {limit} s"
                );
            }
        }
    }
}

#[test]
fn the_cluster_forms_if_any_of_the_first_packets_is_lost() {
    for first in 1..=40 {
        for many in [1, 5, 20] {
            let mut world = World::new(first);
            world.network.lose = first..=first + many - 1;
            let nodes = world.add_hosts(3, "chronik");
            world.start_all(&nodes);
            // Each lost packet may be a stream that is given up after 3 s and dialled again after up to 8.
            let limit = (5 + 11 * u32::try_from(many).unwrap()) * SECOND;
            let formed = world.run_until(limit, |world| world.all_agree(&nodes));
            assert!(formed.is_some(), "{many} lost from number {first} on: not formed within {limit:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_byte() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.network.loss = 0.1;
        let nodes = world.add_hosts(10, "chronik");
        world.start_all(&nodes);
        world.run_for(10 * SECOND);
        world.crash(3);
        world.run_for(10 * SECOND);
        (world.log, world.traffic.datagrams, world.history.changes)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}

#[test]
fn a_node_that_starts_before_its_seed_joins_when_the_seed_comes() {
    let mut world = World::new(1);
    let nodes = world.add_hosts(2, "chronik");
    world.start(1);
    world.run_for(600 * SECOND);
    world.start(0);
    assert!(world.run_until(9 * SECOND, |world| world.all_agree(&nodes)).is_some());
}

fn crash_and_restart(seed: u64) {
    let (mut world, nodes) = cluster(seed, 3);
    world.run_for(5 * SECOND);
    let others = &nodes[..2];
    world.crash(2);
    let known = world.run_until(5 * SECOND, |world| world.all_say(others, 2, Failed));
    assert!(known.is_some_and(|after| after < 3 * SECOND), "seed {seed}: {known:?}");
    let id = world.id(2);
    world.start(2);
    let back = world.run_until(SECOND, |world| world.all_agree(&nodes));
    assert!(back.is_some(), "seed {seed}: not back within 1 s");
    assert_eq!(world.id(2), id, "it is the same node");
}

#[test]
fn a_crash_is_known_to_all_and_a_restart_too() {
    for seed in 0..20 {
        crash_and_restart(seed);
    }
}

fn goodbye(seed: u64) {
    let (mut world, nodes) = cluster(seed, 10);
    world.network.loss = 0.1;
    world.leave(9);
    let left = world.run_until(SECOND, |world| world.all_say(&nodes[..9], 9, Left));
    assert!(left.is_some(), "seed {seed}");
    world.run_for(60 * SECOND);
    assert!(world.all_say(&nodes[..9], 9, Left), "seed {seed}: it stays so");
    assert!(
        !world.history.changes.iter().any(|change| change.subject == 9 && change.status == Failed),
        "seed {seed}"
    );
    world.start(9);
    assert!(
        world.run_until(2 * SECOND, |world| world.all_agree(&nodes)).is_some(),
        "seed {seed}: it may come back"
    );
}

#[test]
fn a_goodbye_is_known_at_once_and_is_no_failure() {
    for seed in 0..share::of(20) {
        goodbye(seed);
    }
}

#[test]
fn two_nodes_parted_for_an_hour_find_each_other_again() {
    for seed in 0..10 {
        let (mut world, nodes) = cluster(seed, 2);
        world.cut(&[0], &[1]);
        world.run_for(3_600 * SECOND);
        assert_eq!((world.status(0, 1), world.status(1, 0)), (Some(Failed), Some(Failed)));
        world.mend();
        let healed = world.run_until(15 * SECOND, |world| world.all_agree(&nodes));
        assert!(healed.is_some(), "seed {seed}: not healed within 15 s");
    }
}

#[test]
fn partitions_heal_and_no_member_calls_failed_one_of_its_own_side_meanwhile() {
    for (count, split) in [(3, 2), (10, 5)] {
        for seed in 0..10 {
            let (mut world, nodes) = cluster(seed, count);
            let (one, other) = nodes.split_at(split);
            world.cut(one, other);
            world.run_for(90 * SECOND);
            for (side, lost) in [(one, other), (other, one)] {
                assert!(lost.iter().all(|subject| world.all_say(side, *subject, Failed)), "seed {seed}");
                assert!(side.iter().all(|subject| world.all_say(side, *subject, Alive)), "seed {seed}");
            }
            let same_side = |a: Node, b: Node| one.contains(&a) == one.contains(&b);
            let wrong = world.history.failures().find(|change| same_side(change.observer, change.subject));
            assert_eq!(wrong, None, "seed {seed}: failed on its own side");
            world.mend();
            let healed = world.run_until(15 * SECOND, |world| world.all_agree(&nodes));
            assert!(healed.is_some(), "{split} against {}, seed {seed}: not healed", count - split);
        }
    }
}

fn lost_one_way(seed: u64) {
    let (mut world, nodes) = cluster(seed, 5);
    world.network.udp_cuts.insert((0, 1));
    world.run_for(120 * SECOND);
    assert!(
        !world.history.changes.iter().any(|change| change.status == Failed),
        "{:?}",
        world.history.changes
    );
    assert!(world.all_agree(&nodes));
}

#[test]
fn one_way_loss_between_two_is_got_round_by_the_others() {
    lost_one_way(4);
}

fn heard_by_nobody(seed: u64) {
    let (mut world, nodes) = cluster(seed, 5);
    for other in 1..5 {
        world.cut_one_way(0, other);
    }
    assert!(world.run_until(10 * SECOND, |world| world.all_say(&nodes[1..], 0, Failed)).is_some());
    world.mend();
    assert!(world.run_until(15 * SECOND, |world| world.all_agree(&nodes)).is_some());
}

#[test]
fn a_node_that_nobody_can_hear_is_failed_and_comes_back() {
    heard_by_nobody(5);
}

fn two_clusters(seed: u64) {
    let mut world = World::new(seed);
    let a: Vec<Node> = (0..3).map(|_| world.add_host("a", (0..6).map(World::addr_of).collect())).collect();
    let b: Vec<Node> = (0..3).map(|_| world.add_host("b", (0..6).map(World::addr_of).collect())).collect();
    world.start_all(&[a.clone(), b.clone()].concat());
    assert!(world.run_until(5 * SECOND, |world| world.all_agree(&a) && world.all_agree(&b)).is_some());
    world.run_for(300 * SECOND);
    assert!(world.all_agree(&a) && world.all_agree(&b), "each still lists its own three and nobody else");
    assert!(world.gossip(0).counters().foreign > 0, "they did meet");
    // Two hosts are down, and the others go on dialling them: the members stay listed.
    world.crash(2);
    world.crash(5);
    world.run_for(60 * SECOND);
    for nodes in [&a, &b] {
        assert!(nodes[..2].iter().all(|node| world.gossip(*node).membership().members.len() == 3));
    }
}

#[test]
fn clusters_with_each_others_addresses_never_merge() {
    two_clusters(6);
}

fn larger_metadata(seed: u64) {
    let (mut world, nodes) = cluster(seed, 10);
    let long = "v".repeat(5_000);
    world.drive_gossip(0, |gossip, now| {
        let mut metadata = gossip.own_metadata().clone();
        metadata.tags.insert("long".parse().unwrap(), long.clone());
        gossip.set_metadata(metadata, now).unwrap();
    });
    let id = world.id(0);
    let everywhere = world.run_until(15 * SECOND, |world| {
        nodes.iter().all(|node| {
            world.gossip(*node).membership().members[&id].tags.values().any(|value| *value == long)
        })
    });
    assert!(everywhere.is_some());
}

#[test]
fn metadata_too_large_for_a_rumour_reaches_everyone() {
    larger_metadata(8);
}

fn dead_seeds(seed: u64) {
    let mut world = World::new(seed);
    let live = world.add_host("chronik", vec![]);
    // Half of the dead hosts refuse, half are silent.
    let refusing: Vec<_> = (0..25).map(|_| world.add_host("chronik", vec![])).map(World::addr_of).collect();
    let silent = (1..26_u8).map(|last| ([192, 0, 2, last], 7946).into());
    let seeds = refusing.into_iter().chain(silent).chain([World::addr_of(live)]).collect();
    let joiner = world.add_host("chronik", seeds);
    world.start(live);
    world.start(joiner);
    let joined = world.run_until(SECOND, |world| world.all_agree(&[live, joiner]));
    assert!(joined.is_some(), "seed {seed}");
}

#[test]
fn fifty_dead_seeds_and_a_live_one_take_less_than_a_second() {
    for seed in 0..20 {
        dead_seeds(seed);
    }
}
