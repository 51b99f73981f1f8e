//! The agent inside a server: its decision as a Rust value, and the example that founds a real Raft group with it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use chronik_agent::{
    agent::{Agent, Ended},
    bootstrap::Decision,
    config::{Config, Draft, Host, HttpAddr},
    handle::{NotDone, Stopped},
    snapshot::Snapshot,
};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use crate::{cluster::addrs, running::Dir};

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

/// The other tasks of an agent end when its core is gone. Where one of them ran at once, beside the core, it was taken for the cause
/// of the end, which then was called a defect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_are_stopped_end_in_good_order() {
    let (addrs, seeds) = addrs(16);
    let mut agents = Vec::new();
    for addr in addrs {
        let dir = Dir::new();
        let bind = format!("{addr}:7946").parse().unwrap();
        let draft = Draft { bind, retry_join: vec![seeds.parse().unwrap()], ..on_free_ports(&dir) };
        let agent = Agent::bind(Config::new(draft, &Host::here()).unwrap()).await.unwrap();
        let (handle, (stop, stopped)) = (agent.handle(), oneshot::channel::<()>());
        let mut tasks = JoinSet::new();
        tasks.spawn(agent.run(async move { drop(stopped.await) }));
        agents.push((handle, stop, tasks, dir));
    }
    for (handle, ..) in &agents {
        let is_joined = |snapshot: &Snapshot| snapshot.membership.active().count() == 16;
        timeout(PATIENCE, handle.wait_for(is_joined)).await.unwrap().unwrap();
        // From then on the provider's task waits for the agent to be alone, or gone.
        let is_content = handle.wait_for(|snapshot| snapshot.discovery.providers[0].polls > 1);
        timeout(PATIENCE, is_content).await.unwrap().unwrap();
    }
    for (handle, stop, mut tasks, dir) in agents {
        // Several wait, as clients do: the last that is woken runs where the core ran, the others wherever there is time.
        let mut waiting = JoinSet::new();
        for _ in 0..8 {
            let handle = handle.clone();
            waiting.spawn(async move { drop(handle.wait_for(|_| false).await) });
        }
        drop(stop);
        let ended = timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(ended, Ok(Ended::Left)), "{}: {ended:?}", dir.0.display());
    }
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
