//! Providers that list ten thousand addresses, nearly all of them dead: the live ones are found, and it costs little.

use std::{collections::BTreeSet, fmt::Write as _, net::SocketAddr, time::Duration};

use crate::{
    awaiting::{now, within},
    bounds::p99,
    cluster::{addrs, all_say, loopback, start},
    hostile::rss_mb,
    running::{Agent, Dir},
    sim::World,
};

const LISTED: usize = 10_000;
/// Most addresses that one `--retry-join` takes.
const A_LIST: usize = 250;
/// Most memory that may be resident; a quiet agent has 10 to 15 MB in a development build.
const RSS_MB: u64 = 96;

/// A configuration file with `LISTED` addresses of loopback, at all but one of which nothing listens.
fn lists(real: &str) -> String {
    let mut addrs: Vec<_> = (0..LISTED - 1).map(|n| format!("{real}:{}", 20_000 + n)).collect();
    addrs.insert(LISTED / 2, format!("{real}:7946"));
    let specs: Vec<_> = addrs.chunks(A_LIST).map(|list| format!("{:?}", list.join(","))).collect();
    let mut text = String::new();
    writeln!(text, "retry-join = [{}]", specs.join(",")).unwrap();
    text
}

#[test]
fn ten_thousand_addresses_are_listed_and_the_one_that_is_there_is_found() {
    let (addrs, _) = addrs(1);
    let a = start("a", &addrs[0], &["--bootstrap-expect", "2"]);
    let dir = Dir::new();
    let config = dir.file("config.toml", &lists(&addrs[0]));
    let begin = now();
    let bind = loopback().to_string();
    let flags = ["--node-name", "b", "--bind", &bind, "--bootstrap-expect", "2", "--config", &config];
    let b = Agent::launch(dir, &flags);
    // 56 at once, and after each of these looks the decision looks at all of them: a busy machine takes half a minute.
    within(Duration::from_secs(60), || all_say([&a, &b], &[("a", "alive"), ("b", "alive")]));
    let joined = begin.elapsed();
    within(Duration::from_secs(20), || {
        let discovery = b.get("/v1/discovery").json();
        let listed =
            discovery["providers"].as_array().unwrap().iter().map(|p| p["addrs"].as_array().unwrap().len());
        let listed: usize = listed.sum();
        if listed == LISTED { Ok(()) } else { Err(format!("{listed} addresses")) }
    });
    let p99 = p99(&b, 300);
    let said = b.get("/v1/bootstrap");
    eprintln!(
        "{LISTED} addresses: joined after {joined:.2?}, p99 of the API {p99:.2?}, {} MB at the peak, {} bytes of reasons",
        rss_mb(&b),
        said.body.len()
    );
    assert!(p99 < Duration::from_millis(500), "{p99:?}");
    assert!(rss_mb(&b) < RSS_MB, "{} MB", rss_mb(&b));
    // A reader cannot use a sentence with ten thousand addresses.
    assert!(said.body.len() < 4_096, "{}", said.body);
    assert!(b.log().lines().all(|line| line.len() < 16_384), "a line of the log is too long");
}

/// An address of a host that does not answer. 56 of them are dialled at once, for 1.5 s.
fn silent(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    ([192, 0, high, low], 7946).into()
}

#[test]
fn each_of_thousands_of_silent_addresses_is_tried_and_then_again() {
    let seeds: Vec<_> = (0..4_000).map(silent).collect();
    let mut world = World::new(1);
    let alone = world.add_host("chronik", seeds.clone());
    world.traffic.tape = Some(Vec::new());
    world.start(alone);
    // Each round takes 4,000 / 56 * 1.5 s = 107 s, and some for its beginning; an address
    // that is still being dialled when the next one begins is left to the one after that.
    for round in 0..3 {
        world.run_for(Duration::from_secs(if round == 0 { 160 } else { 320 }));
        let dialled: BTreeSet<_> = world.dialled().collect();
        let missed = seeds.iter().filter(|seed| !dialled.contains(seed)).count();
        assert_eq!(missed, 0, "of 4,000, in round {round}");
        world.traffic.tape = Some(Vec::new());
    }
}

#[test]
fn among_thousands_of_silent_addresses_a_new_one_that_answers_is_found_at_once() {
    let mut world = World::new(2);
    let there = world.add_host("chronik", vec![]);
    let alone = world.add_host("chronik", (0..4_000).map(silent).collect());
    let nodes = [there, alone];
    world.start(there);
    world.start(alone);
    world.run_for(Duration::from_secs(10));
    world.drive_gossip(alone, |gossip, now| {
        gossip.set_seeds((0..4_000).map(silent).chain([World::addr_of(there)]), now);
    });
    // The dials under way have to end first.
    let joined = world.run_until(Duration::from_secs(2), |world| world.all_agree(&nodes));
    assert!(joined.is_some());
}

#[test]
fn a_node_that_learns_of_many_addresses_one_after_the_other_does_not_dial_ever_more_often() {
    let mut world = World::new(3);
    // None of their processes runs, and their hosts refuse connections.
    let hosts = world.add_hosts(201, "chronik");
    let alone = hosts[200];
    world.start(alone);
    for seed in &hosts[..200] {
        world.drive_gossip(alone, |gossip, now| gossip.set_seeds([World::addr_of(*seed)], now));
        world.run_for(Duration::from_secs(1));
    }
    world.traffic.tape = Some(Vec::new());
    world.run_for(Duration::from_secs(60));
    // Four sequences of rounds go on, 1.5 s apart, and once a second a missing address is dialled.
    let dials = world.dialled().count();
    assert!((20..=320).contains(&dials), "{dials} in a minute");
}
