//! Foundings: servers that start in any order, too many or too few servers, seeds that never answer.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use chronik_agent::{
    bootstrap::{BallotTiming, Listing, Reason, SeedGate},
    gossip::Timing,
};

use super::{SECOND, Servers, all_told, assert_sound, founded, group};
use crate::sim::{Node, World, servers::Plan};

/// Addresses at which no host is.
fn dead_addrs(count: u8) -> Vec<SocketAddr> {
    (1..=count).map(|last| ([192, 0, 2, last], 7946).into()).collect()
}

#[test]
fn three_servers_start_in_any_order() {
    for seed in 0..6 {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut world = World::new(seed);
            let nodes = world.add_servers(3, 3);
            for (node, pause) in order.into_iter().zip([5, 17 * (seed + 1), 0]) {
                world.start(node);
                world.run_for(Duration::from_secs(pause));
            }
            let took = world.run_until(3 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
            assert!(took.is_some(), "seed {seed}, {order:?}: not within 3 s\n{}", world.describe());
            let first = group(&world, 0);
            assert_eq!(first.founders.len(), 3);
            assert!(first.founders.is_sorted_by_key(|founder| founder.id));
            for node in [1, 2] {
                let group = group(&world, node);
                assert_eq!((group.cluster_id, &group.founders), (first.cluster_id, &first.founders));
            }
            let ordinals: BTreeSet<_> = nodes.iter().map(|node| group(&world, *node).me.ordinal).collect();
            assert_eq!(ordinals, [Some(1), Some(2), Some(3)].into());
            assert_sound(&world);
        }
    }
}

#[test]
fn a_fourth_server_with_one_address_joins() {
    for (seed, member) in [(1, 0), (2, 1), (3, 2)] {
        let (mut world, nodes) = founded(seed, 3, 3, Servers::Attached);
        world.run_for(5 * SECOND);
        let before: Vec<_> = nodes.iter().map(|node| group(&world, *node).clone()).collect();
        let fourth = world.add_server(Plan::expect(3), vec![World::addr_of(member)]);
        world.start(fourth);
        let joined = world.run_until(SECOND, |world| {
            world.word(fourth) == "join" && world.all_know_each_other(&[0, 1, 2, fourth])
        });
        assert!(joined.is_some(), "seed {seed}: not within a second\n{}", world.describe());
        let voters: BTreeSet<_> = group(&world, fourth).voters.iter().map(|voter| voter.id).collect();
        assert_eq!(voters, nodes.iter().map(|node| Some(world.id(*node))).collect());
        world.run_for(10 * SECOND);
        let after: Vec<_> = nodes.iter().map(|node| group(&world, *node).clone()).collect();
        assert_eq!(before, after, "nobody else is told anything new");
        assert_sound(&world);
    }
}

fn more_than_expected(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(5, 3);
    world.start_all(&nodes);
    let told = |world: &World, word| nodes.iter().filter(|node| world.word(**node) == word).count();
    let decided =
        world.run_until(5 * SECOND, |world| (told(world, "bootstrap"), told(world, "join")) == (3, 2));
    assert!(decided.is_some(), "seed {seed}\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn more_servers_than_expected_start_at_once() {
    for seed in 0..10 {
        more_than_expected(seed);
    }
}

fn too_many(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(6, 3);
    world.start_all(&nodes);
    world.run_for(30 * SECOND);
    for node in &nodes {
        let too_many = |reason: &Reason| matches!(reason, Reason::TooManyServers { known: 6, most: 5, .. });
        assert!(world.reasons(*node).iter().any(too_many), "seed {seed}\n{}", world.describe());
    }
    assert_sound(&world);
    assert!(world.judge.clusters.is_empty());
}

#[test]
fn twice_as_many_servers_as_expected_are_too_many() {
    for seed in 0..5 {
        too_many(seed);
    }
}

fn different_expects(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(3, 3);
    world.change_plan(2, |plan| *plan = Plan::expect(2));
    world.start_all(&nodes);
    world.run_for(20 * SECOND);
    let differs = |node: Node| {
        let mismatch = |reason: &Reason| {
            let Reason::ExpectMismatch { others, .. } = reason else { return None };
            Some(others.0.iter().map(ToString::to_string).collect())
        };
        world.reasons(node).iter().find_map(mismatch)
    };
    let named = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
    for (node, others) in [
        (0, named(&["n2 expects 2"])),
        (1, named(&["n2 expects 2"])),
        (2, named(&["n0 expects 3", "n1 expects 3"])),
    ] {
        assert_eq!(differs(node), others, "\n{}", world.describe());
    }
    world.crash(2);
    world.change_plan(2, |plan| *plan = Plan::expect(3));
    world.start(2);
    let decided = world.run_until(5 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
    assert!(decided.is_some(), "\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn different_expects_wait_and_say_who_differs() {
    different_expects(1);
}

#[test]
fn seeds_of_both_address_families_do_not_block() {
    let mut world = World::new(1);
    let mut seeds: Vec<SocketAddr> = (0..3).map(World::addr_of).collect();
    seeds.extend(
        ["[2001:db8::1]:7946", "[2001:db8::2]:7946", "[2001:db8::3]:7946"]
            .map(|v6| v6.parse::<SocketAddr>().unwrap()),
    );
    let nodes: Vec<Node> = (0..3).map(|_| world.add_server(Plan::expect(3), seeds.clone())).collect();
    world.start_all(&nodes);
    let decided = world.run_until(3 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
    assert!(decided.is_some(), "\n{}", world.describe());
}

fn silent_seed(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(3, 3);
    let mut seeds: Vec<_> = (0..3).map(World::addr_of).collect();
    seeds.extend(dead_addrs(1));
    nodes.iter().for_each(|node| world.set_seeds(*node, seeds.clone()));
    world.start_all(&nodes);
    world.run_for(9 * SECOND);
    let is_unheard = |reason: &Reason| matches!(reason, Reason::UnheardSeeds { addrs: Listing(addrs) } if addrs.iter().map(|silent| silent.addr).eq(dead_addrs(1)));
    let all_wait = nodes.iter().all(|node| matches!(world.reasons(*node), [reason] if is_unheard(reason)));
    assert!(all_wait, "\n{}", world.describe());
    let decided = world.run_until(5 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
    assert!(decided.is_some(), "\n{}", world.describe());
    assert_sound(&world);
}

#[test]
fn a_listed_seed_that_never_answers_delays_by_the_patience_and_no_more() {
    silent_seed(1);
}

#[test]
fn a_strict_seed_gate_waits_for_every_listed_seed() {
    let mut world = World::new(1);
    let nodes = world.add_servers(3, 3);
    let all: Vec<_> = (0..3).map(World::addr_of).collect();
    for node in &nodes {
        world.change_plan(*node, |plan| plan.seed_gate = SeedGate::Strict);
        world.set_seeds(*node, [all.clone(), dead_addrs(1)].concat());
    }
    world.start_all(&nodes);
    world.run_for(120 * SECOND);
    assert!(nodes.iter().all(|node| world.codes(*node) == ["unheard_seeds"]), "\n{}", world.describe());
    nodes.iter().for_each(|node| world.set_seeds(*node, all.clone()));
    let decided = world.run_until(5 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
    assert!(decided.is_some(), "\n{}", world.describe());
}

fn crash_loop(seed: u64) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(3, 3);
    world.start(0);
    for _ in 0..10 {
        world.start(2);
        world.run_for(2 * SECOND);
        world.crash(2);
        world.wipe(2);
        world.run_for(3 * SECOND);
    }
    world.start(1);
    world.start(2);
    let decided = world.run_until(10 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
    assert!(decided.is_some(), "{:?}\n{}", world.reasons(0), world.describe());
    assert_sound(&world);
}

#[test]
fn a_crash_loop_with_fresh_ids_at_one_address_does_not_block_the_founding() {
    crash_loop(1);
}

fn forgotten_records(seed: u64) {
    let (mut world, nodes) = founded(seed, 3, 3, Servers::Attached);
    world.run_for(5 * SECOND);
    let cluster = group(&world, 0).cluster_id;
    // The agents' directories are lost, the servers' data is not.
    for node in &nodes {
        world.crash(*node);
        world.forget_record(*node);
    }
    world.start_all(&nodes);
    let decided = world.run_until(5 * SECOND, |world| all_told(world, &nodes, "resume"));
    assert!(decided.is_some(), "\n{}", world.describe());
    assert!(nodes.iter().all(|node| group(&world, *node).cluster_id == cluster));
}

#[test]
fn a_server_that_holds_data_of_a_cluster_brings_it_to_agents_that_know_none() {
    forgotten_records(1);
}

/// Founders are spread over zones. A cloud knows the zone of an instance, an operator may know better.
#[test]
fn the_zone_that_a_provider_tells_is_the_tag_unless_one_is_given() {
    let mut world = World::new(1);
    let nodes = world.add_servers(3, 3);
    nodes[1..].iter().for_each(|node| world.change_plan(*node, |plan| plan.zone = None));
    world.start_all(&nodes);
    let met = world.run_until(3 * SECOND, |world| world.all_know_each_other(&nodes));
    assert!(met.is_some(), "{}", world.describe());
    nodes[..2].iter().for_each(|node| world.tell_zone(*node, "b"));
    let zones = |world: &World| {
        let members = &world.machine(2).membership().members;
        let zone = |node: &Node| members.get(&world.id(*node))?.metadata.tags.values().next().cloned();
        nodes.iter().map(zone).collect::<Vec<_>>()
    };
    let told = world
        .run_until(3 * SECOND, |world| zones(world) == [Some("a".to_owned()), Some("b".to_owned()), None]);
    assert!(told.is_some(), "{:?}", zones(&world));
}

/// The ballots that three servers need whose links all have a round trip of `round_trip_ms`, over forty seeds.
fn ballots(round_trip_ms: f64, gossip: Timing, timing: BallotTiming) -> u64 {
    let corners = [[0.0, 0.0], [1.0, 0.0], [0.5, 0.75_f64.sqrt()]];
    let ballots = |seed| {
        let mut world = World::new(seed);
        world.timing = gossip;
        let nodes = world.add_servers(3, 3);
        world.network.places =
            nodes.iter().copied().zip(corners.map(|at| at.map(|x| x * round_trip_ms))).collect();
        nodes.iter().for_each(|node| world.change_plan(*node, |plan| plan.timing = timing));
        world.start_all(&nodes);
        let decided = world.run_until(30 * SECOND, |world| all_told(world, &nodes, "bootstrap"));
        assert!(decided.is_some(), "seed {seed}\n{}", world.describe());
        assert_sound(&world);
        world.record(0).founding.promised.unwrap().round
    };
    (0..40).map(ballots).sum()
}

/// The founding had the waits of `lan` with every profile: an answer then takes longer than the interval at which it is
/// asked for, and a ballot longer than the wait after which another server starts the next.
#[test]
fn over_wide_links_the_wan_profile_founds_in_the_first_ballot_as_lan_does_over_fast_ones() {
    assert_eq!(ballots(0.0, Timing::LAN, BallotTiming::LAN), 40);
    assert_eq!(ballots(300.0, Timing::WAN, BallotTiming::WAN), 40);
    let overtaken = ballots(300.0, Timing::WAN, BallotTiming::LAN);
    assert!(overtaken > 50, "{overtaken}: the measure no longer tells the two apart");
}
