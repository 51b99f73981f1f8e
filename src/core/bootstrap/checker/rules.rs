//! Rules around the agreement, each with the run that goes wrong without it, made of the shipped parts.

use std::collections::BTreeSet;

use crate::bootstrap::{
    acceptor::Participation,
    agreement::Agreement,
    ballot::Ballot,
    campaign::Campaign,
    certificate::{Certificate, Unproven},
    fixture::{acceptance, counted, founder, id, key, name, proven},
    founding::Founding,
    message::Body,
    record::{Accepted, FoundingRecord},
    terms::Terms,
};
use crate::node::ClusterName;

/// Servers that expect two founders.
struct Servers(Vec<Agreement>);

impl Servers {
    fn new(records: impl IntoIterator<Item = FoundingRecord>) -> Self {
        Self(records.into_iter().map(Agreement::new).collect())
    }

    fn act<R>(&mut self, server: usize, act: impl FnOnce(&mut Agreement, &Participation<'_>) -> R) -> R {
        let (me, name, counted) = (founder(server), name(), counted(self.0.len()));
        let terms = terms();
        let part = Participation {
            cluster_name: &name,
            terms: Ok(&terms),
            founder: &me,
            zone: None,
            counted: &counted,
            most: None,
        };
        act(&mut self.0[server], &part)
    }

    /// Hands a question to a server, and its answer back.
    fn ask(&mut self, by: usize, other: usize) -> bool {
        let Some(question) = self.0[by].campaign().map(|campaign| campaign.question(&terms())) else {
            return false;
        };
        let answer = self.act(other, |agreement, part| agreement.receive(id(by), &question, part));
        let Some(answer) = answer else { return false };
        self.act(by, |agreement, part| agreement.receive(id(other), &answer, part));
        !matches!(answer, Body::Nack(_) | Body::Known(_))
    }

    /// A ballot of `by` that `other` promises; returns the founding that it fixes, which `by` accepts.
    fn propose(&mut self, by: usize, other: usize, round: u64) -> Option<Founding> {
        self.act(by, |agreement, part| agreement.begin(round - 1, part))?;
        if !self.ask(by, other) {
            return None;
        }
        let founders = [by, other].map(founder).to_vec();
        self.act(by, |agreement, part| {
            agreement.relax(part);
            agreement.propose(part, |_| Some(founders))
        });
        match self.0[by].campaign().map(|campaign| campaign.question(&terms())) {
            Some(Body::Accept(accept)) => Some(accept.founding),
            _ => None,
        }
    }

    fn accepted(&self, server: usize) -> Option<&Accepted> {
        self.0[server].record().accepted.as_ref()
    }
}

fn terms() -> Terms {
    Terms::Count(2.try_into().unwrap())
}

fn blank(servers: usize) -> Servers {
    Servers::new((0..servers).map(|server| FoundingRecord::blank(key(server))))
}

/// True if the acceptances of these servers make the shipped proposer conclude, when all have signed them in one ballot.
fn is_chosen(founding: &Founding, ballot: Ballot, by: BTreeSet<usize>) -> bool {
    let sign = |server| (id(server), acceptance(server, ballot, &terms(), founding));
    let by = by.into_iter().map(sign).collect();
    Campaign::accepting(ballot, true, founding.clone(), by).chosen(&terms()).is_some()
}

/// As many acceptances of one founding as make a quorum, but from two ballots: a later ballot chooses another founding all the same.
#[test]
fn acceptances_over_mixed_ballots_are_caught() {
    let mut servers = blank(3);
    let (mut given, mut foundings) = (Vec::new(), Vec::new());
    for (round, [by, other]) in (1..).zip([[0, 1], [1, 2], [2, 0], [0, 1]]) {
        let founding = servers.propose(by, other, round).unwrap();
        if round == 4 {
            assert!(servers.ask(by, other), "the last ballot is completed");
        }
        for server in 0..3 {
            if let Some(accepted) = servers.accepted(server).filter(|accepted| accepted.ballot.round == round)
            {
                given.push((accepted.ballot, accepted.founding.clone(), server));
            }
        }
        foundings.push(founding);
    }
    let [first, second] = [&foundings[0], &foundings[1]];
    assert!(first != second && foundings[2] == *first && foundings[3] == *second);
    let of = |founding: &Founding, ballot: Option<Ballot>| {
        let meant = given
            .iter()
            .filter(|(at, what, _)| what == founding && ballot.is_none_or(|ballot| ballot == *at));
        let by: BTreeSet<usize> = meant.map(|(_, _, by)| *by).collect();
        is_chosen(founding, founding.ballot(), by)
    };
    let in_one = |founding: &Founding| given.iter().any(|(ballot, ..)| of(founding, Some(*ballot)));
    assert!(of(first, None) && of(second, None), "over mixed ballots both are chosen");
    assert!(!in_one(first) && in_one(second), "in one ballot only one is");
    // As they were signed, they prove nothing.
    for founding in [first, second] {
        let meant = given.iter().filter(|(_, what, _)| what == founding);
        let signed = meant.map(|(ballot, what, by)| acceptance(*by, *ballot, &terms(), what));
        assert_eq!(Certificate::new(founding.clone(), signed).map(|_| ()), Err(Unproven::Mixed));
    }
    let concluded = servers.act(0, |agreement, part| agreement.conclude(part).is_some());
    assert!(concluded && servers.0[0].knowledge().foundings.contains_key(&second.id()));
}

/// The votes of one name are as they were after votes under another. In one record they would go: the second name's vote takes the
/// place of the first's, and the next ballot of the first name does not hear of it.
#[test]
fn one_vote_record_for_two_names_is_caught() {
    let other: ClusterName = "other".parse().unwrap();
    for has_one_record in [false, true] {
        let records = (0..3).map(|server| FoundingRecord::blank(key(server)).under(&name()));
        let mut servers = Servers::new(records);
        let first = servers.propose(0, 1, 1).unwrap();
        assert!(servers.ask(0, 1), "chosen by both");
        let before = servers.0[1].record().clone();
        let mut away = if has_one_record { before.clone() } else { before.clone().under(&other) };
        assert_eq!(away.has_voted(), has_one_record);
        let ballot = Ballot { round: 7, node: id(1) };
        let founding = Founding::new(&other, ballot, vec![founder(1)], None);
        away.promised = Some(ballot);
        away.accepted = Some(Accepted { ballot, terms: terms(), founding });
        let mut back = if has_one_record { away } else { away.under(&name()) };
        if has_one_record {
            // A founding of another name is none under this one.
            back.accepted = None;
        } else {
            assert_eq!((&back.promised, &back.accepted), (&before.promised, &before.accepted));
        }
        servers.0[1] = Agreement::new(back);
        let second = servers.propose(2, 1, 8).unwrap();
        assert!(servers.ask(2, 1));
        assert_eq!(second == first, !has_one_record, "a second founding, though the first was chosen");
    }
}

/// Servers that were told to join know the founding for ever. Those that forgot it would count each other, all blank, and found
/// again while its founders are down.
#[test]
fn a_joiner_that_forgets_a_proven_founding_is_caught() {
    let founding =
        Founding::new(&name(), Ballot { round: 1, node: id(0) }, [0, 1].map(founder).to_vec(), None);
    for forgets in [false, true] {
        let records = (0..4).map(|server| {
            let mut record = FoundingRecord::blank(key(server));
            record.knowledge.foundings.insert(founding.id(), proven(&founding));
            // The disk is all that a restart leaves.
            let json = serde_json::to_string(&record).unwrap();
            let mut record: FoundingRecord = serde_json::from_str(&json).unwrap();
            if forgets && server > 1 {
                record.knowledge.foundings.clear();
            }
            record
        });
        let mut servers = Servers::new(records);
        let second = servers.propose(2, 3, 2);
        assert_eq!(second.is_some(), forgets);
        if let Some(second) = second {
            assert!(servers.ask(2, 3) && second != founding);
            assert!(is_chosen(&second, second.ballot(), [2, 3].into()), "a second cluster");
        }
    }
}
