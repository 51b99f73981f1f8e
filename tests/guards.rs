//! The guards of the core against the weaknesses of the SWIM engine, each with the run that fails without the guard.
//!
//! 1. A refuted suspicion still ends in a verdict: `guards::a_refuted_suspicion_makes_nobody_renew`
//! 2. Alone, the engine falls idle for ever: `guards::all_who_are_alone_find_each_other_again`
//!    - healing::two_that_lost_each_other_find_each_other_again
//!    - convergence::a_node_that_starts_before_its_seed_joins_when_the_seed_comes
//! 3. A healed partition makes all renew themselves: `healing::a_partition_heals_within_three_seconds_and_disturbs_nobody`
//! 4. A restart with an older epoch, and two nodes with one id: `guards::a_restart_with_an_older_clock_joins_at_once`
//!    - guards::a_node_whose_disk_went_back_jumps_past_its_later_life
//!    - guards::a_copied_state_directory_is_reported_and_the_copy_stops
//! 5. A late packet brings back a member that has left: `guards::a_member_that_has_left_stays_away_whatever_it_hears`
//!    - convergence::a_goodbye_is_known_at_once_and_is_no_failure
//! 6. A paused process judges the others: `guards::a_pause_makes_nobody_healthy_fail`
//!    - detection::a_pause_accuses_nobody_else_and_a_short_one_is_no_failure
//!    - scenarios::parting::a_paused_agent_marks_its_quorum_stale_and_recovers
//!    - guards::a_suspicion_that_ran_out_during_a_pause_may_still_be_refuted
//!    - campaigns::lifeguard::members_that_stand_still_make_few_healthy_ones_fail
//! 7. Lost packets are taken for failures: `detection::lost_packets_are_no_failures`
//!    - detection::lost_packets_make_no_member_fail_or_renew_itself_in_clusters_of_any_size
//!    - detection::streams_show_that_members_are_alive_if_datagrams_are_blocked
//! 8. A rumour misses a member, or never ends: `guards::a_rumour_reaches_everyone`
//!    - guards::a_cluster_at_rest_sends_no_rumours
//!    - scale::a_hundred_join_and_lose_one
//!    - scale::a_thousand_members_in_forty_clusters_join_and_lose_one_each
//! 9. Metadata is too large, old or missed: `convergence::metadata_too_large_for_a_rumour_reaches_everyone`
//!    - guards::the_newest_rumour_wins_however_late_and_however_often_old_ones_come
//!    - guards::a_cluster_at_rest_sends_no_rumours
//! 10. Input is hostile: `hostile::a_hundred_thousand_datagrams_change_nothing`
//!    - hostile::streams_of_strangers_are_closed_and_cost_nothing
//!    - convergence::clusters_with_each_others_addresses_never_merge
//!    - guards::a_node_that_is_its_own_seed_is_no_member_to_itself
//!    - guards::the_timers_of_a_discarded_engine_are_never_delivered

use std::time::Duration;

use chronik_agent::{
    gossip::Event,
    membership::MemberStatus::{Alive, Failed, Left, Suspect},
    node::Epoch,
};

use crate::{
    convergence::cluster,
    share,
    sim::{Node, World, history::Change, network::Repeat},
};

const SECOND: Duration = Duration::from_secs(1);

/// Five members that lose packets for five minutes.
fn much_lost(seed: u64) -> (World, Vec<Node>) {
    let (mut world, nodes) = cluster(seed, 5);
    world.network.loss = 0.15;
    world.run_for(300 * SECOND);
    world.network.loss = 0.0;
    (world, nodes)
}

/// Without the guard a refuted suspicion makes the healthy node renew itself: at 20 % loss dozens of times an hour,
/// and clusters of three do not come to rest.
#[test]
fn a_refuted_suspicion_makes_nobody_renew() {
    let (mut suspicions, mut renewals) = (0, 0);
    for seed in 0..share::of(10) {
        let (mut world, nodes) = much_lost(seed);
        suspicions += world.history.changes.iter().filter(|change| change.status == Suspect).count();
        let failures = world.history.changes.iter().filter(|change| change.status == Failed).count();
        let renewed: u64 = nodes.iter().map(|node| world.gossip(*node).counters().renewals).sum();
        // A member that was called failed must renew itself; no other may.
        if failures == 0 {
            renewals += renewed;
        }
        let calm = world.run_until(15 * SECOND, |world| world.all_agree(&nodes));
        assert!(calm.is_some(), "seed {seed}: did not come to rest");
    }
    assert!(suspicions > 5, "the network was too kind to show anything: {suspicions} suspicions");
    assert_eq!(renewals, 0, "renewals without any failure, after {suspicions} suspicions");
}

/// Without the core's join loop the engine falls idle for ever once it is alone.
fn all_alone(seed: u64) {
    let (mut world, nodes) = cluster(seed, 5);
    for node in &nodes {
        let others: Vec<_> = nodes.iter().copied().filter(|other| other != node).collect();
        world.cut(&[*node], &others);
    }
    world.run_for(120 * SECOND);
    world.mend();
    assert!(world.run_until(15 * SECOND, |world| world.all_agree(&nodes)).is_some());
}

#[test]
fn all_who_are_alone_find_each_other_again() {
    all_alone(1);
}

/// With the engine's own number of transmissions (5 for twenty members) every eighth crash leaves a member with a ghost,
/// until its own probe finds out many periods later.
fn rumour(seed: u64) {
    let (mut world, nodes) = cluster(seed, 20);
    world.crash(19);
    let first = world.run_until(10 * SECOND, |world| {
        nodes[..19].iter().any(|node| world.status(*node, 19) == Some(Failed))
    });
    assert!(first.is_some(), "seed {seed}: no member noticed");
    let all = world.run_until(SECOND, |world| world.all_say(&nodes[..19], 19, Failed));
    assert!(all.is_some(), "seed {seed}: a member keeps a ghost");
}

#[test]
fn a_rumour_reaches_everyone() {
    for seed in 0..share::of(60) {
        rumour(seed);
    }
}

/// A restart with an older clock: the epoch on disk wins over the clock.
fn older_clock(seed: u64) {
    let (mut world, nodes) = cluster(seed, 3);
    world.crash(2);
    world.run_for(5 * SECOND);
    world.unix_ms -= 86_400_000;
    let before = world.traffic.datagrams;
    world.start(2);
    assert!(world.run_until(SECOND, |world| world.all_agree(&nodes)).is_some());
    assert!(world.traffic.datagrams - before < 80, "{} datagrams: a storm", world.traffic.datagrams - before);
}

#[test]
fn a_restart_with_an_older_clock_joins_at_once() {
    older_clock(2);
}

/// An old volume restored: the disk is behind the cluster by an hour. Without the jump the node renews itself at the
/// rate of the round trip, millions of times.
fn older_disk(seed: u64) {
    let (mut world, nodes) = cluster(seed, 3);
    let before = world.epoch_on_disk(2);
    world.run_for(3_600 * SECOND);
    world.crash(2);
    world.start(2);
    assert!(world.run_until(2 * SECOND, |world| world.all_agree(&nodes)).is_some());
    world.crash(2);
    world.set_epoch_on_disk(2, before);
    world.unix_ms -= 86_400_000;
    let sent = world.traffic.datagrams;
    world.start(2);
    assert!(world.run_until(2 * SECOND, |world| world.all_agree(&nodes)).is_some());
    assert!(world.traffic.datagrams - sent < 150, "{} datagrams: a storm", world.traffic.datagrams - sent);
    assert!(world.gossip(2).counters().renewals <= 3);
    assert!(world.epoch_on_disk(2) > Epoch(before.0 + 3_500_000), "the jump is on the disk");
}

#[test]
fn a_node_whose_disk_went_back_jumps_past_its_later_life() {
    older_disk(3);
}

/// Two processes with one node id: both report it, the later one stops, the cluster keeps the earlier one.
fn copied_disk(seed: u64) {
    let (mut world, nodes) = cluster(seed, 3);
    let copy = world.add_host("chronik", nodes.iter().map(|node| World::addr_of(*node)).collect());
    world.clone_disk(2, copy);
    world.run_for(SECOND);
    world.start(copy);
    let stopped = world.run_until(30 * SECOND, |world| world.gossip(copy).is_duplicate());
    assert!(stopped.is_some(), "the copy goes on");
    world.run_for(30 * SECOND);
    assert!(world.all_agree(&nodes), "the three are as they were");
    let told = |node| {
        world
            .history
            .events
            .iter()
            .any(|(at, event)| *at == node && matches!(event, Event::DuplicateId { .. }))
    };
    assert!(told(2) && told(copy), "both say so");
}

#[test]
fn a_copied_state_directory_is_reported_and_the_copy_stops() {
    copied_disk(4);
}

/// Five members, of which one has a tag of `length` bytes.
fn long_metadata(seed: u64, length: usize) -> World {
    let (mut world, _) = cluster(seed, 5);
    world.drive_gossip(0, |gossip, now| {
        let mut metadata = gossip.own_metadata().clone();
        metadata.tags.insert("long".parse().unwrap(), "v".repeat(length));
        gossip.set_metadata(metadata, now).unwrap();
    });
    world.run_for(60 * SECOND);
    world
}

/// A rumour that the engine accepts and can never send would stay in its queue for ever, and keep it sending.
#[test]
fn a_cluster_at_rest_sends_no_rumours() {
    for length in [500, 900, 1_000, 1_050, 1_100, 1_150, 2_000] {
        let mut world = long_metadata(5, length);
        let before = world.traffic.datagrams;
        world.run_for(60 * SECOND);
        // One probe and its answer each period: 5 nodes × 200 periods × 2, and nothing else.
        let sent = world.traffic.datagrams - before;
        assert!(sent <= 2_010, "{length} bytes of metadata: {sent} datagrams in a minute of rest");
    }
}

/// Sets the tag `v` of the first node to `version`, and gossips it.
fn set_version(world: &mut World, version: u32) {
    world.drive_gossip(0, |gossip, now| {
        let mut metadata = gossip.own_metadata().clone();
        metadata.tags.insert("v".parse().unwrap(), version.to_string());
        gossip.set_metadata(metadata, now).unwrap();
    });
}

/// The tag `v` of the first node as `node` has last read it.
fn version_at(world: &World, node: Node) -> u32 {
    let metadata = world.gossip(node).metadata(world.id(0));
    let tag = metadata.and_then(|metadata| metadata.tags.get(&"v".parse().unwrap()));
    tag.map_or(0, |tag| tag.parse().unwrap())
}

/// Every third datagram comes once more, up to ten seconds late: rumours that are old by then, in any order. One member
/// is cut off meanwhile, and brings old news of the first back to the others by itself.
fn old_rumours(seed: u64) {
    let (mut world, nodes) = cluster(seed, 6);
    world.network.repeat = Some(Repeat { share: 0.3, latest: 10 * SECOND });
    let from = world.history.changes.len();
    let mut read = vec![0; nodes.len()];
    let mut look = |world: &mut World, time: Duration| {
        let end = world.elapsed() + time;
        while world.elapsed() < end {
            world.run_for(Duration::from_millis(10));
            for (node, last) in nodes.iter().zip(&mut read) {
                let now = version_at(world, *node);
                assert!(now >= *last, "seed {seed}: n{node} went back from {last} to {now}");
                *last = now;
            }
        }
    };
    for version in 1..=40 {
        if version == 10 {
            world.cut(&nodes[5..], &nodes[..5]);
        }
        if version == 30 {
            world.mend();
        }
        set_version(&mut world, version);
        look(&mut world, SECOND / 4);
    }
    look(&mut world, 15 * SECOND);
    assert!(
        nodes.iter().all(|node| version_at(&world, *node) == 40),
        "seed {seed}: a member missed the last"
    );
    let own_side = |change: &&Change| {
        change.status == Failed
            && (change.observer == 5) == (change.subject == 5)
            && change.observer != change.subject
    };
    assert_eq!(world.history.changes[from..].iter().find(own_side), None, "seed {seed}: by an old rumour");
    world.network.repeat = None;
    world.run_for(20 * SECOND);
    let before = world.traffic.datagrams;
    world.run_for(60 * SECOND);
    // Probes and their answers alone, as for the cluster at rest.
    let sent = world.traffic.datagrams - before;
    assert!(sent <= 2_412, "seed {seed}: old rumours go round for ever, {sent} datagrams in a minute");
}

#[test]
fn the_newest_rumour_wins_however_late_and_however_often_old_ones_come() {
    for seed in 0..5 {
        old_rumours(seed);
    }
}

/// The node's seeds contain its own address, since providers list all nodes, and another address that leads to it.
fn own_seed(seed: u64) {
    let mut world = World::new(seed);
    let alias = ([192, 0, 2, 7], 7946).into();
    let alone = world.add_host("chronik", vec![World::addr_of(0), alias]);
    world.add_alias(alone, alias);
    world.start(alone);
    world.run_for(10 * SECOND);
    assert!(world.gossip(alone).is_own(World::addr_of(0)) && world.gossip(alone).is_own(alias));
    let exchanges = world.gossip(alone).counters().exchanges_out;
    world.run_for(600 * SECOND);
    assert_eq!(world.gossip(alone).counters().exchanges_out, exchanges, "it goes on dialling itself");
    assert_eq!(world.gossip(alone).membership().members.len(), 1, "itself, once");
    assert!(
        !world.gossip(alone).is_duplicate() && world.history.events.is_empty(),
        "{:?}",
        world.history.events
    );
    assert_eq!(world.traffic.datagrams, 0, "it probes itself");
    let addrs: Vec<_> = (0..3).map(World::addr_of).collect();
    let others = [world.add_host("chronik", addrs.clone()), world.add_host("chronik", addrs)];
    world.start_all(&others);
    assert!(world.run_until(5 * SECOND, |world| world.all_agree(&[0, 1, 2])).is_some());
    world.run_for(60 * SECOND);
    assert!(world.all_agree(&[0, 1, 2]), "it lasts");
    assert!((0..3).all(|node| world.gossip(node).counters().renewals == 0));
}

#[test]
fn a_node_that_is_its_own_seed_is_no_member_to_itself() {
    own_seed(1);
}

/// A node that gives way starts its engine afresh. Timers of the old engine would drive the new one a second time: twice
/// the probes, and stages of probes that it never began.
fn discarded_engines(seed: u64) {
    let (mut world, nodes) = cluster(seed, 5);
    for _ in 0..3 {
        world.cut(&nodes[..2], &nodes[2..]);
        world.run_for(30 * SECOND);
        world.mend();
        assert!(world.run_until(15 * SECOND, |world| world.all_agree(&nodes)).is_some(), "seed {seed}");
    }
    assert!(nodes.iter().any(|node| world.gossip(*node).counters().renewals >= 3), "nobody gave way");
    world.run_for(30 * SECOND);
    let refused =
        |world: &World| nodes.iter().map(|node| world.gossip(*node).counters().refused).sum::<u64>();
    let (sent, odd) = (world.traffic.datagrams, refused(&world));
    world.run_for(60 * SECOND);
    let sent = world.traffic.datagrams - sent;
    assert!(sent <= 2_010, "seed {seed}: {sent} datagrams in a minute of rest");
    assert_eq!(refused(&world), odd, "seed {seed}: the engine refused a timer");
}

#[test]
fn the_timers_of_a_discarded_engine_are_never_delivered() {
    for seed in 0..5 {
        discarded_engines(seed);
    }
}

/// A late packet about its own death makes the engine rejoin, if it gets to see it.
fn late_news_of_death(seed: u64) {
    let (mut world, nodes) = cluster(seed, 5);
    world.pause(4);
    // The others have called it failed, and packets that say so wait in its socket when it leaves.
    assert!(world.run_until(10 * SECOND, |world| world.all_say(&nodes[..4], 4, Failed)).is_some());
    let before = world.history.changes.len();
    world.drive_gossip(4, |gossip, now| gossip.leave(now));
    world.resume(4);
    world.run_for(30 * SECOND);
    let rejoined =
        world.history.changes[before..].iter().any(|change| change.subject == 4 && change.status == Alive);
    assert!(!rejoined, "{:?}", &world.history.changes[before..]);
    assert!(world.all_say(&nodes[..4], 4, Left));
}

#[test]
fn a_member_that_has_left_stays_away_whatever_it_hears() {
    late_news_of_death(6);
}

/// A process that was stopped and goes on must not call members failed because it did not hear them meanwhile.
fn pause(seed: u64, seconds: u32) {
    let (mut world, nodes) = cluster(seed, 5);
    // A little loss leaves the paused member with suspicions to come back to.
    world.network.loss = 0.05;
    world.run_for(5 * SECOND);
    let before = world.history.changes.len();
    world.pause(4);
    world.run_for(seconds * SECOND);
    world.resume(4);
    world.run_for(10 * SECOND);
    let accused: Vec<_> = world.history.changes[before..]
        .iter()
        .filter(|change| change.subject != 4 && change.status == Failed)
        .collect();
    assert!(accused.is_empty(), "{seconds} s, seed {seed}: {accused:?}");
    world.network.loss = 0.0;
    assert!(
        world.run_until(15 * SECOND, |world| world.all_agree(&nodes)).is_some(),
        "{seconds} s, seed {seed}"
    );
}

#[test]
fn a_pause_makes_nobody_healthy_fail() {
    for seconds in [1, 2, 5, 20, 60] {
        for seed in 0..share::of(10) {
            pause(seed, seconds);
        }
    }
}

/// A suspicion that ran out during the pause: the suspect could not be heard meanwhile, so it gets its time once more.
fn pause_under_suspicion(seed: u64) {
    let (mut world, nodes) = cluster(seed, 5);
    world.network.loss = 0.4;
    let suspects = |world: &World| nodes.iter().any(|node| world.status(4, *node) == Some(Suspect));
    assert!(world.run_until(60 * SECOND, suspects).is_some(), "seed {seed}: no member under suspicion");
    world.network.loss = 0.0;
    world.pause(4);
    for other in 0..4 {
        world.cut_one_way(other, 4);
    }
    world.run_for(2 * SECOND);
    world.mend();
    let before = world.history.changes.len();
    world.resume(4);
    world.run_for(10 * SECOND);
    let accused =
        world.history.changes[before..].iter().find(|change| change.subject != 4 && change.status == Failed);
    assert_eq!(accused, None, "seed {seed}");
}

#[test]
fn a_suspicion_that_ran_out_during_a_pause_may_still_be_refuted() {
    for seed in 0..share::of(30) {
        pause_under_suspicion(seed);
    }
}

/// A restart while the member is still suspected is only a change of name to the engine; readers must still see it.
fn quick_restart(seed: u64) {
    let (mut world, nodes) = cluster(seed, 3);
    let epoch = |world: &World| world.gossip(0).membership().members[&world.id(2)].epoch;
    let before = epoch(&world);
    world.crash(2);
    world.run_for(Duration::from_millis(100));
    world.start(2);
    let shown = world.run_until(SECOND, |world| epoch(world) > before && world.all_agree(&nodes));
    assert!(shown.is_some());
    assert!(!world.history.changes.iter().any(|change| change.status == Failed));
}

#[test]
fn a_quick_restart_shows_as_a_new_epoch() {
    quick_restart(7);
}

/// An address that a dead node had and a new one gets: the dead one is called failed, the new one is another member.
fn reused_address(seed: u64) {
    let (mut world, nodes) = cluster(seed, 3);
    let dead = world.id(2);
    world.crash(2);
    world.wipe(2);
    world.start(2);
    assert_ne!(world.id(2), dead);
    let settled = world.run_until(5 * SECOND, |world| {
        world.all_agree(&nodes) && world.gossip(0).membership().members[&dead].status == Failed
    });
    assert!(settled.is_some(), "the new one is alive, the dead one failed");
}

#[test]
fn a_new_node_on_a_dead_nodes_address_is_another_member() {
    reused_address(8);
}

#[test]
fn the_further_tests_of_each_pitfall_exist() {
    let list = include_str!("guards.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let further: Vec<_> = list.filter_map(|line| line.trim_start().strip_prefix("- ")).collect();
    assert_eq!(further.len(), 20);
    for name in further {
        let (file, test) = name.rsplit_once("::").unwrap();
        let path = format!("{}/tests/{}.rs", env!("CARGO_MANIFEST_DIR"), file.replace("::", "/"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("#[test]\nfn {test}() {{")), "{name} is no test");
    }
}
