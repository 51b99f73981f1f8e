//! A wall clock that is set back a day and forward a year under a running agent: the agent counts by the monotonic clock,
//! so that no member is called failed, no vote is lost, and its answers keep the times that were right when it started.

use std::{fs, time::Duration};

use jiff::Timestamp;

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, ever_said, start},
    running::{Agent, Dir},
};

const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];
const WATCHED: Duration = Duration::from_secs(3);

/// The library that shifts the wall clock of one process, by what stands in a file, and leaves the monotonic one alone.
fn libfaketime() -> String {
    let places = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut found =
        places.map(|place| place.join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists());
    found
        .next()
        .expect("libfaketime is missing: install faketime, or run tests/run once as root")
        .display()
        .to_string()
}

fn set_clock(agent: &Agent, shift: &str) {
    // Renamed into place, because the library may read it at any moment.
    agent.dir.file("clock.new", shift);
    fs::rename(agent.dir.0.join("clock.new"), agent.dir.0.join("clock")).unwrap();
}

/// Hours by which the agent's wall clock is ahead, by the last line of its log.
fn hours_in_log(agent: &Agent) -> i64 {
    let log = agent.log();
    let last = log.lines().rev().find_map(|line| line.split(' ').next()?.parse::<Timestamp>().ok()).unwrap();
    hours_off(last)
}

fn hours_off(time: Timestamp) -> i64 {
    (time.as_second() - real_now().as_second()) / 3600
}

fn real_now() -> Timestamp {
    std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .map(|since| Timestamp::from_second(i64::try_from(since.as_secs()).unwrap()).unwrap())
        .unwrap()
}

/// Asserts that every time in the answers is less than an hour off, and that no age is absurd.
fn assert_sane_times(agent: &Agent) {
    for path in ["/v1/self", "/v1/members", "/v1/discovery", "/v1/info", "/v1/quorum"] {
        let body = agent.get(path).body;
        for word in body.split('"') {
            if let Ok(time) = word.parse::<Timestamp>() {
                assert_eq!(hours_off(time), 0, "{path}: {body}");
            }
        }
    }
    let members = agent.get("/v1/members").json();
    for member in members["members"].as_array().unwrap() {
        let age = member["last_heard_s"].as_f64().unwrap_or(0.0);
        assert!((0.0..60.0).contains(&age), "{members}");
    }
}

fn started(agent: &Agent) -> i64 {
    hours_off(agent.get("/v1/self").json()["started"].as_str().unwrap().parse().unwrap())
}

fn epoch(agent: &Agent) -> u64 {
    agent.get("/v1/self").json()["epoch"].as_u64().unwrap()
}

#[test]
fn a_clock_that_jumps_by_a_day_or_a_year_changes_nothing() {
    let (addrs, seeds) = addrs(3);
    let flags = ["--join", &seeds, "--bootstrap-expect", "3"];
    let (a, mut b) = (start("a", &addrs[0], &flags), start("b", &addrs[1], &flags));
    let preload = format!("LD_PRELOAD={}", libfaketime());
    let wrapper = [
        "env",
        &preload,
        "FAKETIME_TIMESTAMP_FILE=DIR/clock",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
    ];
    let dir = Dir::new();
    dir.file("clock", "+0");
    let own = ["--node-name", "c", "--bind", &addrs[2]];
    let mut c = Agent::launch_by(&wrapper, dir, &[&own, &flags[..]].concat());
    let (cluster, _) = within(Duration::from_secs(20), || founded(&c));
    let id = c.get("/v1/self").json()["id"].clone();
    let year = 24 * 365;
    for (shift, hours) in [("-1d", -24), ("+1y", year)] {
        set_clock(&c, shift);
        let begin = now();
        while begin.elapsed() < WATCHED {
            all_say([&a, &b, &c], &ALL).unwrap();
            assert_sane_times(&c);
        }
        // A new line in the log shows that the agent has seen the jump.
        b.signal("TERM");
        assert_eq!(b.wait_for_end(), 0);
        within(Duration::from_secs(5), || all_say([&c], &[("a", "alive"), ("b", "left"), ("c", "alive")]));
        assert!((hours_in_log(&c) - hours).abs() <= 1, "it saw no jump: {} h", hours_in_log(&c));
        b.restart();
        within(Duration::from_secs(10), || all_say([&a, &b, &c], &ALL));
        assert_eq!(started(&c), 0, "the start does not move");
        // A restarted agent believes the clock, and its epoch grows nevertheless.
        let earlier = epoch(&c);
        c.kill();
        c.restart();
        assert!((hours_in_log(&c) - hours).abs() <= 1, "the clock was not shifted: {} h", hours_in_log(&c));
        assert!((started(&c) - hours).abs() <= 1);
        assert!(epoch(&c) > earlier, "the epoch went back");
        assert_eq!(c.get("/v1/self").json()["id"], id);
        assert_eq!(founded(&c), Ok(cluster.clone()), "the decision is lost");
        within(Duration::from_secs(10), || all_say([&a, &b, &c], &ALL));
        set_clock(&c, "+0");
        c.kill();
        c.restart();
        within(Duration::from_secs(10), || all_say([&a, &b, &c], &ALL));
        assert_sane_times(&c);
    }
    for agent in [&a, &b] {
        assert_eq!(founded(agent), Ok(cluster.clone()));
        let failed_c = agent.log().matches("name=c ").count();
        assert!(failed_c > 0 && !ever_said(agent, "a", "failed") && !ever_said(agent, "b", "failed"));
    }
    assert!(!ever_said(&c, "a", "failed") && !ever_said(&c, "b", "failed"), "{}", c.log());
}

fn founded(agent: &Agent) -> Result<String, String> {
    let said = agent.get("/v1/bootstrap").json();
    match (said["decision"].as_str(), said["cluster_id"].as_str()) {
        (Some("bootstrap"), Some(id)) => Ok(id.to_owned()),
        _ => Err(said.to_string()),
    }
}
