//! The instances that are explored, and the broken rules that must be noticed.

use std::time::Instant;

use super::{
    explore,
    model::{Instance, Mutant},
};
use crate::bootstrap::{fixture::id, terms::Terms};

/// The ways in which two ballots, and three, can belong to servers, up to renaming.
const TWO: [&[usize]; 2] = [&[0, 0], &[0, 1]];
const THREE: [&[usize]; 5] = [&[0, 0, 0], &[0, 0, 1], &[0, 1, 0], &[0, 1, 1], &[0, 1, 2]];

/// The rules of an exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Only all founders complete a ballot.
    Strict,
    /// Any quorum may complete a ballot.
    Relaxed,
    /// As relaxed, and chosen foundings are learnt.
    Learning,
    /// As relaxed, and servers lose votes and are told so.
    Forgetting,
}

fn count(n: u16) -> Terms {
    Terms::Count(n.try_into().unwrap())
}

/// Explores an instance for every assignment of ballots, and fails with the trace if an invariant is broken.
fn holds(servers: usize, terms: &Terms, ballots: &[&'static [usize]], rules: Rules) {
    let mut states = 0;
    #[expect(clippy::disallowed_methods, reason = "the figure that is printed; nothing depends on it")]
    let start = Instant::now();
    for owners in ballots {
        let (relaxed, learning) = (rules != Rules::Strict, rules == Rules::Learning);
        let (forgets, terms) = (rules == Rules::Forgetting, terms.clone());
        let instance = Instance { servers, terms, owners, relaxed, learning, forgets, mutant: None };
        let explored = explore(&instance);
        states += explored.states;
        assert_eq!(explored.violation, None);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{servers} servers, {terms:?}, {rules:?}: {states} states, {seconds:.1} s");
}

/// Explores an instance with a broken rule, and fails if no invariant notices.
fn caught(servers: usize, terms: &Terms, ballots: &[&'static [usize]], rules: Rules, mutant: Option<Mutant>) {
    let found = ballots.iter().find_map(|owners| {
        let terms = terms.clone();
        let relaxed = rules != Rules::Strict;
        let explored =
            explore(&Instance { servers, terms, owners, relaxed, learning: false, forgets: false, mutant });
        explored.violation.map(|trace| (owners, explored.states, trace))
    });
    let (owners, states, trace) = found.unwrap_or_else(|| panic!("{mutant:?} was not caught"));
    println!("{mutant:?} caught in {owners:?} after {states} states:\n{trace}\n");
}

#[test]
fn three_servers_expecting_two_agree_in_three_ballots() {
    holds(3, &count(2), &THREE, Rules::Relaxed);
}

#[test]
fn three_servers_expecting_two_agree_and_learn_in_two_ballots() {
    holds(3, &count(2), &TWO, Rules::Learning);
}

/// The mutant without this rule is [`Mutant::WipedDisk`].
#[test]
#[ignore = "5.8 million states: a minute or two with --release"]
fn servers_that_lose_votes_and_vote_no_more_agree_in_three_ballots() {
    holds(3, &count(2), &THREE, Rules::Forgetting);
}

#[test]
fn servers_that_lose_votes_and_vote_no_more_agree_in_two_ballots() {
    holds(3, &count(2), &TWO, Rules::Forgetting);
}

#[test]
fn four_servers_expecting_three_agree_in_two_ballots() {
    holds(4, &count(3), &TWO, Rules::Relaxed);
}

#[test]
#[ignore = "6.6 million states: a minute or two with --release"]
fn five_servers_expecting_three_agree_in_two_ballots() {
    holds(5, &count(3), &TWO, Rules::Relaxed);
}

#[test]
fn three_named_servers_agree_in_three_ballots() {
    let named = (0..3).map(id).collect::<std::collections::BTreeSet<_>>();
    holds(3, &Terms::Named(named.try_into().unwrap()), &THREE, Rules::Relaxed);
}

#[test]
fn strict_foundings_of_too_many_servers_never_overlap_in_two_ballots() {
    holds(4, &count(2), &TWO, Rules::Strict);
}

#[test]
#[ignore = "1.2 million states: half a minute with --release"]
fn strict_foundings_of_too_many_servers_never_overlap_in_three_ballots() {
    holds(4, &count(2), &THREE, Rules::Strict);
}

#[test]
#[ignore = "1.7 million states: a minute with --release"]
fn strict_foundings_of_six_servers_never_overlap_in_two_ballots() {
    holds(6, &count(3), &TWO, Rules::Strict);
}

#[test]
fn a_reply_before_fsync_is_caught() {
    caught(3, &count(2), &TWO, Rules::Relaxed, Some(Mutant::ReplyBeforeFsync));
}

#[test]
fn a_ballot_announced_before_fsync_is_caught() {
    caught(3, &count(2), &TWO, Rules::Relaxed, Some(Mutant::PrepareBeforeFsync));
}

#[test]
fn a_quorum_too_small_is_caught() {
    caught(3, &count(2), &TWO, Rules::Relaxed, Some(Mutant::SmallQuorum));
}

#[test]
fn a_promise_that_omits_what_was_accepted_is_caught() {
    caught(3, &count(2), &TWO, Rules::Relaxed, Some(Mutant::OmitAccepted));
}

#[test]
fn an_own_value_in_spite_of_an_accepted_one_is_caught() {
    caught(3, &count(2), &TWO, Rules::Relaxed, Some(Mutant::OwnValue));
}

#[test]
fn an_accept_below_the_promise_is_caught() {
    caught(3, &count(2), &TWO, Rules::Relaxed, Some(Mutant::AcceptBelowPromise));
}

#[test]
fn a_wiped_disk_that_keeps_its_id_is_caught() {
    caught(3, &count(2), &TWO, Rules::Relaxed, Some(Mutant::WipedDisk));
}

#[test]
fn too_many_servers_without_the_guard_found_twice() {
    caught(4, &count(2), &TWO, Rules::Relaxed, None);
}

#[test]
fn a_take_over_without_the_promises_of_the_founders_is_caught() {
    caught(4, &count(2), &[&[0, 1, 2]], Rules::Strict, Some(Mutant::TakeOverWithoutFounders));
}

#[test]
fn founders_from_outside_the_counted_promises_are_caught() {
    caught(4, &count(2), &TWO, Rules::Strict, Some(Mutant::FoundersFromOutside));
}
