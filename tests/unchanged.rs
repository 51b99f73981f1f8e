//! Sixty runs of the simulator and what each has sent, to the byte, as one number: every datagram, every stream that is
//! opened, every answer, from whom and whither. A change that is to change nothing leaves the numbers as they are; one
//! that changes what is sent has to say so, and to put the table that the failing test prints in place of the old one.

use std::time::Duration;

use chronik_agent::gossip::Timing;

use crate::{
    convergence, encryption_sim, founding_sim, guards, healing, node_year, scale, scenarios,
    sim::{World, log::Log, servers::Disk},
};

const SECOND: Duration = Duration::from_secs(1);

/// The runs of seed 0, 1 and so on.
type Table = [u64; 12];

const GUARDS: Table = [
    0x6ab912c86d779b1b,
    0xae829219142ef3ab,
    0x3ac183cb9457ff8e,
    0x49abe6983ddd0702,
    0xaa2e5b22b28b0bc5,
    0x135abd3b8a6d42e3,
    0xb4ec4081845c1097,
    0xefd1e1ebfabfa825,
    0x06e65ea87aa5a197,
    0xcf260e88b91ae5cf,
    0x6ca65f6d33ff1916,
    0xcba956a151c3920a,
];

const HEALING: Table = [
    0xc990ccf88789794c,
    0xc08c9261a3ac63ed,
    0xc54c3faf2ec961f6,
    0xd644621219e10812,
    0xebc732cea6e859d7,
    0xd4ba34d2960ded99,
    0xb9e1994379632a93,
    0xb95e331e484cce52,
    0x6ff12703da5ee4d2,
    0x5a06956c73d6602b,
    0x75b2dd60ac0007f9,
    0xc7b797d64753859a,
];

const SCALE: Table = [
    0xadafd303f62e09fa,
    0xf8ef8d00a89cfaeb,
    0xb4a751f5458cfa42,
    0x66b571cf875fc806,
    0x979d528dff26d2f1,
    0x2ddb8eec1485ad7c,
    0xd5c2b9ba3cb51452,
    0xf80ca6f0be6bbfb5,
    0x47aa6feae4b42423,
    0xb75649652cf1de8c,
    0x975185eb7a6a4e1a,
    0xd63599f460349376,
];

const FOUNDING: Table = [
    0xc01490f09ea8df09,
    0xddd0669dc9b88dc6,
    0xbc9b9ec1b370004a,
    0x0acae8dd7cd6fc1a,
    0x7c2a51acc6b94cd9,
    0x33245d644fe69f6a,
    0xcc1b07eeb98165e5,
    0x6a3353cb4e041313,
    0xebcaf8f7d6909071,
    0x0c86d4f9f4e274d5,
    0xcb79d31b621a278c,
    0x00b748c0b95fdb41,
];

const ENCRYPTION: Table = [
    0x3e9d9eb6013f49ae,
    0x8dfb510616f813e1,
    0x154b7788bf8458ad,
    0x4a4dc7d6538a905d,
    0x9bf5bb55f2edce4a,
    0x76ccb5f7cd11ca41,
    0xc13c818e6f5f8683,
    0xc386a901149084b5,
    0x4010f21f74a4606d,
    0xd566e7448f7c3f59,
    0x10fca9fcb23e2e71,
    0x3965584d1cf1a765,
];

/// Makes the runs and compares them; all of them, so that the new table is whole.
fn compare(name: &str, written: &Table, run: impl Fn(u64) -> Vec<World>) {
    let mut made: Table = [0; 12];
    for (seed, sent) in (0..).zip(&mut made) {
        *sent = Log::of_all(run(seed).iter().map(|world| world.log));
    }
    let differing: Vec<_> = (0..made.len()).filter(|seed| made[*seed] != written[*seed]).collect();
    let lines: String = made.iter().map(|sent| format!("    {sent:#018x},\n")).collect();
    assert!(differing.is_empty(), "seeds {differing:?} differ:\n\nconst {name}: Table = [\n{lines}];\n");
}

/// Gossip alone: loss, cuts, pauses, restarts, copied and older disks, goodbyes, packets that are late, seeds that refuse.
#[test]
fn the_runs_of_the_guards_are_as_they_were() {
    compare("GUARDS", &GUARDS, |seed| {
        let pick = usize::try_from(seed).unwrap();
        vec![
            guards::much_lost(seed).0,
            guards::all_alone(seed),
            guards::rumour(seed),
            guards::older_clock(seed),
            guards::older_disk(seed),
            guards::copied_disk(seed),
            guards::long_metadata(seed, [500, 900, 1_000, 1_050, 1_100, 1_150, 2_000][pick % 7]),
            guards::old_rumours(seed),
            guards::own_seed(seed),
            guards::discarded_engines(seed),
            guards::late_news_of_death(seed),
            guards::pause(seed, [1, 2, 5, 20, 60][pick % 5]),
            guards::pause_under_suspicion(seed),
            guards::quick_restart(seed),
            guards::reused_address(seed),
            convergence::crash_and_restart(seed),
            convergence::goodbye(seed),
            convergence::lost_one_way(seed),
            convergence::heard_by_nobody(seed),
            convergence::two_clusters(seed),
            convergence::larger_metadata(seed),
            convergence::dead_seeds(seed),
        ]
    });
}

/// Partitions that end, members that are heard by nobody, and storms in which all that can go wrong does so at once.
#[test]
fn the_runs_of_the_healing_are_as_they_were() {
    compare("HEALING", &HEALING, |seed| {
        vec![
            healing::heals(seed, 2, 1, 90 * SECOND).0,
            healing::heals(seed, 5, 2, 30 * SECOND).0,
            healing::heals(seed, 10, 5, 90 * SECOND).0,
            healing::mute(seed, Timing::LOCAL),
            healing::mute(seed, Timing::LAN),
            healing::ends_while_verdicts_fall(seed),
            healing::untold_suspect(seed),
            node_year::stormy(2 * seed, 300 * SECOND),
            node_year::stormy(2 * seed + 1, 300 * SECOND),
        ]
    });
}

/// A hundred join at once, and one crashes.
#[test]
fn the_runs_of_a_hundred_are_as_they_were() {
    compare("SCALE", &SCALE, |seed| {
        let (mut world, nodes, _) = scale::join(100, seed);
        scale::crash(&mut world, &nodes, seed);
        vec![world]
    });
}

/// Whole agents: servers that attest and establish or do not, disks that fail, founders that die, and random campaigns.
#[test]
fn the_runs_of_the_founding_are_as_they_were() {
    use scenarios::{forming, losing, parting};

    compare("FOUNDING", &FOUNDING, |seed| {
        let campaigns =
            (5 * seed..5 * seed + 5).map(|seed| founding_sim::campaign(seed, Disk::failing()).unwrap());
        let mut worlds: Vec<_> = campaigns.collect();
        worlds.extend([
            forming::more_than_expected(seed),
            forming::too_many(seed),
            forming::different_expects(seed),
            forming::silent_seed(seed),
            forming::crash_loop(seed),
            forming::forgotten_records(seed),
            losing::replaced_months_later(seed),
            losing::founder_dies_after_the_vote(seed),
            losing::replaced_founder(seed),
            losing::lost_data(seed),
            losing::all_leave(seed),
            losing::other_addresses(seed),
            losing::copied_record(seed),
            losing::crashes_at_every_write(seed),
            parting::minority_with_new_servers(seed),
            parting::paused_agent(seed),
        ]);
        worlds
    });
}

/// Keys: rotated in turn and by question, packets that are played again, strangers without the key.
#[test]
fn the_runs_with_keys_are_as_they_were() {
    compare("ENCRYPTION", &ENCRYPTION, |seed| {
        vec![
            encryption_sim::crash_and_restart(seed),
            encryption_sim::parted(seed),
            encryption_sim::stranger(seed, Some(2)),
            encryption_sim::stranger(seed, None),
            encryption_sim::away_during_rotation(seed),
            encryption_sim::replay(seed, seed.is_multiple_of(2)),
            encryption_sim::change_of_keys(seed),
        ]
    });
}
