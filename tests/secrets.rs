//! Every secret that an agent can be given, and everything that it can be made to say: no secret is in any of it, at any
//! level of the log.

use std::{
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    thread,
    time::Duration,
};

use crate::{
    awaiting::within,
    running::{Agent, Dir, Ended, request, run},
};

const TOKEN: &str = "tokentoken-9d1f2c3b4a59687786";
const GUESS: &str = "guessguess-1122334455";
const ID: &str = "AKIAGIVENGIVENGIVEN1";
const KEY: &str = "givenSECRETgivenSECRETgivenSECRET1234567";
const SESSION: &str = "sessionSESSIONsessionSESSION1234567";
const FILE_ID: &str = "AKIAFILEFILEFILEFIL1";
const FILE_KEY: &str = "fileSECRETfileSECRETfileSECRETfile123456";
const FILE_SESSION: &str = "fileSESSIONfileSESSIONfileSESSION12";
/// All secrets. None is a part of another, or of a word that is said anyway.
const SECRETS: [(&str, &str); 8] = [
    ("the token", TOKEN),
    ("a wrong token that a client guessed", GUESS),
    ("the id of a key in the configuration", ID),
    ("a key in the configuration", KEY),
    ("a session token in the configuration", SESSION),
    ("the id of a key in a file", FILE_ID),
    ("a key in a file", FILE_KEY),
    ("a session token in a file", FILE_SESSION),
];

const PATHS: [&str; 12] = [
    "/v1/members",
    "/v1/rtt?to=box",
    "/v1/self",
    "/v1/quorum",
    "/v1/bootstrap",
    "/v1/discovery",
    "/v1/info",
    "/livez",
    "/readyz",
    "/metrics",
    "/ui",
    "/v1/nothing",
];

/// Starts an imitation of EC2 that refuses every key.
fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // The thread ends with the test's process.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 16 * 1024];
            let Ok(1..) = stream.read(&mut head) else { continue };
            let body = "<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors>\
                        <RequestID>1</RequestID></Response>";
            write!(
                stream,
                "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .ok();
        }
    });
    addr
}

fn write_secret(dir: &Dir, name: &str, secret: &str) {
    let path = dir.file(name, &format!("{secret}\n"));
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Asserts that no secret is in `said`.
fn assert_clean(place: &str, said: &str) {
    for (what, secret) in SECRETS {
        let at = said.find(secret);
        let around = at.map(|at| said.get(at.saturating_sub(200)..at).unwrap_or_default());
        assert_eq!(around, None, "{what} is in {place}, behind this");
    }
}

#[test]
fn nothing_that_an_agent_says_holds_a_secret() {
    let dir = Dir::new();
    for (name, secret) in [("token", TOKEN), ("id", FILE_ID), ("key", FILE_KEY), ("session", FILE_SESSION)] {
        write_secret(&dir, name, secret);
    }
    let (place, ec2) = (dir.0.display().to_string(), refusing());
    let common =
        format!("provider=aws tag_key=chronik tag_value=server region=us-east-1 endpoint=http://{ec2}");
    let given = format!("{common} access_key_id={ID} secret_access_key={KEY} session_token={SESSION}");
    let filed = format!(
        "{common} access_key_id=file:{place}/id secret_access_key=file:{place}/key session_token=file:{place}/session"
    );
    dir.file(
        "config.toml",
        &format!("retry-join = [{given:?}, {filed:?}]\nhttp-token-file = \"{place}/token\"\n"),
    );
    let config = format!("{place}/config.toml");
    let flags = ["--bind", "127.0.0.1:0", "--node-name", "box", "--log-level", "trace", "--config", &config];
    let mut agent = Agent::launch(dir, &flags);
    within(Duration::from_secs(60), || {
        let said = agent.get("/v1/discovery").json();
        let refused = |provider: &serde_json::Value| provider["failures"].as_u64().unwrap() > 1;
        let all = said["providers"].as_array().unwrap().iter().all(refused);
        if all { Ok(()) } else { Err(said.to_string()) }
    });
    for path in PATHS {
        assert_clean(path, &agent.get(path).body);
        for token in [TOKEN, GUESS] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
            assert_clean(path, &agent.send(&head, "").body);
            let head = format!(
                "POST /v1/join HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            );
            let answer = request(&mut TcpStream::connect(agent.http).unwrap(), &head, r#"{"addrs":[]}"#);
            assert_clean("the answer to a join", &answer.body);
        }
    }
    let token = format!("--http-token-file={place}/token");
    let bind = "127.0.0.1:0";
    let commands: [&[&str]; 7] = [
        &["--check", "--bind", bind, "--config", &config],
        &["--check", "--bind", bind, "--retry-join", &given, "--http-token-file", &format!("{place}/id")],
        &["--check", "--bind", bind, "--retry-join", &format!("{given} nonsense=1")],
        &["discover", &given],
        &["discover", &filed],
        &["info", &agent.at(), &token],
        &["discovery", &agent.at(), &token, "--format", "json"],
    ];
    for command in commands {
        let Ended { out, error, .. } = run(command);
        assert_clean(command[0], &out);
        assert_clean(command[0], &error);
    }
    let process = format!("/proc/{}", agent.pid());
    for file in ["cmdline", "comm"] {
        assert_clean(file, &fs::read_to_string(format!("{process}/{file}")).unwrap());
    }
    agent.signal("TERM");
    agent.wait_for_end();
    let log = agent.log();
    assert!(log.contains("DEBUG") && log.contains("AuthFailure"), "nothing was asked or logged");
    assert_clean("the log", &log);
    for file in ["node.json", "lock"] {
        assert_clean(file, &fs::read_to_string(agent.dir.0.join("state").join(file)).unwrap_or_default());
    }
}
