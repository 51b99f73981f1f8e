//! Failure detection in the simulated world, each case over several seeds: crashes and silent hosts are known soon; lost
//! packets, pauses, half-dead machines and one bad prober are not taken for failures of others.

use std::time::Duration;

use chronik_agent::membership::{
    MemberStatus::{Alive, Failed},
    Reach,
};

use crate::{
    convergence::cluster,
    share,
    sim::{Node, World, history::Change},
};

const SECOND: Duration = Duration::from_secs(1);

/// A cluster that has been together for a while, so that round trips are known.
fn settled(seed: u64, count: usize) -> (World, Vec<Node>) {
    let (mut world, nodes) = cluster(seed, count);
    world.run_for(20 * SECOND);
    (world, nodes)
}

/// Times of several runs, in seconds.
#[derive(Debug)]
struct Figures {
    median: f64,
    worst: f64,
}

fn figures(what: &str, mut took: Vec<Duration>) -> Figures {
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2].as_secs_f64(), took[took.len() - 1].as_secs_f64());
    eprintln!("{what}: median {median:.2} s, worst {worst:.2} s of {}", took.len());
    Figures { median, worst }
}

/// Times until all others know that the last of `count` is gone, one for each seed.
fn known_after(count: usize, seeds: u64, end: impl Fn(&mut World, &[Node], Node)) -> Vec<Duration> {
    let one = |seed| {
        let (mut world, nodes) = settled(seed, count);
        // Another moment of the probers' rounds for each seed.
        world.run_for(Duration::from_millis(seed * 37));
        let (gone, others) = nodes.split_last().unwrap();
        end(&mut world, others, *gone);
        let known = world.run_until(20 * SECOND, |world| world.all_say(others, *gone, Failed));
        known.unwrap_or_else(|| panic!("seed {seed}: not known after 20 s"))
    };
    (0..seeds).map(one).collect()
}

/// All changes to `Failed` so far.
fn failures(world: &World) -> Vec<Change> {
    world.history.failures().copied().collect()
}

#[test]
fn a_crash_is_known_to_all_within_the_goal() {
    for (count, seeds, median, worst) in
        [(2, 20, 1.0, 1.6), (3, 20, 1.0, 1.6), (10, 20, 1.2, 2.0), (60, 6, 2.0, 3.0)]
    {
        let took = known_after(count, seeds, |world, _, gone| world.crash(gone));
        let measured = figures(&format!("a crash, {count} members"), took);
        assert!(measured.median <= median && measured.worst <= worst, "{measured:?}");
    }
}

#[test]
fn a_silent_host_is_known_to_all_within_the_goal() {
    for (count, seeds, median, worst) in [(3, 20, 1.6, 2.5), (10, 20, 1.6, 2.5), (60, 6, 3.0, 4.0)] {
        let took = known_after(count, seeds, |world, others, gone| world.cut(others, &[gone]));
        let measured = figures(&format!("a silent host, {count} members"), took);
        assert!(measured.median <= median && measured.worst <= worst, "{measured:?}");
    }
}

#[test]
fn lost_packets_are_no_failures() {
    for (loss, allowed) in [(0.1, 0), (0.25, 0), (0.4, 0), (0.5, 2)] {
        for seed in 0..share::of(5) {
            let (mut world, _) = cluster(seed, 10);
            world.network.loss = loss;
            world.run_for(180 * SECOND);
            let failed = failures(&world);
            eprintln!("{loss} lost, seed {seed}: {} false failures", failed.len());
            assert!(failed.len() <= allowed, "{loss} lost, seed {seed}: {failed:?}");
        }
    }
}

/// Asserts that lost packets alone make no member failed and none renew itself, at any size: in a cluster of two there is
/// no third member to help with a probe, in one of three there is one.
fn assert_bears(count: usize, loss: f64, seeds: u64, time: Duration) {
    for seed in 0..seeds {
        let (mut world, nodes) = cluster(seed, count);
        world.network.loss = loss;
        world.run_for(time);
        world.network.loss = 0.0;
        assert_eq!(failures(&world), [], "{loss} lost, {count} members, seed {seed}");
        let renewals: u64 = nodes.iter().map(|node| world.gossip(*node).counters().renewals).sum();
        assert_eq!(renewals, 0, "{loss} lost, {count} members, seed {seed}: renewed without cause");
        let calm = world.run_until(15 * SECOND, |world| world.all_agree(&nodes));
        assert!(calm.is_some(), "{loss} lost, {count} members, seed {seed}: no peace");
    }
}

fn assert_all_sizes_bear(seeds: u64, time: Duration) {
    for count in [2, 3, 5, 10] {
        for loss in [0.0, 0.01, 0.05, 0.1, 0.2] {
            assert_bears(count, loss, seeds, time);
        }
    }
}

#[test]
fn lost_packets_make_no_member_fail_or_renew_itself_in_clusters_of_any_size() {
    assert_all_sizes_bear(share::of(2), 240 * SECOND);
}

#[test]
#[ignore = "takes minutes: the same for longer"]
fn lost_packets_make_nobody_fail_or_renew_himself_for_an_hour() {
    assert_all_sizes_bear(10, 3_600 * SECOND);
}

#[test]
fn a_pause_accuses_nobody_else_and_a_short_one_is_no_failure() {
    for (pause_ms, seeds) in [(500, 20), (950, 20), (1_000, 20), (5_000, 10), (20_000, 5)] {
        for seed in 0..share::of(seeds) {
            let (mut world, nodes) = settled(seed, 10);
            world.run_for(Duration::from_millis(seed * 53));
            world.pause(3);
            world.run_for(Duration::from_millis(pause_ms));
            world.resume(3);
            world.run_for(10 * SECOND);
            let failed = failures(&world);
            let wrong = |failure: &&Change| failure.subject != 3 || pause_ms <= 1_000;
            assert_eq!(failed.iter().find(wrong), None, "{pause_ms} ms, seed {seed}");
            assert!(world.all_agree(&nodes), "{pause_ms} ms, seed {seed}: not together again");
        }
    }
}

/// The member stands still for two seconds and runs for a quarter of one, again and again.
#[test]
fn a_half_dead_member_is_marked_degraded_and_does_not_flap() {
    for seed in 0..share::of(20) {
        let (mut world, nodes) = settled(seed, 10);
        let healthy: Vec<_> = nodes.iter().copied().filter(|node| *node != 4).collect();
        let begin = world.elapsed();
        let mut marked = None;
        for _ in 0..30 {
            world.pause(4);
            world.run_for(2 * SECOND);
            world.resume(4);
            world.run_for(SECOND / 4);
            let all = healthy.iter().all(|node| world.member(*node, 4).is_some_and(|member| member.degraded));
            if all && marked.is_none() {
                marked = Some(world.elapsed() - begin);
            }
        }
        let failed = failures(&world);
        assert!(marked.is_some_and(|after| after <= 10 * SECOND), "seed {seed}: {marked:?}");
        assert!(failed.iter().all(|failure| failure.subject == 4), "seed {seed}: {failed:?}");
        // It may be called failed once, before the others know that it comes and goes.
        let late = failed.iter().filter(|failure| failure.at > begin + 10 * SECOND).count();
        assert_eq!(late, 0, "seed {seed}: it flaps: {failed:?}");
        world.run_for(30 * SECOND);
        assert!(!world.member(0, 4).unwrap().degraded, "seed {seed}: for ever");
    }
}

/// A member that was twice wrongly called failed is given thirty times the patience. That ends after a minute in which it
/// needed none of it, even if packets are lost and it is suspected now and then: if it dies then, all know as soon as of
/// any other member.
#[test]
fn the_patience_with_a_member_that_came_back_ends_a_minute_after_its_last_outage() {
    for seed in 0..8 {
        let (mut world, nodes) = settled(seed, 5);
        let (gone, others) = nodes.split_last().unwrap();
        let outage = |world: &mut World, seconds: u32| {
            let before = failures(world).len();
            world.pause(*gone);
            world.run_for(seconds * SECOND);
            world.resume(*gone);
            world.run_for(5 * SECOND);
            failures(world).len() - before
        };
        assert!(outage(&mut world, 6) > 0 && outage(&mut world, 6) > 0, "seed {seed}: no member noticed");
        assert_eq!(outage(&mut world, 15), 0, "seed {seed}: the third time it has patience");
        world.network.loss = 0.2;
        world.run_for(60 * SECOND);
        world.network.loss = 0.0;
        let suspected = world
            .history
            .changes
            .iter()
            .rev()
            .find(|change| change.subject == *gone && change.status != Alive);
        let late = suspected.is_some_and(|change| world.elapsed() - change.at < 50 * SECOND);
        world.run_for(2 * SECOND);
        world.cut(others, &[*gone]);
        let known = world.run_until(30 * SECOND, |world| world.all_say(others, *gone, Failed));
        eprintln!("seed {seed}: known after {known:?}, suspected meanwhile: {late}");
        assert!(known.is_some_and(|after| after <= 3 * SECOND), "seed {seed}: {known:?}");
    }
}

#[test]
fn one_bad_prober_alone_kills_nobody() {
    for seed in 0..10 {
        let (mut world, nodes) = settled(seed, 10);
        // It hears nothing, and is heard.
        nodes[1..].iter().for_each(|node| world.cut_one_way(*node, 0));
        world.run_for(30 * SECOND);
        let wrong = |failure: &&Change| failure.observer != 0 && failure.subject != 0;
        assert_eq!(failures(&world).iter().find(wrong), None, "seed {seed}");
    }
}

#[test]
fn streams_show_that_members_are_alive_if_datagrams_are_blocked() {
    let (mut world, _) = settled(1, 3);
    world.network.udp_cuts.extend([(0, 1), (1, 0)]);
    world.run_for(60 * SECOND);
    assert_eq!(failures(&world), [], "a helper or a stream always brings an answer");
    let reach = |world: &mut World, of| world.member(0, of).unwrap().reach;
    assert!(
        matches!(reach(&mut world, 1), Some(Reach::Stream | Reach::Others)),
        "{:?}",
        reach(&mut world, 1)
    );
    assert_eq!(reach(&mut world, 2), Some(Reach::Datagram));

    let (mut world, _) = settled(2, 2);
    world.network.udp_cuts.extend([(0, 1), (1, 0)]);
    world.run_for(60 * SECOND);
    assert_eq!(failures(&world), [], "of two, no helper");
    assert_eq!(reach(&mut world, 1), Some(Reach::Stream));
    assert!(world.all_say(&[0], 1, Alive));
}

#[test]
fn round_trips_are_known() {
    let (world, _) = settled(1, 5);
    for node in 1..5 {
        let rtt = world.member(0, node).unwrap().rtt.unwrap();
        assert!((Duration::from_micros(400)..Duration::from_millis(3)).contains(&rtt), "{rtt:?}");
    }
}

/// Share, in percent, of looks at a member that find it marked degraded, over a minute in which all lose this share of
/// packets.
fn marked_percent(count: usize, loss: f64) -> f64 {
    let (mut marks, mut looks) = (0.0, 0.0);
    for seed in 0..4 {
        let (mut world, nodes) = settled(seed, count);
        world.network.loss = loss;
        for _ in 0..60 {
            world.run_for(SECOND);
            for (by, of) in nodes.iter().flat_map(|by| nodes.iter().map(move |of| (*by, *of))) {
                looks += f64::from(by != of);
                marks += f64::from(by != of && world.member(by, of).is_some_and(|member| member.degraded));
            }
        }
    }
    let percent = marks * 100.0 / looks;
    eprintln!("{count} members, {loss} lost: marked degraded in {percent:.1} % of looks");
    percent
}

/// Loss that all suffer is no reason to mark each of them. Clusters of three are left out: there, half of the reports
/// about a member come from one other.
#[test]
fn lost_packets_mark_hardly_anybody_as_degraded() {
    for (count, loss, most) in [(10, 0.1, 0.0), (40, 0.1, 0.0), (10, 0.25, 6.0), (40, 0.25, 7.0)] {
        let percent = marked_percent(count, loss);
        assert!(percent <= most, "{count} members, {loss} lost: {percent} %");
    }
}
