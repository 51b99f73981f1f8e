//! Lists of voters without a version, in every order: three servers report the list that they have, again and again; two come to
//! have a new one; each hears each other at any moment. The reports are made and weighed by the shipped machine.
//!
//! Once a server reports the new list above every report of the old one, it counts wherever it is known, whatever is
//! repeated. A report that is numbered anew each time puts the old list above it again, by nothing but its repetition.

#![expect(
    clippy::disallowed_types,
    reason = "no order shows: the search visits states in the order of its queue"
)]

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::BuildHasherDefault,
    time::Instant,
};

use rand::{SeedableRng, rngs::StdRng};

use super::{Numbers, model::FastHasher};
use crate::bootstrap::{
    Bootstrap, EstablishedReport, VoterRef,
    ballot::Ballot,
    fixture::{config, founder, id, key, name, proven, signed},
    founding::Founding,
    knowledge::{Knowledge, Words},
    record::FoundingRecord,
};

/// Most reports of one server, so that the search ends where each is numbered anew.
const REPORTS: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    /// Knowledge of each, by number.
    known: [u16; 3],
    /// True for a server that has the new list.
    is_new: [bool; 3],
    /// The number of the report of the new list that was made above all of the old one.
    settled: Option<(usize, u64)>,
}

fn founding() -> Founding {
    Founding::new(&name(), Ballot { round: 1, node: id(0) }, (0..3).map(founder).collect(), None)
}

fn report(known: &Knowledge, server: usize, is_new: bool, numbers_anew: bool) -> Knowledge {
    let mut knowledge = known.clone();
    if let Some(own) = knowledge.reports.get_mut(&id(server)).filter(|_| numbers_anew) {
        let mut cleared = (**own).clone();
        cleared.group.iter_mut().for_each(|group| group.voters.clear());
        *own = signed(server, cleared);
    }
    let record =
        FoundingRecord { cluster_name: Some(name()), knowledge, ..FoundingRecord::blank(key(server)) };
    #[expect(clippy::disallowed_methods, reason = "some instant to start from; nothing depends on it")]
    let now = Instant::now();
    let mut machine = Bootstrap::new(config(server), record, now, StdRng::seed_from_u64(7));
    let voters: &[u16] = if is_new { &[1, 2] } else { &[1, 2, 3] };
    let report = EstablishedReport {
        cluster_id: founding().id(),
        config_index: None,
        voters: voters.iter().map(|ordinal| VoterRef::Ordinal(*ordinal)).collect(),
        adopt: false,
    };
    machine.established(&report, now).unwrap();
    machine.agreement.knowledge().clone()
}

/// The number of voters of the list that counts.
fn voters(known: &Knowledge) -> usize {
    known.standing(None).cluster(founding().id(), &|_| true).unwrap().voters.len()
}

/// True if all others have reported, and none of them with the old list as late as this server with the new one.
fn is_above(known: &Knowledge, server: usize) -> bool {
    let group = |of: usize| known.reports.get(&id(of)).and_then(|own| own.group.as_ref());
    (0..3).filter(|other| *other != server).all(|other| {
        group(other).is_some_and(|other| {
            other.voters.len() == 2 || Some(other.index) < group(server).map(|own| own.index)
        })
    })
}

fn own(known: &Knowledge, of: usize) -> u64 {
    known.reports.get(&id(of)).map_or(0, |own| own.number)
}

/// True if the old list counts where the report of the new one is known that was made above it.
fn is_broken(world: &World, known: &[Knowledge]) -> bool {
    let Some((reporter, number)) = world.settled else { return false };
    let known = world.known.map(|number| &known[usize::from(number)]);
    known.into_iter().any(|known| own(known, reporter) >= number && voters(known) == 3)
}

/// The number of states, and one in which the old list counts again.
fn search(numbers_anew: bool) -> (usize, Option<World>) {
    let foundings = [(founding().id(), proven(&founding()))].into();
    let mut numbers = Numbers::new();
    let nothing = numbers.number(Knowledge { foundings, ..Knowledge::default() });
    let start = World { known: [nothing; 3], is_new: [false; 3], settled: None };
    let mut seen: HashSet<World, BuildHasherDefault<FastHasher>> = HashSet::from_iter([start]);
    let (mut queue, mut reported, mut merged) = (VecDeque::from([start]), HashMap::new(), HashMap::new());
    let mut broken = HashMap::new();
    while let Some(world) = queue.pop_front() {
        let key = (world.known, world.settled);
        if *broken.entry(key).or_insert_with(|| is_broken(&world, &numbers.things)) {
            return (seen.len(), Some(world));
        }
        let mut next = Vec::new();
        for server in 0..3 {
            if !world.is_new[server] && server < 2 {
                let mut after = world;
                after.is_new[server] = true;
                next.push(after);
            }
            let (mine, is_new) = (world.known[server], world.is_new[server]);
            if own(&numbers.things[usize::from(mine)], server) < REPORTS {
                let mut after = world;
                after.known[server] = *reported.entry((mine, server, is_new)).or_insert_with(|| {
                    let known = report(&numbers.things[usize::from(mine)], server, is_new, numbers_anew);
                    numbers.number(known)
                });
                let all = world.known.map(|number| &numbers.things[usize::from(number)]);
                let knows_all = (0..3).all(|other| own(all[server], other) == own(all[other], other));
                let known = &numbers.things[usize::from(after.known[server])];
                if world.settled.is_none() && is_new && knows_all && is_above(known, server) {
                    after.settled = Some((server, own(known, server)));
                }
                next.push(after);
            }
            for other in (0..3).filter(|other| *other != server) {
                let mut after = world;
                let theirs = world.known[other];
                after.known[server] = *merged.entry((mine, theirs, server)).or_insert_with(|| {
                    let [mut known, theirs] =
                        [mine, theirs].map(|number| numbers.things[usize::from(number)].clone());
                    known.merge(&theirs, &name(), id(server), Words::Everywhere);
                    numbers.number(known)
                });
                next.push(after);
            }
        }
        queue.extend(next.into_iter().filter(|after| seen.insert(*after)));
    }
    (seen.len(), None)
}

#[test]
fn a_list_that_was_replaced_never_counts_again() {
    let (states, broken) = search(false);
    println!("{states} states");
    assert_eq!(broken, None);
}

#[test]
fn a_report_that_is_numbered_anew_each_time_is_caught() {
    assert!(search(true).1.is_some());
}
