//! SIGKILL at random moments, again and again: nothing that was voted, decided or acknowledged is lost, no agent changes
//! its id, and there is one cluster.
//!
//! `KILLING_SECONDS=600 cargo test --no-default-features --test all -- killing::` takes ten minutes.

use std::{fs, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::{
    awaiting::{now, within},
    cluster::addrs,
    environment,
    running::{Agent, Dir},
};

/// Seconds of killing in an ordinary test run.
const SECONDS: u64 = 16;
/// Length of a round, which founds a cluster anew, under kills from the first moment on.
const ROUND: Duration = Duration::from_secs(4);
/// Time to recover after the last kill.
const RECOVERED: Duration = Duration::from_secs(30);

/// An agent, and everything that it must not forget.
struct Victim {
    agent: Agent,
    id: String,
    cluster: Option<String>,
    /// Highest index of a report that it has acknowledged.
    acknowledged: u64,
    /// Highest ballot that it has promised: its round, and the node that began it.
    promised: (u64, String),
}

impl Victim {
    fn start(name: &str, bind: &str, seeds: &str) -> Self {
        let flags = ["--node-name", name, "--bind", bind, "--join", seeds, "--bootstrap-expect", "3"];
        let agent = Agent::launch(Dir::new(), &flags);
        let id = own_id(&agent);
        Self { agent, id, cluster: None, acknowledged: 0, promised: (0, String::new()) }
    }

    /// Checks that it knows everything that it knew before; returns its cluster.
    fn check(&mut self) -> Option<String> {
        let said = self.agent.get("/v1/bootstrap").json();
        let cluster = said["cluster_id"].as_str().map(str::to_owned);
        if let Some(known) = &self.cluster {
            assert_eq!(cluster.as_ref(), Some(known), "the cluster is forgotten or another: {said}");
            assert!(said["config_index"].as_u64() >= Some(self.acknowledged), "a report is lost: {said}");
            let founds = said["decision"] == "bootstrap" || said["decision"] == "resume";
            assert!(founds, "a founder no more: {said}");
        }
        self.cluster = cluster;
        self.cluster.clone()
    }

    /// Reports new voters, as the server would; remembers the index that is acknowledged.
    fn establish(&mut self, index: u64) {
        let Some(cluster) = &self.cluster else { return };
        let body = format!(
            r#"{{"cluster_id":"{cluster}","config_index":{index},"voters":[{{"ordinal":1}},{{"ordinal":2}},{{"ordinal":3}}]}}"#
        );
        let answer = self.agent.put("/v1/bootstrap/established", &body);
        assert_eq!(answer.status(), 200, "{}", answer.body);
        let voted = answer.json()["config_index"].as_u64().unwrap();
        self.acknowledged = self.acknowledged.max(voted);
    }

    fn kill_and_restart(&mut self) {
        self.agent.kill();
        let record = record(&self.agent);
        let promised = &record["founding"]["promised"];
        if !promised.is_null() {
            let promised =
                (promised["round"].as_u64().unwrap(), promised["node"].as_str().unwrap().to_owned());
            assert!(promised >= self.promised, "a promise is taken back: {record}");
            self.promised = promised;
        } else {
            assert_eq!(self.promised.0, 0, "a promise is lost: {record}");
        }
        self.agent.restart();
        assert_eq!(own_id(&self.agent), self.id, "it has another id");
        self.check();
    }
}

fn own_id(agent: &Agent) -> String {
    agent.get("/v1/self").json()["id"].as_str().unwrap().to_owned()
}

/// The record on disk, which is JSON after a line with the checksum.
fn record(agent: &Agent) -> Value {
    let text = fs::read_to_string(agent.dir.0.join("state/node.json")).unwrap();
    serde_json::from_str(text.split_once('\n').unwrap().1).unwrap()
}

/// Founds one cluster under kills; returns how many kills it took.
fn run_round(addrs: &[String], seeds: &str, rng: &mut StdRng) -> u32 {
    let names = ["a", "b", "c"];
    let mut victims: Vec<_> =
        names.iter().zip(addrs).map(|(name, addr)| Victim::start(name, addr, seeds)).collect();
    let (begin, mut kills, mut index) = (now(), 0, 0);
    while begin.elapsed() < ROUND {
        let (turn, pause) = (now(), Duration::from_millis(rng.random_range(0..400)));
        while turn.elapsed() < pause {
            for victim in &mut victims {
                victim.check();
            }
            index += 1;
            let server = rng.random_range(0..3);
            victims[server].establish(index);
        }
        let chosen = rng.random_range(0..3);
        victims[chosen].kill_and_restart();
        kills += 1;
    }
    within(RECOVERED, || {
        let clusters: Vec<_> = victims.iter_mut().map(Victim::check).collect();
        match &clusters[..] {
            [Some(one), Some(two), Some(three)] => {
                assert!(one == two && two == three, "two clusters: {clusters:?}");
                Ok(())
            }
            _ => Err(format!("not founded: {clusters:?}")),
        }
    });
    let most = victims.iter().map(|victim| victim.acknowledged).max().unwrap();
    within(RECOVERED, || {
        victims.iter().try_for_each(|victim| {
            let said = victim.agent.get("/v1/bootstrap").json();
            if said["config_index"].as_u64().unwrap() >= most { Ok(()) } else { Err(said.to_string()) }
        })
    });
    for victim in &victims {
        let log = victim.agent.log();
        assert!(!log.contains("panicked") && !log.contains("defect of the agent"), "{log}");
    }
    kills
}

#[test]
fn kills_at_any_moment_lose_nothing() {
    let seconds = environment::number("KILLING_SECONDS", SECONDS);
    let seed = 20_261_125;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (addrs, seeds) = addrs(3);
    let (begin, mut kills, mut rounds) = (now(), 0, 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        kills += run_round(&addrs, &seeds, &mut rng);
        rounds += 1;
    }
    eprintln!("{kills} kills, as many restarts, {rounds} clusters in {:.0?}", begin.elapsed());
    assert!(kills > rounds);
}
