//! The founding as servers and operators see it: real agents on loopback, asked over HTTP and by the command line.

use std::{fs, net::TcpListener, process::Stdio, rc::Rc, time::Duration};

use serde_json::{Value, json};

use crate::{
    awaiting::now,
    cluster::loopback,
    running::{Agent, Dir, Ended, program, run},
};

/// Time for one step: far more than any takes, even if the machine is shared.
const PATIENCE: Duration = Duration::from_secs(30);

/// The path of the decision, without the server's own question.
pub(crate) const LOOK: &str = "/v1/bootstrap?look=true";

/// The directory, the addresses and the name that an agent keeps over restarts.
pub(crate) struct Place {
    pub(crate) dir: Rc<Dir>,
    pub(crate) gossip: String,
    http: String,
    name: String,
}

impl Place {
    pub(crate) fn start(&self, flags: &[&str]) -> Agent {
        let own =
            ["--profile", "local", "--bind", &self.gossip, "--http", &self.http, "--node-name", &self.name];
        Agent::launch(self.dir.clone(), &[&own, flags].concat())
    }

    pub(crate) fn start_server(&self, seeds: &str) -> Agent {
        self.start(&["--bootstrap-expect", "3", "--join", seeds])
    }
}

/// `count` places, each with a gossip address and a port of the API of its own. Outgoing streams leave from the gossip
/// address: on a shared one, they could take a port that another agent is about to listen on.
pub(crate) fn places(count: usize) -> Vec<Place> {
    // All ports are held until the last is found, so that none is given twice.
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let place = |(at, held): (usize, &TcpListener)| Place {
        dir: Rc::new(Dir::new()),
        gossip: format!("{}:7946", loopback()),
        http: held.local_addr().unwrap().to_string(),
        name: format!("node-{}", at + 1),
    };
    held.iter().enumerate().map(place).collect()
}

pub(crate) fn seeds(places: &[Place]) -> String {
    places.iter().map(|place| place.gossip.as_str()).collect::<Vec<_>>().join(",")
}

/// Asks `path` by long polls until an answer satisfies `met`, and returns it.
#[track_caller]
pub(crate) fn wait_until(agent: &Agent, path: &str, met: impl Fn(&Value) -> bool) -> Value {
    let began = now();
    let mut answer = agent.get(path).json();
    while !met(&answer) {
        assert!(began.elapsed() < PATIENCE, "{path} is still {answer}");
        let joint = if path.contains('?') { '&' } else { '?' };
        answer = agent.get(&format!("{path}{joint}wait=1s&index={}", answer["index"])).json();
    }
    answer
}

#[track_caller]
pub(crate) fn wait_for_decision(agent: &Agent, decision: &str) -> Value {
    wait_until(agent, "/v1/bootstrap", |answer| answer["decision"] == decision)
}

/// The code of the first reason.
fn code(answer: &Value) -> &str {
    answer["reasons"][0]["code"].as_str().unwrap()
}

/// Three agents that have agreed on a founding, and the answer of the first.
fn founded(places: &[Place]) -> (Vec<Agent>, Value) {
    let seeds = seeds(places);
    let agents: Vec<Agent> = places.iter().map(|place| place.start_server(&seeds)).collect();
    let answers: Vec<Value> = agents.iter().map(|agent| wait_for_decision(agent, "bootstrap")).collect();
    for answer in &answers {
        assert_eq!(
            (&answer["founders"], &answer["cluster_id"]),
            (&answers[0]["founders"], &answers[0]["cluster_id"])
        );
    }
    (agents, answers[0].clone())
}

/// Three agents that have agreed on a founding of which no server was told, and the answer of the first.
pub(crate) fn founded_unasked(places: &[Place]) -> (Vec<Agent>, Value) {
    let seeds = seeds(places);
    let agents: Vec<Agent> = places.iter().map(|place| place.start_server(&seeds)).collect();
    let met = |answer: &Value| answer["decision"] == "bootstrap";
    let answers: Vec<Value> = agents.iter().map(|agent| wait_until(agent, LOOK, met)).collect();
    (agents, answers[0].clone())
}

/// Three agents to which the group was reported, and the answer of the first before that.
pub(crate) fn established(places: &[Place]) -> (Vec<Agent>, Value) {
    let (agents, answer) = founded(places);
    assert_eq!(run(["bootstrap", "complete", &agents[0].at()]).code, 0);
    for agent in &agents {
        wait_for_decision(agent, "resume");
    }
    (agents, answer)
}

/// Three pollers whose first start failed, each with a new id, as after a wiped directory: they wait, see each other blank, and
/// are told again.
#[test]
fn pollers_whose_first_start_failed_are_told_again_once_they_have_seen_each_other_blank() {
    let places = places(3);
    let (agents, _) = founded_unasked(&places);
    let ask = |at: usize, life: &str| {
        let id = format!("{life}-{at}");
        let report = json!({"server_id": id, "has_state": false});
        agents[at].put("/v1/server", &report.to_string());
        agents[at].get(&format!("/v1/bootstrap?server_id={id}")).json()
    };
    for at in 0..3 {
        assert_eq!(ask(at, "first")["decision"], "bootstrap");
    }
    let mut told = [false; 3];
    let began = now();
    assert_eq!(code(&ask(0, "second")), "server_state_lost");
    while told != [true; 3] {
        assert!(began.elapsed() < PATIENCE, "told: {told:?}");
        for (at, told) in told.iter_mut().enumerate() {
            *told = *told || ask(at, "second")["decision"] == "bootstrap";
        }
    }
}

#[test]
fn three_servers_start_in_any_order() {
    let places = places(3);
    let seeds = seeds(&places);
    for order in [[2, 0, 1], [1, 2, 0]] {
        let mut agents: Vec<Agent> = order.iter().map(|at| places[*at].start_server(&seeds)).collect();
        let began = now();
        let answers: Vec<Value> = agents.iter().map(|agent| wait_for_decision(agent, "bootstrap")).collect();
        let took = began.elapsed();
        // On a machine with time for three agents it takes two seconds; the tests share theirs.
        assert!(took < Duration::from_secs(6), "{took:?}");
        let ids: Vec<&str> = answers[0]["founders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|founder| founder["id"].as_str().unwrap())
            .collect();
        assert!(ids.len() == 3 && ids.is_sorted(), "{ids:?}");
        let mut ordinals: Vec<u64> =
            answers.iter().map(|answer| answer["me"]["ordinal"].as_u64().unwrap()).collect();
        ordinals.sort_unstable();
        assert_eq!(ordinals, [1, 2, 3]);
        for answer in &answers {
            assert_eq!(answer["founders"], answers[0]["founders"]);
            assert_eq!(answer["cluster_id"], answers[0]["cluster_id"]);
            assert_eq!((&answer["established"], code(answer)), (&json!(false), "server_unknown"));
        }
        // The next round founds another cluster.
        for agent in &mut agents {
            assert_eq!(agent.post("/v1/leave", "").status(), 200);
            assert_eq!(agent.wait_for_end(), 0);
        }
        for place in &places {
            fs::remove_dir_all(place.dir.0.join("state")).unwrap();
        }
    }
}

#[test]
fn a_restart_changes_nothing_and_a_report_makes_it_resume() {
    let places = places(3);
    let (mut agents, answer) = founded(&places);
    drop(agents.remove(0));
    let again = places[0].start_server(&seeds(&places));
    assert_eq!(wait_for_decision(&again, "bootstrap")["founders"], answer["founders"]);
    agents.insert(0, again);
    let body = json!({"cluster_id": answer["cluster_id"], "config_index": 7,
                      "voters": [{"ordinal": 1}, {"id": answer["founders"][1]["id"]}, {"ordinal": 3}]});
    let taken = agents[1].put("/v1/bootstrap/established", &body.to_string());
    assert_eq!((taken.status(), &taken.json()["decision"]), (200, &json!("resume")));
    for agent in &agents {
        let resumed = wait_for_decision(agent, "resume");
        assert_eq!((&resumed["established"], &resumed["config_index"]), (&json!(true), &json!(7)));
        assert_eq!(run(["wait", "--for", "established", &agent.at()]).code, 0);
    }
    let metrics = agents[0].get("/metrics").body;
    for line in ["chronik_agent_bootstrap_decision{decision=\"resume\"} 1", "chronik_agent_established 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert_eq!(agents[0].get("/v1/info").json()["founding"]["cluster_id"], answer["cluster_id"]);
}

#[test]
fn a_founder_that_is_another_server_now_is_told_to_wait() {
    let places = places(3);
    let (agents, _) = founded_unasked(&places);
    let attest = |id: &str| {
        let body = json!({"server_id": id, "has_state": false, "once": true});
        agents[0].put("/v1/server", &body.to_string()).json()
    };
    assert_eq!(attest("first")["decision"], "bootstrap");
    assert_eq!(agents[0].get("/v1/bootstrap?server_id=first").json()["decision"], "bootstrap");
    let lost = attest("second");
    assert_eq!((&lost["decision"], code(&lost)), (&json!("wait"), "server_state_lost"));
    assert_eq!((lost.get("founders"), lost.get("voters"), lost.get("me")), (None, None, None));
    assert_eq!(attest("first")["decision"], "bootstrap");
    let server = agents[0].get("/v1/self").json()["server"].clone();
    assert_eq!(server, json!({"server_id": "first", "has_state": false, "cluster_id": null, "up": null}));
}

/// A server that sends heartbeats is the one beside its agent: another one waits, and takes none of its notes.
#[test]
fn a_second_server_beside_one_that_runs_is_told_to_wait() {
    let places = places(3);
    let (agents, _) = founded_unasked(&places);
    let attest = |id: &str| {
        agents[0].put("/v1/server", &json!({"server_id": id, "has_state": false}).to_string()).json()
    };
    assert_eq!(attest("first")["decision"], "bootstrap");
    assert_eq!(attest("first")["decision"], "bootstrap");
    assert_eq!(code(&attest("second")), "another_server");
    assert_eq!(code(&agents[0].get("/v1/bootstrap?server_id=second").json()), "another_server");
    assert_eq!(agents[0].get("/v1/bootstrap?server_id=first").json()["decision"], "bootstrap");
}

/// Three servers whose first start failed come up together: each is blank again, all are seen to be, and they try again. With
/// one of them away nobody does.
#[test]
fn a_first_start_that_failed_on_all_is_tried_again_once_all_are_seen_to_be_blank() {
    let places = places(3);
    let (agents, _) = founded_unasked(&places);
    let data = |at: usize| places[at].dir.0.join("data").display().to_string();
    let exec = |at: usize, timeout: &str, command: &[&str]| {
        let data = data(at);
        let exec = ["exec", &agents[at].at(), "--attest", &data, "--timeout", timeout, "--"];
        program()
            .args([&exec, command].concat())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for at in 0..3 {
        assert_eq!(exec(at, "30s", &["false"]).wait().unwrap().code(), Some(1), "the first start of {at}");
    }
    let alone = exec(0, "3s", &["echo", "STARTED"]).wait_with_output().unwrap();
    let error = String::from_utf8(alone.stderr).unwrap();
    assert!(alone.status.code() == Some(3) && error.contains("are not all seen to be blank"), "{error}");
    let again: Vec<_> = (0..3).map(|at| exec(at, "30s", &["echo", "STARTED"])).collect();
    for child in again {
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "STARTED\n",
            "{:?}",
            String::from_utf8(output.stderr)
        );
    }
}

#[test]
fn a_fourth_server_joins() {
    let places = places(4);
    let (_agents, answer) = established(&places[..3]);
    let fourth = places[3].start_server(&places[1].gossip);
    let began = now();
    let joins = wait_for_decision(&fourth, "join");
    // On a machine that has time it takes one second; the tests share theirs.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(joins["voters"].as_array().unwrap().len(), 3);
    assert_eq!(joins["cluster_id"], answer["cluster_id"]);
    assert_eq!(joins["me"], json!({"founder": false, "voter": false, "ordinal": null}));
}

#[test]
fn a_founder_dies_for_good_and_the_others_restart() {
    let places = places(3);
    let (agents, answer) = established(&places);
    drop(agents);
    let seeds = seeds(&places);
    let two: Vec<Agent> = places[1..].iter().map(|place| place.start_server(&seeds)).collect();
    for agent in &two {
        assert_eq!(wait_for_decision(agent, "resume")["cluster_id"], answer["cluster_id"]);
        let quorum = wait_until(agent, "/v1/quorum", |answer| answer["status"] == "quorate");
        let counts = ["voters", "voters_alive", "required"].map(|key| quorum[key].as_u64().unwrap());
        assert_eq!((counts, &quorum["basis"]), ([3, 2, 2], &json!("voters")));
    }
}

#[test]
fn an_operator_overrides_and_resets() {
    let places = places(3);
    let (agents, before) = founded_unasked(&places);
    let ids: Vec<Value> = agents.iter().map(|agent| agent.get("/v1/self").json()["id"].clone()).collect();
    let id = |at: usize| ids[at].as_str().unwrap();
    let two = format!("{},{}", id(0), id(1));
    let Ended { code, out: told_first, error: remark } =
        run(["bootstrap", "override", &agents[0].at(), "--founders", &two, "--yes"]);
    assert_eq!(code, 0, "{remark}");
    assert!(remark.starts_with("This bootstraps a new cluster in the place of cluster "), "{remark}");
    assert!(told_first.ends_with(" is to be bootstrapped\n"), "{told_first}");
    let another = |answer: &Value| answer["cluster_id"] != before["cluster_id"];
    let answers: Vec<Value> = agents.iter().map(|agent| wait_until(agent, LOOK, another)).collect();
    let mut decisions: Vec<&str> =
        answers.iter().map(|answer| answer["decision"].as_str().unwrap()).collect();
    decisions.sort_unstable();
    assert_eq!(decisions, ["bootstrap", "bootstrap", "join"]);

    assert_eq!(run(["bootstrap", "complete", &agents[0].at()]).code, 0);
    let cluster = answers[0]["cluster_id"].as_str().unwrap();
    let refused = agents[0].post("/v1/bootstrap/override", &json!({"founders": [id(0)]}).to_string());
    let expected = format!(
        "cluster {cluster} is established here: an override would make a second one beside it; if its data is lost in any case, say \
         --i-will-lose-data"
    );
    assert_eq!(refused.problem(), (409, expected));
    let refused = agents[0].post("/v1/bootstrap/reset", "{}");
    let expected = format!("cluster {cluster} is established: forgetting it needs \"i_will_lose_data\":true");
    assert_eq!(refused.problem(), (409, expected));
    let Ended { code, error, .. } = run(["bootstrap", "reset", &agents[0].at(), "--yes"]);
    assert!(code == 1 && error.contains("is established"), "{error}");

    let old = agents[0].get("/v1/self").json()["id"].clone();
    let Ended { code, out, error } =
        run(["bootstrap", "reset", &agents[0].at(), "--i-will-lose-data", "--yes"]);
    assert!(code == 0 && out.starts_with("the agent starts over as node "), "{out}{error}");
    // The agent that starts over listens at the same address as before, where the old one may still finish its answers.
    let began = now();
    let is_new = || {
        let Ended { code, out: myself, .. } = run(["self", &agents[0].at(), "--format", "json"]);
        code == 0 && serde_json::from_str::<Value>(&myself).unwrap()["id"] != old
    };
    while !is_new() {
        assert!(began.elapsed() < PATIENCE, "the agent has not started over");
    }
    assert_eq!(wait_for_decision(&agents[0], "join")["cluster_id"], cluster);
}

/// Two of three servers are lost for good, and the group was repaired by hand to one voter, whose index is lower than theirs was.
#[test]
fn an_operator_says_who_votes_after_a_repair_and_the_dead_do_not_outvote_the_living() {
    let places = places(3);
    let (agents, answer) = established(&places);
    let cluster = answer["cluster_id"].as_str().unwrap();
    let voters = |ordinals: &[u32], index: u32| {
        let voters: Vec<Value> = ordinals.iter().map(|ordinal| json!({"ordinal": ordinal})).collect();
        json!({"cluster_id": cluster, "config_index": index, "voters": voters}).to_string()
    };
    assert_eq!(agents[1].put("/v1/bootstrap/established", &voters(&[1, 2, 3], 90)).status(), 200);
    let counts = |agent: &Agent, count: usize| {
        let met = |answer: &Value| answer["voters"].as_array().is_some_and(|voters| voters.len() == count);
        wait_until(agent, LOOK, met);
    };
    let me = agents[0].get("/v1/self").json()["id"].as_str().unwrap().to_owned();
    let Ended { code, out, error } = run(["bootstrap", "adopt", "--voter", &me, "--yes", &agents[0].at()]);
    assert!(code == 0 && out.contains(&format!("cluster {cluster} is adopted")), "{out}{error}");
    assert!(error.contains("what was reported of its voters before counts no more"), "{error}");
    agents.iter().for_each(|agent| counts(agent, 1));
    assert_eq!(agents[2].put("/v1/bootstrap/established", &voters(&[1, 2, 3], 95)).status(), 200);
    agents.iter().for_each(|agent| counts(agent, 1));
    let quorum = wait_until(&agents[0], "/v1/quorum", |answer| answer["has_quorum"] == true);
    assert_eq!(quorum["voters"], 1);
}

/// One founder's server has begun: it refuses, and the command says so; the others wait until it is taken back.
#[test]
fn an_override_that_a_founder_refuses_changes_nothing_and_is_taken_back() {
    let places = places(3);
    let (agents, before) = founded_unasked(&places);
    let begun = json!({"server_id": "s", "has_state": false, "once": true, "begun": true}).to_string();
    assert_eq!(agents[1].put("/v1/server", &begun).json()["decision"], "bootstrap");
    let ids: Vec<&str> = (0..3).map(|at| before["founders"][at]["id"].as_str().unwrap()).collect();
    let Ended { code, out, error } =
        run(["bootstrap", "override", &agents[0].at(), "--founders", &ids.join(","), "--yes"]);
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    assert!(error.contains("node-2 has a server that has begun, or holds data"), "{error}");
    let waits = |answer: &Value| answer["reasons"][0]["code"] == "override_pending";
    wait_until(&agents[2], LOOK, waits);
    let answer = wait_until(&agents[0], LOOK, waits);
    let offer = &answer["overrides"][0];
    assert_eq!((&offer["complete"], &offer["ends"]), (&json!(false), &json!([before["cluster_id"]])));
    assert_eq!(offer["missing"][0]["name"], "node-2");
    assert_eq!(wait_for_decision(&agents[1], "bootstrap")["cluster_id"], before["cluster_id"], "it goes on");
    let back = offer["cluster_id"].as_str().unwrap();
    for agent in [&agents[0], &agents[2]] {
        assert_eq!(run(["bootstrap", "reset", &agent.at(), "--cluster", back, "--yes"]).code, 0);
        assert_eq!(
            wait_until(agent, LOOK, |answer| answer["decision"] == "bootstrap")["cluster_id"],
            before["cluster_id"]
        );
    }
}

/// A server that was told to found its cluster goes on, and sees the other one; whoever is of neither has to wait until an
/// operator says which is meant.
#[test]
fn two_foundings_that_meet_stop_nobody_but_those_who_are_of_neither() {
    let places = places(7);
    let (mut agents, ours) = founded(&places[..3]);
    let (others, theirs) = founded(&places[3..6]);
    agents.extend(others);
    let fresh =
        places[6].start(&["--join-only", "--join", &format!("{},{}", places[0].gossip, places[3].gossip)]);
    assert_eq!(run(["join", &agents[0].at(), &places[3].gossip]).code, 0);
    for (at, agent) in agents.iter().enumerate() {
        let shown = |answer: &Value| {
            answer["reasons"].as_array().unwrap().iter().any(|reason| reason["code"] == "two_clusters")
        };
        let answer = wait_until(agent, LOOK, shown);
        let own = if at < 3 { &ours } else { &theirs };
        assert_eq!((&answer["decision"], &answer["cluster_id"]), (&json!("bootstrap"), &own["cluster_id"]));
    }
    let answer = wait_for_decision(&fresh, "conflict");
    let mut clusters = answer["clusters"].as_array().unwrap().clone();
    clusters.sort_by_key(Value::to_string);
    let mut both = vec![ours["cluster_id"].clone(), theirs["cluster_id"].clone()];
    both.sort_by_key(Value::to_string);
    assert_eq!((clusters, code(&answer)), (both, "two_clusters"));
    assert_eq!((answer.get("founders"), answer.get("voters")), (None, None));
    assert!(answer["reasons"][0]["message"].as_str().unwrap().contains("node-1, node-2, node-3"), "{answer}");
    let Ended { code: exit, error, .. } = run(["wait", "--for", "bootstrap", &fresh.at()]);
    assert!(exit == 1 && error.starts_with("conflict: cluster "), "{error}");
    let kept = ours["cluster_id"].as_str().unwrap();
    let Ended { code: exit, out, error } =
        run(["bootstrap", "resolve", "--keep", kept, "--yes", &fresh.at()]);
    assert!(
        exit == 0 && out.contains("without --encrypt-key-file say it on every other one"),
        "{out}{error}"
    );
    assert_eq!(wait_for_decision(&fresh, "join")["cluster_id"], ours["cluster_id"]);
}

#[test]
fn a_different_expectation_is_named_with_its_owner() {
    let places = places(2);
    let first = places[0].start_server(&seeds(&places));
    let _second = places[1].start(&["--bootstrap-expect", "2", "--join", &places[0].gossip]);
    let mismatch = |answer: &Value| {
        let reasons = answer["reasons"].as_array().unwrap();
        reasons.iter().any(|reason| {
            reason["code"] == "expect_mismatch" && {
                reason["message"].as_str().unwrap().contains("node-2 expects 2")
            }
        })
    };
    assert_eq!(wait_until(&first, "/v1/bootstrap", mismatch)["decision"], "wait");
}

#[test]
fn join_only_and_cluster_id_found_nothing() {
    let places = places(6);
    let patient = places[3].start(&["--join-only", "--bootstrap-expect", "1"]);
    assert_eq!(code(&wait_for_decision(&patient, "wait")), "join_only");
    let (agents, answer) = established(&places[..3]);
    assert_eq!(run(["join", &patient.at(), &places[0].gossip]).code, 0);
    wait_for_decision(&patient, "join");
    let cluster = answer["cluster_id"].as_str().unwrap();
    let right = places[4].start(&["--cluster-id", cluster, "--join", &places[0].gossip]);
    wait_for_decision(&right, "join");
    let other = "00000000-0000-0000-0000-000000000001";
    let wrong = places[5].start(&["--cluster-id", other]);
    let alone = wait_for_decision(&wrong, "wait");
    assert!(alone["reasons"][0]["message"].as_str().unwrap().contains(other), "{alone}");
    assert_eq!(wrong.get("/v1/info").json()["config"]["cluster_id"], other);
    drop(agents);
}

#[test]
fn every_refusal_names_field_value_and_remedy() {
    let agent = Agent::start(&[]);
    let id = "00000000-0000-0000-0000-000000000001";
    let put = |path: &str, body: Value| agent.put(path, &body.to_string()).problem();
    let established = |body: Value| put("/v1/bootstrap/established", body);
    let server_id = "`server_id`: \"\" is no server id: 1 to 128 bytes without control characters";
    let answer = put("/v1/server", json!({"server_id": "", "has_state": false}));
    assert_eq!(answer, (400, server_id.to_owned()));
    let cluster_id = "`cluster_id`: \"x\" is no cluster id: a UUID as `chronik-agent bootstrap` prints it";
    assert_eq!(established(json!({"cluster_id": "x"})), (400, cluster_id.to_owned()));
    for (voter, expected) in [
        (json!({"id": "x"}), "`voters[0].id`: \"x\" is no node id: "),
        (
            json!({"ordinal": 1, "id": "x"}),
            "`voters[0]` must name one of `id`, `ordinal` and `endpoint`: send {",
        ),
        (json!({}), "`voters[0]` must name one of `id`, `ordinal` and `endpoint`: send {"),
        (json!({"endpoint": {}}), "`voters[0].endpoint` must have one name and its address: send {"),
        (json!({"name": "x"}), "cannot read the body: unknown field `name`"),
    ] {
        let (status, detail) = established(json!({"cluster_id": id, "voters": [voter]}));
        assert!(status == 400 && detail.starts_with(expected), "{detail}");
    }
    let (status, detail) = agent.post("/v1/bootstrap/override", r#"{"founders":[]}"#).problem();
    assert!(status == 400 && detail.starts_with("`founders` is empty: send {"), "{detail}");
    let unknown = agent.post("/v1/bootstrap/override", &json!({"founders": [id]}).to_string());
    let expected = format!("no server {id} is known: `chronik-agent members` lists those that are");
    assert_eq!(unknown.problem(), (409, expected));
}

/// Starts a server that founds a cluster of its own.
fn start_alone(flags: &[&str]) -> Agent {
    let agent = Agent::start(&[&["--bootstrap-expect", "1"], flags].concat());
    wait_until(&agent, LOOK, |answer| answer["decision"] == "bootstrap");
    agent
}

#[test]
fn exec_becomes_the_command_with_everything_filled() {
    let agent = start_alone(&["--endpoint", "peer=:2380"]);
    let data = agent.dir.0.join("data").display().to_string();
    let child = program()
        .args(["exec", &agent.at(), "--attest", &data, "--template", "etcd", "--timeout", "30s", "--"])
        .args(["sh", "-c", "echo $$; echo $ORDINAL; for word; do echo $word; done", "sh", "{{ cluster_id }}"])
        .env("ORDINAL", "number {{ me.ordinal }}")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let cluster = agent.get(LOOK).json()["cluster_id"].as_str().unwrap().to_owned();
    let expected = format!(
        "{pid}\nnumber 1\n{cluster}\n--name=box\n--initial-advertise-peer-urls=http://127.0.0.1:2380\n\
         --initial-cluster=box=http://127.0.0.1:2380\n--initial-cluster-token={cluster}\n--initial-cluster-state=new\n"
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let server = agent.get("/v1/self").json()["server"].clone();
    assert_eq!((&server["has_state"], &server["up"]), (&json!(false), &Value::Null));
}

#[test]
fn exec_writes_the_file_of_a_template() {
    let agent = start_alone(&["--endpoint", "kafka=:9092,wal=:9291,raft=:5001"]);
    let file = agent.dir.0.join("chronik.toml").display().to_string();
    let data = format!("data_dir={}", agent.dir.0.join("data").display());
    let exec =
        ["exec", &agent.at(), "--template", "chronik", "--output", &file, "--set", &data, "--", "cat", &file];
    let Ended { code, out: text, error } = run(exec);
    assert_eq!((code, error.as_str()), (0, ""));
    for line in ["node_id = 1", "[advertise]", "raft = \"127.0.0.1:5001\"", "[[peers]]", "id = 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn exec_says_what_it_cannot_do() {
    let agent = start_alone(&[]);
    let data = agent.dir.0.join("data").display().to_string();
    let exec =
        |more: &[&str]| run([&["exec", &agent.at(), "--timeout", "30s", "--attest", &data], more].concat());
    let Ended { code, error, .. } = run(["exec", &agent.at(), "--template", "etcd", "--", "etcd"]);
    assert!(code == 64 && error.contains("name it with --attest DIR"), "{error}");
    let Ended { code, error, .. } = exec(&["--", "echo", "{{ leader }}"]);
    assert!(code == 1 && error.contains("argument 1, line 1: `leader` is not defined"), "{error}");
    let Ended { code, error, .. } = exec(&["--template", "etcd", "--", "echo"]);
    let expected = "chronik-agent: the etcd template, line ";
    let remedy = "box has no endpoint `etcd-peer` or `peer`: start its agent with --endpoint etcd-peer=[HOST]:PORT, and then";
    assert!(code == 1 && error.starts_with(expected) && error.contains(remedy), "{error}");
    let again =
        format!("bootstrap override --founders {}`\n", agent.get("/v1/self").json()["id"].as_str().unwrap());
    assert!(error.ends_with(&again), "a bootstrap keeps the endpoints that it was agreed with: {error}");
    let Ended { code, error, .. } = exec(&["--", "/nonexistent/server"]);
    assert!(code == 1 && error.contains("cannot start \"/nonexistent/server\""), "{error}");
    assert_eq!(exec(&["--template", "chronik", "--", "echo"]).code, 64);
    assert_eq!(exec(&["--output", "/x", "--", "echo"]).code, 64);
    let waits = Agent::start(&["--join-only"]);
    let Ended { code, error, .. } =
        run(["exec", &waits.at(), "--timeout", "300ms", "--attest", &data, "--", "echo"]);
    assert!(code == 3 && error.contains("waiting: no cluster is known"), "{error}");
    let absent = ["exec", "--http", "127.0.0.1:1", "--attest", &data, "--timeout", "300ms", "--", "echo"];
    let Ended { code, error, .. } = run(absent);
    assert!(code == 3 && error.contains("timed out after 300ms: cannot reach the agent"), "{error}");
}

/// The file is all that is needed: no agent is asked. One changed letter, and it proves nothing.
#[test]
fn a_certificate_is_verified_without_an_agent_and_proves_nothing_once_it_is_changed() {
    let places = places(3);
    let (agents, answer) = founded_unasked(&places);
    let file = |name: &str, text: &str| {
        let path = places[0].dir.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ids: Vec<&str> = answer["founders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|founder| founder["id"].as_str().unwrap())
        .collect();
    let whole = run(["bootstrap", &agents[1].at(), "--format", "json"]).out;
    drop(agents);
    let whole_file = file("answer.json", &whole);
    let Ended { code, out, error } = run(["bootstrap", "verify", &whole_file]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(
        out.contains(answer["cluster_id"].as_str().unwrap()) && out.matches(": signed").count() == 3,
        "{out}"
    );
    assert!(out.contains("not that no other cluster of this name exists"), "{out}");
    let mine = file("mine", &format!("# ours\n{}\n", ids.join("\n")));
    assert_eq!(run(["bootstrap", "verify", &whole_file, "--ids", &mine]).code, 0);
    let two = file("two", &ids[..2].join("\n"));
    let Ended { code, out, error } = run(["bootstrap", "verify", &whole_file, "--ids", &two]);
    assert!(
        code == 1 && out.contains("NOT AMONG YOURS") && error.starts_with("1 of these nodes"),
        "{out}{error}"
    );

    let certificate = serde_json::from_str::<Value>(&whole).unwrap()["certificate"].clone();
    assert_eq!(run(["bootstrap", "verify", &file("alone.json", &certificate.to_string())]).code, 0);
    let mut moved = certificate.clone();
    moved["founding"]["founders"][0]["addr"] = json!("10.9.9.9:7946");
    let mut fewer = certificate;
    fewer["acceptances"].as_array_mut().unwrap().pop();
    for (changed, why) in
        [(moved, "not all of one ballot"), (fewer, "too few servers have accepted it: 2 of 3")]
    {
        let Ended { code, error, .. } =
            run(["bootstrap", "verify", &file("changed.json", &changed.to_string())]);
        assert!(code == 1 && error.contains("NOT PROVEN") && error.contains(why), "{error}");
    }
    for (text, why) in [("{}", "no `certificate` in it"), ("torn", "it is no JSON")] {
        let Ended { code, error, .. } = run(["bootstrap", "verify", &file("bad", text)]);
        assert!(code == 1 && error.contains(why) && error.contains("bootstrap --format json"), "{error}");
    }
}
