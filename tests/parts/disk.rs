//! Disks that are full, read-only, slow or broken, under real agents: they go on, say what is wrong and what to do,
//! acknowledge nothing that is not on disk, and recover by themselves once the disk is whole again.
//!
//! Each disk fails for one agent alone, in a mount namespace or under a tracer of its own. Both need root.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chronik_agent::bootstrap::NodeRecord;

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, ever_said, start},
    environment,
    parts::{need, need_root},
    running::{Agent, Dir, request},
};

const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];
/// Time to recover: a refused write is tried again every 5 s, and then the servers agree.
const RECOVERED: Duration = Duration::from_secs(30);
const BOUND: Duration = Duration::from_secs(20);

/// A mount namespace of its own.
const APART: [&str; 5] = ["unshare", "--mount", "sh", "-c", "exec \"$0\" \"$@\""];
/// A mount namespace with a disk for the state, which is soon full.
const SMALL_DISK: [&str; 5] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mkdir -p DIR/state && mount -t tmpfs -o size=64k,mode=0700 tmpfs DIR/state && exec \"$0\" \"$@\"",
];

fn need_what_breaks_disks() {
    need_root();
    need(&[("unshare", "util-linux"), ("nsenter", "util-linux"), ("strace", "strace")]);
}

/// The state directory in the agent's mount namespace.
fn state(agent: &Agent) -> PathBuf {
    let dir = agent.dir.0.join("state");
    PathBuf::from(format!("/proc/{}/root{}", agent.pid(), dir.display()))
}

/// Takes all the room that is left on the disk; removing the file gives it back.
fn fill(agent: &Agent) -> PathBuf {
    let path = state(agent).join("filler");
    let mut file = fs::File::create(&path).unwrap();
    let full = (0..10_000).find_map(|_| file.write_all(&[7; 512]).err()).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    path
}

/// Runs a script in the agent's mount namespace; `$0` is the state directory.
fn run_beside(agent: &Agent, script: &str) {
    let (pid, dir) = (agent.pid().to_string(), agent.dir.0.join("state"));
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &pid, "sh", "-c", script]).arg(dir);
    assert!(command.status().unwrap().success(), "{script}");
}

/// A tracer that makes the agent's syncs fail or last, until it is dropped.
struct Spoiled(Child);

impl Spoiled {
    fn new(agent: &Agent, what: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", &format!("inject=fsync:{what}")]);
        let pid = agent.pid().to_string();
        let mut tracer = command.args(["-p", &pid]).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(tracer.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        // A tracer whose output is not read would stop.
        std::thread::spawn(move || said.lines().for_each(drop));
        Self(tracer)
    }
}

impl Drop for Spoiled {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        Command::new("kill").args(["-s", "INT", &pid]).status().ok();
        self.0.wait().ok();
    }
}

fn bootstrap(agent: &Agent) -> serde_json::Value {
    agent.get("/v1/bootstrap").json()
}

/// The message of the fault that the agent reports.
fn fault(agent: &Agent) -> Result<String, String> {
    let said = bootstrap(agent);
    let reasons = said["reasons"].as_array().unwrap();
    let fault = reasons.iter().find(|reason| reason["code"] == "fault");
    fault.map(|fault| fault["message"].as_str().unwrap().to_owned()).ok_or_else(|| said.to_string())
}

fn no_fault(agent: &Agent) -> Result<(), String> {
    fault(agent).map_or(Ok(()), Err)
}

/// The cluster that all of these agents are told to found.
fn founded(agents: &[&Agent]) -> Result<String, String> {
    let mut ids = Vec::new();
    for agent in agents {
        let said = bootstrap(agent);
        match (said["decision"].as_str().unwrap(), said["cluster_id"].as_str()) {
            ("bootstrap" | "resume", Some(id)) => ids.push(id.to_owned()),
            _ => return Err(said.to_string()),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "two clusters");
    Ok(ids.remove(0))
}

/// Reports that the group exists; returns the status, and the detail of the problem if there is one.
fn establish(at: SocketAddr, cluster: &str, index: u32) -> (u16, String) {
    let head =
        "PUT /v1/bootstrap/established HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = format!(
        r#"{{"cluster_id":"{cluster}","config_index":{index},"voters":[{{"ordinal":1}},{{"ordinal":2}},{{"ordinal":3}}]}}"#
    );
    let answer = request(&mut TcpStream::connect(at).unwrap(), head, &body);
    if answer.status() == 200 { (200, String::new()) } else { answer.problem() }
}

fn config_index(agent: &Agent) -> u64 {
    bootstrap(agent)["config_index"].as_u64().unwrap()
}

/// Starts `c` by `wrapper`; returns the addresses and the seeds of all three agents, too.
fn start_c(wrapper: &[&str]) -> (Agent, Vec<String>, String) {
    let (addrs, seeds) = addrs(3);
    let flags = ["--node-name", "c", "--bind", &addrs[2], "--join", &seeds, "--bootstrap-expect", "3"];
    (Agent::launch_by(wrapper, Dir::new(), &flags), addrs, seeds)
}

/// Starts `a` and `b`, with healthy disks.
fn start_others(addrs: &[String], seeds: &str) -> [Agent; 2] {
    let flags = ["--join", seeds, "--bootstrap-expect", "3"];
    [start("a", &addrs[0], &flags), start("b", &addrs[1], &flags)]
}

#[test]
fn a_full_disk_is_named_with_its_remedy_and_nothing_is_voted_until_there_is_room() {
    need_what_breaks_disks();
    let (c, addrs, seeds) = start_c(&SMALL_DISK);
    let filler = fill(&c);
    let record = || fs::read(state(&c).join("node.json")).unwrap();
    let before = record();
    let [a, b] = start_others(&addrs, &seeds);
    let (said, _) = within(BOUND, || fault(&c));
    let path = c.dir.0.join("state/node.json");
    let expected = format!(
        "--state-dir {}: cannot write it: No space left on device (os error 28); make room there",
        path.display()
    );
    assert!(said.contains(&expected), "{said}");
    within(BOUND, || all_say([&a, &b, &c], &ALL));
    assert_eq!(c.get("/livez").status(), 200);
    assert!(c.get("/metrics").body.contains("bootstrap_reason{code=\"fault\"} 1\n"));
    let attested = c.put("/v1/server", r#"{"server_id":"s3","has_state":false,"cluster_id":null}"#);
    assert_eq!((attested.status(), attested.json()["decision"].as_str()), (200, Some("wait")));
    assert_eq!(record(), before, "the old record stays whole");
    for agent in [&a, &b] {
        assert_eq!(bootstrap(agent)["decision"], "wait", "three are needed, and one cannot vote");
    }
    fs::remove_file(filler).unwrap();
    let (cluster, took) = within(RECOVERED, || founded(&[&a, &b, &c]));
    eprintln!("founded {took:.2?} after there was room");
    within(BOUND, || no_fault(&c));
    assert_ne!(record(), before);
    assert!(c.log().contains("the record is written: this agent votes again"), "{}", c.log());
    assert_eq!(c.log().matches("ERROR").count(), 1, "told once, not at every attempt");
    // After the founding, a report that is not on disk is not acknowledged.
    let (filler, before) = (fill(&c), record());
    let (status, detail) = establish(c.http, &cluster, 1);
    assert_eq!(status, 503, "{detail}");
    assert!(detail.starts_with("not on disk yet: ") && detail.contains("make room there"), "{detail}");
    assert_eq!((record(), bootstrap(&c)["established"].as_bool()), (before, Some(false)));
    fs::remove_file(filler).unwrap();
    within(RECOVERED, || if config_index(&c) == 1 { no_fault(&c) } else { Err("not written".to_owned()) });
    assert_eq!(bootstrap(&c)["decision"], "resume");
    assert_resets_only_if_written(&c);
}

/// Asserts that a reset that the disk refuses forgets nothing and says so, and that one that is acknowledged is done.
fn assert_resets_only_if_written(agent: &Agent) {
    let id = || agent.get("/v1/self").json()["id"].as_str().unwrap().to_owned();
    let reset = || agent.post("/v1/bootstrap/reset", r#"{"i_will_lose_data":true}"#);
    let (filler, before) = (fill(agent), id());
    let (status, detail) = reset().problem();
    assert_eq!(status, 503, "{detail}");
    assert!(detail.starts_with("not on disk yet: nothing is forgotten: "), "{detail}");
    assert!(detail.contains("make room there"), "{detail}");
    fs::remove_file(filler).unwrap();
    assert_eq!((id(), bootstrap(agent)["decision"].as_str()), (before, Some("resume")));
    let done = reset();
    assert_eq!(done.status(), 200);
    let new_id = done.json()["new_id"].as_str().unwrap().to_owned();
    let record = fs::read_to_string(state(agent).join("node.json")).unwrap();
    let (_, json) = record.split_once('\n').unwrap();
    let record: NodeRecord = serde_json::from_str(json).unwrap();
    assert_eq!(record.founding.node_id().to_string(), new_id);
}

#[test]
fn a_disk_that_is_read_only_broken_or_slow_loses_nothing_that_was_acknowledged() {
    need_what_breaks_disks();
    let (mut c, addrs, seeds) = start_c(&APART);
    let [a, b] = start_others(&addrs, &seeds);
    let (cluster, _) = within(BOUND, || founded(&[&a, &b, &c]));
    let id = c.get("/v1/self").json()["id"].clone();
    assert_eq!(establish(c.http, &cluster, 1), (200, String::new()));
    // The disk is read-only, as the kernel makes it after an error.
    run_beside(&c, "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"");
    assert_refused(
        &c,
        &cluster,
        2,
        "Read-only file system (os error 30); find out why it is mounted read-only",
    );
    assert!(c.get("/v1/bootstrap").json()["decision"] == "resume", "the server goes on with its data");
    run_beside(&c, "umount \"$0\"");
    within(RECOVERED, || no_fault(&c));
    assert_eq!(config_index(&c), 2, "what was in doubt is done");
    // The disk is broken, and the agent crashes before it is whole again.
    let broken = Spoiled::new(&c, "error=EIO");
    assert_refused(&c, &cluster, 3, "Input/output error (os error 5); look at the disk");
    within(BOUND, || all_say([&a, &b, &c], &ALL));
    c.kill();
    drop(broken);
    c.restart();
    assert_eq!(c.get("/v1/self").json()["id"], id);
    assert!(config_index(&c) >= 2, "an acknowledged report is lost");
    assert_eq!(founded(&[&c]), Ok(cluster.clone()));
    let broken = Spoiled::new(&c, "error=EIO");
    assert_refused(&c, &cluster, 4, "Input/output error");
    drop(broken);
    within(RECOVERED, || no_fault(&c));
    assert_eq!(config_index(&c), 4);
    // The disk is slow: the file and its directory are synced, 2 s each, and only the caller waits for that.
    let slow = Spoiled::new(&c, "delay_exit=2s");
    let (at, cluster) = (c.http, cluster.as_str());
    let asked = std::thread::scope(|scope| {
        let begin = now();
        let asked = scope.spawn(move || (establish(at, cluster, 5), begin.elapsed()));
        let mut worst = Duration::ZERO;
        while !asked.is_finished() {
            let begin = now();
            all_say([&a, &b, &c], &ALL).unwrap();
            worst = worst.max(begin.elapsed());
        }
        eprintln!("three answers of three agents while the disk was slow: {worst:.2?} at worst");
        assert!(worst < Duration::from_secs(1), "{worst:?}");
        asked.join().unwrap()
    });
    assert_eq!(asked.0, (200, String::new()));
    assert!(asked.1 >= Duration::from_secs(4), "it was not slow: {asked:?}");
    drop(slow);
    assert_eq!(config_index(&c), 5);
    for agent in [&a, &b, &c] {
        assert!(no_fault(agent).is_ok() && all_say([agent], &ALL).is_ok());
    }
}

/// Asserts that a report is not acknowledged, and that the fault is told with its remedy while everything else goes on.
fn assert_refused(agent: &Agent, cluster: &str, index: u32, why: &str) {
    let (status, detail) = establish(agent.http, cluster, index);
    assert_eq!(status, 503, "{detail}");
    assert!(detail.contains(why), "{detail}");
    assert!(fault(agent).unwrap().contains(why));
    assert_eq!(agent.get("/livez").status(), 200);
}

#[test]
fn a_cluster_is_founded_on_a_slow_disk_and_nobody_is_called_failed() {
    need_what_breaks_disks();
    let (c, addrs, seeds) = start_c(&[]);
    let sync_ms = environment::number("DISK_SYNC_MS", 1_000);
    let _slow = Spoiled::new(&c, &format!("delay_exit={sync_ms}ms"));
    let [a, b] = start_others(&addrs, &seeds);
    let (_, took) = within(Duration::from_secs(240), || founded(&[&a, &b, &c]));
    eprintln!("founded in {took:.2?} where each sync of one disk takes {sync_ms} ms");
    assert!(took > Duration::from_millis(4 * sync_ms), "the disk was not slow");
    for agent in [&a, &b] {
        assert!(!ever_said(agent, "c", "failed"), "{}", agent.log());
    }
}
