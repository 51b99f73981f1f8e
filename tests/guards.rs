//! Each weakness of the SWIM engine that the core stands guard over, with the run that goes wrong without the guard.

use std::time::Duration;

use chronik_agent::{
    gossip::Event,
    membership::MemberStatus::{Alive, Failed, Left, Suspect},
    node::Epoch,
};

use crate::{convergence::cluster, sim::World};

const SECOND: Duration = Duration::from_secs(1);

/// Without the guard a refuted suspicion makes the healthy node renew itself: at 20 % loss dozens of times an hour,
/// and clusters of three do not come to rest.
#[test]
fn a_refuted_suspicion_makes_nobody_renew() {
    let (mut suspicions, mut renewals) = (0, 0);
    for seed in 0..10 {
        let (mut world, nodes) = cluster(seed, 5);
        world.loss = 0.15;
        world.run_for(300 * SECOND);
        world.loss = 0.0;
        suspicions += world.changes.iter().filter(|change| change.3 == Suspect).count();
        let failures = world.changes.iter().filter(|change| change.3 == Failed).count();
        let renewed: u64 = nodes.iter().map(|node| world.gossip(*node).counters().renewals).sum();
        // Whoever really was declared failed must renew; nobody else.
        if failures == 0 {
            renewals += renewed;
        }
        let calm = world.run_until(15 * SECOND, |world| world.agree(&nodes));
        assert!(calm.is_some(), "seed {seed}: did not come to rest");
    }
    assert!(suspicions > 20, "the network was too kind to show anything: {suspicions} suspicions");
    assert_eq!(renewals, 0, "renewals without any failure, after {suspicions} suspicions");
}

/// Without the own join loop the engine falls idle for ever once it is alone.
#[test]
fn all_who_are_alone_find_each_other_again() {
    let (mut world, nodes) = cluster(1, 5);
    for node in &nodes {
        let others: Vec<_> = nodes.iter().copied().filter(|other| other != node).collect();
        world.cut(&[*node], &others);
    }
    world.run_for(120 * SECOND);
    world.mend();
    assert!(world.run_until(15 * SECOND, |world| world.agree(&nodes)).is_some());
}

/// With the engine's own number of transmissions (5 for twenty members) every eighth crash leaves somebody with a
/// ghost, until his own probe finds it many periods later.
#[test]
fn a_rumour_reaches_everyone() {
    for seed in 0..60 {
        let (mut world, nodes) = cluster(seed, 20);
        world.crash(19);
        let somebody = world.run_until(10 * SECOND, |world| {
            nodes[..19].iter().any(|node| world.status(*node, 19) == Some(Failed))
        });
        assert!(somebody.is_some(), "seed {seed}: nobody noticed");
        let everybody = world.run_until(SECOND, |world| world.all_say(&nodes[..19], 19, Failed));
        assert!(everybody.is_some(), "seed {seed}: somebody keeps a ghost");
    }
}

/// A restart with an older clock: the epoch on disk wins over the clock.
#[test]
fn a_restart_with_an_older_clock_joins_at_once() {
    let (mut world, nodes) = cluster(2, 3);
    world.crash(2);
    world.run_for(5 * SECOND);
    world.unix_ms -= 86_400_000;
    let before = world.datagrams;
    world.start(2);
    assert!(world.run_until(SECOND, |world| world.agree(&nodes)).is_some());
    assert!(world.datagrams - before < 80, "{} datagrams: a storm", world.datagrams - before);
}

/// An old volume restored: the disk is behind the cluster by an hour. Without the jump the node renews itself at the
/// rate of the round trip, millions of times.
#[test]
fn a_node_whose_disk_went_back_jumps_past_its_later_life() {
    let (mut world, nodes) = cluster(3, 3);
    let before = world.epoch_on_disk(2);
    world.run_for(3_600 * SECOND);
    world.crash(2);
    world.start(2);
    assert!(world.run_until(2 * SECOND, |world| world.agree(&nodes)).is_some());
    world.crash(2);
    world.set_epoch_on_disk(2, before);
    world.unix_ms -= 86_400_000;
    let sent = world.datagrams;
    world.start(2);
    assert!(world.run_until(2 * SECOND, |world| world.agree(&nodes)).is_some());
    assert!(world.datagrams - sent < 150, "{} datagrams: a storm", world.datagrams - sent);
    assert!(world.gossip(2).counters().renewals <= 3);
    assert!(world.epoch_on_disk(2) > Epoch(before.0 + 3_500_000), "the jump is on the disk");
}

/// Two processes with one node id: both report it, the later one stops, the cluster keeps the earlier one.
#[test]
fn a_copied_state_directory_is_reported_and_the_copy_stops() {
    let (mut world, nodes) = cluster(4, 3);
    let copy = world.host("chronik", nodes.iter().map(|node| World::addr_of(*node)).collect());
    world.clone_disk(2, copy);
    world.run_for(SECOND);
    world.start(copy);
    let stopped = world.run_until(30 * SECOND, |world| world.gossip(copy).is_duplicate());
    assert!(stopped.is_some(), "the copy goes on");
    world.run_for(30 * SECOND);
    assert!(world.agree(&nodes), "the three are as they were");
    let told = |node| {
        world.events.iter().any(|(at, event)| *at == node && matches!(event, Event::DuplicateId { .. }))
    };
    assert!(told(2) && told(copy), "both say so");
}

/// What the engine accepts as a rumour but can never send would stay in its queue for ever, and keep it sending.
#[test]
fn a_cluster_at_rest_sends_no_rumours() {
    for length in [500, 900, 1_000, 1_050, 1_100, 1_150, 2_000] {
        let (mut world, _) = cluster(5, 5);
        world.with(0, |gossip, now| {
            let mut metadata = gossip.own_metadata().clone();
            metadata.tags.insert("long".parse().unwrap(), "v".repeat(length));
            gossip.set_metadata(metadata, now).unwrap();
        });
        world.run_for(60 * SECOND);
        let before = world.datagrams;
        world.run_for(60 * SECOND);
        // One probe and its answer each period: 5 nodes × 200 periods × 2, and nothing else.
        let sent = world.datagrams - before;
        assert!(sent <= 2_010, "{length} bytes of metadata: {sent} datagrams in a minute of rest");
    }
}

/// A late packet about its own death makes the engine rejoin, if it gets to see it.
#[test]
fn whoever_has_left_stays_away_whatever_he_hears() {
    let (mut world, nodes) = cluster(6, 5);
    world.pause(4);
    // The others think it failed, and it has that in its socket when it leaves.
    assert!(world.run_until(10 * SECOND, |world| world.all_say(&nodes[..4], 4, Failed)).is_some());
    let before = world.changes.len();
    world.with(4, |gossip, now| gossip.leave(now));
    world.resume(4);
    world.run_for(30 * SECOND);
    let rejoined = world.changes[before..].iter().any(|change| change.2 == 4 && change.3 == Alive);
    assert!(!rejoined, "{:?}", &world.changes[before..]);
    assert!(world.all_say(&nodes[..4], 4, Left));
}

/// A process that was stopped must not, when it goes on, call failed whom it did not hear meanwhile.
#[test]
fn a_pause_makes_nobody_healthy_fail() {
    for seconds in [1, 2, 5, 20, 60] {
        for seed in 0..10 {
            let (mut world, nodes) = cluster(seed, 5);
            // A little loss gives the paused one suspicions to come back to.
            world.loss = 0.05;
            world.run_for(5 * SECOND);
            let before = world.changes.len();
            world.pause(4);
            world.run_for(seconds * SECOND);
            world.resume(4);
            world.run_for(10 * SECOND);
            let accused: Vec<_> =
                world.changes[before..].iter().filter(|change| change.2 != 4 && change.3 == Failed).collect();
            assert!(accused.is_empty(), "{seconds} s, seed {seed}: {accused:?}");
            world.loss = 0.0;
            assert!(
                world.run_until(15 * SECOND, |world| world.agree(&nodes)).is_some(),
                "{seconds} s, seed {seed}"
            );
        }
    }
}

/// A suspicion that ran out during the pause: its victim could not be heard meanwhile, so it gets its time once more.
#[test]
fn a_suspicion_that_ran_out_during_a_pause_may_still_be_refuted() {
    for seed in 0..30 {
        let (mut world, nodes) = cluster(seed, 5);
        world.loss = 0.4;
        let suspects = |world: &World| nodes.iter().any(|node| world.status(4, *node) == Some(Suspect));
        assert!(world.run_until(60 * SECOND, suspects).is_some(), "seed {seed}: nobody under suspicion");
        world.loss = 0.0;
        world.pause(4);
        for other in 0..4 {
            world.cut_one_way(other, 4);
        }
        world.run_for(2 * SECOND);
        world.mend();
        let before = world.changes.len();
        world.resume(4);
        world.run_for(10 * SECOND);
        let accused = world.changes[before..].iter().find(|change| change.2 != 4 && change.3 == Failed);
        assert_eq!(accused, None, "seed {seed}");
    }
}

/// A restart within the suspicion is only a change of name to the engine; readers must still see it.
#[test]
fn a_quick_restart_shows_as_a_new_epoch() {
    let (mut world, nodes) = cluster(7, 3);
    let epoch = |world: &World| world.gossip(0).membership().members[&world.id(2)].epoch;
    let before = epoch(&world);
    world.crash(2);
    world.run_for(Duration::from_millis(100));
    world.start(2);
    let shown = world.run_until(SECOND, |world| epoch(world) > before && world.agree(&nodes));
    assert!(shown.is_some());
    assert!(!world.changes.iter().any(|change| change.3 == Failed));
}

/// An address that a dead node had and a new one got: the dead one dies normally, the new one is somebody else.
#[test]
fn a_new_node_on_a_dead_nodes_address_is_another_member() {
    let (mut world, nodes) = cluster(8, 3);
    let dead = world.id(2);
    world.crash(2);
    world.wipe(2);
    world.start(2);
    assert_ne!(world.id(2), dead);
    let settled = world.run_until(5 * SECOND, |world| {
        world.agree(&nodes) && world.gossip(0).membership().members[&dead].status == Failed
    });
    assert!(settled.is_some(), "the new one is alive, the dead one failed");
}
