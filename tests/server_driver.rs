//! The driver beside a server that does not do as it should: it changes nothing, and says what to do.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use chronik_agent::bootstrap::ClusterId;
use serde_json::{Value, json};

use crate::{
    awaiting::within,
    founding_api::{LOOK, Place, places, seeds, wait_until},
    running::{Agent, run},
    server_stub::{GROUP, ServerStub, ok},
};

/// The cluster of the imitation, as agents adopt it.
pub(crate) fn adopted() -> String {
    ClusterId::adopted_group(&"chronik".parse().unwrap(), "etcd", GROUP).to_string()
}

/// The address of the server beside the agent at this place, for other members.
pub(crate) fn peer(place: &Place) -> String {
    place.gossip.replace("7946", "2380")
}

#[track_caller]
pub(crate) fn adopt(agent: &Agent, index: u32, members: &[String]) {
    let voters: Vec<Value> = members.iter().map(|member| json!({"endpoint": {"peer": member}})).collect();
    let report = json!({"cluster_id": adopted(), "config_index": index, "voters": voters, "adopt": true});
    assert_eq!(agent.put("/v1/bootstrap/established", &report.to_string()).status(), 200);
}

#[test]
fn whatever_a_server_answers_wrongly_changes_nothing_and_is_said_with_a_remedy() {
    let place = &places(1)[0];
    let stub = ServerStub::start();
    let own = peer(place);
    stub.list(7, &[&own]);
    let agent = place.start(&["--server", &stub.flag()]);
    let troubles = |wanted: &str| {
        wait_until(&agent, "/v1/self", |answer| answer["driver"]["troubles"].to_string().contains(wanted))
    };
    // Before anybody has said which cluster it is.
    wait_until(&agent, "/v1/self", |answer| answer["driver"]["answers"] == true);
    assert_eq!(agent.get(LOOK).json()["cluster_id"], Value::Null, "nothing is adopted by itself");
    adopt(&agent, 1, std::slice::from_ref(&own));
    let before = wait_until(&agent, LOOK, |answer| answer["config_index"] == 7);
    assert_eq!((&before["decision"], &before["established"]), (&json!("resume"), &json!(true)));
    let up = wait_until(&agent, "/v1/members", |answer| answer["members"][0]["server"] == "up");
    assert_eq!(up["members"][0]["endpoints"], json!({"client": own.replace("2380", "2379"), "peer": own}));

    let huge = "x".repeat(300_000);
    for (response, wanted) in [
        (
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            "answered with status 500: look at",
        ),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "redirects to \\\"http://127.0.0.1:1/\\\": say with --server",
        ),
        (&ok("nonsense"), "gave no answer of this kind of server"),
        (&ok(&huge), "answered with more than 262144 bytes"),
        ("what", "broke off its answer"),
        (
            &ok(r#"{"header":{"cluster_id":"43","member_id":"1"},"version":"3.4.99","leader":"1"}"#),
            "answered for two servers, 1 of cluster 2b and 1 of cluster 2a: say with --server",
        ),
    ] {
        stub.answer(response);
        let said = troubles(wanted);
        assert!(
            said["driver"]["troubles"][0].as_str().unwrap().starts_with(&format!("etcd at {}", stub.url))
        );
        assert_eq!(said["driver"]["answers"], false);
    }
    stub.fall_silent();
    troubles("cannot be reached");
    wait_until(&agent, "/v1/members", |answer| answer["members"][0]["server"] == "silent");
    let after = agent.get(LOOK).json();
    for field in ["decision", "cluster_id", "established", "config_index", "voters"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    let said = agent.log().lines().filter(|line| line.contains("WARN") && line.contains("etcd at")).count();
    assert_eq!(said, 1, "no two in a minute:\n{}", agent.log());

    stub.list(9, &[&own]);
    wait_until(&agent, "/v1/self", |answer| answer["driver"]["troubles"] == json!([]));
    wait_until(&agent, "/v1/members", |answer| answer["members"][0]["server"] == "up");
}

#[test]
fn a_server_with_another_address_than_its_agent_announces_is_not_taken_for_its_own() {
    let place = &places(1)[0];
    let stub = ServerStub::start();
    stub.list(7, &["10.9.9.9:2380"]);
    let agent = place.start(&["--server", &stub.flag()]);
    let said = wait_until(&agent, "/v1/self", |answer| {
        answer["driver"]["troubles"].as_array().is_some_and(|all| !all.is_empty())
    });
    let expected = format!(
        "etcd at {} has the address 10.9.9.9:2380 for other members, which this agent does not announce: announce it with \
         --endpoint, or say with --server where the one beside this agent is asked",
        stub.url
    );
    assert_eq!(said["driver"]["troubles"], json!([expected]));
    assert_eq!(said["server"], Value::Null, "it attests nothing");
}

#[test]
fn a_cluster_that_is_older_than_its_agents_is_adopted_under_its_servers_own_name() {
    let places = places(2);
    let all = seeds(&places);
    let stub = ServerStub::start();
    let peers = [peer(&places[0]), peer(&places[1])];
    stub.list(7, &[&peers[0], &peers[1]]);
    let servers = [stub.flag(), "etcd=http://127.0.0.1:1".to_owned()];
    let start = |(place, server): (&Place, &String)| {
        place.start(&["--join", &all, "--bootstrap-expect", "2", "--server", server])
    };
    let agents: Vec<Agent> = places.iter().zip(&servers).map(start).collect();
    let reason = |answer: &Value| answer["reasons"].to_string().contains("server_holds_data");
    wait_until(&agents[0], LOOK, reason);
    wait_until(&agents[0], "/v1/members", |answer| {
        answer["members"].as_array().is_some_and(|all| all.len() == 2)
    });
    assert_eq!(run(["bootstrap", "adopt", &agents[0].at(), "--yes"]).code, 0);
    // The driver reports on: the list has an index of its own.
    let answer = wait_until(&agents[1], LOOK, |answer| answer["config_index"] == 7);
    assert_eq!(answer["cluster_id"], json!(adopted()));
    assert_eq!(answer["voters"].as_array().map(Vec::len), Some(2));
}

/// A program of the user's own beside a server, and the agent that runs it.
fn hooked(script: &str) -> (Agent, String) {
    let place = &places(1)[0];
    let own = peer(place);
    let hooks = place.dir.0.join("hooks");
    fs::create_dir(&hooks).unwrap();
    write_hook(&hooks, script);
    let flag = format!("hooks={}", hooks.display());
    let agent = place.start(&["--bootstrap-expect", "1", "--endpoint", "raft=:2380", "--server", &flag]);
    (agent, own)
}

fn write_hook(hooks: &Path, script: &str) {
    let (new, program) = (hooks.join("new"), hooks.join("members"));
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, program).unwrap();
}

#[test]
fn programs_of_the_user_report_any_server() {
    let list =
        r#"{"member": "m1", "leader": "m1", "index": 9, "members": [{"member": "m1", "address": "OWN"}]}"#;
    // It answers only if it was told what its agent announces.
    let (agent, own) = hooked("exit 1");
    wait_until(&agent, LOOK, |answer| answer["decision"] == "bootstrap");
    let script = format!("grep -q '\"raft\":\"OWN\"' && echo '{list}'").replace("OWN", &own);
    write_hook(&agent.dir.0.join("hooks"), &script);
    let answer = wait_until(&agent, LOOK, |answer| answer["established"] == true);
    assert_eq!((&answer["decision"], &answer["config_index"]), (&json!("resume"), &json!(9)));
    assert_eq!(answer["voters"][0]["endpoints"], json!({"raft": own}));
    // The picture of the server follows the report of it.
    wait_until(&agent, "/v1/self", |answer| {
        let driver = &answer["driver"];
        (&driver["leader"]["name"], &driver["troubles"]) == (&json!("node-1"), &json!([]))
    });
}

#[test]
fn a_program_that_hangs_floods_or_fails_changes_nothing_and_leaves_nothing_running() {
    let (agent, _) = hooked("echo no such server >&2; exit 3");
    let troubles = |wanted: &str| {
        wait_until(&agent, "/v1/self", |answer| answer["driver"]["troubles"].to_string().contains(wanted));
    };
    let hooks = agent.dir.0.join("hooks");
    troubles("/members failed (exit status: 3: no such server): run it by hand");
    write_hook(&hooks, "yes");
    troubles("answered with more than 262144 bytes");
    write_hook(&hooks, "yes >&2");
    troubles("answered with more than 4096 bytes");
    write_hook(&hooks, "echo '{}'");
    troubles("gave no answer of this kind of server (missing field `member`");
    // It hangs, and so does its child, whose number it leaves behind.
    write_hook(&hooks, "sleep 1000 & echo $! >$(dirname $0)/child; wait");
    troubles("gave no answer within 3 s");
    let child = fs::read_to_string(hooks.join("child")).unwrap();
    let state = format!("/proc/{}/stat", child.trim());
    within(Duration::from_secs(10), || match fs::read_to_string(&state) {
        // Dead, and not yet collected by whoever inherited it.
        Ok(stat) if !stat.contains(") Z ") => Err(stat),
        _ => Ok(()),
    });
    assert_eq!(agent.get(LOOK).json()["established"], false);
    fs::remove_file(hooks.join("members")).unwrap();
    troubles("/members failed (No such file or directory");
}
