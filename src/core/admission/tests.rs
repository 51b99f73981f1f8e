//! Stories of single rules: a look, and all that follows.

use std::time::Duration;

use super::{
    Admission, Agent, Answer, Ask, Away, Beside, Change, Kind, Life, Listed, Look, Newcomer, Numbers,
    Outlook, Removal, Seen, Spread, Wait,
    fixture::{CHRONIK, ETCD, ZOOKEEPER, agent, down, id, listed, look, member, start},
    judge::Judge,
    rule::Rules,
    times::{LOOKS_APART, Times},
};
use crate::node::Role;

const MINUTE: Duration = Duration::from_secs(60);

/// The outlook of an agent that has seen nothing else for so many minutes.
fn after_minutes(look: &Look, minutes: u32) -> Outlook {
    let mut admission = Admission::default();
    let begin = start();
    (0..minutes).for_each(|minute| drop(admission.handle_look(look, begin + MINUTE * minute)));
    admission.handle_look(look, begin + MINUTE * minutes)
}

/// The step as it is told, after so many minutes.
fn step(look: &Look, minutes: u32) -> String {
    after_minutes(look, minutes).step.map(|step| step.change.to_string()).unwrap_or_default()
}

/// The code of each reason to wait.
fn waits(look: &Look) -> Vec<(String, &'static str)> {
    let waits = after_minutes(look, 0).waits;
    waits.into_iter().map(|(node, wait)| (look.agents[&node].name.clone(), wait.code())).collect()
}

fn add(look: &mut Look, server: usize, is_voter: bool, seen: Seen) {
    look.list.members.insert(member(server), listed(server, is_voter, seen));
    look.agents.insert(id(server), agent(server, Beside::Begun));
}

fn member_mut(look: &mut Look, server: usize) -> &mut Listed {
    look.list.members.get_mut(&member(server)).unwrap()
}

fn agent_mut(look: &mut Look, server: usize) -> &mut Agent {
    look.agents.get_mut(&id(server)).unwrap()
}

fn told(answer: Answer) -> String {
    match answer {
        Answer::Does(plan) => plan.to_string(),
        Answer::Waits(wait) => wait.code().to_owned(),
        Answer::Done => "done".to_owned(),
    }
}

/// The answer to a wish, or its refusal, as it is told.
fn ask(look: &Look, ask: &Ask) -> String {
    match Admission::default().ask(ask, look, start()) {
        Ok(answer) => told(answer),
        Err(refused) => format!("refused: {refused}"),
    }
}

#[test]
fn with_learners_a_newcomer_runs_first_and_then_votes() {
    let mut look = look(ETCD, 3, 1);
    let newcomer = Newcomer { node: id(3), name: "d".to_owned(), number: None };
    let outlook = after_minutes(&look, 0);
    assert_eq!(outlook.waits.len(), 0);
    let first = outlook.step.unwrap();
    assert_eq!((first.change, first.on_version), (Change::AdmitLearner(newcomer), Some(7)));
    add(&mut look, 3, false, Seen::Up);
    assert_eq!((step(&look, 0).as_str(), waits(&look)), ("", vec![("d".to_owned(), "catching_up")]));
    member_mut(&mut look, 3).seen = Seen::CaughtUp;
    assert_eq!(step(&look, 0), "give d a vote");
    down(&mut look, 0, false);
    assert_eq!((step(&look, 0).as_str(), waits(&look)), ("", vec![("d".to_owned(), "voter_down")]));
    down(&mut look, 0, true);
    assert_eq!((step(&look, 0).as_str(), waits(&look)), ("", vec![("d".to_owned(), "voter_to_replace")]));
}

#[test]
fn a_gone_voter_is_replaced_by_a_learner_in_two_changes_or_one() {
    for (kind, told) in
        [(ETCD, "remove a, which is gone"), (ZOOKEEPER, "remove a and give d its vote, in one change")]
    {
        let mut look = look(kind, 3, 0);
        add(&mut look, 3, false, Seen::CaughtUp);
        down(&mut look, 0, true);
        assert_eq!(step(&look, 9), "", "{kind:?}");
        assert_eq!(step(&look, 10), told);
        look.settings.replace_failed = None;
        assert_eq!(step(&look, 600), "", "--replace-failed never");
        look.settings.replace_failed = Some(MINUTE);
        agent_mut(&mut look, 0).life = Life::AwayForSome(Away::Failed);
        assert_eq!(step(&look, 10), "", "some still see its agent");
        down(&mut look, 0, true);
        member_mut(&mut look, 0).node = None;
        assert_eq!(step(&look, 10), "", "nobody knows an agent of it");
    }
}

#[test]
fn an_odd_list_keeps_a_gone_voter_until_a_newcomer_is_ready_and_an_even_one_does_not() {
    let mut odd = look(ETCD, 3, 0);
    down(&mut odd, 0, true);
    assert_eq!(step(&odd, 60), "");
    let mut even = look(ETCD, 4, 0);
    down(&mut even, 0, true);
    assert_eq!(step(&even, 10), "remove a, which is gone");
    let mut without = look(CHRONIK, 3, 1);
    down(&mut without, 0, true);
    assert_eq!(waits(&without), [("d".to_owned(), "voter_to_replace")]);
    assert_eq!(step(&without, 10), "remove a, which is gone");
    without.list.members.remove(&member(0));
    assert_eq!(step(&without, 0), "admit d with a vote");
}

/// Seen with etcd 3.4.23: it refuses a learner as long as any voter is not connected, with the key and without.
#[test]
fn a_server_that_takes_no_learner_beside_the_dead_has_these_removed_first() {
    let mut look = look(ETCD, 3, 1);
    down(&mut look, 0, false);
    assert_eq!((step(&look, 60).as_str(), waits(&look)), ("", vec![("d".to_owned(), "voter_down")]));
    assert!(ask(&look, &Ask::Add(id(3))).starts_with("refused: voter a is down"), "{look:?}");
    assert_eq!(
        ask(&look, &Ask::Replace(member(0))),
        "first remove a, then start the server of d, then give d a vote once it has caught up; \
         2 voters bear no more failures than 1"
    );
    down(&mut look, 0, true);
    assert_eq!(waits(&look), [("d".to_owned(), "voter_to_replace")]);
    assert_eq!((step(&look, 9).as_str(), step(&look, 10).as_str()), ("", "remove a, which is gone"));
    let mut learner = look.clone();
    add(&mut learner, 4, false, Seen::Up);
    assert_eq!(step(&learner, 10), "", "it is about to be ready");
    agent_mut(&mut look, 3).is_proven = false;
    assert_eq!(step(&look, 10), "", "nobody may take its place");
}

#[test]
fn time_counts_only_while_looks_are_close_together() {
    let mut look = look(CHRONIK, 4, 0);
    down(&mut look, 0, true);
    for (apart, told) in [(LOOKS_APART, true), (LOOKS_APART + Duration::from_millis(1), false)] {
        let mut admission = Admission::default();
        let begin = start();
        let last = (0..15).map(|at| admission.handle_look(&look, begin + apart * at)).last().unwrap();
        assert_eq!(last.step.is_some(), told, "{apart:?}");
    }
}

#[test]
fn a_voter_that_came_back_for_a_moment_has_its_whole_time_again() {
    let mut gone = look(CHRONIK, 4, 0);
    down(&mut gone, 0, true);
    let back = look(CHRONIK, 4, 0);
    let mut admission = Admission::default();
    let begin = start();
    (0..10).for_each(|at| drop(admission.handle_look(&gone, begin + MINUTE * at)));
    assert_eq!(admission.handle_look(&back, begin + MINUTE * 10).step, None);
    for minute in 11..21 {
        assert_eq!(admission.handle_look(&gone, begin + MINUTE * minute).step, None, "{minute}");
    }
    assert!(admission.handle_look(&gone, begin + MINUTE * 21).step.is_some());
}

#[test]
fn an_admitted_one_has_two_minutes_whatever_its_agent_says_meanwhile() {
    let mut waiting = look(CHRONIK, 3, 0);
    waiting.list.members.insert(member(3), listed(3, true, Seen::Down));
    waiting.agents.insert(id(3), agent(3, Beside::Waiting));
    let told = "remove d again, which was admitted and is not up";
    assert_eq!((step(&waiting, 1).as_str(), step(&waiting, 2).as_str()), ("", told));
    let mut begun = waiting.clone();
    agent_mut(&mut begun, 3).server = Beside::Begun;
    assert_eq!(step(&begun, 600), "", "it may have voted: it is a voter that is down");
    let then = |middle: &Look, last: &Look| {
        let mut admission = Admission::default();
        let begin = start();
        admission.handle_look(&waiting, begin);
        admission.handle_look(middle, begin + MINUTE);
        let step = admission.handle_look(last, begin + MINUTE * 2).step;
        step.map(|step| step.change.to_string()).unwrap_or_default()
    };
    assert_eq!(then(&begun, &begun), told, "it never was up");
    let mut up = begun.clone();
    member_mut(&mut up, 3).seen = Seen::Up;
    assert_eq!(then(&up, &begun), "", "it was up");
    let mut has_run = begun.clone();
    member_mut(&mut has_run, 3).has_run = Some(true);
    assert_eq!(then(&has_run, &has_run), "", "the list says that it has run");
    member_mut(&mut has_run, 3).has_run = Some(false);
    assert_eq!(step(&has_run, 2), told, "the list says that it has not");
}

#[test]
fn a_learner_that_is_away_for_two_minutes_makes_room() {
    let mut look = look(ETCD, 3, 1);
    add(&mut look, 4, false, Seen::CaughtUp);
    look.settings.voters = Some(3.try_into().unwrap());
    let code = |name: &str, code| (name.to_owned(), code);
    assert_eq!(waits(&look), [code("d", "enough_voters"), code("e", "enough_voters")]);
    look.settings.voters = None;
    down(&mut look, 4, true);
    assert_eq!(waits(&look), [code("d", "learner_first")]);
    assert_eq!(step(&look, 2), "remove e again, which was admitted and is not up");
    look.list.kind = Kind { learner_room: 2, ..ETCD };
    assert_eq!(step(&look, 0), "admit d without a vote");
}

#[test]
fn who_may_not_be_admitted_is_told_why() {
    let wait = |change: fn(&mut Look)| {
        let mut look = look(CHRONIK, 2, 1);
        look.settings.founders = 3;
        change(&mut look);
        let outlook = after_minutes(&look, 0);
        assert_eq!(outlook.step, None);
        outlook.waits.get(&id(2)).map(Wait::code)
    };
    assert_eq!(wait(|look| agent_mut(look, 2).server = Beside::Begun), Some("removed_voter"));
    assert_eq!(wait(|look| agent_mut(look, 2).server = Beside::Unknown), Some("server_unknown"));
    assert_eq!(wait(|look| look.settings.has_group_key = false), Some("no_group_key"));
    assert_eq!(wait(|look| agent_mut(look, 2).is_proven = false), Some("not_proven"));
    assert_eq!(wait(|look| look.settings.founders = 2), Some("enough_voters"));
    assert_eq!(wait(|look| down(look, 0, false)), Some("quorum_lost"));
    assert_eq!(wait(|look| agent_mut(look, 2).role = Role::Observer), None);
    assert_eq!(wait(|look| agent_mut(look, 2).life = Life::AwayForSome(Away::Failed)), None);
    let same_address = |look: &mut Look| {
        member_mut(look, 0).address = Some("10.0.0.1:1".to_owned());
        agent_mut(look, 2).address = Some("10.0.0.1:1".to_owned());
    };
    assert_eq!(wait(same_address), Some("address_listed"));
    let single = |look: &mut Look| drop(look.list.members.remove(&member(1)));
    assert_eq!(wait(single), Some("single_voter"));
    let pending = |look: &mut Look| {
        member_mut(look, 1).seen = Seen::Down;
        agent_mut(look, 1).server = Beside::Waiting;
        add(look, 3, true, Seen::Up);
        look.settings.founders = 5;
    };
    assert_eq!(wait(pending), Some("admitted_not_up"));
}

#[test]
fn voters_leave_one_after_the_other_and_never_the_last() {
    let mut look = look(ETCD, 3, 0);
    (0..3).for_each(|server| agent_mut(&mut look, server).is_leaving = true);
    let code = |name: &str, code| (name.to_owned(), code);
    assert_eq!(step(&look, 0), "remove a, which leaves for good");
    assert_eq!(waits(&look), [code("b", "in_line"), code("c", "in_line")]);
    down(&mut look, 2, false);
    assert_eq!(
        (step(&look, 0).as_str(), waits(&look)[0].1),
        ("remove c, which leaves for good", "voter_down")
    );
    look.list.members.remove(&member(2));
    look.list.members.remove(&member(0));
    assert_eq!((step(&look, 0).as_str(), waits(&look)), ("", vec![code("b", "last_voter")]));
}

#[test]
fn an_address_changes_where_the_others_are_a_majority() {
    let mut look = look(ETCD, 3, 0);
    (0..3).for_each(|server| member_mut(&mut look, server).address = Some(format!("10.0.0.{server}:1")));
    agent_mut(&mut look, 1).address = Some("10.0.1.1:1".to_owned());
    assert_eq!(step(&look, 0), "change the address of b to 10.0.1.1:1", "it is up, and two others are");
    down(&mut look, 0, false);
    assert_eq!(step(&look, 0), "", "a wrong one would cost the quorum");
    let mut moved = look.clone();
    member_mut(&mut moved, 0).seen = Seen::Up;
    member_mut(&mut moved, 1).seen = Seen::Down;
    assert_eq!(step(&moved, 0), "change the address of b to 10.0.1.1:1", "it is not seen anyway");
    moved.settings.has_group_key = false;
    assert_eq!(step(&moved, 0), "", "anybody could announce it");
}

#[test]
fn numbers_are_given_by_the_admission_and_kept_before_a_removal() {
    let mut look = look(CHRONIK, 3, 1);
    look.settings.founders = 5;
    (0..3).for_each(|server| member_mut(&mut look, server).number = Some(server as u64 + 1));
    let answers = |on_disk: &[(usize, u64)]| {
        Some(Numbers { on_disk: on_disk.iter().map(|(server, number)| (id(*server), *number)).collect() })
    };
    look.numbers = answers(&[(0, 6)]);
    assert_eq!((step(&look, 0).as_str(), waits(&look)), ("", vec![("d".to_owned(), "number_unknown")]));
    look.numbers = answers(&[(0, 6), (1, 3)]);
    let outlook = after_minutes(&look, 0);
    assert_eq!(outlook.step.unwrap().change.to_string(), "admit d as number 7 with a vote");
    assert_eq!(outlook.spread, Some(Spread { number: 6, to: [id(1), id(2)].into() }));
    look.agents.remove(&id(3));
    agent_mut(&mut look, 1).is_leaving = true;
    let wait = after_minutes(&look, 0).waits.remove(&id(1)).unwrap();
    assert_eq!(wait, Wait::NumberNotKept { number: 6, have: 1, need: 2, without: [id(2)].into() });
    look.numbers = answers(&[(0, 6), (2, 6)]);
    assert_eq!(step(&look, 0), "remove b, which leaves for good");
    look.numbers = answers(&[(0, u64::MAX), (1, 3)]);
    assert_eq!(
        ask(&look, &Ask::Remove(member(0))),
        "refused: 0 of 2 voters that stay have number 18446744073709551615 on disk as given: \
         nothing to do, they are being told; start those that are not alive"
    );
}

#[test]
fn a_plan_says_what_it_will_do_first() {
    let keyless = |kind, voters| {
        let mut look = look(kind, voters, 1);
        look.settings.has_group_key = false;
        look
    };
    assert_eq!(
        ask(&keyless(ETCD, 3), &Ask::Add(id(3))),
        "first admit d without a vote, then start the server of d, then give d a vote once it has caught up; \
         4 voters bear no more failures than 3"
    );
    assert_eq!(
        ask(&keyless(CHRONIK, 1), &Ask::Add(id(1))),
        "first admit b with a vote, then start the server of b; 2 voters bear no more failures than 1; \
         --voters keeps 1, and this is one more; from this step until the server of b runs, the cluster has no quorum"
    );
    assert_eq!(ask(&keyless(ETCD, 3), &Ask::Add(id(0))), "done");
    assert_eq!(
        ask(&look(ETCD, 3, 0), &Ask::Remove(member(0))),
        "first remove a; the list bears 1 more failures now, and 0 after this step; \
         2 voters bear no more failures than 1"
    );
    assert_eq!(ask(&look(ETCD, 3, 0), &Ask::Remove(member(5))), "done");
    assert_eq!(
        ask(&look(ETCD, 3, 1), &Ask::Replace(member(0))),
        "first admit d without a vote, then start the server of d, \
         then remove a and give d its vote once that has caught up"
    );
}

#[test]
fn a_replacement_takes_a_learner_a_joiner_or_the_same_server_anew() {
    let mut ready = look(ETCD, 3, 0);
    add(&mut ready, 3, false, Seen::CaughtUp);
    down(&mut ready, 0, false);
    let replaced = ask(&ready, &Ask::Replace(member(0)));
    assert_eq!(
        replaced,
        "first remove a, then give d a vote once it has caught up; 2 voters bear no more failures than 1"
    );
    ready.list.kind = ZOOKEEPER;
    assert_eq!(
        ask(&ready, &Ask::Replace(member(0))),
        "first remove a and give d its vote, in one change; \
         the list bears 0 more failures now, and 1 after this step"
    );
    member_mut(&mut ready, 3).seen = Seen::Up;
    assert_eq!(ask(&ready, &Ask::Replace(member(0))), "catching_up");
    let mut lost = look(ETCD, 3, 0);
    down(&mut lost, 0, false);
    agent_mut(&mut lost, 0).server = Beside::Lost;
    lost.settings.has_group_key = false;
    assert_eq!(
        ask(&lost, &Ask::Replace(member(0))),
        "first remove a, then start the server of a, then give a a vote once it has caught up; \
         2 voters bear no more failures than 1; \
         no group key is set, so say `chronik-agent voters add a` after this step"
    );
    let mut without = look(CHRONIK, 3, 1);
    down(&mut without, 0, true);
    assert_eq!(
        ask(&without, &Ask::Replace(member(0))),
        "first remove a, then admit d with a vote, then start the server of d; \
         2 voters bear no more failures than 1"
    );
}

#[test]
fn a_refusal_says_why_and_what_to_do() {
    let down_voter = "voter b is down, and meanwhile an odd list bears neither a voter more nor one less: \
                      start b, or replace it with `chronik-agent voters replace b`";
    let mut one_down = look(CHRONIK, 3, 1);
    down(&mut one_down, 1, false);
    assert_eq!(ask(&one_down, &Ask::Add(id(3))), format!("refused: {down_voter}"));
    assert_eq!(ask(&one_down, &Ask::Remove(member(0))), format!("refused: {down_voter}"));
    assert!(ask(&one_down, &Ask::Remove(member(1))).starts_with("first remove b"));
    let mut lost = one_down.clone();
    down(&mut lost, 0, false);
    let too_few = "refused: 1 of 3 voters are up, too few to change the list: \
                   start the others; if they are lost for good, `chronik-agent voters recover`";
    for wish in [Ask::Add(id(3)), Ask::Remove(member(0)), Ask::Replace(member(0))] {
        assert_eq!(ask(&lost, &wish), too_few);
    }
    assert_eq!(
        ask(&look(ETCD, 1, 0), &Ask::Remove(member(0))),
        "refused: it is the last voter: add another first, or stop it without --for-good"
    );
    assert_eq!(
        ask(&look(ETCD, 3, 0), &Ask::Replace(member(0))),
        "refused: no blank server waits to take the place of a: start one with its agent, then ask again"
    );
    assert!(ask(&look(ETCD, 3, 0), &Ask::Replace(member(5))).starts_with("refused: member f is not on"));
    assert!(ask(&look(ETCD, 3, 0), &Ask::Add(id(5))).starts_with("refused: no agent "));
    let refused = |change: fn(&mut Agent)| {
        let mut look = look(ETCD, 3, 1);
        change(agent_mut(&mut look, 3));
        ask(&look, &Ask::Add(id(3)))
    };
    assert!(refused(|agent| agent.role = Role::Observer).starts_with("refused: agent d is an observer"));
    assert!(refused(|agent| agent.life = Life::AwayForAll(Away::Left)).contains("d is not alive"));
    assert!(refused(|agent| agent.is_leaving = true).contains("d leaves for good"));
    assert!(refused(|agent| agent.is_proven = false).contains("has not proven"));
    assert!(refused(|agent| agent.server = Beside::Begun).contains("empty its data directory"));
    let mut learner = look(ETCD, 3, 0);
    add(&mut learner, 3, false, Seen::CaughtUp);
    assert!(ask(&learner, &Ask::Replace(member(3))).starts_with("refused: d has no vote to replace"));
}

#[test]
fn an_old_vote_is_never_taken_back_by_the_removal_of_one_that_is_up() {
    let mut look = look(ETCD, 4, 0);
    down(&mut look, 0, true);
    member_mut(&mut look, 0).seen = Seen::Up;
    assert_eq!(step(&look, 60), "", "the leader sees its server, whatever is said of its agent");
    let mut times = Times::default();
    times.observe(&look, start());
    let steps = Judge::new(&look, &times, start(), Rules::ALL).steps();
    assert!(!steps.iter().any(|step| matches!(step.change, Change::Remove(_, Removal::Gone))));
}
