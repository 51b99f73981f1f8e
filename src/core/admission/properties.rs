//! Properties of every step over random looks, and the rules that these miss where they are left out.
//!
//! The oracle reads the looks alone and knows none of the judge's own questions. What it cannot see, since nothing happens, is
//! for the exhaustive check: a rule that only makes the agents do something.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    Admission, Agent, Answer, Ask, Away, Beside, Change, Kind, Life, Listed, Look, Numbers, Removal, Seen,
    Step,
    fixture::{self, CHRONIK, ETCD, ZOOKEEPER, id, member},
    judge::Judge,
    rule::{Rule, Rules},
    times::Times,
};
use crate::node::Role;

/// Servers of a random cluster.
const SERVERS: usize = 7;

/// A random cluster, and how it looked before: each look with the time to the next one.
type History = Vec<(Look, Duration)>;

/// The dice of one history; the same seed gives the same history.
struct Dice(StdRng);

impl Dice {
    fn is(&mut self, in_a_hundred: u32) -> bool {
        self.0.random_range(0..100) < in_a_hundred
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())].clone()
    }

    fn address(&mut self) -> Option<String> {
        self.is(25).then(|| format!("10.0.0.{}:1", self.0.random_range(0..4)))
    }

    fn agent(&mut self, server: usize) -> Agent {
        let away = self.one_of(&[Away::Failed, Away::Left, Away::Retired, Away::Forgotten]);
        let life = match self.0.random_range(0..10) {
            0..6 => Life::Alive,
            6 => Life::AwayForSome(away),
            _ => Life::AwayForAll(away),
        };
        let beside = self.one_of(&[
            Beside::Unknown,
            Beside::Blank,
            Beside::Waiting,
            Beside::Waiting,
            Beside::Begun,
            Beside::Begun,
            Beside::Lost,
        ]);
        Agent {
            life,
            role: if self.is(10) { Role::Observer } else { Role::Server },
            is_proven: self.is(80),
            is_leaving: self.is(10),
            address: self.address(),
            ..fixture::agent(server, beside)
        }
    }

    fn listed(&mut self, server: usize) -> Listed {
        let seen = match self.0.random_range(0..9) {
            0..2 => Seen::Down,
            2 => Seen::Up,
            _ => Seen::CaughtUp,
        };
        let is_voter = self.is(80);
        Listed {
            has_run: self.one_of(&[None, None, None, Some(true), Some(false)]),
            address: self.address(),
            node: self.is(90).then(|| id(server)),
            ..fixture::listed(server, is_voter, seen)
        }
    }

    /// A server's agent and its place on the list, anew.
    fn change(&mut self, look: &mut Look, server: usize) {
        look.agents.remove(&id(server));
        look.list.members.remove(&member(server));
        if self.is(90) {
            look.agents.insert(id(server), self.agent(server));
        }
        if self.is(65) {
            look.list.members.insert(member(server), self.listed(server));
        }
    }

    /// Looks of which each may differ from the one before in one server.
    fn history(&mut self) -> History {
        let kind = self.one_of(&[ETCD, ZOOKEEPER, CHRONIK]);
        let mut look = fixture::look(kind, 0, 0);
        look.list.version = self.is(50).then(|| self.0.random_range(0..9));
        look.settings.voters = self
            .one_of(&[None, None, Some(1_u16), Some(3), Some(5), Some(7)])
            .map(|most| most.try_into().unwrap());
        look.settings.founders = self.0.random_range(1..=SERVERS);
        look.settings.has_group_key = self.is(85);
        look.settings.replace_failed = self.is(90).then_some(Duration::from_secs(300));
        if self.is(20) {
            let mut on_disk = BTreeMap::new();
            for server in 0..SERVERS {
                if self.is(80) {
                    on_disk.insert(id(server), self.0.random_range(0..4));
                }
            }
            look.numbers = Some(Numbers { on_disk });
        }
        (0..SERVERS).for_each(|server| self.change(&mut look, server));
        let mut history = Vec::new();
        for _ in 0..self.0.random_range(0..14) {
            let gap = self.one_of(&[5, 30, 60, 60, 60, 60, 61]);
            history.push((look.clone(), Duration::from_secs(gap)));
            if self.is(30) {
                let server = self.0.random_range(0..SERVERS);
                self.change(&mut look, server);
            }
        }
        history.push((look, Duration::ZERO));
        history
    }
}

fn history(seed: u64) -> History {
    Dice(StdRng::seed_from_u64(seed)).history()
}

/// Time for which `is` held in every look up to the last one, no two of them too far apart.
fn held(history: &History, is: impl Fn(&Look) -> bool) -> Duration {
    let mut held = Duration::ZERO;
    let mut looks = history.iter().rev();
    assert!(looks.next().is_none_or(|(look, _)| is(look)), "it does not hold now");
    for (look, gap) in looks {
        if !is(look) || *gap > Duration::from_secs(60) {
            break;
        }
        held += *gap;
    }
    held
}

fn voters(look: &Look) -> Vec<&Listed> {
    look.list.members.values().filter(|member| member.is_voter).collect()
}

fn agent_of<'a>(look: &'a Look, listed: &Listed) -> Option<&'a Agent> {
    look.agents.get(&listed.node?)
}

fn is_gone(look: &Look, listed: &Listed) -> bool {
    let is_away = agent_of(look, listed).is_some_and(|agent| matches!(agent.life, Life::AwayForAll(_)));
    listed.seen == Seen::Down && is_away
}

fn is_willing(agent: &Agent) -> bool {
    agent.life == Life::Alive && agent.role == Role::Server && !agent.is_leaving
}

fn is_ready(look: &Look, listed: &Listed) -> bool {
    !listed.is_voter && listed.seen == Seen::CaughtUp && agent_of(look, listed).is_some_and(is_willing)
}

/// Voters, and those of them that are up, after a change.
fn after(look: &Look, change: &Change) -> (usize, usize) {
    let count = voters(look).len();
    let up = voters(look).iter().filter(|voter| voter.seen != Seen::Down).count();
    let of = |named: &super::Named| &look.list.members[&named.id];
    match change {
        Change::AdmitLearner(_) => (count, up),
        Change::AdmitVoter(_) => (count + 1, up),
        Change::Promote(_) => (count + 1, up + 1),
        Change::Remove(removed, _) if of(removed).is_voter => {
            (count - 1, up - usize::from(of(removed).seen != Seen::Down))
        }
        Change::Remove(..) => (count, up),
        Change::RemoveAndPromote { voter, .. } => (count, up + 1 - usize::from(of(voter).seen != Seen::Down)),
        Change::UpdateAddress { member, .. } => {
            let is_up = of(member).is_voter && of(member).seen != Seen::Down;
            (count, up - usize::from(is_up))
        }
    }
}

macro_rules! rule {
    ($condition:expr, $what:literal) => {
        if !$condition {
            return Err($what);
        }
    };
}

/// Says whether a step of the agents' own is as it must be.
fn is_sound(history: &History, step: &Step) -> Result<(), &'static str> {
    let look = &history.last().unwrap().0;
    let (count, up) = after(look, &step.change);
    rule!(step.on_version == look.list.version, "on the condition of the version");
    rule!(up > count / 2, "a majority of the new list is up");
    let all_up = voters(look).iter().all(|voter| voter.seen != Seen::Down);
    let most = look.settings.voters.map_or(
        if look.list.kind.learner_room > 0 { usize::MAX } else { look.settings.founders },
        super::VoterCount::get,
    );
    let grows = matches!(step.change, Change::AdmitVoter(_) | Change::Promote(_));
    rule!(!grows || count <= most, "no more than --voters");
    rule!(!grows || count % 2 == 1 || all_up, "outnumbers a voter that is not seen");
    match &step.change {
        Change::AdmitLearner(newcomer) | Change::AdmitVoter(newcomer) => {
            let is_taken = all_up || look.list.kind.admits_beside_the_dead;
            rule!(is_taken || matches!(step.change, Change::AdmitVoter(_)), "a learner beside a dead voter");
            let agent = &look.agents[&newcomer.node];
            let is_listed = look.list.members.values().any(|member| member.node == Some(newcomer.node));
            rule!(is_willing(agent) && !is_listed, "a living agent of a server that is not listed");
            rule!(matches!(agent.server, Beside::Blank | Beside::Waiting | Beside::Lost), "blank");
            rule!(look.settings.has_group_key && agent.is_proven, "proven");
            rule!(look.numbers.is_some() == newcomer.number.is_some(), "numbered");
        }
        Change::Promote(learner) => {
            rule!(is_ready(look, &look.list.members[&learner.id]), "has caught up");
        }
        Change::RemoveAndPromote { voter, learner } => {
            rule!(look.list.kind.can_swap, "can swap");
            rule!(is_ready(look, &look.list.members[&learner.id]), "has caught up");
            is_gone_long_enough(history, &voter.id)?;
        }
        Change::Remove(removed, why) => is_removal_sound(history, &removed.id, *why)?,
        Change::UpdateAddress { member, address } => {
            let agent = agent_of(look, &look.list.members[&member.id]).unwrap();
            rule!(agent.is_proven && agent.address.as_ref() == Some(address), "announced");
        }
    }
    if matches!(step.change, Change::AdmitVoter(_)) {
        rule!(look.list.kind.learner_room == 0, "has no learners");
        rule!(!has_pending(look), "one at a time");
    }
    Ok(())
}

/// True if a voter shows that it has never run.
fn has_pending(look: &Look) -> bool {
    voters(look).iter().any(|voter| {
        let waits = agent_of(look, voter).is_some_and(|agent| agent.server == Beside::Waiting);
        voter.seen == Seen::Down && voter.has_run.map_or(waits, |has_run| !has_run)
    })
}

fn is_gone_long_enough(history: &History, removed: &crate::bootstrap::ServerId) -> Result<(), &'static str> {
    let look = &history.last().unwrap().0;
    rule!(is_gone(look, &look.list.members[removed]), "gone");
    let held = held(history, |look| {
        look.list.members.get(removed).is_some_and(|it| it.is_voter && is_gone(look, it))
    });
    rule!(look.settings.replace_failed.is_some_and(|patience| held >= patience), "gone for long enough");
    Ok(())
}

fn is_removal_sound(
    history: &History,
    removed: &crate::bootstrap::ServerId,
    why: Removal,
) -> Result<(), &'static str> {
    let look = &history.last().unwrap().0;
    let listed = &look.list.members[removed];
    let is_odd = voters(look).len() % 2 == 1;
    match why {
        Removal::Gone => {
            is_gone_long_enough(history, removed)?;
            let ready = look.list.members.values().any(|member| is_ready(look, member));
            let listed = |node| look.list.members.values().any(|member| member.node == Some(node));
            let waits = look.agents.iter().any(|(node, agent)| {
                let is_blank = matches!(agent.server, Beside::Blank | Beside::Waiting | Beside::Lost);
                is_willing(agent) && is_blank && !listed(*node)
            });
            let Kind { learner_room, admits_beside_the_dead, .. } = look.list.kind;
            let learns = look.list.members.values().any(|member| !member.is_voter);
            let needs_room = learner_room == 0 || !admits_beside_the_dead && !learns;
            let takes_over = ready || waits && needs_room;
            rule!(!is_odd || takes_over, "somebody takes its place");
            rule!(!is_odd || !look.list.kind.can_swap, "in one change");
        }
        Removal::NotUp => {
            rule!(listed.seen == Seen::Down, "not up");
            let is_down =
                |look: &Look| look.list.members.get(removed).is_some_and(|member| member.seen == Seen::Down);
            rule!(held(history, is_down) >= Duration::from_secs(120), "not up for two minutes");
        }
        Removal::Leaves => {
            let agent = agent_of(look, listed).filter(|agent| agent.life == Life::Alive && agent.is_leaving);
            rule!(agent.is_some(), "leaves");
            let mut others =
                look.list.members.iter().filter(|(id, member)| *id != removed && member.is_voter);
            let all_up = others.all(|(_, member)| member.seen != Seen::Down);
            rule!(
                !listed.is_voter || !is_odd || all_up,
                "from an odd list only while every other voter is up"
            );
        }
        Removal::Asked => return Err("nobody has asked"),
    }
    Ok(())
}

/// Every step that the rules allow after this history.
fn steps(history: &History, rules: Rules) -> Vec<Step> {
    let mut now = fixture::start();
    let mut times = Times::default();
    for (look, gap) in history {
        times.observe(look, now);
        now += *gap;
    }
    Judge::new(&history.last().unwrap().0, &times, now, rules).steps()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16_000) })]

    #[test]
    fn every_step_is_sound_and_the_first_is_given_out(seed: u64) {
        let history = history(seed);
        let all = steps(&history, Rules::ALL);
        for step in &all {
            prop_assert_eq!(is_sound(&history, step), Ok(()), "{:?}", step);
        }
        let (mut one, mut two) = (Admission::default(), Admission::default());
        let mut now = fixture::start();
        for (look, gap) in &history {
            let outlook = one.handle_look(look, now);
            prop_assert_eq!(&outlook, &two.handle_look(look, now));
            for wait in outlook.waits.values() {
                prop_assert!(!wait.code().is_empty() && !wait.to_string().ends_with(['.', ' ']));
            }
            now += *gap;
        }
        let outlook = one.handle_look(&history.last().unwrap().0, now);
        prop_assert_eq!(outlook.step.as_ref(), all.first());
    }

    #[test]
    fn a_plan_never_costs_the_quorum_but_where_it_says_so(seed: u64, server in 0..SERVERS, kind in 0..3) {
        let history = history(seed);
        let look = &history.last().unwrap().0;
        let mut admission = Admission::default();
        let ask = match kind {
            0 => Ask::Add(id(server)),
            1 => Ask::Remove(member(server)),
            _ => Ask::Replace(member(server)),
        };
        match admission.ask(&ask, look, fixture::start()) {
            Ok(Answer::Does(plan)) => {
                prop_assert_eq!(plan.step.on_version, look.list.version);
                let (count, up) = after(look, &plan.step.change);
                let says = plan.notes.iter().any(|note| note.to_string().contains("has no quorum"));
                prop_assert!(up > count / 2 || says && count == 2, "{}", plan);
                let text = plan.to_string();
                prop_assert!(text.starts_with("first "), "{}", text);
                let all_up = voters(look).iter().all(|voter| voter.seen != Seen::Down);
                let grows = matches!(plan.step.change, Change::AdmitVoter(_) | Change::Promote(_));
                prop_assert!(!grows || count % 2 == 1 || all_up, "{}", plan);
            }
            Ok(Answer::Waits(wait)) => prop_assert!(!wait.sentence().is_empty()),
            Ok(Answer::Done) => {}
            Err(refused) => {
                let text = refused.to_string();
                prop_assert!(text.contains(": "), "a cause and a remedy: {}", text);
            }
        }
    }
}

/// The check that misses a rule where it is left out.
#[derive(PartialEq, Eq)]
enum By {
    /// The exhaustive check, in `checker/instances`.
    Search,
    /// The properties above.
    Property,
    /// Both.
    Both,
}

fn missed_by(rule: Rule) -> By {
    match rule {
        Rule::Spare | Rule::Even | Rule::NotUp => By::Search,
        Rule::OneAtATime
        | Rule::GroupKey
        | Rule::Proven
        | Rule::Gone
        | Rule::Patience
        | Rule::Joiner
        | Rule::TwoMinutes => By::Property,
        Rule::Majority
        | Rule::LearnerFirst
        | Rule::CaughtUp
        | Rule::NeverOutnumber
        | Rule::Seen
        | Rule::NewMajority
        | Rule::Enough
        | Rule::Blank
        | Rule::First
        | Rule::Leaver
        | Rule::Version => By::Both,
    }
}

#[test]
fn each_rule_that_keeps_from_a_step_is_missed() {
    for rule in Rule::ALL.iter().copied().filter(|rule| missed_by(*rule) != By::Search) {
        let is_missed = (0..20_000).any(|seed| {
            let history = history(seed);
            steps(&history, Rules::without(rule)).iter().any(|step| is_sound(&history, step).is_err())
        });
        assert!(is_missed, "{rule:?} is left out, and no step is unsound");
    }
}

#[test]
fn a_random_kind_is_each_kind() {
    // The properties say something about each only if they meet it.
    let mut met: Vec<(Kind, std::mem::Discriminant<Change>)> = Vec::new();
    for seed in 0..20_000 {
        let history = history(seed);
        for step in steps(&history, Rules::ALL) {
            let entry = (history[0].0.list.kind, std::mem::discriminant(&step.change));
            if !met.contains(&entry) {
                met.push(entry);
            }
        }
    }
    let of = |kind: Kind| met.iter().filter(|(met, _)| *met == kind).count();
    // Chronik: admitted with a vote, promoted (it may be listed so), removed, another address; etcd: admitted without a vote,
    // promoted, removed, another address; ZooKeeper: in one change, too.
    assert_eq!((of(CHRONIK), of(ETCD), of(ZOOKEEPER)), (4, 4, 5));
}
