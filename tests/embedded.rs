//! The agent inside a server: its decision as a Rust value.

use std::time::Duration;

use chronik_agent::{
    agent::Agent,
    bootstrap::Decision,
    config::{Config, Host, Options},
    handle::Stopped,
};
use tokio::{task::JoinSet, time::timeout};

use crate::running::Dir;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_server_awaits_the_decision_as_a_value() {
    let dir = Dir::new();
    let state_dir = dir.0.display().to_string();
    let flags = [
        ("node-name", "only"),
        ("bind", "127.0.0.1:0"),
        ("http", "127.0.0.1:0"),
        ("bootstrap-expect", "1"),
        ("state-dir", &state_dir),
    ];
    let config = Config::resolve(&Options::from_flags(flags), &Host::here()).unwrap();
    let agent = Agent::bind(config).await.unwrap();
    let handle = agent.handle();
    assert!(matches!(handle.snapshot().founding.decision, Decision::Wait { .. }));
    let mut tasks = JoinSet::new();
    tasks.spawn(agent.run(std::future::pending()));
    let decision = timeout(PATIENCE, handle.decision()).await.unwrap();
    let Ok(Decision::Bootstrap(group)) = decision else { panic!("{decision:?}") };
    let founders: Vec<_> = group.founders.iter().map(|founder| founder.name.as_str()).collect();
    assert_eq!((founders.as_slice(), group.me.ordinal), (&["only"][..], Some(1)));
}

#[tokio::test]
async fn no_decision_comes_from_an_agent_that_has_stopped() {
    let dir = Dir::new();
    let state_dir = dir.0.display().to_string();
    let flags = [("bind", "127.0.0.1:0"), ("http", "127.0.0.1:0"), ("state-dir", &state_dir)];
    let config = Config::resolve(&Options::from_flags(flags), &Host::here()).unwrap();
    let agent = Agent::bind(config).await.unwrap();
    let handle = agent.handle();
    drop(agent);
    assert_eq!(timeout(PATIENCE, handle.decision()).await.unwrap(), Err(Stopped));
}
