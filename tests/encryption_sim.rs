//! Clusters that share a key, in the simulated world: they form, rotate their keys, and hear nobody else.

use std::time::Duration;

use chronik_agent::{
    membership::MemberStatus::{Alive, Failed},
    wire::{Key, Keyring},
};

use crate::sim::{Node, World};

const SECOND: Duration = Duration::from_secs(1);

fn key(number: u8) -> Key {
    Key::new([number; 32].into())
}

fn keyring(sends: u8, others: &[u8]) -> Keyring {
    let mut keyring = Keyring::of(key(sends));
    others.iter().for_each(|other| keyring.install(key(*other)).unwrap());
    keyring
}

fn cluster(seed: u64, count: usize) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    world.keyring = Some(keyring(1, &[]));
    let nodes = world.hosts(count, "chronik");
    world.start_all(&nodes);
    let formed = world.run_until(10 * SECOND, |world| world.agree(&nodes));
    assert!(formed.is_some(), "{count} nodes, seed {seed}: did not form within 10 s");
    (world, nodes)
}

#[test]
fn clusters_with_a_key_form_as_others_do_whatever_is_lost() {
    for count in [2, 3, 10, 50] {
        for (loss, limit) in [(0.0, 3), (0.1, 10), (0.3, 30)] {
            for seed in 0..5 {
                let mut world = World::new(seed);
                (world.loss, world.keyring) = (loss, Some(keyring(1, &[])));
                let nodes = world.hosts(count, "chronik");
                world.start_all(&nodes);
                let formed = world.run_until(limit * SECOND, |world| {
                    if loss > 0.0 { world.know_each_other(&nodes) } else { world.agree(&nodes) }
                });
                assert!(formed.is_some(), "{count} nodes, {loss} lost, seed {seed}: not within {limit} s");
            }
        }
    }
}

#[test]
fn nobody_in_a_healthy_cluster_is_suspected_for_want_of_a_proof() {
    let (mut world, nodes) = cluster(7, 30);
    world.run_for(120 * SECOND);
    assert!(world.agree(&nodes));
    assert!(!world.changes.iter().any(|change| change.3 == Failed), "somebody was called failed");
}

#[test]
fn a_member_that_crashes_is_called_failed_and_one_that_restarts_is_back() {
    let (mut world, nodes) = cluster(3, 5);
    world.crash(4);
    let failed = |world: &World| nodes[..4].iter().all(|node| world.status(*node, 4) == Some(Failed));
    assert!(world.run_until(20 * SECOND, failed).is_some(), "the crash is not noticed");
    world.start(4);
    assert!(world.run_until(10 * SECOND, |world| world.agree(&nodes)).is_some(), "it is not back");
}

#[test]
fn halves_that_were_parted_heal() {
    let (mut world, nodes) = cluster(4, 6);
    world.cut(&nodes[..3], &nodes[3..]);
    world.run_for(60 * SECOND);
    assert_eq!(world.status(0, 5), Some(Failed));
    world.mend();
    assert!(world.run_until(30 * SECOND, |world| world.agree(&nodes)).is_some(), "they do not heal");
}

#[test]
fn whoever_has_another_key_or_none_stays_outside_and_both_sides_see_why() {
    for theirs in [Some(keyring(2, &[])), None] {
        let (mut world, nodes) = cluster(5, 3);
        world.keyring = theirs.clone();
        let stranger = world.host("chronik", vec![World::addr_of(0)]);
        world.start(stranger);
        world.run_for(60 * SECOND);
        assert!(world.agree(&nodes), "they see more than themselves");
        assert!(nodes.iter().all(|node| world.status(*node, stranger).is_none()));
        assert_eq!(world.gossip(stranger).membership().members.len(), 1);
        let seen = world.gossip(0).stranger().expect("it has knocked").why.to_string();
        match theirs {
            Some(keys) => assert!(seen.contains(&keys.sending().id().to_string()), "{seen}"),
            None => assert!(seen.starts_with("it is not encrypted"), "{seen}"),
        }
    }
}

/// The old key goes while a member is down. It is back a day later with the old keyring, and is let in, for the others
/// still understand it; and once they do not, it learns that its key is the wrong one.
#[test]
fn a_member_that_is_away_during_a_rotation_is_not_stranded() {
    let (mut world, nodes) = cluster(6, 4);
    world.crash(3);
    for step in [keyring(1, &[2]), keyring(2, &[1])] {
        for node in 0..3 {
            world.set_keyring(node, &step);
            // Members rotate one after the other, not in one moment.
            world.run_for(5 * SECOND);
        }
    }
    assert!(world.agree(&nodes[..3]), "the rotation parts those who are there");
    world.run_for(24 * 3600 * SECOND);
    world.keyring = Some(keyring(1, &[]));
    world.start(3);
    world.run_for(5 * SECOND);
    assert_ne!(world.status(0, 3), Some(Alive), "it understands nobody yet");
    let why = world.gossip(3).stranger().expect("it was answered").why.to_string();
    assert!(why.starts_with(&format!("wrong key: it is encrypted under key {}", key(2).id())), "{why}");
    world.set_keyring(3, &keyring(1, &[2]));
    assert!(world.run_until(60 * SECOND, |world| world.agree(&nodes)).is_some(), "it is stranded");
}

#[test]
fn datagrams_sent_again_change_nothing() {
    for restarted in [false, true] {
        let (mut world, nodes) = cluster(8, 4);
        world.tape = Some(Vec::new());
        world.run_for(20 * SECOND);
        // Its own goodbye and its death are on the tape, too.
        world.leave(3);
        world.run_for(40 * SECOND);
        let tape = world.tape.take().unwrap();
        assert!(tape.len() > 100, "{} packets", tape.len());
        if restarted {
            world.crash(0);
            world.start(0);
            world.crash(1);
            world.start(1);
            assert!(world.run_until(20 * SECOND, |world| world.agree(&nodes[..3])).is_some());
        }
        let before: Vec<_> = (0..3).map(|node| world.gossip(node).membership().index).collect();
        assert_eq!(world.play(&tape), 0, "old requests were answered");
        let after: Vec<_> = (0..3).map(|node| world.gossip(node).membership().index).collect();
        assert_eq!(before, after, "restarted: {restarted}");
        let replayed: u64 = (0..3).map(|node| world.gossip(node).counters().replayed).sum();
        assert!(replayed > 100, "only {replayed} were recognised");
    }
}
