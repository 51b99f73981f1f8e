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
        for pair in &pairs {
            wait_until(&pair.agent, LOOK, |answer| answer["decision"] == "resume");
        }
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
    assert!(said.starts_with("the server is not among the members yet"), "{said}");
    let (said, _) = within(PATIENCE, || {
        let said = wait_for_reason(&fourth, "not_admitted");
        if said.contains("admit this one with `chronik-agent voters add NODE`") {
            Ok(said)
        } else {
            Err(said)
        }
    });
    assert_eq!(members(&pairs[0]).unwrap().len(), 3);

    for (name, wanted) in [
        ("nobody", "no agent or member is called \"nobody\""),
        (&"x".repeat(200), "the name is longer than any that a node has"),
    ] {
        let refused = run(["voters", "add", name, "--yes", &follower(&pairs).agent.at()]);
        assert!(refused.code == 1 && refused.error.contains(wanted), "{refused:?}");
    }

    // The joiner's own agent is no voter's: its wishes are not taken.
    let refused = run(["voters", "add", "d", "--yes", &fourth.agent.at()]);
    assert_eq!(refused.code, 1);
    assert!(refused.error.contains("say it at one of them"), "{refused:?}");
    carry_out(follower(&pairs), &said, "d");
    wait_for_voters(&pairs[0], &["a", "b", "c", "d"], PATIENCE);
}

/// An agent that does not stand beside the leader.
fn follower(pairs: &[Pair]) -> &Pair {
    let leads = |pair: &&Pair| {
        let driver = pair.agent.get("/v1/self").json()["driver"].clone();
        driver["leader"]["id"] == pair.agent.get("/v1/self").json()["id"]
    };
    pairs.iter().find(|pair| !leads(pair)).unwrap()
}

/// Carries out the command about voters that a message names, for this node; returns what it said.
#[track_caller]
fn carry_out(pair: &Pair, message: &str, node: &str) -> String {
    let (_, command) = message.split_once("`chronik-agent voters ").unwrap_or_else(|| panic!("{message}"));
    let (verb, _) = command.split_once([' ', '`']).unwrap();
    let ended = run(["voters", verb, node, "--yes", &pair.agent.at()]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "done\n"), "{ended:?}");
    ended.error
}

#[test]
fn a_founder_that_lost_its_disk_votes_again_by_one_command() {
    for has_key in [true, false] {
        let (_site, mut pairs) = Site::found(has_key, &[]);
        let writer = Writer::start(&pairs[..2].iter().collect::<Vec<_>>());
        pairs[2].kill_server();
        fs::remove_dir_all(pairs[2].data()).unwrap();
        pairs[2].exec_with(&[]);
        let said = wait_for_reason(&pairs[2], "server_state_lost");
        let refused = run(["voters", "remove", "a", "--yes", &pairs[0].agent.at()]);
        assert_eq!(refused.code, 1, "that would cost the quorum: {refused:?}");
        assert!(refused.error.contains("voter c is down"), "{refused:?}");

        let (did, took) =
            within(Duration::from_secs(20), || Ok::<_, String>(carry_out(&pairs[1], &said, "c")));
        println!("the command took {took:?}: {did}");
        assert!(did.starts_with("first remove c, then start the server of c, then give c a vote"), "{did}");
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert_eq!(voters(&pairs[0]), Ok(["a", "b", "c"].map(str::to_owned).to_vec()));
        writer.check(&pairs[2]);
        wait_until(&pairs[2].agent, LOOK, |answer| answer["decision"] == "resume");
    }
}

#[test]
fn a_joiner_that_waits_for_a_voter_that_is_down_replaces_it_by_the_command_of_the_message() {
    let (site, mut pairs) = Site::found(true, &[]);
    pairs[2].kill_server();
    let mut fourth = site.fourth("d");
    fourth.exec_with(&[]);
    let said = wait_for_reason(&fourth, "voter_down");
    assert!(said.contains("voter c is down"), "{said}");
    carry_out(&pairs[0], &said, "c");
    wait_for_voters(&pairs[0], &["a", "b", "d"], PATIENCE);
    let table = run(["voters", &pairs[0].agent.at()]);
    let rows: Vec<&str> = table.out.lines().collect();
    assert!(rows.len() >= 4 && rows[0].starts_with("NAME"), "{table:?}");
    assert_eq!(rows[1..4].iter().filter(|row| row.contains("  yes    leads")).count(), 1, "{table:?}");
}

#[test]
fn who_leaves_for_good_is_no_member_when_it_stops_and_never_the_last() {
    let (_site, mut pairs) = Site::found(true, &[]);
    let healthy = |pair: &Pair| run(["health", "--for", "vote", &pair.agent.at()]).code;
    within(PATIENCE, || if healthy(&pairs[2]) == 0 { Ok(()) } else { Err("it does not vote".to_owned()) });
    for (leaver, left) in [(2, &["a", "b"][..]), (1, &["a"][..])] {
        let ended = run(["leave", "--for-good", &pairs[leaver].agent.at()]);
        assert_eq!((ended.code, ended.out.as_str()), (0, "the agent has left and stops\n"), "{ended:?}");
        assert_eq!(voters(&pairs[0]).unwrap(), left);
        assert_eq!(pairs[leaver].agent.wait_for_end(), 0);
    }
    let ended = run(["leave", "--for-good", "--timeout", "2s", &pairs[0].agent.at()]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.error.contains("it is the last voter"), "{ended:?}");
    assert_eq!(healthy(&pairs[0]), 0);
    pairs[0].kill_server();
    within(PATIENCE, || if healthy(&pairs[0]) == 1 { Ok(()) } else { Err("it is healthy".to_owned()) });
}

#[test]
fn a_lost_majority_is_recovered_by_one_command_and_grows_again() {
    let (_site, mut pairs) = Site::found(true, &[]);
    assert_eq!(etcdctl(&pairs[0], &["put", "key", "before"]).unwrap(), "OK\n");
    let recover = |pair: &Pair, more: &[&str]| {
        let at = pair.agent.at();
        run([&["voters", "recover", "--keep", "a", "--yes", "--timeout", "1s", &at], more].concat())
    };
    within(PATIENCE, || {
        let early = recover(&pairs[0], &["--i-will-lose-data"]);
        assert_eq!(early.code, 1, "{early:?}");
        let is_known = early.error.contains("leads, so that no majority is lost");
        if is_known { Ok(()) } else { Err(early.error) }
    });
    pairs[1].kill();
    pairs[2].kill();
    within(PATIENCE, || {
        let ended = recover(&pairs[0], &["--i-will-lose-data"]);
        if ended.code == 3 { Ok(()) } else { Err(format!("{ended:?}")) }
    });
    let unsaid = recover(&pairs[0], &[]);
    assert!(unsaid.code == 1 && unsaid.error.contains("say so with --i-will-lose-data"), "{unsaid:?}");
    pairs[0].kill_server();
    pairs[0].exec_with(&[]);
    wait_for_voters(&pairs[0], &["a"], PATIENCE);
    assert_eq!(etcdctl(&pairs[0], &["get", "key"]).unwrap(), "key\nbefore\n");
    let alone = |answer: &Value| {
        let voters = answer["voters"].as_array();
        answer["decision"] == "resume"
            && answer.get("recover").is_none()
            && voters.is_some_and(|it| it.len() == 1)
    };
    wait_until(&pairs[0].agent, LOOK, alone);

    // The others come back with the data of before, and are members again once that is gone.
    for pair in &mut pairs[1..] {
        pair.agent.restart();
        pair.exec_with(&[]);
    }
    for pair in &mut pairs[1..] {
        wait_for_reason(pair, "removed_voter");
        fs::remove_dir_all(pair.data()).unwrap();
    }
    wait_for_voters(&pairs[0], &["a", "b", "c"], PATIENCE * 2);
}
