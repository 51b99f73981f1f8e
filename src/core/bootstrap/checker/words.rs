//! Words of operators in every order: two clusters stand, one word keeps each, the second said with or without sight of the first,
//! and a third that has seen both; each arrives at each of two nodes by itself, in any order. The words are said and weighed by the
//! shipped code; the figures are those of the model of the plan, which has the same rule.

use std::collections::BTreeMap;

use crate::bootstrap::{
    agreement::Agreement,
    ballot::Ballot,
    fixture::{founder, id, key, name, proven, signed},
    founding::{ClusterId, Founding},
    knowledge::{Knowledge, Words},
    record::FoundingRecord,
    word::{Said, Word},
};
use crate::signing::Signed;

/// The clusters that stand at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Both,
    First,
    Second,
    /// Both, and operators have said opposite things of them.
    Disputed,
}

fn foundings() -> [Founding; 2] {
    [0, 3].map(|first| {
        let ballot = Ballot { round: 1, node: id(first) };
        Founding::new(&name(), ballot, (first..first + 3).map(founder).collect(), None)
    })
}

/// The knowledge of a node that has heard of both clusters and of no word.
fn silent() -> Knowledge {
    let foundings = foundings().into_iter().map(|founding| (founding.id(), proven(&founding))).collect();
    Knowledge { foundings, ..Knowledge::default() }
}

fn kept(knowledge: &Knowledge) -> Kept {
    let [first, second] = foundings().map(|founding| founding.id());
    let standing = knowledge.standing(None);
    let stands = |id: &ClusterId| standing.clusters.contains_key(id);
    match (stands(&first), stands(&second), standing.spoken.disputed.is_empty()) {
        (true, true, true) => Kept::Both,
        (true, true, false) => Kept::Disputed,
        (true, false, true) => Kept::First,
        (false, true, true) => Kept::Second,
        other => panic!("no cluster is left: {other:?}"),
    }
}

/// The word that node `node` says to keep cluster `kept`, where these words are known.
fn say(node: usize, kept: usize, known: &[&Signed<Word>]) -> Signed<Word> {
    let mut knowledge = silent();
    knowledge.words = known.iter().map(|word| (word.id(), (*word).clone())).collect();
    let record = FoundingRecord::blank(key(node)).under(&name());
    let mut agreement = Agreement::new(FoundingRecord { knowledge, ..record });
    let ids = foundings().map(|founding| founding.id());
    agreement.speak(Said::Keep { kept: ids[kept], given_up: [ids[1 - kept]].into() });
    let new = |word: &&Signed<Word>| !known.iter().any(|known| known.id() == word.id());
    agreement.knowledge().words.values().find(new).unwrap().clone()
}

fn orders(words: &[Signed<Word>]) -> Vec<Vec<Signed<Word>>> {
    if words.is_empty() {
        return vec![Vec::new()];
    }
    let from = |at: usize| {
        let mut rest = words.to_vec();
        let first = rest.remove(at);
        orders(&rest).into_iter().map(move |rest| [vec![first.clone()], rest].concat())
    };
    (0..words.len()).flat_map(from).collect()
}

/// The states that a node goes through.
fn states(order: &[Signed<Word>], weigh: impl Fn(&Knowledge, &[Signed<Word>]) -> Kept) -> Vec<Kept> {
    let mut knowledge = silent();
    let arrive = |(at, word): (usize, &Signed<Word>)| {
        let words = [(word.id(), word.clone())].into();
        let theirs = Knowledge { words, ..Knowledge::default() };
        assert!(knowledge.merge(&theirs, &name(), id(5), Words::Everywhere));
        weigh(&knowledge, &order[..=at])
    };
    order.iter().enumerate().map(arrive).collect()
}

/// The number of orders by whether there is a third word, whether the second had seen the first, and the ends of two nodes.
type Ends = BTreeMap<(bool, bool, Kept, Kept), usize>;

/// The ends of both nodes, by whether there is a third word and whether the second had seen the first; and the orders in which a node
/// that kept one cluster is told to keep the other.
fn run(weigh: impl Fn(&Knowledge, &[Signed<Word>]) -> Kept + Copy) -> (Ends, usize) {
    let (mut ends, mut turns) = (BTreeMap::new(), 0);
    for has_seen in [false, true] {
        for has_third in [false, true] {
            let first = say(0, 0, &[]);
            let second = if has_seen { say(1, 1, &[&first]) } else { say(1, 1, &[]) };
            let third = has_third.then(|| say(2, 0, &[&first, &second]));
            let words: Vec<Signed<Word>> = [first, second].into_iter().chain(third).collect();
            for one in orders(&words) {
                for other in orders(&words) {
                    let [one, other] = [&one, &other].map(|order| states(order, weigh));
                    let is_turn = |pair: &[Kept]| {
                        matches!(pair, [Kept::First, Kept::Second] | [Kept::Second, Kept::First])
                    };
                    turns += usize::from(one.windows(2).any(is_turn));
                    let end = (has_third, has_seen, *one.last().unwrap(), *other.last().unwrap());
                    *ends.entry(end).or_default() += 1;
                }
            }
        }
    }
    (ends, turns)
}

#[test]
fn every_order_of_arrival_ends_alike_on_every_node() {
    let (ends, turns) = run(|knowledge, _| kept(knowledge));
    let expected = [
        ((false, false, Kept::Disputed, Kept::Disputed), 4),
        ((false, true, Kept::Second, Kept::Second), 4),
        ((true, false, Kept::First, Kept::First), 36),
        ((true, true, Kept::First, Kept::First), 36),
    ];
    assert_eq!((ends, turns), (expected.into(), 26));
}

#[test]
fn words_by_order_of_arrival_are_caught() {
    let [first, _] = foundings().map(|founding| founding.id());
    let by_arrival = |_: &Knowledge, arrived: &[Signed<Word>]| {
        let keeps_first = matches!(&arrived.last().unwrap().said, Said::Keep { kept, .. } if *kept == first);
        if keeps_first { Kept::First } else { Kept::Second }
    };
    let (ends, _) = run(by_arrival);
    assert!(ends.keys().any(|(_, _, one, other)| one != other), "two nodes end alike: {ends:?}");
}

#[test]
fn words_that_only_add_up_are_caught() {
    let both_given_up = |knowledge: &Knowledge, _: &[Signed<Word>]| {
        let mut forgetful = knowledge.clone();
        forgetful.words = forgetful
            .words
            .into_values()
            .map(|word| {
                let node = (0..3).find(|node| id(*node) == word.node).unwrap();
                signed(node, Word { seen: [].into(), ..(*word).clone() })
            })
            .map(|word| (word.id(), word))
            .collect();
        kept(&forgetful)
    };
    let (ends, _) = run(both_given_up);
    let is_decided = |(has_third, _, one, _): &(bool, bool, Kept, Kept)| *has_third && *one != Kept::Disputed;
    assert!(!ends.keys().any(is_decided), "a third word ends nothing where none has seen another: {ends:?}");
}
