//! The agent inside a server: its decision as a Rust value, and the example that founds a real Raft group with it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use chronik_agent::{
    agent::Agent,
    bootstrap::Decision,
    config::{Config, Draft, Host, HttpAddr},
    handle::{NotDone, Stopped},
};
use tokio::{task::JoinSet, time::timeout};

use crate::running::Dir;

#[path = "../examples/embedded/main.rs"]
#[expect(dead_code, reason = "the test tells the story itself")]
mod example;

const PATIENCE: Duration = Duration::from_secs(30);

fn on_free_ports(dir: &Dir) -> Draft {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let state_dir = Some(dir.0.clone());
    Draft { bind: any_port, http: vec![HttpAddr::Tcp(any_port)], state_dir, ..Draft::default() }
}

#[tokio::test]
async fn a_server_awaits_the_decision_as_a_value() {
    let dir = Dir::new();
    let draft = Draft {
        node_name: Some("only".parse().unwrap()),
        bootstrap_expect: NonZeroU16::new(1),
        ..on_free_ports(&dir)
    };
    let agent = Agent::bind(Config::new(draft, &Host::here()).unwrap()).await.unwrap();
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
    let config = Config::new(on_free_ports(&dir), &Host::here()).unwrap();
    let agent = Agent::bind(config).await.unwrap();
    let handle = agent.handle();
    drop(agent);
    assert_eq!(timeout(PATIENCE, handle.decision()).await.unwrap(), Err(NotDone::Stopped(Stopped)));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_found_a_raft_group_lose_the_leader_and_go_on() {
    let mut told = Vec::new();
    // The example bounds its own time.
    let ended = example::story(&mut told).await;
    let told = String::from_utf8(told).unwrap();
    println!("{told}");
    ended.unwrap();
    let count = |what: &str| told.lines().filter(|line| line.contains(what)).count();
    let founded = count(": `bootstrap` cluster ") + count(": `resume` cluster ");
    assert_eq!((founded, count("from now on `resume`; 3 of 3 voters are alive")), (3, 3));
    assert_eq!((count("reads colour=blue"), count("reads colour=green")), (3, 2));
    assert_eq!(count("2 of 3 voters are alive, 2 must be: a quorum; missing: n"), 2);
    assert_eq!((count("stopped for good"), count("has left")), (1, 2));
}
