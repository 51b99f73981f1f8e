//! Servers that die, come back, come back blank, or are replaced; before, during and after the founding.

use std::{collections::BTreeSet, time::Duration};

use chronik_agent::{
    bootstrap::Reason,
    node::{Epoch, NodeId},
    quorum::QuorumStatus,
};

use super::{SECOND, Servers, all_told, assert_sound, founded, group, restart_months_later};
use crate::sim::{Node, World, servers::Plan};

fn assert_two_of_three(world: &World, nodes: &[Node]) {
    for node in nodes {
        let quorum = world.quorum(*node);
        assert_eq!(quorum.status, QuorumStatus::Quorate, "{quorum:?}");
        assert_eq!((quorum.voters, quorum.voters_alive, quorum.required), (3, 2, 2), "{quorum:?}");
    }
}

#[test]
fn a_founder_dies_for_good_and_months_later_all_others_restart() {
    for (servers, word) in [(Servers::Attached, "resume"), (Servers::Silent, "bootstrap")] {
        let (mut world, nodes) = founded(1, 3, 3, servers);
        restart_months_later(&mut world, &nodes, &nodes[1..]);
        let up = world.run_until(2 * SECOND, |world| {
            // Agents whose servers never report are given the same founding again.
            all_told(world, &nodes[1..], word)
                && nodes[1..].iter().all(|node| world.quorum(*node).voters_alive == 2)
        });
        assert!(up.is_some(), "they wait for the dead one\n{}", world.describe());
        assert_two_of_three(&world, &nodes[1..]);
        assert_sound(&world);
    }
}

#[test]
fn two_of_three_go_on_with_a_lower_expect() {
    let (mut world, nodes) = founded(2, 3, 3, Servers::Attached);
    nodes.iter().for_each(|node| world.change_plan(*node, |plan| *plan = Plan::expect(2)));
    restart_months_later(&mut world, &nodes, &nodes[1..]);
    let up =
        world.run_until(3 * SECOND, |world| nodes[1..].iter().all(|node| world.quorum(*node).expect_met));
    assert!(up.is_some());
    assert!(all_told(&world, &nodes[1..], "resume"), "\n{}", world.describe());
    assert_two_of_three(&world, &nodes[1..]);
    assert_sound(&world);
}

fn replaced_months_later(seed: u64) {
    let (mut world, nodes) = founded(seed, 3, 3, Servers::Attached);
    let fourth = world.add_server(Plan::expect(3), vec![World::addr_of(1)]);
    restart_months_later(&mut world, &nodes, &[1, 2, fourth]);
    let up = world.run_until(3 * SECOND, |world| {
        [1, 2, fourth].iter().all(|node| world.quorum(*node).expect_met) && world.word(fourth) == "join"
    });
    assert!(up.is_some(), "\n{}", world.describe());
    assert!(all_told(&world, &nodes[1..], "resume"));
    assert_two_of_three(&world, &nodes[1..]);
    assert_sound(&world);
}

#[test]
fn a_replacement_joins_two_of_three_months_later() {
    replaced_months_later(3);
}

#[test]
fn the_majority_of_the_last_known_cluster_is_enough_and_less_is_not() {
    for (alive, status) in [(3, QuorumStatus::Quorate), (2, QuorumStatus::Lost)] {
        let (mut world, nodes) = founded(4, 5, 5, Servers::Attached);
        restart_months_later(&mut world, &nodes, &nodes[..alive]);
        world.run_for(60 * SECOND);
        let alive = &nodes[..alive];
        assert!(all_told(&world, alive, "resume"), "\n{}", world.describe());
        assert!(alive.iter().all(|node| world.quorum(*node).status == status));
        assert_sound(&world);
    }
}

fn founder_dies_after_the_vote(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(4, 3);
    world.start_all(&nodes);
    let voted = |world: &World, node: Node| world.record(node).founding.accepted.is_some();
    let begun = world.run_until(5 * SECOND, |world| nodes.iter().any(|node| voted(world, *node)));
    assert!(begun.is_some(), "seed {seed}");
    let voter = nodes.iter().copied().find(|node| voted(&world, *node)).unwrap();
    let founding = &world.record(voter).founding.accepted.as_ref().unwrap().founding;
    let founders: BTreeSet<NodeId> = founding.ids().collect();
    let founders: Vec<Node> =
        nodes.iter().copied().filter(|node| founders.contains(&world.id(*node))).collect();
    let victim = founders[usize::try_from(seed).unwrap() % founders.len()];
    world.crash(victim);
    let others: Vec<Node> = nodes.iter().copied().filter(|node| *node != victim).collect();
    let decided = world.run_until(25 * SECOND, |world| others.iter().all(|node| world.word(*node) != "wait"));
    assert!(decided.is_some(), "seed {seed}: blocked\n{}", world.describe());
    assert_sound(&world);
    world.start(victim);
    assert!(world.run_until(3 * SECOND, |world| world.word(victim) != "wait").is_some(), "seed {seed}");
    assert_sound(&world);
}

#[test]
fn a_founder_dies_between_the_vote_and_the_founding() {
    for seed in 0..20 {
        founder_dies_after_the_vote(seed);
    }
}

fn replaced_founder(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(3, 3);
    world.start_all(&nodes);
    let voted = |world: &World| nodes.iter().any(|node| world.record(*node).founding.accepted.is_some());
    assert!(world.run_until(5 * SECOND, voted).is_some(), "seed {seed}");
    let victim = usize::try_from(seed).unwrap() % 3;
    world.crash(victim);
    world.run_for(40 * SECOND);
    let replacement = world.add_server(Plan::expect(3), (0..3).map(World::addr_of).collect());
    world.start(replacement);
    let alive: Vec<Node> =
        nodes.iter().copied().chain([replacement]).filter(|node| *node != victim).collect();
    let decided = world.run_until(30 * SECOND, |world| alive.iter().all(|node| world.word(*node) != "wait"));
    assert!(decided.is_some(), "seed {seed}: blocked\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn without_a_spare_a_replacement_completes_what_a_dead_founder_left() {
    for seed in 0..10 {
        replaced_founder(seed);
    }
}

#[test]
fn a_server_comes_back_with_a_wiped_disk() {
    for (seed, servers) in [(1, Servers::Attached), (2, Servers::Silent)] {
        let (mut world, nodes) = founded(seed, 3, 3, servers);
        world.run_for(5 * SECOND);
        let before = world.id(1);
        world.crash(1);
        world.wipe(1);
        world.run_for(5 * SECOND);
        world.start(1);
        assert_ne!(world.id(1), before, "it is another server");
        assert!(world.run_until(SECOND, |world| world.word(1) == "join").is_some(), "\n{}", world.describe());
        world.run_for(60 * SECOND);
        assert_eq!(world.word(1), "join");
        assert!(group(&world, 1).me.ordinal.is_none() && !group(&world, 1).me.voter);
        assert!(nodes.iter().all(|node| *node == 1 || world.quorum(*node).voters_alive == 2));
        assert_sound(&world);
    }
}

#[test]
fn all_but_one_are_wiped_and_nobody_founds_beside_the_survivor() {
    for (seed, hidden) in [(1, false), (2, true), (3, false), (4, true)] {
        let (mut world, nodes) = founded(seed, 3, 3, Servers::Silent);
        world.run_for(5 * SECOND);
        world.crash(1);
        world.crash(2);
        world.wipe(1);
        world.wipe(2);
        if hidden {
            world.cut(&[0], &[1, 2]);
        }
        world.start_all(&nodes[1..]);
        world.run_for(60 * SECOND);
        assert!(
            all_told(&world, &nodes[1..], if hidden { "wait" } else { "join" }),
            "\n{}",
            world.describe()
        );
        world.mend();
        let joined = world.run_until(15 * SECOND, |world| all_told(world, &nodes[1..], "join"));
        assert!(joined.is_some(), "seed {seed}\n{}", world.describe());
        assert_eq!(world.word(0), "bootstrap");
        assert_sound(&world);
    }
}

fn lost_data(seed: u64) {
    let (mut world, nodes) = founded(seed, 3, 3, Servers::Attached);
    world.run_for(5 * SECOND);
    world.crash(1);
    world.lose_server_data(1);
    world.start(1);
    world.run_for(30 * SECOND);
    assert!(matches!(world.reasons(1), [Reason::ServerStateLost { .. }]), "\n{}", world.describe());
    assert!(all_told(&world, &[nodes[0], nodes[2]], "resume"));
    assert_sound(&world);
}

#[test]
fn a_server_that_lost_its_data_is_never_told_to_found_again() {
    lost_data(1);
}

fn all_leave(seed: u64) {
    let (mut world, nodes) = founded(seed, 3, 3, Servers::Attached);
    for node in &nodes {
        world.leave(*node);
        world.run_for(5 * SECOND);
    }
    assert!(nodes.iter().all(|node| !world.runs(*node)));
    world.start_all(&nodes);
    let up = world.run_until(5 * SECOND, |world| {
        all_told(world, &nodes, "resume")
            && nodes.iter().all(|node| world.quorum(*node).status == QuorumStatus::Quorate)
    });
    assert!(up.is_some(), "\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn all_leave_one_after_the_other_and_start_again() {
    all_leave(1);
}

fn other_addresses(seed: u64) {
    let (mut world, nodes) = founded(seed, 3, 3, Servers::Attached);
    world.run_for(5 * SECOND);
    let moved = world.add_servers(3, 3);
    for (from, to) in nodes.iter().zip(&moved) {
        world.crash(*from);
        world.clone_disk(*from, *to);
    }
    world.start_all(&moved);
    let up = world.run_until(5 * SECOND, |world| {
        moved.iter().all(|node| world.word(*node) == "resume" && world.quorum(*node).voters_alive == 3)
    });
    assert!(up.is_some(), "\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn all_restart_with_other_addresses() {
    other_addresses(1);
}

/// Three servers, and a copy of the third, which both say that there are two; the copy's host.
fn copied_record(seed: u64) -> (World, Node) {
    let (mut world, _) = founded(seed, 3, 3, Servers::Silent);
    let copy = world.add_server(Plan::expect(3), vec![World::addr_of(0)]);
    world.clone_disk(2, copy);
    world.run_for(SECOND);
    world.start(copy);
    let told = world.run_until(30 * SECOND, |world| all_told(world, &[2, copy], "conflict"));
    assert!(told.is_some(), "\n{}", world.describe());
    assert_eq!(world.word(0), "bootstrap", "the others go on");
    (world, copy)
}

#[test]
fn a_copied_state_directory_decides_nothing_more() {
    copied_record(1);
}

/// Whichever of two with one id goes, the other one goes on by itself: neither needs a restart.
#[test]
fn when_one_of_two_with_one_id_is_gone_the_other_goes_on() {
    for copy_goes in [true, false] {
        let (mut world, copy) = copied_record(2);
        let (gone, stays) = if copy_goes { (copy, 2) } else { (2, copy) };
        world.crash(gone);
        let back = world.run_until(30 * SECOND, |world| {
            world.word(stays) == "bootstrap"
                && [0, 1].iter().all(|node| world.quorum(*node).voters_alive == 3)
        });
        assert!(back.is_some(), "copy goes: {copy_goes}\n{}\n{:?}", world.describe(), world.quorum(0));
    }
}

fn crashes_at_every_write(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(3, 3);
    world.disk.crashes = 150;
    world.start_all(&nodes);
    for _ in 0..60 {
        world.run_for(Duration::from_millis(500));
        for node in &nodes {
            if !world.runs(*node) {
                world.start(*node);
            }
        }
    }
    world.disk.crashes = 0;
    let up = world.run_until(20 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
    assert!(up.is_some(), "seed {seed}\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn servers_that_crash_at_every_write_still_found_once() {
    for seed in 0..20 {
        crashes_at_every_write(seed);
    }
}

#[test]
fn an_agent_whose_record_cannot_be_written_gossips_on_and_votes_nothing() {
    let mut world = World::new(1);
    let nodes = world.add_servers(3, 3);
    world.start_all(&nodes[1..]);
    world.run_for(60 * SECOND);
    let before = world.epoch_on_disk(2);
    world.crash(2);
    // Its epoch is behind the one that the others know, so that it has to renew itself, and would write that.
    world.set_epoch_on_disk(2, Epoch(before.0 - 3_600_000));
    world.unix_ms -= 86_400_000;
    world.start(2);
    world.fail_disk(2);
    let kept = world.record(2).clone();
    world.start(0);
    world.run_for(30 * SECOND);
    assert!(world.gossip(2).me().epoch() > kept.epoch, "it did renew itself");
    assert_eq!(*world.record(2), kept);
    assert!(matches!(world.reasons(2), [Reason::Fault { .. }, ..]), "\n{}", world.describe());
    assert!(world.all_agree(&nodes) && all_told(&world, &nodes, "wait"), "\n{}", world.describe());
    // The two others and a fresh server are enough.
    world.crash(2);
    world.wipe(2);
    world.start(2);
    let up = world.run_until(20 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
    assert!(up.is_some(), "\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn a_server_that_crashed_often_and_is_gone_does_not_block_others() {
    let mut world = World::new(2);
    let nodes = world.add_servers(4, 3);
    world.start(0);
    for _ in 0..6 {
        world.start(1);
        world.run_for(2 * SECOND);
        world.crash(1);
        world.wipe(1);
        world.run_for(3 * SECOND);
    }
    world.start(2);
    world.start(3);
    let alive = [nodes[0], nodes[2], nodes[3]];
    let up = world.run_until(20 * SECOND, |world| all_told(world, &alive, "bootstrap"));
    assert!(up.is_some(), "{:?}\n{}", world.reasons(0), world.describe());
    assert_sound(&world);
}
