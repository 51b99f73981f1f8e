//! The failure detector alone: an input, and the exact actions that follow.

use foca::{Member, Message};
use rand::SeedableRng as _;

use super::*;
use crate::gossip::fixture::{View, peer};

/// Evidence of this node's own against member `number`.
fn suspicion(number: u8, evidence: Evidence) -> Suspect {
    Suspect { accused: peer(number), incarnation: 0, evidence, source: Source::Probe }
}

fn accusation(from: u8, accused: u8, evidence: Evidence) -> Accusation {
    Accusation { from: peer(from).id, accused: peer(accused), incarnation: 0, evidence }
}

/// Actions as text without the bytes of items, one a line.
fn told(out: &[Action]) -> Vec<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are told as they are")]
    let line = |action: &Action| match action {
        Action::Tell(Rumour::Accused(said)) => format!("accuse {:?}", said.evidence),
        Action::Send(to, Draft { message: Message::Ping(0), .. }) => format!("warn {}", to.addr().ip()),
        Action::Send(to, Draft { updates, items, .. }) => {
            format!("send {} updates and {} items to {}", updates.len(), items.len(), to.addr().ip())
        }
        Action::At(_, Tick::Verdict(_)) => "plan the verdict".to_owned(),
        Action::At(_, Tick::Sentence { .. }) => "plan the sentence".to_owned(),
        Action::Ask { purpose, .. } => {
            format!("ask for {}", format!("{purpose:?}").split('(').next().unwrap())
        }
        Action::After(_, Tick::CheckEnds(_)) => "plan the end of the check".to_owned(),
        Action::Condemn { judge, .. } => format!("condemn, {judge:?}"),
        Action::Apply(members, Telling::Aloud) => format!("apply {:?}", members[0].state()),
        Action::Suspect(suspect) => format!("suspect, {:?}", suspect.source),
        _ => format!("{action:?}"),
    };
    out.iter().map(line).collect()
}

/// A detector with an open case against member 2.
fn with_case(view: &mut View) -> Detector {
    let mut detector = Detector::default();
    view.suspect(2, 0);
    open(&mut detector, view, &suspicion(2, Evidence::Silent));
    detector
}

fn open(detector: &mut Detector, view: &mut View, suspect: &Suspect) -> Vec<String> {
    let mut out = vec![];
    let mut rng = StdRng::seed_from_u64(1);
    detector.open_case(suspect, &view.facts(), &mut rng, &mut out);
    told(&out)
}

fn review(detector: &mut Detector, view: &mut View) -> Vec<String> {
    let mut out = vec![];
    let mut rng = StdRng::seed_from_u64(1);
    detector.review(peer(2).id, &view.facts(), &mut rng, &mut out);
    told(&out)
}

#[test]
fn a_suspicion_that_the_engine_took_is_told_to_all_to_the_accused_and_to_others_who_look_for_themselves() {
    let mut view = View::of([2, 3]);
    let mut detector = Detector::default();
    let suspect = suspicion(2, Evidence::Silent);
    assert_eq!(open(&mut detector, &mut view, &suspect), [""; 0], "the engine holds it for alive");
    view.suspect(2, 0);
    let actions = open(&mut detector, &mut view, &suspect);
    let expected =
        ["accuse Silent", "warn 10.0.0.2", "send 0 updates and 1 items to 10.0.0.3", "plan the verdict"];
    assert_eq!(actions, expected);
    let check = Suspect { source: Source::Check, ..suspicion(3, Evidence::Silent) };
    view.suspect(3, 0);
    let actions = open(&mut detector, &mut view, &check);
    assert_eq!(actions, ["accuse Silent", "warn 10.0.0.3", "plan the verdict"], "others were asked already");
    assert_eq!(detector.suspicions(), 2);
}

#[test]
fn a_refusal_makes_an_open_case_worse_once() {
    let mut view = View::of([2, 3]);
    let mut detector = with_case(&mut view);
    let mut add = |evidence| {
        let mut out = vec![];
        assert!(detector.add_evidence(&suspicion(2, evidence), &view.facts(), &mut out));
        told(&out)
    };
    assert_eq!(add(Evidence::Silent), [""; 0]);
    assert_eq!(add(Evidence::Refused), ["accuse Refused", "plan the verdict"]);
    assert_eq!(add(Evidence::Refused), [""; 0]);
    let mut out = vec![];
    assert!(!detector.add_evidence(&suspicion(3, Evidence::Silent), &view.facts(), &mut out));
}

#[test]
fn a_suspicion_that_was_refuted_is_dropped_and_never_reaches_the_engine() {
    let mut view = View::of([2, 3]);
    let mut detector = with_case(&mut view);
    view.apply(Member::new(peer(2), 1, State::Alive));
    view.wait(Duration::from_secs(60));
    assert_eq!(review(&mut detector, &mut view), [""; 0]);
    let mut out = vec![];
    let late = suspicion(2, Evidence::Silent);
    assert!(!detector.add_evidence(&late, &view.facts(), &mut out), "the case is closed");
}

#[test]
fn a_verdict_falls_at_its_time_at_once_if_others_confirm_and_three_times_late_if_they_are_there_and_do_not() {
    let mut view = View::of([2, 3, 4]);
    let mut detector = with_case(&mut view);
    view.wait(Duration::from_millis(900));
    view.hear(3);
    assert_eq!(review(&mut detector, &mut view), ["plan the verdict"], "nobody confirms yet");
    for from in [3, 4] {
        let mut out = vec![];
        let said = accusation(from, 2, Evidence::Silent);
        detector.hear_accusation(said, &view.facts(), &mut out);
        assert_eq!(told(&out), ["plan the verdict"]);
    }
    assert_eq!(review(&mut detector, &mut view), ["condemn, Connected"]);

    let mut alone = with_case(&mut view);
    let mut late = 0;
    loop {
        view.wait(Duration::from_secs(4));
        view.hear(3);
        match &review(&mut alone, &mut view)[..] {
            [verdict] => break assert_eq!(verdict, "condemn, Connected"),
            again => assert_eq!(again[0], "warn 10.0.0.2"),
        }
        late += 1;
    }
    assert_eq!(late, 3);
}

#[test]
fn a_node_that_hears_nobody_judges_nobody_for_a_while_and_then_as_one_that_may_be_cut_off() {
    let mut view = View::of([2, 3]);
    view.hear(3);
    let mut detector = with_case(&mut view);
    view.wait(Duration::from_secs(20));
    assert_eq!(review(&mut detector, &mut view)[0], "warn 10.0.0.2");
    view.wait(Duration::from_secs(6));
    assert_eq!(review(&mut detector, &mut view), ["condemn, CutOff"]);
}

#[test]
fn another_nodes_verdict_counts_once_the_accused_has_had_the_time_to_refute() {
    let mut view = View::of([2, 3]);
    let mut detector = Detector::default();
    let hear = |detector: &mut Detector, view: &View| {
        let mut out = vec![];
        detector.hear_verdict(&Member::down(peer(2)), &view.facts(), &mut out);
        told(&out)
    };
    assert_eq!(hear(&mut detector, &view), ["suspect, Verdict"], "nothing was heard against it here");
    view.is_settling = true;
    assert_eq!(hear(&mut detector, &view), [""; 0], "this node has just given way");
    view.is_settling = false;
    view.suspect(2, 0);
    assert_eq!(hear(&mut detector, &view), ["plan the sentence"]);
    assert_eq!(hear(&mut detector, &view), [""; 0], "it is planned");
    view.wait(Timing::LAN.gone_after());
    let mut out = vec![];
    detector.carry_out(&peer(2), 0, &view.facts(), &mut out);
    assert_eq!(told(&out), ["apply Down"]);
    assert_eq!(hear(&mut detector, &view), ["apply Down"]);
    let doubted = Suspect { source: Source::Verdict, ..suspicion(2, Evidence::Silent) };
    open(&mut detector, &mut view, &doubted);
    assert_eq!(hear(&mut detector, &view), [""; 0], "its own suspicion of a verdict runs out first");
}

#[test]
fn a_suspect_that_is_heard_is_told_again_but_not_with_every_word() {
    let mut view = View::of([2]);
    let mut detector = Detector::default();
    let mut remind = |view: &View| {
        let mut out = vec![];
        detector.remind(&peer(2), &view.facts(), &mut out);
        told(&out)
    };
    assert_eq!(remind(&view), [""; 0], "it is no suspect");
    view.suspect(2, 0);
    assert_eq!(remind(&view), ["warn 10.0.0.2"]);
    assert_eq!(remind(&view), [""; 0]);
    view.wait(Timing::LAN.gone_after());
    assert_eq!(remind(&view), ["warn 10.0.0.2"]);
}

#[test]
fn a_member_that_others_suspect_is_looked_at_both_ways_and_they_are_told_what_came_of_it() {
    let mut view = View::of([2, 3, 4]);
    let mut detector = Detector::default();
    let check = |detector: &mut Detector, view: &View, asker| {
        let mut out = vec![];
        detector.check(peer(asker), &peer(2), 0, &view.facts(), &mut out);
        told(&out)
    };
    let looks = ["warn 10.0.0.2", "ask for Check", "plan the end of the check"];
    assert_eq!(check(&mut detector, &view, 3), looks);
    assert_eq!(check(&mut detector, &view, 4), [""; 0], "a look is under way");
    view.wait(Duration::from_millis(5));
    view.hear(2);
    let mut out = vec![];
    detector.end_check_stream(&peer(2), Evidence::Silent, &view.facts(), &mut out);
    let spoken = ["send 1 updates and 0 items to 10.0.0.3", "send 1 updates and 0 items to 10.0.0.4"];
    assert_eq!(told(&out), spoken, "it answers");
    check(&mut detector, &view, 3);
    let mut out = vec![];
    detector.end_check_stream(&peer(2), Evidence::Refused, &view.facts(), &mut out);
    assert_eq!(told(&out), ["suspect, Check", "send 0 updates and 1 items to 10.0.0.3"]);
    view.apply(Member::new(peer(2), 1, State::Alive));
    let known = ["send 1 updates and 0 items to 10.0.0.3"];
    assert_eq!(check(&mut detector, &view, 3), known, "it has refuted what they suspect");
}

#[test]
fn a_node_refutes_what_is_said_against_it_and_keeps_nothing_said_against_strangers() {
    let view = View::of([2]);
    let mut detector = Detector::default();
    let mut hear = |from, accused| {
        let mut out = vec![];
        let said = accusation(from, accused, Evidence::Silent);
        detector.hear_accusation(said, &view.facts(), &mut out);
        told(&out)
    };
    assert_eq!(hear(3, 1), ["apply Suspect"], "the engine refutes it");
    assert_eq!(hear(3, 9), [""; 0]);
    assert_eq!(hear(3, 2), [""; 0], "there is no case of its own");
    assert_eq!(detector.accusers.len(), 1);
}

/// By invented accusers, of ever later incarnations and lives, and against members that never were.
#[test]
fn a_hostile_member_cannot_make_a_node_remember_ever_more_words_against_others() {
    let view = View::of([2]);
    let mut detector = Detector::default();
    for number in 0..3_000_u16 {
        let from = NodeId::try_from((u128::from(number) << 8 | 7).to_be_bytes()).unwrap();
        let unknown = Peer::new(from, peer(2).addr(), peer(2).epoch(), 0);
        let later = peer(2).reborn(crate::node::Epoch(u64::from(number)), 0);
        for accused in [peer(2), later, unknown] {
            for evidence in [Evidence::Silent, Evidence::Refused] {
                let said = Accusation { from, accused, incarnation: number, evidence };
                detector.hear_accusation(said, &view.facts(), &mut vec![]);
            }
        }
    }
    let kept = detector.accusers.len();
    assert!(kept <= 6, "{kept} are remembered");
}
