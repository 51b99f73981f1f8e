//! Clusters that share a key, in the simulated world: they form, rotate their keys, and hear no node without the key.

use std::time::Duration;

use chronik_agent::{
    membership::MemberStatus::Failed,
    wire::{Key, KeyChange, Keyring},
};

use crate::sim::{Node, World};

const SECOND: Duration = Duration::from_secs(1);

fn key(number: u8) -> Key {
    Key::new([number; 32].into())
}

fn keyring(sends: u8, others: &[u8]) -> Keyring {
    let mut keyring = Keyring::single(key(sends));
    others.iter().for_each(|other| keyring.install(key(*other)).unwrap());
    keyring
}

fn cluster(seed: u64, count: usize) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    world.keyring = Some(keyring(1, &[]));
    let nodes = world.add_hosts(count, "chronik");
    world.start_all(&nodes);
    let formed = world.run_until(10 * SECOND, |world| world.all_agree(&nodes));
    assert!(formed.is_some(), "{count} nodes, seed {seed}: did not form within 10 s");
    (world, nodes)
}

#[test]
fn clusters_with_a_key_form_as_others_do_whatever_is_lost() {
    for (count, seeds) in [(2, 5), (3, 5), (10, 3), (30, 1)] {
        for (loss, limit) in [(0.0, 3), (0.1, 10), (0.3, 30)] {
            for seed in 0..seeds {
                let mut world = World::new(seed);
                (world.network.loss, world.keyring) = (loss, Some(keyring(1, &[])));
                let nodes = world.add_hosts(count, "chronik");
                world.start_all(&nodes);
                let formed = world.run_until(limit * SECOND, |world| {
                    if loss > 0.0 { world.all_know_each_other(&nodes) } else { world.all_agree(&nodes) }
                });
                assert!(formed.is_some(), "{count} nodes, {loss} lost, seed {seed}: not within {limit} s");
            }
        }
    }
}

#[test]
fn nobody_in_a_healthy_cluster_is_suspected_for_want_of_a_proof() {
    let (mut world, nodes) = cluster(7, 20);
    world.run_for(60 * SECOND);
    assert!(world.all_agree(&nodes));
    assert!(
        !world.history.changes.iter().any(|change| change.status == Failed),
        "a member was called failed"
    );
}

fn crash_and_restart(seed: u64) {
    let (mut world, nodes) = cluster(seed, 5);
    world.crash(4);
    let failed = |world: &World| nodes[..4].iter().all(|node| world.status(*node, 4) == Some(Failed));
    assert!(world.run_until(20 * SECOND, failed).is_some(), "the crash is not noticed");
    world.start(4);
    assert!(world.run_until(10 * SECOND, |world| world.all_agree(&nodes)).is_some(), "it is not back");
}

#[test]
fn a_member_that_crashes_is_called_failed_and_one_that_restarts_is_back() {
    crash_and_restart(3);
}

fn parted(seed: u64) {
    let (mut world, nodes) = cluster(seed, 6);
    world.cut(&nodes[..3], &nodes[3..]);
    world.run_for(60 * SECOND);
    assert_eq!(world.status(0, 5), Some(Failed));
    world.mend();
    assert!(world.run_until(30 * SECOND, |world| world.all_agree(&nodes)).is_some(), "they do not heal");
}

#[test]
fn halves_that_were_parted_heal() {
    parted(4);
}

fn stranger(seed: u64, theirs: Option<u8>) {
    let theirs = theirs.map(|key| keyring(key, &[]));
    let (mut world, nodes) = cluster(seed, 3);
    world.keyring = theirs.clone();
    let stranger = world.add_host("chronik", vec![World::addr_of(0)]);
    world.start(stranger);
    world.run_for(60 * SECOND);
    assert!(world.all_agree(&nodes), "they see more than themselves");
    assert!(nodes.iter().all(|node| world.status(*node, stranger).is_none()));
    assert_eq!(world.gossip(stranger).membership().members.len(), 1);
    let seen = world.gossip(0).stranger().expect("it has knocked").why.to_string();
    match theirs {
        Some(keys) => assert!(seen.contains(&keys.sending().id().to_string()), "{seen}"),
        None => assert!(seen.starts_with("it is not encrypted"), "{seen}"),
    }
}

#[test]
fn a_node_with_another_key_or_none_stays_outside_and_both_sides_see_why() {
    for theirs in [Some(2), None] {
        stranger(5, theirs);
    }
}

/// A member is down while the others change to a new key. It is let in all the same as long as the others hold its key,
/// and is not given the new one. Once they remove the old key, both sides say why they do not hear each other.
fn away_during_rotation(seed: u64) {
    let (mut world, nodes) = cluster(seed, 8);
    world.crash(7);
    for step in [keyring(1, &[2]), keyring(2, &[1])] {
        for node in 0..7 {
            world.set_keyring(node, &step);
            // Members rotate one after the other, not in one moment.
            world.run_for(SECOND);
        }
    }
    world.run_for(100 * SECOND);
    assert!(world.all_agree(&nodes[..7]), "the rotation parts those who are there");
    world.keyring = Some(keyring(1, &[]));
    world.start(7);
    let back = world.run_until(10 * SECOND, |world| world.all_agree(&nodes));
    assert!(back.is_some(), "seed {seed}: it is stranded");
    let changes = world.history.changes.len();
    world.run_for(60 * SECOND);
    assert!(world.all_agree(&nodes), "seed {seed}");
    assert!(
        !world.history.changes[changes..].iter().any(|change| change.status == Failed),
        "seed {seed}: it is not heard"
    );
    let keys = world.gossip(7).keyring().unwrap().ids().count();
    assert_eq!(keys, 1, "a member with the old key has learnt the new one");
    for node in 0..7 {
        world.set_keyring(node, &keyring(2, &[]));
    }
    assert!(world.run_until(30 * SECOND, |world| world.status(0, 7) == Some(Failed)).is_some());
    let why = |node, key: u8| {
        let why = world.gossip(node).stranger().expect("it has knocked").why.to_string();
        assert!(
            why.starts_with(&format!("wrong key: it is encrypted under key {}", self::key(key).id())),
            "{why}"
        );
    };
    why(0, 1);
    why(7, 2);
    world.set_keyring(7, &keyring(2, &[]));
    assert!(
        world.run_until(60 * SECOND, |world| world.all_agree(&nodes)).is_some(),
        "seed {seed}: it does not return"
    );
}

#[test]
fn a_member_that_is_away_during_a_rotation_is_not_stranded() {
    for seed in 0..2 {
        away_during_rotation(seed);
    }
}

fn replay(seed: u64, restarted: bool) {
    let (mut world, nodes) = cluster(seed, 4);
    world.traffic.tape = Some(Vec::new());
    world.run_for(20 * SECOND);
    // The tape contains its own goodbye and its end, too.
    world.leave(3);
    world.run_for(40 * SECOND);
    let tape = world.traffic.tape.take().unwrap();
    assert!(tape.len() > 100, "{} packets", tape.len());
    if restarted {
        world.crash(0);
        world.start(0);
        world.crash(1);
        world.start(1);
        assert!(world.run_until(20 * SECOND, |world| world.all_agree(&nodes[..3])).is_some());
    }
    let before: Vec<_> = (0..3).map(|node| world.gossip(node).membership().index).collect();
    assert_eq!(world.play(&tape), 0, "old requests were answered");
    let after: Vec<_> = (0..3).map(|node| world.gossip(node).membership().index).collect();
    assert_eq!(before, after, "restarted: {restarted}");
    let replayed: u64 = (0..3).map(|node| world.gossip(node).counters().replayed).sum();
    assert!(replayed > 100, "only {replayed} were recognised");
}

#[test]
fn datagrams_sent_again_change_nothing() {
    for restarted in [false, true] {
        replay(8, restarted);
    }
}

/// A change of keys over a network that loses a tenth, with a member that is down at first and is asked when it is back.
fn change_of_keys(seed: u64) {
    let (mut world, nodes) = cluster(seed, 10);
    world.network.loss = 0.1;
    world.crash(9);
    let settle = |world: &mut World, change: Option<&KeyChange>| {
        for _ in 0..20 {
            let answers = world.ask_keys(0, change.cloned());
            if answers.iter().all(|answer| {
                answer
                    .state
                    .as_ref()
                    .is_ok_and(|state| change.is_none_or(|change| change.is_done(&state.keys)))
            }) {
                return;
            }
        }
        panic!("{change:?} is not done");
    };
    let (new, old) = (key(2), key(1).id());
    world.run_for(30 * SECOND);
    let answers = world.ask_keys(0, Some(KeyChange::Install(new.clone())));
    let missing: Vec<_> = answers.iter().filter(|answer| answer.state.is_err()).collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    world.keyring = Some(keyring(1, &[]));
    world.start(9);
    assert!(world.run_until(20 * SECOND, |world| world.all_know_each_other(&nodes)).is_some());
    for change in [KeyChange::Install(new.clone()), KeyChange::Use(new.id()), KeyChange::Remove(old)] {
        settle(&mut world, Some(&change));
    }
    world.network.loss = 0.0;
    assert!(world.run_until(30 * SECOND, |world| world.all_agree(&nodes)).is_some());
    for node in nodes {
        assert_eq!(world.gossip(node).key_state().unwrap().keys, [new.id()]);
    }
}

#[test]
fn the_keys_change_over_the_cluster() {
    change_of_keys(9);
}
