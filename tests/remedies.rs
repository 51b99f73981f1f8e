//! Every reason to wait ends by the remedy that it names: each is brought about with real agents, the remedy is taken from the
//! message itself, carried out, and the state ends. A reason without a row fails the build.

use std::{collections::BTreeSet, fs, time::Duration};

use chronik_agent::bootstrap::Reason;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    awaiting::within,
    founding_api::{LOOK, Place, established, founded_unasked, places, seeds, wait_until},
    running::{Agent, Ended, run},
    server_driver::{adopt, peer},
    server_stub::ServerStub,
};

/// The end of a reason.
enum End {
    /// By its remedy, as the test here shows whose name begins with the code.
    Remedy,
    /// By its remedy, as the test of this name in this file shows.
    Elsewhere(&'static str, &'static str),
    /// By itself: the remedy says that there is nothing to do.
    Itself,
    /// By starting, connecting or configuring what the remedy names; every test of a founding does so.
    Start,
}

const FOUNDING_API: &str = include_str!("founding_api.rs");
const LOSING: &str = include_str!("scenarios/losing.rs");
const FORMING: &str = include_str!("scenarios/forming.rs");
const MACHINE: &str = include_str!("../src/core/bootstrap/tests.rs");
const ETCD_GROWS: &str = include_str!("parts/etcd_grows.rs");
const WORDS: &str = include_str!("../src/core/bootstrap/word.rs");

fn rows() -> Vec<(&'static str, End)> {
    use End::{Elsewhere, Itself, Remedy, Start};
    vec![
        ("expect_not_set", Start),
        ("observer", Start),
        (
            "join_only",
            Elsewhere(MACHINE, "only_the_pinned_cluster_is_joined_and_a_wrong_pin_leaves_nothing_behind"),
        ),
        ("not_named", Start),
        ("too_few_servers", Start),
        ("expect_mismatch", Elsewhere(FORMING, "different_expects_wait_and_say_who_differs")),
        ("too_many_servers", Remedy),
        ("unheard_seeds", Remedy),
        ("settling", Itself),
        ("agreeing", Itself),
        ("learning", Itself),
        ("alone", Start),
        ("no_seeds", Start),
        ("fault", Remedy),
        ("old_record", Remedy),
        (
            "server_state_lost",
            Elsewhere(
                FOUNDING_API,
                "a_first_start_that_failed_on_all_is_tried_again_once_all_are_seen_to_be_blank",
            ),
        ),
        ("founder_moved", Remedy),
        ("server_unknown", Remedy),
        ("server_holds_data", Remedy),
        ("claim_unconfirmed", Remedy),
        ("server_disagrees", Remedy),
        ("removed_voter", Remedy),
        ("voter_to_replace", Elsewhere(ETCD_GROWS, "a_dead_voter_is_replaced_by_a_joiner_without_a_hand")),
        (
            "voter_down",
            Elsewhere(
                ETCD_GROWS,
                "a_joiner_that_waits_for_a_voter_that_is_down_replaces_it_by_the_command_of_the_message",
            ),
        ),
        ("enough_voters", Itself),
        ("not_admitted", Elsewhere(ETCD_GROWS, "without_a_group_key_nobody_is_admitted_by_himself")),
        ("another_server", Elsewhere(FOUNDING_API, "a_second_server_beside_one_that_runs_is_told_to_wait")),
        ("server_id_taken", Elsewhere(MACHINE, "a_new_agent_beside_the_data_of_a_voter_is_that_voter")),
        ("voters_differ", Remedy),
        ("members_differ", Remedy),
        (
            "operators_disagree",
            Elsewhere(WORDS, "opposite_words_are_disputed_until_one_is_said_that_has_seen_both"),
        ),
        ("cluster_given_up", Remedy),
        ("override_pending", Remedy),
        ("server_state_old", Remedy),
        ("saving", Itself),
        ("key_was_copied", Remedy),
        ("record_rolled_back", Remedy),
        ("duplicate_id", Elsewhere(LOSING, "when_one_of_two_with_one_id_is_gone_the_other_goes_on")),
        ("two_clusters", Remedy),
    ]
}

#[test]
fn each_reason_has_a_row_and_each_row_a_test() {
    let known: BTreeSet<&str> = Reason::TABLE.iter().map(|entry| entry.code).collect();
    let rows = rows();
    assert_eq!(rows.iter().map(|(code, _)| *code).collect::<BTreeSet<_>>(), known);
    let own = include_str!("remedies.rs");
    for (code, end) in rows {
        match end {
            End::Elsewhere(file, test) => {
                assert!(file.contains(&format!("fn {test}()")), "{code}: no test {test}")
            }
            End::Remedy => {
                assert!(own.contains(&format!("fn {code}_ends_")), "{code}: the test has its name")
            }
            End::Itself => {
                let mut rows = Reason::TABLE.iter().filter(|entry| entry.code == code);
                assert!(
                    rows.any(|entry| entry.remedy.starts_with("nothing to do")) || code == "saving",
                    "{code}"
                );
            }
            End::Start => {}
        }
    }
}

/// The message of this reason, once the agent gives it.
#[track_caller]
fn message(agent: &Agent, code: &str) -> String {
    let reason = |answer: &Value| {
        let reasons = answer["reasons"].as_array().unwrap();
        reasons.iter().find(|reason| reason["code"] == code).cloned()
    };
    let answer = wait_until(agent, LOOK, |answer| reason(answer).is_some());
    reason(&answer).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Waits until the decision is this one.
#[track_caller]
fn decided(agent: &Agent, decision: &str) -> Value {
    wait_until(agent, LOOK, |answer| answer["decision"] == decision)
}

/// Carries out the first command that a message names, with a value in the place of a word that stands for one.
#[track_caller]
fn carry_out(agent: &Agent, message: &str, given: Option<(&str, &str)>) {
    carry_out_the(agent, "", message, given);
}

/// Carries out the command of this name that a message names.
#[track_caller]
fn carry_out_the(agent: &Agent, name: &str, message: &str, given: Option<(&str, &str)>) {
    let (_, command) = message
        .split_once(&format!("`chronik-agent {name}"))
        .unwrap_or_else(|| panic!("no command {name} in {message}"));
    let (command, _) = command.split_once('`').unwrap();
    let command = format!("{name}{command}");
    let mut words: Vec<&str> = command.split(' ').collect();
    if let Some((place, value)) = given {
        words.iter_mut().filter(|word| **word == place).for_each(|word| *word = value);
    }
    let at = agent.at();
    let ended = run([words.as_slice(), &[&at, "--yes"]].concat());
    assert_eq!(ended.code, 0, "{words:?}: {}{}", ended.out, ended.error);
}

fn attest(agent: &Agent, id: &str, cluster: Option<&Value>) -> Value {
    let report =
        json!({"server_id": id, "has_state": cluster.is_some(), "cluster_id": cluster, "once": true});
    agent.put("/v1/server", &report.to_string()).json()
}

fn report(agent: &Agent, cluster: &Value, index: u32, ordinals: &[u32]) -> (u16, Value) {
    let voters: Vec<Value> = ordinals.iter().map(|ordinal| json!({"ordinal": ordinal})).collect();
    let body = json!({"cluster_id": cluster, "config_index": index, "voters": voters});
    let answer = agent.put("/v1/bootstrap/established", &body.to_string());
    (answer.status(), answer.json())
}

/// Three addresses of hosts that are gone, listed for ever, are three servers too many.
#[test]
fn too_many_servers_ends_once_the_dead_are_vouched_for() {
    let places = places(6);
    let all = seeds(&places);
    let agents: Vec<Agent> = places[..3].iter().map(|place| place.start_server(&all)).collect();
    for agent in &agents {
        let message = message(agent, "too_many_servers");
        let dead: Vec<&str> = places[3..].iter().map(|place| place.gossip.as_str()).collect();
        let named = |addr: &&str| {
            let by =
                "listed by provider static, number 1 of `chronik-agent discovery`), which never answered";
            message.contains(&format!("{addr} (silent for ")) && message.contains(by)
        };
        assert!(dead.iter().all(named), "{message}");
        carry_out_the(agent, "bootstrap vouch", &message, Some(("ADDR|ID", dead[0])));
    }
    agents.iter().for_each(|agent| _ = decided(agent, "bootstrap"));
}

/// The gate is strict, and one host that the provider lists is gone for good.
#[test]
fn unheard_seeds_ends_once_the_dead_are_vouched_for() {
    let places = places(4);
    let all = seeds(&places);
    let flags = ["--bootstrap-expect", "3", "--join", &all, "--seed-gate", "strict"];
    let agents: Vec<Agent> = places[..3].iter().map(|place| place.start(&flags)).collect();
    let dead = places[3].gossip.as_str();
    for agent in &agents {
        let alone = format!("no answer from {dead} (");
        let is_alone_silent = |answer: &Value| answer["reasons"].to_string().contains(&alone);
        wait_until(agent, LOOK, is_alone_silent);
        let message = message(agent, "unheard_seeds");
        assert!(
            message.contains("listed by provider static, number 1 of `chronik-agent discovery`"),
            "{message}"
        );
        carry_out_the(agent, "bootstrap vouch", &message, Some(("ADDR", dead)));
        let here = agent.get("/v1/self").json()["id"].clone();
        let shown = agent.get(LOOK).json()["vouched"].clone();
        assert_eq!(shown, json!([{"gone": dead, "said_at": here}]), "as long as it stands");
    }
    agents.iter().for_each(|agent| _ = decided(agent, "bootstrap"));
    let _back = places[3].start(&["--join-only", "--join", &all]);
    wait_until(&agents[0], LOOK, |answer| answer["vouched"].is_null());
}

#[test]
fn fault_ends_by_a_reset() {
    let place = &places(1)[0];
    drop(place.start(&["--join-only"]));
    fs::write(place.dir.0.join("state/node.json"), "torn").unwrap();
    let agent = place.start(&["--bootstrap-expect", "1"]);
    carry_out(&agent, &message(&agent, "fault"), None);
    drop(agent);
    let again = place.start(&["--bootstrap-expect", "1"]);
    decided(&again, "bootstrap");
}

/// A record of the version before, with a vote.
#[test]
fn old_record_ends_by_a_reset() {
    let place = &places(1)[0];
    drop(place.start(&["--join-only"]));
    let id = "0191b3a0-0000-7000-8000-000000000001";
    let json =
        json!({"epoch": 7, "founding": {"node_id": id, "promised": {"round": 3, "node": id}}}).to_string();
    let sum: String = Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect();
    let record = format!("chronik-agent record 2 sha256 {sum}\n{json}\n");
    fs::write(place.dir.0.join("state/node.json"), record).unwrap();
    let agent = place.start(&["--bootstrap-expect", "1"]);
    carry_out_the(&agent, "bootstrap reset", &message(&agent, "old_record"), None);
    drop(agent);
    let again = place.start(&["--bootstrap-expect", "1"]);
    decided(&again, "bootstrap");
}

/// A directory with the record of an agent that has promised something.
fn voter(place: &Place) {
    drop(place.start(&["--bootstrap-expect", "3"]));
    let path = place.dir.0.join("state/node.json");
    let text = fs::read_to_string(&path).unwrap();
    let (head, json) = text.split_once('\n').unwrap();
    let (format, _) = head.rsplit_once(' ').unwrap();
    let mut record: Value = serde_json::from_str(json).unwrap();
    let node = "0191b3a0-0000-8000-8000-000000000001";
    record["founding"]["promised"] = json!({"round": 3, "node": node});
    let json = record.to_string();
    let sum: String = Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(path, format!("{format} {sum}\n{json}\n")).unwrap();
}

/// Checks that these found together.
fn found(agents: &[&Agent]) {
    let founded: BTreeSet<String> =
        agents.iter().map(|agent| decided(agent, "bootstrap")["cluster_id"].to_string()).collect();
    assert_eq!(founded.len(), 1);
}

/// Resets an agent as a message says, and waits until it is there again under its new id.
fn start_over(agent: &Agent, message: &str) {
    let me = agent.get("/v1/self").json()["id"].as_str().unwrap().to_owned();
    carry_out_the(agent, "bootstrap reset", message, None);
    within(Duration::from_secs(10), || another(agent, &me));
}

/// Checks that an agent is there under another id than this one.
pub(crate) fn another(agent: &Agent, former: &str) -> Result<(), String> {
    let ended = run(["info", &agent.at()]);
    if ended.code == 0 && !ended.out.contains(former) { Ok(()) } else { Err(format!("{ended:?}")) }
}

/// The copy may have given another vote, also when it is gone.
#[test]
fn key_was_copied_ends_by_a_reset() {
    let places = places(4);
    let all = seeds(&places);
    let flags = ["--bootstrap-expect", "3", "--join", &all];
    voter(&places[0]);
    fs::create_dir(places[1].dir.0.join("state")).unwrap();
    fs::copy(places[0].dir.0.join("state/node.json"), places[1].dir.0.join("state/node.json")).unwrap();
    let (agent, mut copy) = (places[0].start(&flags), places[1].start(&flags));
    message(&copy, "duplicate_id");
    message(&agent, "key_was_copied");
    copy.kill();
    wait_until(&agent, LOOK, |answer| answer["decision"] == "wait");
    let others = [places[2].start(&flags), places[3].start(&flags)];
    // Three servers are there, and one of them votes no more.
    wait_until(&agent, "/v1/members", |answer| {
        let members = answer["members"].as_array().unwrap();
        members.iter().filter(|member| member["status"] == "alive").count() == 3
    });
    let me = agent.get("/v1/self").json()["id"].as_str().unwrap().to_owned();
    let refused = run(["bootstrap", "override", &agent.at(), "--founders", &me, "--yes"]);
    assert!(refused.error.contains("the key of this agent was copied"), "{refused:?}");
    start_over(&agent, &message(&agent, "key_was_copied"));
    found(&[&agent, &others[0], &others[1]]);
}

/// Others remember a start of which the record that was put back does not know.
#[test]
fn record_rolled_back_ends_by_a_reset() {
    let places = places(3);
    let all = seeds(&places);
    let flags = ["--bootstrap-expect", "3", "--join", &all];
    voter(&places[0]);
    let path = places[0].dir.0.join("state/node.json");
    let backup = fs::read(&path).unwrap();
    let other = places[1].start(&flags);
    let agent = places[0].start(&flags);
    wait_until(&other, "/v1/members", |answer| answer["members"].as_array().unwrap().len() == 2);
    drop(agent);
    fs::write(&path, backup).unwrap();
    let agent = places[0].start(&flags);
    let said = message(&agent, "record_rolled_back");
    let third = places[2].start(&flags);
    start_over(&agent, &said);
    found(&[&agent, &other, &third]);
}

#[test]
fn founder_moved_ends_by_an_override() {
    let places = places(3);
    let all = seeds(&places);
    let start = |place: &Place, port: &str| {
        place.start(&["--bootstrap-expect", "3", "--join", &all, "--endpoint", &format!("raft=:{port}")])
    };
    let agents: Vec<Agent> = places.iter().map(|place| start(place, "5001")).collect();
    let before = agents.iter().map(|agent| decided(agent, "bootstrap")).next_back().unwrap();
    drop(agents);
    let agents: Vec<Agent> = places.iter().map(|place| start(place, "5002")).collect();
    agents.iter().enumerate().for_each(|(at, agent)| _ = attest(agent, &format!("s{at}"), None));
    let moved: Vec<String> = agents.iter().map(|agent| message(agent, "founder_moved")).collect();
    wait_until(&agents[0], "/v1/members", |answer| {
        let members = answer["members"].as_array().unwrap();
        members.iter().filter(|member| member["status"] == "alive").count() == 3
    });
    carry_out(&agents[0], &moved[0], None);
    for (at, agent) in agents.iter().enumerate() {
        attest(agent, &format!("s{at}"), None);
        let after = decided(agent, "bootstrap");
        assert_ne!(after["cluster_id"], before["cluster_id"]);
        assert!(after["founders"].to_string().contains(":5002"), "{after}");
    }
}

/// One of the founders that an operator has named is gone for good.
#[test]
fn override_pending_ends_by_an_override_of_those_that_live() {
    let places = places(3);
    let (mut agents, before) = founded_unasked(&places);
    let ids: Vec<String> =
        (0..3).map(|at| before["founders"][at]["id"].as_str().unwrap().to_owned()).collect();
    agents[2].kill();
    let all = ids.join(",");
    let ended = run(["bootstrap", "override", &agents[0].at(), "--founders", &all, "--yes"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.error.contains("node-3 has not answered"), "{ended:?}");
    let said = message(&agents[0], "override_pending");
    message(&agents[1], "override_pending");
    assert!(said.contains("node-3 has not answered"), "{said}");
    carry_out(&agents[0], &said, None);
    for agent in &agents[..2] {
        let answer = decided(agent, "bootstrap");
        assert_eq!(answer["founders"].as_array().unwrap().len(), 2);
    }
    agents[2].restart();
    decided(&agents[2], "join");
}

/// The server's directory is restored from a backup of an earlier start.
#[test]
fn server_state_old_ends_with_an_empty_directory_and_a_new_server() {
    let places = places(3);
    let (agents, _) = founded_unasked(&places);
    let data = agents[1].dir.0.join("data");
    let backup = agents[1].dir.0.join("backup");
    let wal = data.join("wal").display().to_string();
    let exec = |command: &str| {
        let dir = data.display().to_string();
        run(["exec", &agents[1].at(), "--timeout", "10s", "--attest", &dir, "--", "sh", "-c", command])
    };
    assert_eq!(exec(&format!("echo 1 > {wal}")).code, 0);
    assert_eq!(run(["bootstrap", "complete", &agents[0].at()]).code, 0);
    agents.iter().for_each(|agent| _ = decided(agent, "resume"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    };
    copy(&data, &backup);
    assert_eq!(exec(&format!("echo 2 >> {wal}")).code, 0, "its own data is not old");
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let waits = exec(&format!("echo 3 >> {wal}"));
    assert!(waits.code == 3 && waits.error.contains("it is from a backup"), "{waits:?}");
    let said = message(&agents[1], "server_state_old");
    assert!(said.contains("empty its data directory"), "{said}");
    fs::remove_dir_all(&data).unwrap();
    carry_out(&agents[1], &said, None);
    let at = agents[1].at();
    within(Duration::from_secs(30), || {
        // The agent is away for a moment.
        let Ended { out, error, .. } = run(["bootstrap", &at, "--format", "json"]);
        if out.contains(r#""decision":"join""#) { Ok(()) } else { Err(out + &error) }
    });
    assert_eq!(exec("true").code, 0, "it joins as a new one");
}

/// Nobody counts any more: all were restored at once, and there is nothing newer.
#[test]
fn server_state_old_ends_where_the_count_is_deleted() {
    let places = places(1);
    let agent = places[0].start(&["--bootstrap-expect", "1"]);
    decided(&agent, "bootstrap");
    let data = agent.dir.0.join("data");
    let dir = data.display().to_string();
    let exec = || {
        run([
            "exec",
            &agent.at(),
            "--timeout",
            "5s",
            "--attest",
            &dir,
            "--",
            "sh",
            "-c",
            &format!("echo 1 >> {dir}/wal"),
        ])
    };
    assert_eq!(exec().code, 0);
    assert_eq!(run(["bootstrap", "complete", &agent.at()]).code, 0);
    let starts = data.join(".chronik-server-starts");
    let before = fs::read(&starts).unwrap();
    assert_eq!(exec().code, 0);
    fs::write(&starts, before).unwrap();
    assert_eq!(exec().code, 3);
    let said = message(&agent, "server_state_old");
    let file = said.split(' ').find(|word| word.starts_with(".chronik-")).unwrap();
    fs::remove_file(data.join(file)).unwrap();
    assert_eq!(exec().code, 0);
    assert_eq!(exec().code, 0, "the count goes on, and its own data is not old");
}

#[test]
fn server_unknown_ends_once_it_is_attested() {
    let places = places(3);
    let (agents, _) = founded_unasked(&places);
    assert!(message(&agents[0], "server_unknown").contains("PUT /v1/server"));
    assert_eq!(attest(&agents[0], "s1", None)["reasons"], json!([]));
}

#[test]
fn server_holds_data_ends_by_adopting_its_cluster() {
    let places = places(3);
    let all = seeds(&places);
    let agents: Vec<Agent> = places.iter().map(|place| place.start_server(&all)).collect();
    let with_data = json!({"server_id": "old", "has_state": true, "once": true}).to_string();
    agents.iter().for_each(|agent| assert_eq!(agent.put("/v1/server", &with_data).status(), 200));
    wait_until(&agents[0], "/v1/members", |answer| answer["members"].as_array().unwrap().len() == 3);
    carry_out(&agents[0], &message(&agents[0], "server_holds_data"), None);
    agents.iter().for_each(|agent| _ = decided(agent, "resume"));
}

#[test]
fn claim_unconfirmed_ends_by_giving_the_cluster_up() {
    let places = places(4);
    let all = seeds(&places[..3]);
    let mut reporter = places[3].start(&["--join-only", "--join", &all]);
    attest(&reporter, "s", Some(&json!("11111111-2222-3333-4444-555555555555")));
    let agents: Vec<Agent> = places[..3].iter().map(|place| place.start_server(&all)).collect();
    agents.iter().for_each(|agent| _ = decided(agent, "join"));
    reporter.kill();
    for agent in &agents {
        carry_out_the(agent, "bootstrap reset", &message(agent, "claim_unconfirmed"), None);
    }
    agents.iter().for_each(|agent| _ = decided(agent, "bootstrap"));
}

/// A claim of an agent that is gone for good; the other way out is to forget it.
#[test]
fn claim_unconfirmed_ends_by_forgetting_who_made_it() {
    let places = places(4);
    let all = seeds(&places[..3]);
    let (_key, flags) = keyed(&places[0]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut reporter = places[3].start(&[&["--join-only", "--join", &all][..], &flags].concat());
    attest(&reporter, "s", Some(&json!("11111111-2222-3333-4444-555555555555")));
    let start =
        |place: &Place| place.start(&[&["--bootstrap-expect", "3", "--join", &all][..], &flags].concat());
    let agents: Vec<Agent> = places[..3].iter().map(start).collect();
    agents.iter().for_each(|agent| _ = decided(agent, "join"));
    reporter.kill();
    let said = message(&agents[0], "claim_unconfirmed");
    let named = said.split(' ').next().unwrap().to_owned();
    // Its id, if it was gone before its metadata had come.
    assert!(named == "node-4" || named.len() == 36, "{said}");
    carry_out_the(&agents[0], "forget", &said, Some(("NODE", &named)));
    agents.iter().for_each(|agent| _ = decided(agent, "bootstrap"));
    reporter.restart();
    for agent in &agents {
        let is_back = |answer: &Value| answer["members"].to_string().contains("node-4");
        wait_until(agent, "/v1/members", is_back);
    }
}

#[test]
fn server_disagrees_ends_with_the_right_report() {
    let places = places(3);
    let (agents, answer) = established(&places);
    let other = json!("11111111-2222-3333-4444-555555555555");
    let (status, problem) = report(&agents[1], &other, 9, &[1]);
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("report "), "{problem}");
    assert!(message(&agents[1], "server_disagrees").contains("correct what it reports"));
    assert_eq!(report(&agents[1], &answer["cluster_id"], 1, &[1, 2, 3]).0, 200);
    assert_eq!(decided(&agents[1], "resume")["reasons"], json!([]));
    assert_eq!(decided(&agents[0], "resume")["reasons"], json!([]), "nobody else was told of it");
}

#[test]
fn members_differ_ends_with_the_wrong_report() {
    let places = places(2);
    let all = seeds(&places);
    let stub = ServerStub::start();
    let peers = [peer(&places[0]), peer(&places[1])];
    stub.list(7, &[&peers[0], &peers[1]]);
    let asked = places[0].start(&["--join", &all, "--server", &stub.flag()]);
    let other = places[1].start(&["--join", &all, "--endpoint", "peer=:2380"]);
    adopt(&other, 1000, &peers[1..]);
    let message = message(&asked, "members_differ");
    assert!(message.contains("only the server has node-1, only the other list nobody"), "{message}");
    assert!(message.ends_with("`chronik-agent bootstrap retract` on the node that made it"), "{message}");
    assert_eq!(run(["bootstrap", "retract", &other.at()]).code, 0);
    let answer = wait_until(&asked, LOOK, |answer| answer["reasons"] == json!([]));
    assert_eq!((&answer["config_index"], &answer["voters"].as_array().map(Vec::len)), (&json!(7), &Some(2)));
}

#[test]
fn removed_voter_ends_with_an_empty_directory() {
    let places = places(3);
    let (agents, answer) = established(&places);
    let cluster = &answer["cluster_id"];
    let removed = agents.iter().find(|agent| decided(agent, "resume")["me"]["ordinal"] == 2).unwrap();
    attest(removed, "s2", Some(cluster));
    let other = agents.iter().find(|agent| agent.http != removed.http).unwrap();
    assert_eq!(report(other, cluster, 5, &[1, 3]).0, 200);
    assert!(message(removed, "removed_voter").contains("empty its data directory"));
    attest(removed, "s2-new", None);
    decided(removed, "join");
}

#[test]
fn voters_differ_ends_with_the_next_report() {
    let places = places(3);
    let (agents, answer) = established(&places);
    let cluster = &answer["cluster_id"];
    report(&agents[0], cluster, 4, &[1, 2]);
    report(&agents[2], cluster, 4, &[2, 3]);
    let quorum = |met: bool| {
        for agent in &agents {
            wait_until(agent, "/v1/quorum", |answer| answer["has_quorum"] == met);
        }
    };
    quorum(false);
    report(&agents[2], cluster, 4, &[1, 2]);
    quorum(true);
}

/// The flags by which agents have a group key, in a file that lies in this place.
fn keyed(place: &Place) -> (String, Vec<String>) {
    let key = place.dir.0.join("key");
    let keys = run(["keygen"]).out;
    fs::write(&key, keys).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let key = key.display().to_string();
    (key.clone(), vec!["--encrypt-key-file".to_owned(), key])
}

/// Two clusters of three, and one agent of neither. With a group key one word on one agent is enough.
fn two_clusters() -> (Vec<Place>, Vec<Agent>, [Value; 2]) {
    let places = places(7);
    let (key, _) = keyed(&places[0]);
    let start = |place: &Place, flags: &[&str], seeds: &str| {
        place.start(&[flags, &["--join", seeds, "--encrypt-key-file", &key]].concat())
    };
    let expect = ["--bootstrap-expect", "3"];
    let halves = [&places[..3], &places[3..6]];
    let mut agents: Vec<Agent> =
        halves.iter().flat_map(|half| half.iter().map(|place| start(place, &expect, &seeds(half)))).collect();
    let clusters = [0, 3].map(|at| decided(&agents[at], "bootstrap")["cluster_id"].clone());
    agents.iter().for_each(|agent| _ = decided(agent, "bootstrap"));
    // Their servers are told, so that each goes on with its own.
    agents.iter().for_each(|agent| assert_eq!(agent.get("/v1/bootstrap").status(), 200));
    let both = format!("{},{}", places[0].gossip, places[3].gossip);
    agents.push(start(&places[6], &["--join-only"], &both));
    within(Duration::from_secs(10), || {
        let joined = run(["join", &agents[0].at(), &places[3].gossip]);
        if joined.code == 0 { Ok(()) } else { Err(joined.out) }
    });
    (places, agents, clusters)
}

#[test]
fn two_clusters_ends_by_resolving_them() {
    let (_places, agents, [kept, _]) = two_clusters();
    let message = message(&agents[6], "two_clusters");
    decided(&agents[6], "conflict");
    carry_out(&agents[6], &message, Some(("ID", kept.as_str().unwrap())));
    assert_eq!(decided(&agents[6], "join")["cluster_id"], kept);
    let is_settled = |answer: &Value| !answer["reasons"].to_string().contains("two_clusters");
    agents[..3].iter().for_each(|agent| _ = wait_until(agent, LOOK, is_settled));
}

#[test]
fn cluster_given_up_ends_with_an_empty_directory() {
    let (_places, agents, [kept, _]) = two_clusters();
    let of_both = message(&agents[6], "two_clusters");
    carry_out(&agents[6], &of_both, Some(("ID", kept.as_str().unwrap())));
    let given_up = message(&agents[3], "cluster_given_up");
    assert!(given_up.contains("empty its data directory and attest that it is blank"), "{given_up}");
    attest(&agents[3], "new", None);
    assert_eq!(decided(&agents[3], "join")["cluster_id"], kept);
}
