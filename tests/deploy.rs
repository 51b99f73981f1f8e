//! The files in `deploy/` and the flags in README.md, against the program.

use std::collections::{BTreeMap, BTreeSet};

use chronik_agent::config::{FLAGS, Flag};
use serde_json::{Value, json};

use crate::running::{Agent, Ended, program, run};

fn shipped(file: &str) -> String {
    format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_example_configuration_is_accepted() {
    let file = shipped("chronik-agent.toml");
    let state = std::env::temp_dir().join("chronik-agent-none").display().to_string();
    let Ended { code, out: plan, error } = run([
        "--check",
        "--config",
        &file,
        "--node-name",
        "box",
        "--state-dir",
        &state,
        "--bind",
        "127.0.0.1",
    ]);
    let expected = format!(
        "cluster     chronik\nnode name   box\nrole        server\ngossip      127.0.0.1:7946 over UDP and TCP\n\
         advertised  127.0.0.1:7946 (the address that --bind names)\nhttp        http://127.0.0.1:7947\n\
         http token  none: everybody on this host may change things\n\
         state       {state}\nencryption  none: everybody who reaches the gossip port can join\nprofile     lan\nfounding    once 3 servers are there\n\
         endpoints   kafka=:9092, raft=:5001\ntags        zone=a\n\
         seeds       provider=static addrs=node-1.example.com,node-2.example.com,node-3.example.com\n"
    );
    assert_eq!((code, plan, error), (0, expected, String::new()));
}

#[test]
fn the_environment_in_the_compose_file_is_accepted() {
    let compose = std::fs::read_to_string(shipped("compose.yaml")).unwrap();
    let settings = compose.lines().filter_map(|line| line.trim().split_once(": "));
    let settings = settings.filter(|(name, _)| name.starts_with("CHRONIK_AGENT_"));
    let settings = settings.map(|(name, value)| (name, value.trim_matches('"')));
    let mut agent = program();
    let output = agent.args(["--check", "--bind", "127.0.0.1"]).envs(settings).output().unwrap();
    let plan = String::from_utf8(output.stdout).unwrap();
    let seeds = "seeds       provider=static addrs=agent-1,agent-2,agent-3";
    assert!(plan.lines().any(|line| line == seeds), "{seeds} is not in\n{plan}{:?}", output.stderr);
}

/// systemd gives up after five starts unless it is told otherwise, and the cause may go away a moment later.
#[test]
fn the_unit_is_started_anew_for_ever() {
    let unit = std::fs::read_to_string(shipped("systemd/chronik-agent.service")).unwrap();
    let (head, service) = unit.split_once("[Service]").unwrap();
    assert!(head.lines().any(|line| line == "StartLimitIntervalSec=0"), "{head}");
    assert!(service.lines().any(|line| line == "Restart=on-failure"), "{service}");
}

#[test]
fn the_aws_policy_allows_one_call() {
    let policy: Value = serde_json::from_slice(&std::fs::read(shipped("aws/policy.json")).unwrap()).unwrap();
    let allowed: Vec<_> =
        policy["Statement"].as_array().unwrap().iter().map(|one| (&one["Effect"], &one["Action"])).collect();
    assert_eq!(allowed, [(&json!("Allow"), &json!("ec2:DescribeInstances"))]);
}

#[test]
fn the_readme_lists_the_flags_that_there_are_with_their_defaults() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| `--"));
    let listed: BTreeMap<_, _> = rows.map(name_and_default).collect();
    let default = |flag: &Flag| flag.default().unwrap_or_else(|| "none".to_owned());
    let flags = FLAGS.iter().map(|flag| (flag.name.to_owned(), default(flag)));
    let on_the_command_line_only = ["config", "check"].map(|name| (name.to_owned(), "none".to_owned()));
    assert_eq!(listed, flags.chain(on_the_command_line_only).collect());
}

/// The first two cells of a row: "`--NAME VALUE`", and the default with or without backticks.
fn name_and_default(row: &str) -> (String, String) {
    let cells: Vec<_> = row.split(" | ").collect();
    let name = cells[0].trim_start_matches("| `--").split([' ', '`']).next().unwrap();
    (name.to_owned(), cells[1].replace('`', ""))
}

#[test]
fn info_shows_every_flag() {
    let agent = Agent::start(&[]);
    let info = agent.get("/v1/info").json();
    let shown: BTreeSet<_> = info["config"].as_object().unwrap().keys().cloned().collect();
    // The addresses of `join` are shown as one more entry of `retry_join`.
    let flags = FLAGS.iter().map(|flag| flag.name).filter(|name| *name != "join");
    assert_eq!(shown, flags.map(|name| name.replace('-', "_")).collect());
}
