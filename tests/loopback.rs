//! Agents in processes of their own: start, crash, return, goodbye, pause. The bounds are what users may expect;
//! `--no-capture` shows the figures.

use std::time::Duration;

use serde_json::json;

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, ever_said, loopback, start, statuses, trio},
};

const SECOND: Duration = Duration::from_secs(1);
const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];

#[test]
fn three_in_any_order_are_three_within_a_second_of_the_last_start() {
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let (addrs, seeds) = addrs(3);
        let flags = ["--join", &seeds, "--bootstrap-expect", "3"];
        let names = ["a", "b", "c"];
        let mut agents = Vec::new();
        for n in &order[..2] {
            agents.push(start(names[*n], &addrs[*n], &flags));
        }
        // The first two have met before the last one starts.
        within(5 * SECOND, || match statuses(&agents[0]).len() {
            2 => Ok(()),
            count => Err(format!("{count} members")),
        });
        let quorum = agents[0].get("/v1/quorum").json();
        assert_eq!((&quorum["expect_met"], &quorum["voters_alive"]), (&json!(false), &json!(2)));
        let begin = now();
        agents.push(start(names[order[2]], &addrs[order[2]], &flags));
        within(SECOND.saturating_sub(begin.elapsed()), || all_say(&agents, &ALL));
        println!("{order:?}: all list three {:?} after the last start", begin.elapsed());
        let quorum = agents[0].get("/v1/quorum").json();
        assert_eq!((&quorum["expect_met"], &quorum["status"]), (&json!(true), &json!("forming")));
    }
}

#[test]
fn a_crash_is_known_within_three_seconds_and_the_return_within_one_under_the_same_id() {
    let [a, mut b, c] = trio(&[]);
    let id = |agent: &crate::running::Agent| agent.get("/v1/self").json()["id"].clone();
    let before = id(&b);
    b.kill();
    let gone = [("a", "alive"), ("b", "failed"), ("c", "alive")];
    let (_, took) = within(3 * SECOND, || all_say([&a, &c], &gone));
    println!("all know of the crash after {took:?}");
    let begin = now();
    b.restart();
    within(SECOND.saturating_sub(begin.elapsed()), || all_say([&a, &b, &c], &ALL));
    println!("all list it again {:?} after its start", begin.elapsed());
    assert_eq!(id(&b), before);
}

#[test]
fn sigterm_is_a_goodbye_within_three_seconds_and_never_a_failure() {
    let [a, mut b, c] = trio(&[]);
    b.signal("TERM");
    let begin = now();
    assert_eq!(b.wait_for_end(), 0);
    let took = begin.elapsed();
    assert!(took < 3 * SECOND, "it took {took:?}");
    let (_, more) = within(SECOND, || all_say([&a, &c], &[("a", "alive"), ("b", "left"), ("c", "alive")]));
    println!("ended {took:?} after the signal, all call it left {more:?} later");
    for agent in [&a, &c] {
        assert!(!ever_said(agent, "b", "failed") && !ever_said(agent, "b", "suspect"));
    }
    b.restart();
    within(2 * SECOND, || all_say([&a, &b, &c], &ALL));
}

#[test]
fn leave_by_the_api_is_a_goodbye_too() {
    let [a, mut b, c] = trio(&[]);
    let answer = b.post("/v1/leave", "");
    assert_eq!((answer.status(), answer.body.as_str()), (200, "{\"left\":true}\n"));
    assert_eq!(b.wait_for_end(), 0);
    within(SECOND, || all_say([&a, &c], &[("a", "alive"), ("b", "left"), ("c", "alive")]));
    assert!(!ever_said(&a, "b", "failed") && !ever_said(&c, "b", "failed"));
}

#[test]
fn a_second_signal_aborts_the_goodbye() {
    let [_a, mut b, _c] = trio(&[]);
    b.signal("TERM");
    // The first signal must have been caught, or the second would count as the first.
    within(SECOND, || b.log().contains("saying goodbye").then_some(()).ok_or_else(|| b.log()));
    let begin = now();
    // Those of the first moment are the same stop.
    within(SECOND, || {
        b.signal("INT");
        b.log().contains("stopped by a second signal").then_some(()).ok_or_else(|| b.log())
    });
    assert_eq!(b.wait_for_end(), 1);
    assert!(begin.elapsed() < SECOND);
    assert!(b.log().contains("stopped by a second signal before the goodbye was said"), "{}", b.log());
}

#[test]
fn an_agent_that_stood_still_for_five_seconds_accuses_no_other() {
    let [a, b, c] = trio(&[]);
    b.signal("STOP");
    let begin = now();
    let gone = [("a", "alive"), ("b", "failed"), ("c", "alive")];
    within(3 * SECOND, || all_say([&a, &c], &gone));
    within(6 * SECOND, || match begin.elapsed() {
        passed if passed >= 5 * SECOND => Ok(()),
        passed => Err(format!("only {passed:?} have passed")),
    });
    b.signal("CONT");
    let (_, took) = within(3 * SECOND, || all_say([&a, &b, &c], &ALL));
    println!("all list three {took:?} after it went on");
    for (observer, healthy) in [(&a, "c"), (&b, "a"), (&b, "c"), (&c, "a")] {
        assert!(!ever_said(observer, healthy, "failed"), "{}", observer.log());
    }
}

#[test]
fn two_of_three_expected_are_not_enough() {
    let (addrs, seeds) = addrs(3);
    let flags = ["--join", &seeds, "--bootstrap-expect", "3"];
    let agents = [start("a", &addrs[0], &flags), start("b", &addrs[1], &flags)];
    let observer = start("o", &addrs[2], &["--join", &seeds, "--role", "observer"]);
    let there = [("a", "alive"), ("b", "alive"), ("o", "alive")];
    within(3 * SECOND, || all_say([&agents[0], &agents[1], &observer], &there));
    for agent in &agents {
        let quorum = agent.get("/v1/quorum").json();
        let fields =
            ["status", "voters", "voters_alive", "expect_met", "has_quorum"].map(|key| quorum[key].clone());
        assert_eq!(json!(fields), json!(["forming", 3, 2, false, false]));
        assert_eq!(quorum["reasons"][0], "waiting for servers: 2 of 3 expected are alive");
    }
    let servers = observer.get("/v1/members?role=server").json();
    assert_eq!(servers["members"].as_array().unwrap().len(), 2);
}

#[test]
fn endpoints_and_tags_reach_the_others() {
    let (addrs, seeds) = addrs(2);
    let flags = ["--join", &seeds, "--endpoint", "raft=:5001,kafka=db1:9092", "--tag", "zone=a"];
    let a = start("a", &addrs[0], &flags);
    let b = start("b", &addrs[1], &["--join", &seeds]);
    let raft = format!("{}:5001", addrs[0]);
    within(2 * SECOND, || {
        let members = b.get("/v1/members?tag=zone=a").json();
        let endpoints = &members["members"][0]["endpoints"];
        let wanted = json!({"kafka": "db1:9092", "raft": raft});
        (*endpoints == wanted).then_some(()).ok_or_else(|| members.to_string())
    });
    drop(a);
}

#[test]
fn a_long_poll_wakes_when_a_member_dies() {
    let [a, mut b, c] = trio(&[]);
    // The first change is the suspicion, the last the failure.
    let mut index = a.get("/v1/members").header("x-chronik-index").to_owned();
    b.kill();
    let killed = now();
    let statuses = loop {
        let answer = a.get(&format!("/v1/members?index={index}&wait=10s"));
        answer.header("x-chronik-index").clone_into(&mut index);
        let members = answer.json()["members"].clone();
        let status = |name: &str| {
            let member = members.as_array().unwrap().iter().find(|member| member["name"] == name).cloned();
            member.map_or(String::new(), |member| member["status"].as_str().unwrap().to_owned())
        };
        println!("woken {:?} after the crash: it is {}", killed.elapsed(), status("b"));
        if status("b") == "failed" {
            break ["a", "b", "c"].map(status);
        }
        assert!(killed.elapsed() < 3 * SECOND);
    };
    assert_eq!(statuses, ["alive", "failed", "alive"]);
    drop(c);
}

#[test]
fn an_agent_without_seeds_is_joined_by_hand() {
    let a = start("a", &loopback().to_string(), &[]);
    let addr = loopback().to_string();
    let b = start("b", &addr, &[]);
    let answer = a.post("/v1/join", &format!("{{\"addrs\":[\"{addr}\",\"127.0.0.1:1\"]}}")).json();
    assert_eq!(answer["joined"], 1, "{answer}");
    within(SECOND, || all_say([&a, &b], &[("a", "alive"), ("b", "alive")]));
    let refused = answer["results"].as_array().unwrap().iter().find(|result| result["error"].is_string());
    assert_eq!(refused.unwrap()["error"], "connection refused: nothing listens there");
}

#[test]
fn joining_the_port_of_the_api_says_so() {
    let a = start("a", &loopback().to_string(), &[]);
    let b = start("b", &loopback().to_string(), &[]);
    let answer = a.post("/v1/join", &format!("{{\"addrs\":[\"{}\"]}}", b.http)).json();
    let why = "something else than gossip answers there: give the port of --bind, not that of --http";
    assert_eq!((&answer["joined"], &answer["results"][0]["error"]), (&json!(0), &json!(why)));
}
