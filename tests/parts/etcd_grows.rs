//! An etcd that grows and is repaired by its agents: admitted, promoted, replaced, with a group key and without.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

use super::{
    etcd::{PARTS, PATIENCE, Pair, etcdctl, members, wait_for_health},
    need,
};
use crate::{
    awaiting::within,
    cluster,
    founding_api::{LOOK, wait_until},
    running::{Dir, run},
};

/// A cluster that grows: the flags of all its agents.
struct Site {
    seeds: String,
    key: Option<String>,
    more: Vec<String>,
    /// Keeps the key's file.
    _dir: Dir,
}

impl Site {
    /// Three pairs that have founded.
    #[track_caller]
    fn found(has_key: bool, more: &[&str]) -> (Self, Vec<Pair>) {
        need(&PARTS);
        let dir = Dir::new();
        let key = has_key.then(|| {
            let key = dir.file("key", &run(["keygen"]).out);
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            key
        });
        let (addrs, seeds) = cluster::addrs(3);
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        let site = Self { seeds, key, more, _dir: dir };
        let mut pairs: Vec<Pair> =
            ["a", "b", "c"].iter().zip(&addrs).map(|(name, addr)| site.pair(name, addr)).collect();
        pairs.iter_mut().for_each(|pair| pair.exec_with(&[]));
        wait_for_health(&pairs);
        (site, pairs)
    }

    fn pair(&self, name: &str, addr: &str) -> Pair {
        let server = format!("etcd=http://{addr}:2379");
        let mut flags = vec!["--server", &server];
        if let Some(key) = &self.key {
            flags.extend(["--encrypt-key-file", key]);
        }
        flags.extend(self.more.iter().map(String::as_str));
        Pair::with(name, addr, &self.seeds, &flags)
    }

    fn fourth(&self, name: &str) -> Pair {
        self.pair(name, &cluster::loopback().to_string())
    }
}

/// The names of those that vote, by the word of the etcd at `pair`.
fn voters(pair: &Pair) -> Result<Vec<String>, String> {
    let votes = |member: &&Value| member["isLearner"] != true && member["name"] != "";
    let listed = members(pair)?;
    Ok(listed.iter().filter(votes).map(|member| member["name"].as_str().unwrap_or("-").to_owned()).collect())
}

/// Waits until exactly these vote; returns the time that it took.
#[track_caller]
fn wait_for_voters(pair: &Pair, wanted: &[&str], patience: Duration) -> Duration {
    let (_, took) = within(patience, || {
        let found = voters(pair)?;
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?} vote instead of {wanted:?}: {:?}", members(pair)))
        }
    });
    took
}

/// A client that writes all the time, each value once, and keeps what was acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: JoinHandle<Vec<u32>>,
}

impl Writer {
    fn start(pairs: &[&Pair]) -> Self {
        let endpoints: Vec<String> = pairs.iter().map(|pair| pair.client()).collect();
        let (endpoints, stop) = (endpoints.join(","), Arc::new(AtomicBool::new(false)));
        let ends = stop.clone();
        let acknowledged = std::thread::spawn(move || {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let (key, value) = (format!("k{number}"), number.to_string());
                let put = std::process::Command::new("etcdctl")
                    .env("ETCDCTL_API", "3")
                    .args(["--command-timeout=2s", "--endpoints", &endpoints, "put", &key, &value])
                    .output();
                if put.is_ok_and(|put| put.status.success()) {
                    acknowledged.push(number);
                }
            }
            acknowledged
        });
        Self { stop, acknowledged }
    }

    /// Ends it, and checks that each write that was acknowledged is there at `pair`.
    #[track_caller]
    fn check(self, pair: &Pair) {
        self.stop.store(true, Ordering::Relaxed);
        let acknowledged = self.acknowledged.join().unwrap();
        assert!(acknowledged.len() > 10, "{} writes were acknowledged", acknowledged.len());
        let (found, _) = within(PATIENCE, || etcdctl(pair, &["get", "--prefix", "k", "--keys-only"]));
        let lost = acknowledged.iter().filter(|number| !found.lines().any(|key| key == format!("k{number}")));
        assert_eq!(lost.collect::<Vec<_>>(), Vec::<&u32>::new(), "of {}", acknowledged.len());
    }
}

#[test]
fn a_fourth_votes_without_a_hand() {
    let (site, pairs) = Site::found(true, &[]);
    let writer = Writer::start(&pairs.iter().collect::<Vec<_>>());
    let mut fourth = site.fourth("d");
    fourth.exec_with(&[]);
    let took = wait_for_voters(&pairs[0], &["a", "b", "c", "d"], Duration::from_secs(15));
    println!("a fourth votes after {took:?}");
    wait_until(&fourth.agent, LOOK, |answer| {
        answer["decision"] == "resume"
            && answer["me"]["voter"] == true
            && answer["reasons"] == serde_json::json!([])
    });
    let log = fourth.log();
    assert!(
        log.contains("the server is not among the members yet") && !log.contains("must have added it"),
        "{log}"
    );
    writer.check(&fourth);

    // Two more at once: one after the other.
    let mut more = [site.fourth("e"), site.fourth("f")];
    more.iter_mut().for_each(|pair| pair.exec_with(&[]));
    wait_for_voters(&pairs[0], &["a", "b", "c", "d", "e", "f"], PATIENCE * 2);
    wait_for_health(&more);
}

/// The reason that the agent shows first.
#[track_caller]
fn wait_for_reason(pair: &Pair, code: &str) -> String {
    let answer = wait_until(&pair.agent, LOOK, |answer| answer["reasons"][0]["code"] == code);
    answer["reasons"][0]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_dead_voter_is_replaced_by_a_joiner_without_a_hand() {
    let (site, mut pairs) = Site::found(true, &["--replace-failed", "5s"]);
    let writer = Writer::start(&pairs[..2].iter().collect::<Vec<_>>());
    pairs[2].kill();
    let mut fourth = site.fourth("d");
    fourth.exec_with(&[]);
    let said = wait_for_reason(&fourth, "voter_to_replace");
    assert!(said.starts_with("voter c is gone and not replaced yet"), "{said}");
    let took = wait_for_voters(&pairs[0], &["a", "b", "d"], PATIENCE);
    println!("a dead voter was replaced {took:?} after it was told so");
    writer.check(&fourth);

    // Back again with its data, it is told that it was removed.
    pairs[2].agent.restart();
    pairs[2].exec_with(&[]);
    wait_for_reason(&pairs[2], "removed_voter");
    assert_eq!(voters(&pairs[0]), Ok(["a", "b", "d"].map(str::to_owned).to_vec()));
}

/// A host is stopped in good order, and a fourth runs without a vote already.
#[test]
fn a_spare_takes_the_place_of_a_voter_that_has_left() {
    let (site, mut pairs) = Site::found(true, &["--replace-failed", "5s", "--voters", "3"]);
    let mut spare = site.fourth("d");
    spare.exec_with(&[]);
    let answer = wait_until(&spare.agent, LOOK, |answer| {
        answer["voting"] == false && answer["reasons"][0]["code"] == "enough_voters"
    });
    assert_eq!((&answer["decision"], answer["members"].as_array().unwrap().len()), (&"join".into(), 4));
    assert_eq!(voters(&pairs[0]), Ok(["a", "b", "c"].map(str::to_owned).to_vec()));
    let writer = Writer::start(&pairs[..2].iter().collect::<Vec<_>>());
    pairs[2].kill_server();
    pairs[2].agent.signal("TERM");
    assert_eq!(pairs[2].agent.wait_for_end(), 0);
    let took = wait_for_voters(&pairs[0], &["a", "b", "d"], PATIENCE);
    println!("a spare took the place after {took:?}");
    writer.check(&spare);
}

#[test]
fn without_a_group_key_nobody_is_admitted_by_himself() {
    let (site, pairs) = Site::found(false, &["--replace-failed", "1s"]);
    let mut fourth = site.fourth("d");
    fourth.exec_with(&[]);
    let said = wait_for_reason(&fourth, "not_admitted");
    within(PATIENCE, || {
        let said = wait_for_reason(&fourth, "not_admitted");
        if said.contains("admit this one with `chronik-agent voters add NODE`") { Ok(()) } else { Err(said) }
    });
    assert!(said.starts_with("the server is not among the members yet"), "{said}");
    assert_eq!(members(&pairs[0]).unwrap().len(), 3);
}
