//! Providers that list ten thousand addresses, nearly all of them wrong: who is there is found, and it costs little.

use std::{fmt::Write as _, fs, time::Duration};

use crate::{
    awaiting::{now, within},
    bounds::p99,
    cluster::{addrs, all_say, loopback, start},
    running::{Agent, Dir},
};

const LISTED: usize = 10_000;
/// The most that one `--retry-join` takes.
const A_LIST: usize = 250;
/// A quiet agent has 10 to 15 MB in a development build.
const RSS_MB: u64 = 96;

fn rss_mb(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A file of `--retry-join` with as many addresses of loopback where nobody listens, and one where somebody does.
fn lists(real: &str) -> String {
    let mut addrs: Vec<_> = (0..LISTED - 1).map(|n| format!("{real}:{}", 20_000 + n)).collect();
    addrs.insert(LISTED / 2, format!("{real}:7946"));
    let specs: Vec<_> = addrs.chunks(A_LIST).map(|list| format!("{:?}", list.join(","))).collect();
    let mut text = String::new();
    writeln!(text, "retry-join = [{}]", specs.join(",")).unwrap();
    text
}

#[test]
fn ten_thousand_addresses_are_listed_and_the_one_that_is_there_is_found() {
    let (addrs, _) = addrs(1);
    let a = start("a", &addrs[0], &["--bootstrap-expect", "2"]);
    let dir = Dir::new();
    let config = dir.file("config.toml", &lists(&addrs[0]));
    let begin = now();
    let bind = loopback().to_string();
    let flags = ["--node-name", "b", "--bind", &bind, "--bootstrap-expect", "2", "--config", &config];
    let b = Agent::launch(dir, &flags);
    within(Duration::from_secs(20), || all_say([&a, &b], &[("a", "alive"), ("b", "alive")]));
    let joined = begin.elapsed();
    within(Duration::from_secs(20), || {
        let discovery = b.get("/v1/discovery").json();
        let listed =
            discovery["providers"].as_array().unwrap().iter().map(|p| p["addrs"].as_array().unwrap().len());
        let listed: usize = listed.sum();
        if listed == LISTED { Ok(()) } else { Err(format!("{listed} addresses")) }
    });
    let p99 = p99(&b, 300);
    let said = b.get("/v1/bootstrap");
    eprintln!(
        "{LISTED} addresses: joined after {joined:.2?}, p99 of the API {p99:.2?}, {} MB at the peak, {} bytes of reasons",
        rss_mb(&b),
        said.body.len()
    );
    assert!(p99 < Duration::from_millis(500), "{p99:?}");
    assert!(rss_mb(&b) < RSS_MB, "{} MB", rss_mb(&b));
    // Nobody reads ten thousand addresses in a sentence.
    assert!(said.body.len() < 4_096, "{}", said.body);
    assert!(b.log().lines().all(|line| line.len() < 16_384), "a line of the log is too long");
}
