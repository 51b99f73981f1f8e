//! `forget`: a failed or left member is gone from every view, and comes back by itself alone.

use std::time::Duration;

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, start},
    running::{Agent, Ended, run},
};

/// Three agents with a group key, or without.
fn three(flags: &[&str]) -> [Agent; 3] {
    let (addrs, seeds) = addrs(3);
    let flags = [&["--join", &seeds, "--profile", "local"], flags].concat();
    let agents = ["a", "b", "c"];
    let agents = std::array::from_fn(|n| start(agents[n], &addrs[n], &flags));
    within(Duration::from_secs(10), || all_say(&agents, &[("a", "alive"), ("b", "alive"), ("c", "alive")]));
    agents
}

fn forget(agent: &Agent, node: &str) -> Ended {
    run(["forget", node, "--yes", &agent.at()])
}

#[test]
fn a_failed_member_is_forgotten_everywhere_within_a_second_and_comes_back_when_it_lives() {
    let dir = crate::running::Dir::new();
    let key = dir.file("key", &run(["keygen"]).out);
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let [mut a, b, mut c] = three(&["--encrypt-key-file", &key]);
    let refused = forget(&a, "c");
    assert_eq!(refused.code, 1);
    let remedy =
        "is alive: stop its agent first, with `chronik-agent leave` beside it, and then say it again";
    assert!(refused.error.contains(remedy), "{refused:?}");
    let asked = run(["forget", "c", &a.at()]);
    assert_eq!(asked.code, 1);
    assert!(asked.error.contains("--yes is needed"), "{asked:?}");
    c.kill();
    within(Duration::from_secs(30), || all_say([&a, &b], &[("a", "alive"), ("b", "alive"), ("c", "failed")]));
    let forgotten = forget(&a, "c");
    assert!(
        forgotten.out.starts_with("c (") && forgotten.out.ends_with(" is forgotten on every node\n"),
        "{forgotten:?}"
    );
    let began = now();
    within(Duration::from_secs(10), || all_say([&a, &b], &[("a", "alive"), ("b", "alive")]));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    // It is on disk, and no comparison brings it back.
    a.kill();
    a.restart();
    within(Duration::from_secs(30), || all_say([&a, &b], &[("a", "alive"), ("b", "alive")]));
    c.restart();
    within(Duration::from_secs(30), || {
        all_say([&a, &b, &c], &[("a", "alive"), ("b", "alive"), ("c", "alive")])
    });
}

/// The process was stopped, not killed: it is told that it was taken for gone, and renews itself.
#[test]
fn a_member_that_was_only_out_of_reach_is_back_as_soon_as_it_speaks() {
    let [a, b, c] = three(&[]);
    c.signal("STOP");
    within(Duration::from_secs(30), || all_say([&a, &b], &[("a", "alive"), ("b", "alive"), ("c", "failed")]));
    for agent in [&a, &b] {
        let forgotten = forget(agent, "c");
        assert!(
            forgotten.out.contains("without --encrypt-key-file say it on every other one, too: "),
            "{forgotten:?}"
        );
        within(Duration::from_secs(10), || all_say([agent], &[("a", "alive"), ("b", "alive")]));
    }
    c.signal("CONT");
    within(Duration::from_secs(60), || {
        all_say([&a, &b, &c], &[("a", "alive"), ("b", "alive"), ("c", "alive")])
    });
}

#[test]
fn whom_nobody_knows_is_not_forgotten() {
    let agent = Agent::start(&[]);
    let unknown = forget(&agent, "nobody");
    let error = "no member is called \"nobody\": `chronik-agent members` lists their names and ids\n";
    assert_eq!(unknown, Ended::failed(1, error));
    let send =
        |path: &str| agent.send(&format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n"), "").problem();
    let (status, detail) = send("/v1/members/00000000-0000-0000-0000-000000000009");
    assert_eq!(status, 404);
    assert!(detail.ends_with("is known here: `chronik-agent members` lists those that are"), "{detail}");
    let (status, detail) = send("/v1/members/box");
    assert_eq!(status, 400);
    assert!(detail.ends_with("`chronik-agent members` lists the ids"), "{detail}");
    let me = agent.get("/v1/self").json()["id"].as_str().unwrap().to_owned();
    let (status, detail) = send(&format!("/v1/members/{me}"));
    assert_eq!(status, 409);
    assert!(detail.contains("type `chronik-agent leave`"), "{detail}");
}
