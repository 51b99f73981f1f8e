//! The HTTP API of a running agent: every endpoint, and every error with its whole answer.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    iter,
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    awaiting::within,
    running::{Agent, Dir, Response, over_unix, program},
};

fn agent() -> Agent {
    Agent::start(&["--endpoint", "raft=:5001", "--tag", "zone=a", "--bootstrap-expect", "3"])
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn members_are_listed_with_all_their_fields() {
    let agent = agent();
    let answer = agent.get("/v1/members");
    assert_eq!((answer.status(), answer.header("content-type")), (200, "application/json"));
    let members = answer.json();
    assert_eq!(keys(&members), ["cluster", "self", "index", "members"]);
    assert_eq!(answer.header("x-chronik-index"), members["index"].to_string());
    let listed = members["members"].as_array().unwrap();
    let mut myself = listed.iter().find(|member| member["self"] == true).unwrap().clone();
    let since = myself["since"].as_str().unwrap();
    assert!(since.len() == "2026-11-22T18:00:00.000Z".len() && since.ends_with('Z'), "{since}");
    assert!(myself["addr"].as_str().unwrap().starts_with("127.0.0.1:"));
    let varying = ["addr", "epoch", "since"].map(|key| (key.to_owned(), myself[key].clone()));
    myself.as_object_mut().unwrap().extend(varying.map(|(key, _)| (key, Value::Null)));
    let expected = json!({
        "id": members["self"], "name": "box", "addr": null, "status": "alive", "role": "server", "self": true,
        "tags": {"zone": "a"}, "endpoints": {"raft": "127.0.0.1:5001"}, "epoch": null, "server": null, "since": null,
        "last_heard_s": 0.0, "degraded": false, "rtt_s": null, "reach": null, "coordinate": null, "source": "self",
    });
    assert_eq!(myself, expected);
}

#[test]
fn filters_pick_members() {
    let agent = agent();
    let count = |query: &str| {
        let members = agent.get(&format!("/v1/members?{query}")).json();
        members["members"].as_array().unwrap().len()
    };
    assert_eq!(count("status=alive&role=server&tag=zone=a"), 1);
    assert_eq!(count("status=failed,left"), 0);
    assert_eq!(count("role=observer"), 0);
    assert_eq!(count("tag=zone=b"), 0);
}

#[test]
fn the_other_answers_have_their_fields() {
    let agent = agent();
    let quorum = agent.get("/v1/quorum").json();
    let expected = [
        "index",
        "status",
        "has_quorum",
        "voters",
        "voters_alive",
        "required",
        "expect",
        "expect_met",
        "basis",
        "missing",
        "stale",
        "reasons",
    ];
    assert_eq!(keys(&quorum), expected);
    assert_eq!((&quorum["status"], &quorum["has_quorum"]), (&json!("forming"), &json!(false)));
    assert_eq!(
        (&quorum["voters"], &quorum["required"], &quorum["expect"]),
        (&json!(3), &json!(2), &json!(3))
    );
    assert_eq!(keys(&agent.get("/v1/discovery").json()), ["index", "providers"]);
    let myself = agent.get("/v1/self").json();
    assert_eq!(myself["name"], "box");
    assert_eq!(myself["joined"], false);
    let info = agent.get("/v1/info").json();
    assert_eq!(info["config"]["endpoint"], json!(["raft=:5001"]));
    assert_eq!(info["id"], myself["id"]);
    let expected = json!({"body_bytes": 65536, "head_bytes": 16384, "headers": 64, "connections": 1024, "long_polls": 512, "wait_s": 600.0});
    assert_eq!(info["limits"], expected);
    for probe in ["/livez", "/readyz"] {
        let answer = agent.get(probe);
        assert_eq!((answer.status(), answer.body.as_str()), (200, "ok\n"));
    }
}

#[test]
fn metrics_are_prometheus_text() {
    let answer = agent().get("/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "chronik_agent_members{status=\"alive\"} 1",
        "chronik_agent_quorum_status{status=\"forming\"} 1",
        "chronik_agent_voters 3",
        "chronik_agent_bootstrap_decision{decision=\"wait\"} 1",
        "chronik_agent_conflict 0",
        "# TYPE chronik_agent_refused_total counter",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line} is not in\n{}", answer.body);
    }
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("chronik_agent_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn the_bare_address_redirects_to_the_page() {
    let answer = agent().get("/");
    assert_eq!((answer.status(), answer.header("location")), (307, "/ui"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let answer = agent().get("/ui");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!answer.body.contains("http://") && !answer.body.contains("https://"));
}

#[test]
fn an_answer_that_the_client_has_is_not_sent_again() {
    let agent = agent();
    for path in ["/v1/members", "/v1/quorum", "/v1/bootstrap", "/v1/discovery", "/v1/self"] {
        let etag = agent.get(path).header("etag").to_owned();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {etag}\r\n");
        let again = agent.send(&head, "");
        assert_eq!((again.status(), again.body.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), etag);
    }
}

#[test]
fn a_long_poll_ends_with_its_time_or_at_once_for_a_foreign_index() {
    let agent = agent();
    let index = agent.get("/v1/discovery").header("x-chronik-index").to_owned();
    let waited = agent.get(&format!("/v1/discovery?index={index}&wait=20ms"));
    assert_eq!((waited.status(), waited.header("x-chronik-index")), (200, index.as_str()));
    // An answer that waited for a change would take longer than the test's client does.
    let future = agent.get("/v1/members?index=123456789&wait=10m");
    assert_eq!(future.status(), 200);
}

#[test]
fn every_error_is_a_problem_document_that_says_what_to_do() {
    let agent = agent();
    let cases: Vec<(Response, u16, String)> = vec![
        (agent.get("/v1/member"), 404, "there is nothing at /v1/member: did you mean /v1/members?".into()),
        (
            agent.get("/v1/keys/instal"),
            404,
            "there is nothing at /v1/keys/instal: did you mean /v1/keys/install?".into(),
        ),
        (
            agent.get("/v1/leave"),
            405,
            "/v1/leave does not take GET: the `Allow` header says what it takes".into(),
        ),
        (
            agent.get("/v1/members?state=alive"),
            400,
            "unknown query key `state`: did you mean `status`?".into(),
        ),
        (agent.get("/v1/quorum?tag=a=b"), 400, "unknown query key `tag`: known here: index, wait".into()),
        (
            agent.get("/v1/members?status=dead"),
            400,
            "`status=dead` is not one of alive, suspect, failed, left".into(),
        ),
        (agent.get("/v1/members?tag=zone"), 400, "`tag=zone` is not KEY=VALUE: write tag=zone=a".into()),
        (
            agent.get("/v1/members?index=x"),
            400,
            "`index=x` is no index: send the X-Chronik-Index of the last answer, or leave it out".into(),
        ),
        (
            agent.get("/v1/members?index=1&wait=1h"),
            400,
            "`wait=1h` is too long: wait at most 10m, and ask again".into(),
        ),
        (
            agent.get("/v1/rtt?to=boxx"),
            404,
            "`to=boxx` is no member's name or id: did you mean `box`?".into(),
        ),
        (agent.get("/v1/rtt"), 400, "`to` is missing: send /v1/rtt?to=NAME, or from= and to=".into()),
    ];
    for (answer, status, detail) in cases {
        assert_eq!(answer.problem(), (status, detail));
    }
    assert_eq!(agent.get("/v1/leave").header("allow"), "POST");
}

#[test]
fn a_body_that_does_not_read_is_a_problem_that_says_what_to_send() {
    let agent = agent();
    let many = serde_json::to_string(&json!({"addrs": vec!["10.0.0.1"; 65]})).unwrap();
    let large = "x".repeat(70_000);
    let shape = r#"send {"addrs":["10.0.0.1:7946"]}"#;
    let plain = |path: &str| agent.send(&format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n"), "{}");
    let cases: Vec<(Response, u16, String)> = vec![
        (
            agent.post("/v1/join", r#"{"addr":[]}"#),
            400,
            format!(
                "cannot read the body: unknown field `addr`, expected `addrs` at line 1 column 7; {shape}"
            ),
        ),
        (agent.post("/v1/join", r#"{"addrs":[]}"#), 400, format!("`addrs` is empty: {shape}")),
        (
            agent.post("/v1/join", &many),
            400,
            "`addrs` has 65 addresses: send at most 64; one that works is enough".into(),
        ),
        (
            agent.post("/v1/join", r#"{"addrs":["db1:7946"]}"#),
            400,
            "\"db1:7946\" is no address: send ADDR or ADDR:PORT; names are not looked up here, --retry-join does \
             that"
                .into(),
        ),
        (
            agent.post("/v1/join", &large),
            413,
            format!("the body is larger than 65536 bytes: {shape}"),
        ),
        (
            plain("/v1/join"),
            415,
            "the body is declared as \"\": send `Content-Type: application/json`".into(),
        ),
    ];
    for (answer, status, detail) in cases {
        assert_eq!(answer.problem(), (status, detail));
    }
}

#[test]
fn a_name_that_is_not_ours_is_misdirected() {
    let agent = Agent::start(&["--http-allow-host", "node-1.example"]);
    let ask = |host: &str| agent.send(&format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n"), "");
    let detail = "this agent is not \"evil.example\": ask it as localhost or 127.0.0.1, or start it with \
                  --http-allow-host and that name";
    assert_eq!(ask("evil.example").problem(), (421, detail.to_owned()));
    assert_eq!(ask("127.0.0.1:1").status(), 200);
    assert_eq!(ask("node-1.example:7947").status(), 200);
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let agent = agent();
    let head = "POST /v1/leave HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n";
    let detail = "a page of http://evil.example may not ask this agent: use the command line";
    assert_eq!(agent.send(head, "").problem(), (403, detail.to_owned()));
    assert_eq!(agent.get("/livez").status(), 200);
}

#[test]
fn a_join_says_how_each_address_ended() {
    let agent = agent();
    // Nothing listens at port 1 of loopback.
    let answer = agent.post("/v1/join", r#"{"addrs":["127.0.0.1:1"]}"#);
    assert_eq!(answer.status(), 200);
    let answer = answer.json();
    assert_eq!((&answer["joined"], &answer["results"][0]["addr"]), (&json!(0), &json!("127.0.0.1:1")));
    assert!(answer["results"][0]["error"].is_string());
}

/// An event of the stream.
struct Event {
    name: String,
    data: Value,
}

/// The events of an agent as they come.
fn events(agent: &Agent) -> impl Iterator<Item = Event> {
    let mut stream = TcpStream::connect(agent.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
    // Between two empty lines: an event, or a comment, which has no name.
    let next = move || Some(lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>());
    let field =
        |event: &[String], name| event.iter().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    iter::from_fn(next).take_while(|event| !event.is_empty()).filter_map(move |event| {
        let (name, data) = (field(&event, "event: ")?, field(&event, "data: ")?);
        Some(Event { name, data: serde_json::from_str(&data).unwrap() })
    })
}

#[test]
fn a_listener_is_told_of_members_and_failures_and_of_the_end() {
    let mut agent = agent();
    let addr = agent.get("/v1/members").json()["members"][0]["addr"].as_str().unwrap().to_owned();
    let mut other =
        Agent::launch(Dir::new(), &["--bind", "127.0.0.1:0", "--node-name", "other", "--join", &addr]);
    let mut events = events(&agent);
    let first: Vec<_> = events.by_ref().take(3).map(|event| event.name).collect();
    assert_eq!(first, ["members", "quorum", "bootstrap"]);
    within(Duration::from_secs(30), || {
        match other.get("/v1/members").json()["members"].as_array().unwrap().len() {
            2 => Ok(()),
            count => Err(format!("{count} know each other")),
        }
    });
    other.kill();
    let mut failed = |Event { name, data }: &Event| {
        name == "member" && data["name"] == "other" && data["status"] == "failed"
    };
    let told = events.find(&mut failed).expect("it is told that a member failed").data;
    let members = agent.get("/v1/members").json();
    let listed = members["members"].as_array().unwrap().iter().find(|member| member["name"] == "other");
    assert_eq!((&told["id"], &told["since"]), (&listed.unwrap()["id"], &listed.unwrap()["since"]));
    agent.signal("TERM");
    // The stream ends too, or this would not return.
    events.for_each(drop);
    assert_eq!(agent.wait_for_end(), 0);
}

#[test]
fn leaving_ends_the_agent_with_success() {
    let mut agent = agent();
    let answer = agent.post("/v1/leave", "");
    assert_eq!((answer.status(), answer.body.as_str()), (200, "{\"left\":true}\n"));
    assert_eq!(agent.wait_for_end(), 0);
}

#[test]
fn a_unix_socket_is_for_owner_and_group_and_goes_with_the_agent() {
    use std::os::unix::fs::PermissionsExt;
    let mut agent = Agent::start(&["--http", "unix:DIR/api.sock"]);
    let path = agent.dir.0.join("api.sock").display().to_string();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // A browser cannot open a unix socket, so that any host name is accepted.
    let answer = over_unix(&path, "GET /livez HTTP/1.1\r\nHost: anything\r\n");
    assert_eq!((answer.status(), answer.body.as_str()), (200, "ok\n"));
    agent.post("/v1/leave", "");
    agent.wait_for_end();
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let agent = Agent::start(&["--http", "unix:DIR/api.sock"]);
    let path = agent.dir.0.join("api.sock");
    let flag = format!("unix:{}", path.display());
    let second = program()
        .args(["--bind", "127.0.0.1:0", "--http", &flag, "--state-dir"])
        .arg(agent.dir.0.join("second"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let log = String::from_utf8(second.stderr).unwrap();
    let expected =
        format!("--http {flag}: address in use: another agent answers there; choose another --http");
    assert!(log.contains(&expected), "{log}");
    // A crash leaves a socket without a listener behind.
    let stale = agent.dir.0.join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let third = Agent::start(&["--http", &format!("unix:{}", stale.display())]);
    assert_eq!(third.get("/livez").status(), 200);
    assert_eq!(over_unix(stale.to_str().unwrap(), "GET /livez HTTP/1.1\r\nHost: x\r\n").status(), 200);
}
