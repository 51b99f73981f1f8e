//! What `deploy/` ships and README.md says is what the program takes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::running::{program, told};

fn shipped(file: &str) -> String {
    format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_example_configuration_is_accepted() {
    let file = shipped("chronik-agent.toml");
    let state = std::env::temp_dir().join("chronik-agent-none").display().to_string();
    let (code, plan, error) = told([
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
         http token  none: whoever is on this host may change things\n\
         state       {state}\nencryption  none: whoever reaches the gossip port can join\nprofile     lan\nfounding    once 3 servers are there\n\
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

#[test]
fn the_aws_policy_allows_one_call() {
    let policy: Value = serde_json::from_slice(&std::fs::read(shipped("aws/policy.json")).unwrap()).unwrap();
    let allowed: Vec<_> =
        policy["Statement"].as_array().unwrap().iter().map(|one| (&one["Effect"], &one["Action"])).collect();
    assert_eq!(allowed, [(&json!("Allow"), &json!("ec2:DescribeInstances"))]);
}

#[test]
fn the_readme_lists_the_flags_that_there_are() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| `--"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let listed: BTreeSet<_> = cells.flat_map(|cell| cell.split('`')).filter_map(flag).collect();
    let (_, help, _) = told(["--help"]);
    let (_, flags) = help.split_once("Running the agent:").unwrap();
    let there: BTreeSet<_> =
        flags.lines().filter_map(|line| line.strip_prefix("      ")).filter_map(flag).collect();
    assert_eq!(listed, there);
}

/// The flag that `text` begins with.
fn flag(text: &str) -> Option<&str> {
    let name = text.split([' ', '[']).next()?;
    name.starts_with("--").then_some(name)
}
