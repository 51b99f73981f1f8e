//! `provider=dns`, from the record in a real name server to the member in the list.

use std::time::Duration;

use serde_json::Value;

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, start},
    knot::Knot,
    running::Agent,
};

const NAME: &str = "_chronik._udp.svc.test";
const SECOND: Duration = Duration::from_secs(1);
const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];

/// Adds the records of an agent, with a time to live of a second.
fn add_records(knot: &Knot, name: &str, addr: &str) {
    knot.update(&format!("add {name}.svc.test. 1 A {addr}"));
    knot.update(&format!("add {NAME}. 1 SRV 0 0 7946 {name}.svc.test."));
}

/// Three agents that the name server lists and that have no other seeds.
fn trio(knot: &Knot, expect: &str) -> ([Agent; 3], Duration) {
    let (addrs, _) = addrs(3);
    let names = ["a", "b", "c"];
    for (name, addr) in names.iter().zip(&addrs) {
        add_records(knot, name, addr);
    }
    let spec = knot.spec(NAME);
    let flags = ["--retry-join", &spec, "--bootstrap-expect", expect];
    let begin = now();
    let agents = std::array::from_fn(|n| start(names[n], &addrs[n], &flags));
    within(2 * SECOND, || all_say(&agents, &ALL));
    (agents, begin.elapsed())
}

fn provider(agent: &Agent) -> Value {
    agent.get("/v1/discovery").json()["providers"][0].clone()
}

#[test]
fn an_agent_that_is_listed_later_is_found_by_those_that_run() {
    let knot = Knot::start();
    let ([a, b, c], took) = trio(&knot, "4");
    println!("all list three {took:?} after the first start");
    let (addr, _) = addrs(1);
    // `d` has no seeds: only the others can find it.
    let d = start("d", &addr[0], &[]);
    add_records(&knot, "d", &addr[0]);
    let all = [&ALL[..], &[("d", "alive")]].concat();
    let (_, took) = within(20 * SECOND, || all_say([&a, &b, &c, &d], &all));
    println!("found {took:?} after it was listed");
    assert_eq!(a.get("/v1/quorum").json()["expect_met"], true);
}

#[test]
fn a_name_server_that_is_gone_costs_nothing() {
    let mut knot = Knot::start();
    let ([a, b, c], _) = trio(&knot, "3");
    let before = provider(&a);
    assert_eq!((&before["error"], before["addrs"].as_array().unwrap().len()), (&Value::Null, 3));
    knot.stop();
    let (failing, _) = within(20 * SECOND, || {
        let found = provider(&a);
        found["error"].is_string().then_some(found.clone()).ok_or_else(|| found.to_string())
    });
    assert_eq!(failing["addrs"], before["addrs"], "the last good answer holds");
    let error = failing["error"].as_str().unwrap();
    println!("meanwhile: {error}");
    assert!(error.contains(NAME), "{error}");
    assert!(failing["failures"].as_u64() >= Some(1) && failing["next"].is_string(), "{failing}");
    assert_eq!(all_say([&a, &b, &c], &ALL), Ok(()));
    knot.resume();
    let (_, took) = within(40 * SECOND, || {
        let found = provider(&a);
        (found["error"].is_null() && found["failures"] == 0).then_some(()).ok_or_else(|| found.to_string())
    });
    println!("asked with success {took:?} after its return");
    assert_eq!(all_say([&a, &b, &c], &ALL), Ok(()));
    for agent in [&a, &b, &c] {
        assert!(!agent.log().contains("status=failed"), "{}", agent.log());
    }
}
