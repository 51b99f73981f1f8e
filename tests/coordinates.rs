//! The coordinates of nodes in the network, which each computes for itself, in the simulated world.

use std::time::Duration;

use chronik_agent::membership::Coordinate;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::sim::{Node, World, network::Liar};

const SECOND: Duration = Duration::from_secs(1);
/// Mean of the delays of both hosts themselves, there and back, in seconds.
const OWN: f64 = 0.0012;

/// Twenty nodes at random places in a square, 1 to 80 ms from each other.
fn plane(seed: u64) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    let nodes = world.add_hosts(20, "chronik");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut places: Vec<[f64; 2]> = Vec::new();
    while places.len() < nodes.len() {
        let place = [rng.random_range(0.0..56.0), rng.random_range(0.0..56.0)];
        if places.iter().all(|[x, y]| (x - place[0]).hypot(y - place[1]) >= 1.0) {
            places.push(place);
        }
    }
    world.network.places = places.into_iter().enumerate().collect();
    world.start_all(&nodes);
    (world, nodes)
}

/// Errors of the estimates by each of `nodes` of the round trips between any two of them, as shares of the round trips,
/// the least first.
fn errors(world: &mut World, nodes: &[Node]) -> Vec<f64> {
    let mut errors = Vec::new();
    for observer in nodes {
        let seen: Vec<_> =
            nodes.iter().map(|node| world.member(*observer, *node).unwrap().coordinate).collect();
        for (at, one) in nodes.iter().enumerate() {
            for (to, other) in nodes.iter().enumerate().skip(at + 1) {
                let truth = world.network.distance(*one, *other).unwrap().as_secs_f64() + OWN;
                let estimate = seen[at].unwrap().round_trip(&seen[to].unwrap()).as_secs_f64();
                errors.push((estimate - truth).abs() / truth);
            }
        }
    }
    errors.sort_by(f64::total_cmp);
    errors
}

#[test]
fn within_a_minute_every_node_estimates_the_round_trip_between_any_two() {
    for seed in 0..5 {
        let (mut world, nodes) = plane(seed);
        world.run_for(60 * SECOND);
        let errors = errors(&mut world, &nodes);
        let (median, most) = (errors[errors.len() / 2], errors[errors.len() * 9 / 10]);
        println!("seed {seed}: median {median:.3}, 90th percentile {most:.3}");
        assert!(median < 0.15, "seed {seed}: the median is {median}");
        assert!(most < 0.5, "seed {seed}: the 90th percentile is {most}");
    }
}

#[test]
fn a_node_that_lies_about_where_it_is_does_not_move_the_others() {
    let far = Coordinate::new([1.9, 1.9, -1.9], 0.6, 0.0).unwrap().to_bytes();
    let elsewhere = Coordinate::new([-1.9, 0.0, 1.9], 0.0, 0.0).unwrap().to_bytes();
    // A coordinate outside the space, which is refused.
    let nowhere = [0x7f; 12];
    for lies in [vec![far], vec![far, elsewhere], vec![nowhere]] {
        for seed in 0..3 {
            let (mut world, mut nodes) = plane(seed);
            world.network.liar = Some(Liar { node: 19, lies: lies.clone() });
            world.run_for(60 * SECOND);
            let told = world.member(0, 19).unwrap().coordinate;
            assert_eq!(told.is_none(), lies == [nowhere], "seed {seed}: the lie is heard, or refused");
            assert!(world.all_agree(&nodes), "seed {seed}: a lie costs nobody its life");
            nodes.truncate(19);
            let errors = errors(&mut world, &nodes);
            let median = errors[errors.len() / 2];
            println!("seed {seed}, {} lies: median {median:.3}", lies.len());
            assert!(median < 0.2, "seed {seed}: the median is {median}");
        }
    }
}

/// Bytes that a coordinate takes in a datagram: two of length, one of kind, twelve of coordinate.
const ITEM: f64 = 15.0;

#[test]
fn coordinates_cost_a_quiet_node_a_few_bytes_a_second() {
    let mut world = World::new(1);
    let nodes = world.add_hosts(10, "chronik");
    world.start_all(&nodes);
    world.run_for(120 * SECOND);
    world.traffic.coordinates = Some(0);
    world.run_for(60 * SECOND);
    let count = u32::try_from(world.traffic.coordinates.unwrap()).unwrap();
    let each = f64::from(count) * ITEM / 60.0 / 10.0;
    println!("{each:.1} B/s");
    assert!(count > 0 && each < 15.0, "{each} B/s for each node");
}
