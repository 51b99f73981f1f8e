//! The exhaustive check of numbers: three founders, two that join, one agent that is lost, in every order.
//!
//! A state is the list, the number of each server, the highest number on each agent's disk, and who lives. Any agent of a voter
//! that lives may be the one beside the leader, has asked any majority of the list and any others besides, and does what
//! [`Numbers`] allows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::admission::{
    Kind, List, Listed, Numbers, Seen,
    fixture::{CHRONIK, id, listed, member},
    majority::majority,
};

const FOUNDERS: usize = 3;
const SERVERS: usize = 5;

/// The ways to go wrong that are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As the rules are.
    Ruled,
    /// The admitting agent uses what it has on its own disk.
    AsksNobody,
    /// A removal does not wait.
    NoWait,
    /// The list before the last change may be used.
    OldList,
    /// The list before the last change may be used, and the server refuses a number in use.
    OldListRefused,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    list: BTreeSet<usize>,
    before: BTreeSet<usize>,
    numbers: [u64; SERVERS],
    on_disk: [u64; SERVERS],
    alive: BTreeSet<usize>,
    crashes: u8,
}

impl State {
    fn first() -> Self {
        let founders: BTreeSet<usize> = (0..FOUNDERS).collect();
        Self {
            list: founders.clone(),
            before: founders,
            numbers: [1, 2, 3, 0, 0],
            on_disk: [3, 3, 3, 0, 0],
            alive: (0..SERVERS).collect(),
            crashes: 1,
        }
    }

    fn has_a_number_twice(&self) -> bool {
        let given: Vec<_> = self.numbers.iter().filter(|number| **number > 0).collect();
        given.iter().collect::<BTreeSet<_>>().len() < given.len()
    }

    fn list_of(&self, voters: &BTreeSet<usize>) -> List {
        let kind: Kind = CHRONIK;
        let voter = |server: &usize| Listed {
            number: Some(self.numbers[*server]),
            ..listed(*server, true, Seen::CaughtUp)
        };
        let members = voters.iter().map(|server| (member(*server), voter(server))).collect();
        List { kind, version: None, members }
    }

    fn next(&self, way: Way) -> Vec<(Self, String)> {
        let here: BTreeSet<usize> = self.list.intersection(&self.alive).copied().collect();
        if here.len() < majority(self.list.len()) {
            return Vec::new();
        }
        let mut out = Vec::new();
        let heard: BTreeSet<u64> =
            here.iter().flat_map(|server| [self.on_disk[*server], self.numbers[*server]]).collect();
        let numbers_of_voters = self.list.iter().map(|server| self.numbers[*server]).max();
        for agent in &here {
            for number in heard.iter().filter(|number| **number > self.on_disk[*agent]) {
                let is_heard = here.iter().any(|other| self.on_disk[*other] == *number);
                if is_heard || Some(*number) == numbers_of_voters {
                    let mut next = self.clone();
                    next.on_disk[*agent] = *number;
                    out.push((next, format!("{agent} hears of {number}")));
                }
            }
            if self.crashes > 0 && here.len() > majority(self.list.len()) {
                let mut next = Self { crashes: self.crashes - 1, ..self.clone() };
                next.alive.remove(agent);
                out.push((next, format!("{agent} is lost")));
            }
        }
        let mut lists = vec![(&self.list, "")];
        if matches!(way, Way::OldList | Way::OldListRefused) {
            lists.push((&self.before, " by the list before"));
        }
        for (seen, tag) in lists {
            for (asked, numbers) in self.answers(&here, way) {
                let list = self.list_of(seen);
                out.extend(
                    self.admission(way, &list, &numbers)
                        .map(|(next, name)| (next, format!("{asked:?} {name}{tag}"))),
                );
                let removals = self.removals(way, &list, &numbers);
                out.extend(removals.into_iter().map(|(next, name)| (next, format!("{asked:?} {name}{tag}"))));
            }
        }
        out
    }

    /// Every set of agents that may have answered.
    fn answers(&self, here: &BTreeSet<usize>, way: Way) -> Vec<(BTreeSet<usize>, Numbers)> {
        let sets = (1_u32..1 << SERVERS).map(|bits| (0..SERVERS).filter(|at| bits >> at & 1 == 1).collect());
        let sets = sets.filter(|set: &BTreeSet<usize>| set.is_subset(here));
        let on_disk = |server: &usize| (id(*server), self.on_disk[*server]);
        let mut out = Vec::new();
        for set in sets.filter(|set| way != Way::AsksNobody || set.len() == 1) {
            let mut on_disk: BTreeMap<_, _> = set.iter().map(on_disk).collect();
            if way == Way::AsksNobody {
                // As if all had answered what this one has on disk.
                let own = self.on_disk[*set.first().unwrap()];
                on_disk = (0..SERVERS).map(|server| (id(server), own)).collect();
            }
            out.push((set, Numbers { on_disk }));
        }
        out
    }

    fn admission(&self, way: Way, list: &List, numbers: &Numbers) -> Option<(Self, String)> {
        let newcomer = (FOUNDERS..SERVERS).find(|server| self.numbers[*server] == 0)?;
        let number = numbers.next(list).ok()?;
        let is_in_use = self.list.iter().any(|server| self.numbers[*server] == number);
        if way == Way::OldListRefused && is_in_use {
            return None;
        }
        let mut next = Self { before: self.list.clone(), ..self.clone() };
        next.list.insert(newcomer);
        next.numbers[newcomer] = number;
        Some((next, format!("admit {newcomer} as {number}")))
    }

    fn removals(&self, way: Way, list: &List, numbers: &Numbers) -> Vec<(Self, String)> {
        let mut out = Vec::new();
        for removed in &self.list {
            let mut next = Self { before: self.list.clone(), ..self.clone() };
            next.list.remove(removed);
            next.alive.remove(removed);
            let stay = next.list.len();
            let up = next.list.intersection(&next.alive).count();
            let told = way == Way::NoWait || way == Way::AsksNobody && self.is_told(numbers, list, *removed);
            let may = told || way != Way::AsksNobody && numbers.may_remove(list, &member(*removed)).is_ok();
            if stay > 1 && up >= majority(stay) && may {
                out.push((next, format!("remove {removed}")));
            }
        }
        out
    }

    /// True if a majority of those that stay have the highest number that the remover knows, really on disk.
    fn is_told(&self, numbers: &Numbers, list: &List, removed: usize) -> bool {
        let highest = numbers.highest(list);
        let stay: Vec<_> = self.list.iter().filter(|server| **server != removed).collect();
        let has = |server: &&&usize| self.alive.contains(**server) && self.on_disk[***server] >= highest;
        stay.iter().filter(has).count() >= majority(stay.len())
    }
}

/// The number of states, and the way to a number that was given twice.
fn explore(way: Way) -> (usize, Option<String>) {
    let mut seen = BTreeMap::from([(State::first(), None)]);
    let mut queue = VecDeque::from([State::first()]);
    while let Some(state) = queue.pop_front() {
        if state.has_a_number_twice() {
            let mut names = Vec::new();
            let mut at = state;
            while let Some(Some((from, name))) = seen.get(&at).cloned() {
                names.push(name);
                at = from;
            }
            names.reverse();
            return (seen.len(), Some(names.join(" > ")));
        }
        for (next, name) in state.next(way) {
            if !seen.contains_key(&next) {
                seen.insert(next.clone(), Some((state.clone(), name)));
                queue.push_back(next);
            }
        }
    }
    (seen.len(), None)
}

#[test]
fn a_number_is_never_given_twice() {
    assert_eq!(explore(Way::Ruled), (20492, None));
}

#[test]
fn each_rule_about_numbers_is_missed() {
    for way in [Way::AsksNobody, Way::NoWait, Way::OldList, Way::OldListRefused] {
        let (states, trace) = explore(way);
        println!("{way:?}: {states} states: {trace:?}");
        assert!(trace.is_some(), "{way:?}: {states} states");
    }
}
