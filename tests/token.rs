//! The token of the API: requests that need it, commands that bring it, and an agent that never says it.

use std::{
    fs::{self, Permissions},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use crate::running::{Agent, Dir, Ended, Response, program, request, run};

const TOKEN: &str = "correct-horse-battery-staple";

fn write_token(dir: &Dir, mode: u32) -> String {
    let path = dir.file("token", &format!("{TOKEN}\n"));
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// Starts an agent with a token, one address for this host and one for others; returns the port of the latter, too.
fn start_guarded(more: &[&str]) -> (Agent, u16) {
    let dir = Dir::new();
    write_token(&dir, 0o600);
    let own = ["--bind", "127.0.0.1:0", "--node-name", "box", "--http", "127.0.0.1:0", "--http", "0.0.0.0:0"];
    let agent = Agent::launch(dir, &[own.as_slice(), &["--http-token-file", "DIR/token"], more].concat());
    let port = crate::awaiting::within(std::time::Duration::from_secs(30), || {
        let log = agent.log();
        let port = log.split_once("http://0.0.0.0:").and_then(|(_, rest)| rest.split_once(['\n', '"']));
        port.map(|(port, _)| port.trim().parse().unwrap()).ok_or(log)
    });
    (agent, port.0)
}

/// Sends a request: its first line, then more headers.
fn ask(port: u16, head: &str) -> Response {
    let (line, more) = head.split_once('\n').unwrap_or((head, ""));
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}");
    request(&mut TcpStream::connect(("127.0.0.1", port)).unwrap(), &head, "")
}

fn with_token(head: &str, token: &str) -> String {
    format!("{head}\nAuthorization: Bearer {token}\r\n")
}

#[test]
fn an_address_for_others_wants_a_token_file() {
    let ended = run(["--check", "--bind", "127.0.0.1", "--http", "0.0.0.0:7000"]);
    let expected = "chronik-agent: --http 0.0.0.0:7000 is no loopback address, and whoever reaches it could change \
                    things: give --http-token-file FILE, or listen on 127.0.0.1:7000 or unix:PATH\n";
    assert_eq!(ended, Ended::failed(64, expected));
    let dir = Dir::new();
    let file = write_token(&dir, 0o644);
    let Ended { code, error, .. } =
        run(["--check", "--bind", "127.0.0.1", "--http", "[::]:7000", "--http-token-file", &file]);
    let expected = format!(
        "chronik-agent: --http-token-file {file}: others can read or change it (mode 0644): chmod 640 or 600\n"
    );
    assert_eq!((code, error), (64, expected));
}

#[test]
fn changes_need_the_token_and_from_elsewhere_reading_does_too() {
    let (agent, port) = start_guarded(&[]);
    let here = agent.http.port();
    let detail = "this needs the token of the agent's --http-token-file: send `Authorization: Bearer TOKEN`, or give \
                  the command --http-token-file FILE";
    let refused = [
        ask(here, "POST /v1/leave"),
        ask(here, &with_token("POST /v1/leave", "correct-horse-battery-stapl")),
        ask(here, "PUT /v1/nothing"),
        ask(port, "GET /v1/members"),
        ask(port, "GET /metrics"),
        ask(port, "GET /ui"),
        ask(port, "GET //livez"),
        ask(port, &with_token("GET /v1/members", "correct-horse-battery-staplf")),
    ];
    for answer in refused {
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"chronik-agent\"");
        assert_eq!(answer.problem(), (401, detail.to_owned()));
    }
    for path in ["GET /livez", "GET /readyz"] {
        assert_eq!(ask(port, path).status(), 200, "{path}");
    }
    assert_eq!(ask(here, "GET /v1/members").status(), 200);
    assert_eq!(ask(port, &with_token("GET /v1/members", TOKEN)).status(), 200);
    // A page of another origin is refused before its token is checked.
    let page = format!("{}Origin: http://evil.example\r\n", with_token("GET /v1/members", TOKEN));
    assert_eq!(ask(port, &page).status(), 403);
}

#[test]
fn the_command_line_brings_the_token() {
    let (mut agent, port) = start_guarded(&[]);
    let at = format!("--http=127.0.0.1:{port}");
    let Ended { code, error, .. } = run(["members", &at]);
    assert!(code == 1 && error.contains("refused /v1/members: this needs the token"), "{code} {error}");
    let file = agent.dir.0.join("token").display().to_string();
    assert_eq!(run(["members", &at, "--http-token-file", &file]).code, 0);
    assert_eq!(run(["health", &at]).code, 0);
    let mut leave = program();
    leave.args(["leave", &at]).env("CHRONIK_AGENT_HTTP_TOKEN_FILE", &file).stdout(Stdio::null());
    assert!(leave.status().unwrap().success());
    assert_eq!(agent.wait_for_end(), 0);
}

#[test]
fn no_secret_is_in_anything_that_the_agent_says() {
    let (agent, port) = start_guarded(&["--log-level", "trace", "--log-format", "text"]);
    let file = agent.dir.0.join("token").display().to_string();
    let mut said = vec![fs::read_to_string(format!("/proc/{}/cmdline", agent.pid())).unwrap()];
    let paths = ["members", "self", "quorum", "bootstrap", "discovery", "info", "nothing"]
        .map(|name| format!("/v1/{name}"));
    for path in paths.iter().map(String::as_str).chain(["/metrics", "/ui", "/livez", "/readyz"]) {
        for head in [
            format!("GET {path}"),
            with_token(&format!("GET {path}"), TOKEN),
            with_token(&format!("POST {path}"), TOKEN),
        ] {
            let answer = ask(port, &head);
            said.push(answer.body);
        }
    }
    // Commands that bring the token, rightly and wrongly.
    for args in
        [["members", "--http-token-file"], ["leave", "--http-token-file"], ["--check", "--http-token-file"]]
    {
        let Ended { out, error, .. } =
            run(args.into_iter().chain([file.as_str(), &format!("--http=127.0.0.1:{port}")]));
        said.extend([out, error]);
    }
    for broken in [format!("{TOKEN}\n{TOKEN}"), format!("{TOKEN} {TOKEN}"), format!("{TOKEN}\u{e9}")] {
        fs::write(&file, broken).unwrap();
        let Ended { code, out, error } = run(["members", "--http-token-file", &file]);
        assert_eq!(code, 64, "{error}");
        said.extend([out, error]);
    }
    said.push(agent.log());
    for text in &said {
        assert!(!text.contains(TOKEN), "{text}");
    }
}
