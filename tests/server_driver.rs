//! The driver beside a server that does not do as it should: it changes nothing, and says what to do.

use chronik_agent::bootstrap::ClusterId;
use serde_json::{Value, json};

use crate::{
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
