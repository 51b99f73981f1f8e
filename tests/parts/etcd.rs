//! Real etcd, started from the decision: founded, restarted without one for good, and joined by a new one.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    awaiting::within,
    cluster,
    founding_api::{wait_for_decision, wait_until},
    parts::need,
    running::{Agent, Ended, program, run},
};

pub(super) const PARTS: [(&str, &str); 2] = [("etcd", "etcd-server"), ("etcdctl", "etcd-client")];
/// Time for an election, and for the five seconds that etcd wants its members connected before it takes another.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// An agent and its etcd, on an address of their own, where both have their default ports.
pub(super) struct Pair {
    pub(super) agent: Agent,
    pub(super) server: Option<Child>,
    pub(super) addr: String,
}

impl Pair {
    pub(super) fn new(name: &str, addr: &str, seeds: &str) -> Self {
        Self::with(name, addr, seeds, &[])
    }

    pub(super) fn with(name: &str, addr: &str, seeds: &str, more: &[&str]) -> Self {
        let flags =
            ["--profile", "local", "--bootstrap-expect", "3", "--endpoint", "peer=:2380", "--join", seeds];
        let agent = cluster::start(name, addr, &[&flags, more].concat());
        Self { agent, server: None, addr: addr.to_owned() }
    }

    /// Starts etcd by `exec`: the process waits for the decision, and then becomes etcd.
    pub(super) fn exec(&mut self) {
        let data = self.data().display().to_string();
        self.exec_with(&["--template", "etcd", "--attest", &data]);
    }

    /// The data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.agent.dir.0.join("etcd")
    }

    /// Starts etcd by `exec` with these flags.
    pub(super) fn exec_with(&mut self, flags: &[&str]) {
        let data = self.data().display().to_string();
        let clients = self.client();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.agent.dir.0.join("etcd.log"));
        let server = program()
            .args(["exec", &self.agent.at(), "--timeout", "30s"])
            .args(flags)
            .args(["--", "etcd", "--data-dir", &data, "--listen-peer-urls", &self.peer()])
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.server = Some(server.unwrap());
    }

    pub(super) fn kill(&mut self) {
        self.kill_server();
        self.agent.kill();
    }

    pub(super) fn kill_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub(super) fn client(&self) -> String {
        format!("http://{}:2379", self.addr)
    }

    pub(super) fn peer(&self) -> String {
        format!("http://{}:2380", self.addr)
    }

    /// Everything that exec and etcd have logged, over all their restarts.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.agent.dir.0.join("etcd.log")).unwrap_or_default()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            server.kill().ok();
            server.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- log of etcd at {}\n{}", self.addr, self.log());
        }
    }
}

/// Runs `etcdctl` against this etcd alone; returns its output, or its error if it fails.
pub(super) fn etcdctl(pair: &Pair, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--command-timeout=5s", "--endpoints", &pair.client()]);
    let output = command.args(words).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Waits until each of these answers reads and writes that need a leader.
#[track_caller]
pub(super) fn wait_for_health<'a>(pairs: impl IntoIterator<Item = &'a Pair>) {
    for pair in pairs {
        // An etcd that does not listen yet is asked again soon.
        within(PATIENCE, || etcdctl(pair, &["--command-timeout=1s", "endpoint", "health"]));
    }
}

/// The members that etcd at `pair` knows of, by name.
pub(super) fn members(pair: &Pair) -> Result<Vec<Value>, String> {
    let list = etcdctl(pair, &["member", "list", "--write-out=json"])?;
    let list: Value = serde_json::from_str(&list).map_err(|error| error.to_string())?;
    let mut members = list["members"].as_array().cloned().unwrap_or_default();
    members.sort_by_key(|member| member["name"].to_string());
    Ok(members)
}

/// Checks that `members` have the names and peer URLs of `pairs`.
fn check_names(pairs: &[&Pair], members: &[Value]) -> Result<(), String> {
    let found: Vec<Value> =
        members.iter().map(|member| json!([member["name"], member["peerURLs"]])).collect();
    let name = |pair: &Pair| pair.agent.get("/v1/self").json()["name"].clone();
    let wanted: Vec<Value> = pairs.iter().map(|pair| json!([name(pair), [pair.peer()]])).collect();
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}

pub(super) fn wait_for_quorum(pair: &Pair, voters: u64, alive: u64) {
    wait_until(&pair.agent, "/v1/quorum", |quorum| {
        (&quorum["status"], &quorum["voters"], &quorum["voters_alive"])
            == (&json!("quorate"), &json!(voters), &json!(alive))
    });
}

/// Replaces a member that is lost for good by a new one, as an operator does:
/// `etcdctl member remove`, a report of the voters that are left, and `etcdctl member add`. The report comes before
/// the new one starts: etcd refuses an `--initial-cluster` that lists other members than the cluster has.
fn replace(dead: &str, left: &[Pair], fourth: &Pair) {
    let listed = members(&left[0]).unwrap();
    let member = listed.iter().find(|member| member["name"] == dead).unwrap();
    let id = format!("{:x}", member["ID"].as_u64().unwrap());
    within(PATIENCE, || etcdctl(&left[0], &["member", "remove", &id]));
    let voters: Vec<String> = left.iter().map(|pair| format!("--voter=peer={}:2380", pair.addr)).collect();
    let at = left[0].agent.at();
    let report = ["bootstrap", "complete", &at, "--config-index", "2", &voters[0], &voters[1]];
    assert_eq!(run(report).code, 0);
    wait_until(&fourth.agent, "/v1/bootstrap", |answer| {
        answer["decision"] == "join" && answer["voters"].as_array().unwrap().len() == 2
    });
    let peers = format!("--peer-urls={}", fourth.peer());
    within(PATIENCE, || etcdctl(&left[0], &["member", "add", "d", &peers]));
}

/// Founds a cluster of a, b and c; returns them and the seeds with which they found each other.
#[track_caller]
fn found_three() -> (Vec<Pair>, String) {
    let (addrs, seeds) = cluster::addrs(3);
    let mut pairs: Vec<Pair> =
        ["a", "b", "c"].iter().zip(&addrs).map(|(name, addr)| Pair::new(name, addr, &seeds)).collect();
    for pair in &mut pairs {
        pair.exec();
    }
    wait_for_health(&pairs);
    (pairs, seeds)
}

#[test]
fn etcd_is_founded_survives_a_loss_and_is_joined() {
    need(&PARTS);
    let (mut pairs, seeds) = found_three();
    check_names(&pairs.iter().collect::<Vec<_>>(), &members(&pairs[0]).unwrap()).unwrap();
    assert_eq!(etcdctl(&pairs[0], &["put", "key", "before"]).unwrap(), "OK\n");
    assert_eq!(etcdctl(&pairs[2], &["get", "key"]).unwrap(), "key\nbefore\n");
    let cluster = wait_for_decision(&pairs[0].agent, "bootstrap")["cluster_id"].clone();
    assert_eq!(run(["bootstrap", "complete", &pairs[0].agent.at(), "--config-index", "1"]).code, 0);
    for pair in &pairs {
        wait_for_decision(&pair.agent, "resume");
    }

    // All are killed, and one does not come back.
    for pair in &mut pairs {
        pair.kill();
    }
    drop(pairs.remove(0));
    for pair in &mut pairs {
        pair.agent.restart();
        pair.exec();
    }
    wait_for_health(&pairs);
    for pair in &pairs {
        assert_eq!(wait_for_decision(&pair.agent, "resume")["cluster_id"], cluster);
        assert_eq!(etcdctl(pair, &["get", "key"]).unwrap(), "key\nbefore\n");
        wait_for_quorum(pair, 3, 2);
    }

    let mut fourth = Pair::new("d", &cluster::loopback().to_string(), &seeds);
    assert_eq!(wait_for_decision(&fourth.agent, "join")["cluster_id"], cluster);
    replace("a", &pairs, &fourth);
    fourth.exec();
    wait_for_health([&fourth]);
    // A member has a name from its start on.
    within(PATIENCE, || check_names(&[&pairs[0], &pairs[1], &fourth], &members(&fourth)?));
    assert_eq!(etcdctl(&fourth, &["get", "key"]).unwrap(), "key\nbefore\n");
    let log = fourth.log();
    assert!(log.contains("This server joins: a member of the cluster must have added it"), "{log}");
    let voter = |pair: &Pair| format!("--voter=peer={}:2380", pair.addr);
    let report = [voter(&pairs[0]), voter(&pairs[1]), voter(&fourth)];
    let complete = ["bootstrap", "complete", &pairs[0].agent.at(), "--config-index", "3"].map(str::to_owned);
    assert_eq!(run(complete.iter().chain(&report)).code, 0);
    wait_for_decision(&fourth.agent, "resume");
    wait_for_quorum(&fourth, 3, 3);
}

/// All but one lose everything. Beside the survivor, which is down at first, enough fresh servers for a new cluster come
/// up; with the strict seed gate they wait for it, and join it once it is back.
#[test]
fn beside_one_survivor_no_second_cluster_is_founded() {
    need(&PARTS);
    let (mut pairs, seeds) = found_three();
    let addrs: Vec<_> = pairs.iter().map(|pair| pair.addr.clone()).collect();
    assert_eq!(etcdctl(&pairs[0], &["put", "key", "before"]).unwrap(), "OK\n");
    let cluster = wait_for_decision(&pairs[0].agent, "bootstrap")["cluster_id"].clone();
    assert_eq!(run(["bootstrap", "complete", &pairs[0].agent.at(), "--config-index", "1"]).code, 0);
    wait_for_decision(&pairs[0].agent, "resume");
    for pair in &mut pairs {
        pair.kill();
    }
    let mut survivor = pairs.remove(0);
    // The directories of the others go with them.
    drop(pairs);

    let fresh = [("b", addrs[1].clone()), ("c", addrs[2].clone()), ("d", cluster::loopback().to_string())];
    let mut fresh = fresh.map(|(name, addr)| Pair::with(name, &addr, &seeds, &["--seed-gate", "strict"]));
    let gated = |answer: &Value| {
        let reasons = answer["reasons"].as_array().unwrap();
        let seed = format!("{}:7946", addrs[0]);
        reasons.iter().any(|reason| reason["code"] == "unheard_seeds" && reason.to_string().contains(&seed))
    };
    for pair in &fresh {
        wait_until(&pair.agent, "/v1/bootstrap", gated);
    }
    // Longer than the patience, after which the gate would let them pass if it were not strict.
    let Ended { code, .. } = run(["wait", "--for", "bootstrap", "--timeout", "12s", &fresh[0].agent.at()]);
    assert_ne!(code, 0, "a server has decided");
    for pair in &fresh {
        assert_eq!(pair.agent.get("/v1/bootstrap").json()["decision"], "wait");
    }

    survivor.agent.restart();
    survivor.exec();
    assert_eq!(wait_for_decision(&survivor.agent, "resume")["cluster_id"], cluster);
    for pair in &mut fresh {
        assert_eq!(wait_for_decision(&pair.agent, "join")["cluster_id"], cluster);
        pair.exec();
    }
    wait_until(&survivor.agent, "/v1/quorum", |quorum| {
        quorum["has_quorum"] == false && quorum["voters"] == 3
    });
    // One of three elects no leader, and the fresh servers are no members of its group.
    assert!(etcdctl(&survivor, &["put", "key", "after"]).is_err());
    for pair in &fresh {
        assert!(etcdctl(pair, &["put", "key", "after"]).is_err(), "{} has founded", pair.addr);
    }
}
