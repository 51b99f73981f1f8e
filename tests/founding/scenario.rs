//! Scenarios of many founding machines, each under many seeds. A failure names its seed.

use std::time::Duration;

use rand::RngExt;

use super::world::FoundingWorld;
use crate::share;

const SEEDS: u64 = 1_000;

/// Runs `scenario` under each of `seeds` seeds, or the share of them that this run takes.
fn run_seeds(seeds: u64, scenario: impl Fn(&mut FoundingWorld)) {
    for seed in 0..share::of(seeds) {
        let mut world = FoundingWorld::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario(&mut world)));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asserts exactly one founding, known to every server that runs.
fn assert_founded(world: &FoundingWorld) {
    let reasons: Vec<_> = (0..world.servers.len()).map(|server| world.reasons(server)).collect();
    assert_eq!(world.told.len(), 1, "foundings: {:?}, waiting: {reasons:?}", world.told);
    assert!(!world.decisions().contains("wait"), "waiting: {reasons:?}");
}

#[test]
fn three_servers_found_one_cluster() {
    run_seeds(SEEDS, |world| {
        world.add_all(&[3; 3]);
        world.run(seconds(8));
        assert_founded(world);
        assert_eq!(world.decisions(), ["bootstrap"].into());
    });
}

#[test]
fn more_servers_than_expected_found_one_cluster_and_the_rest_joins() {
    run_seeds(SEEDS / 4, |world| {
        world.add_all(&[3; 5]);
        world.run(seconds(30));
        assert_founded(world);
        assert_eq!(world.decisions(), ["bootstrap", "join"].into());
        let founders = world.told.values().next().unwrap();
        let zones = |zone| founders.iter().filter(|f| f.name.as_str().ends_with(zone)).count();
        assert!(zones("1") + zones("3") >= 1, "founders are spread over the zones");
    });
}

#[test]
fn after_any_chaos_thirty_quiet_seconds_found_one_cluster() {
    run_seeds(SEEDS, |world| {
        let expect = world.rng.random_range(2..=3);
        let count = usize::from(world.rng.random_range(expect..=2 * expect - 1));
        world.add_all(&vec![expect; count]);
        let mut spare_ids = usize::from(2 * expect - 1) - count;
        world.loss = 30;
        world.crashes = 30;
        for _ in 0..world.rng.random_range(5..40) {
            let server = world.rng.random_range(0..count);
            match world.rng.random_range(0..7) {
                0 => world.kill(server),
                1 if spare_ids > 0 => {
                    spare_ids -= 1;
                    world.wipe(server);
                }
                2 => world.servers[server].mute ^= true,
                3 | 4 => world.servers[server].side ^= 1,
                _ => world.start(server),
            }
            let pause = world.rng.random_range(50..3_000);
            world.run(Duration::from_millis(pause));
        }
        world.loss = 10;
        world.crashes = 0;
        for server in 0..count {
            world.servers[server].side = 0;
            world.servers[server].mute = false;
            if world.servers[server].machine.is_none() {
                world.start(server);
            }
        }
        world.run(seconds(30));
        assert_founded(world);
    });
}

#[test]
fn a_founder_that_dies_in_the_middle_does_not_block_the_others() {
    run_seeds(SEEDS, |world| {
        world.add_all(&[3; 4]);
        let moment = world.rng.random_range(900..1_800);
        world.run(Duration::from_millis(moment));
        let victim = world.rng.random_range(0..4);
        world.kill(victim);
        world.run(seconds(30));
        assert_founded(world);
    });
}

#[test]
fn twice_as_many_servers_as_expected_are_refused() {
    run_seeds(SEEDS / 4, |world| {
        world.add_all(&[3; 6]);
        world.run(seconds(30));
        assert!(world.told.is_empty());
        assert_eq!(world.reasons(0), ["too_many_servers"]);
    });
}

#[test]
fn different_expects_wait_until_they_agree() {
    run_seeds(SEEDS / 4, |world| {
        world.add_all(&[3, 3, 2]);
        world.run(seconds(20));
        assert!(world.told.is_empty());
        assert!((0..3).all(|server| world.reasons(server).contains(&"expect_mismatch")));
        world.change_expect(2, 3);
        world.run(seconds(30));
        assert_founded(world);
    });
}

#[test]
fn two_halves_that_never_met_found_twice_and_say_so_once_they_meet() {
    // A count cannot prevent this; a provider that lists all six can, and so can named founders.
    run_seeds(SEEDS / 10, |world| {
        world.add_all(&[3; 6]);
        (3..6).for_each(|server| world.servers[server].side = 1);
        world.run(seconds(20));
        let foundings: Vec<_> = world.told.values().collect();
        assert_eq!(foundings.len(), 2);
        assert!(foundings[0].iter().all(|founder| !foundings[1].contains(founder)));
        (3..6).for_each(|server| world.servers[server].side = 0);
        world.run(seconds(10));
        assert_eq!(world.decisions(), ["conflict"].into());
    });
}
