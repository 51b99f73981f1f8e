//! The command line: exit codes, and every message whole.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::running::{Agent, Dir, program, told};

#[test]
fn wrong_usage_is_64_and_help_is_not() {
    assert_eq!(told(["--bnd", "x"]).0, 64);
    assert_eq!(told(["members", "--stats", "alive"]).0, 64);
    assert_eq!(told(["wait", "--for", "luck"]).0, 64);
    assert_eq!(told(["--cluster", "x", "members"]).0, 64, "a flag of the agent means nothing to its client");
    assert_eq!(told(["--help"]).0, 0);
    assert_eq!(told(["--version"]).1, format!("chronik-agent {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_value_names_where_it_stands() {
    let dir = Dir::new();
    let file = dir.file("agent.toml", "profile = 'moon'\n");
    let wrong = "--profile \"moon\"";
    let remedy = "is not one of local, lan, wan\n";
    assert_eq!(
        told(["--check", "--profile", "moon"]),
        (64, String::new(), format!("chronik-agent: {wrong} {remedy}"))
    );
    let from_file = format!("chronik-agent: {wrong} (from {file}) {remedy}");
    assert_eq!(told(["--check", "--config", &file]), (64, String::new(), from_file));
    let output = program().arg("--check").env("CHRONIK_AGENT_PROFILE", "moon").output().unwrap();
    let from_environment = format!("chronik-agent: {wrong} (from CHRONIK_AGENT_PROFILE) {remedy}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), from_environment);
}

#[test]
fn a_wrong_key_or_file_is_64() {
    let dir = Dir::new();
    let file = dir.file("agent.toml", "clutser = 'x'\n");
    let expected = format!("chronik-agent: {file}: unknown key `clutser`: did you mean `cluster`?\n");
    assert_eq!(told(["--check", "--config", &file]), (64, String::new(), expected));
    let expected =
        "chronik-agent: --config /none.toml: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(told(["--check", "--config", "/none.toml"]), (64, String::new(), expected.to_owned()));
}

#[test]
fn a_flag_wins_over_the_environment_and_both_over_the_file() {
    let dir = Dir::new();
    let file = dir
        .file("agent.toml", "cluster = 'file'\nnode-name = 'file'\nprofile = 'wan'\n[tag]\nzone = 'file'\n");
    let output = program()
        .args(["--check", "--config", &file, "--cluster", "flag"])
        .env("CHRONIK_AGENT_CLUSTER", "environment")
        .env("CHRONIK_AGENT_NODE_NAME", "environment")
        .env("CHRONIK_AGENT_TAG", "a=1,b=2")
        .env("CHRONIK_AGENT_ROLE", "")
        .output()
        .unwrap();
    let plan = String::from_utf8(output.stdout).unwrap();
    for line in [
        "cluster     flag",
        "node name   environment",
        "role        server",
        "profile     wan",
        "tags        a=1, b=2",
    ] {
        assert!(plan.lines().any(|found| found == line), "{line} is not in\n{plan}");
    }
}

#[test]
fn check_prints_the_whole_plan() {
    let (code, plan, _) = told([
        "--check",
        "--bind",
        "127.0.0.1",
        "--node-name",
        "box",
        "--state-dir",
        "/state",
        "--bootstrap-expect",
        "3",
        "--join",
        "127.0.0.2,127.0.0.3:9",
        "--endpoint",
        "raft=:5001",
        "--http",
        "[::1]:1",
        "--http",
        "unix:/a",
    ]);
    let expected = "cluster     chronik\nnode name   box\nrole        server\ngossip      127.0.0.1:7946 over UDP and TCP\n\
                    advertised  127.0.0.1:7946 (the address that --bind names)\n\
                    http        http://[::1]:1, unix:/a\nhttp token  none: everybody on this host may change things\nstate       /state\n\
                    encryption  none: everybody who reaches the gossip port can join\nprofile     lan\n\
                    founding    once 3 servers are there\nendpoints   raft=:5001\ntags        none\n\
                    seeds       provider=static addrs=127.0.0.2:7946,127.0.0.3:9\n";
    assert_eq!((code, plan.as_str()), (0, expected));
}

#[test]
fn check_says_that_joining_overrules_the_count() {
    let founding = |flags: &[&str]| {
        let own = ["--check", "--bind", "127.0.0.1", "--state-dir", "/state", "--bootstrap-expect", "3"];
        let (code, plan, error) = told(own.iter().chain(flags));
        assert_eq!((code, error.as_str()), (0, ""));
        plan.lines().find_map(|line| line.strip_prefix("founding    ")).unwrap().to_owned()
    };
    let overruled = "whatever --bootstrap-expect 3 says";
    assert_eq!(
        founding(&["--join-only"]),
        format!("never: joins a cluster that others bootstrap, {overruled}")
    );
    let id = "0191b3a0-0000-7000-8000-000000000001";
    let expected = format!("never: joins cluster {id} or none, {overruled}");
    assert_eq!(founding(&["--cluster-id", id]), expected);
}

#[test]
fn an_address_in_use_is_told_at_once() {
    let agent = Agent::start(&[]);
    let http = agent.http.to_string();
    let dir = Dir::new();
    let state = dir.0.join("state").display().to_string();
    let (code, _, log) = told(["--bind", "127.0.0.1:0", "--http", &http, "--state-dir", &state]);
    assert_eq!(code, 1);
    let expected = format!("--http {http}: address in use: another agent? choose another --http");
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn an_agent_that_is_not_there_is_named() {
    let expected = "chronik-agent: cannot reach the agent at http://127.0.0.1:1: connection refused: is it running? \
                    --http says where\n";
    for command in ["members", "quorum", "discovery", "self", "info", "leave", "health"] {
        assert_eq!(
            told([command, "--http", "127.0.0.1:1"]),
            (1, String::new(), expected.to_owned()),
            "{command}"
        );
    }
    let (code, out, error) = told(["wait", "--for", "joined", "--timeout", "300ms", "--http", "127.0.0.1:1"]);
    let expected = "timed out after 300ms: cannot reach the agent at http://127.0.0.1:1: connection refused: is it \
                    running? --http says where\n";
    assert_eq!((code, out.as_str(), error.as_str()), (3, "", expected));
}

#[test]
fn members_are_shown_as_lines_table_json_or_filled_in() {
    let agent = Agent::start(&["--tag", "zone=a", "--endpoint", "raft=:5001"]);
    let members = |more: &[&str]| told(["members", &agent.at()].iter().chain(more));
    let (code, lines, _) = members(&["--tag", "zone=a"]);
    let cells: Vec<&str> = lines.trim_end().split('\t').collect();
    assert_eq!((code, cells.len()), (0, 8), "{lines}");
    let shown = [cells[0], cells[2], cells[3], cells[5], cells[6]];
    assert_eq!(shown, ["box", "alive", "server", "raft=127.0.0.1:5001", "zone=a"]);
    let (_, table, _) = members(&["--format", "table"]);
    assert!(table.starts_with("NAME  ADDR "), "{table}");
    let (_, json, _) = members(&["--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["members"][0]["name"], "box");
    let template = |text| members(&["--format", "template", "--template", text]);
    assert_eq!(template("{{ name }} {{ endpoints.raft }}").1, "box 127.0.0.1:5001\n");
    let (code, _, error) = template("{{ nmae }}");
    assert!(code == 1 && error.contains("--template \"{{ nmae }}\": undefined value"), "{error}");
    assert_eq!(members(&["--status", "failed"]), (2, String::new(), String::new()));
    assert_eq!(members(&["--role", "observer", "--format", "json"]).0, 2);
}

#[test]
fn the_like_named_endpoints_are_shown() {
    let agent = Agent::start(&[]);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for (command, line) in [
        ("quorum", "status forming"),
        ("discovery", "providers -"),
        ("self", "name box"),
        ("info", "config.node_name box"),
    ] {
        let (code, text, _) = told([command, &agent.at()]);
        assert!(code == 0 && text.lines().any(|found| words(found) == line), "{line} is not in\n{text}");
        let (_, json, _) = told([command, &agent.at(), "--format", "json"]);
        assert!(json.starts_with("{\"index\":"), "{json}");
    }
    assert_eq!(told(["health", &agent.at()]), (0, "ok\n".to_owned(), String::new()));
}

#[test]
fn wait_ends_when_it_is_so_or_in_time() {
    let agent = Agent::start(&[]);
    let wait = |what: &str| told(["wait", &agent.at(), "--timeout", "400ms", "--for", what]);
    let (code, answer, _) = wait("members=1");
    assert!(code == 0 && answer.starts_with("{\"cluster\":\"chronik\""), "{answer}");
    assert_eq!(
        wait("members=9"),
        (3, String::new(), "timed out after 400ms: 1 of 9 members are alive\n".to_owned())
    );
    let expected = "timed out after 400ms: the agent has not been in contact with another one\n";
    assert_eq!(wait("joined"), (3, String::new(), expected.to_owned()));
}

#[test]
fn join_and_leave_act_on_the_agent() {
    let mut agent = Agent::start(&[]);
    // Port 1 of loopback: nobody listens there.
    let (code, out, _) = told(["join", &agent.at(), "127.0.0.1:1"]);
    assert!(code == 1 && out.starts_with("127.0.0.1:1 failed: "), "{out}");
    let expected = format!(
        "chronik-agent: the agent at http://{} refused /v1/join: \"db1\" is no address: send ADDR or ADDR:PORT; names \
         are not looked up here, --retry-join does that\n",
        agent.http
    );
    assert_eq!(told(["join", &agent.at(), "db1"]), (1, String::new(), expected));
    assert_eq!(told(["leave", &agent.at()]), (0, "the agent has left and stops\n".to_owned(), String::new()));
    assert_eq!(agent.ended(), 0);
}

#[test]
fn a_signal_ends_the_agent_with_success() {
    for signal in ["TERM", "INT"] {
        let mut agent = Agent::start(&[]);
        let sent =
            std::process::Command::new("kill").args([format!("-{signal}"), agent.pid().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(agent.ended(), 0, "{signal}");
    }
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, text, _) = told(["completions", shell]);
        assert!(code == 0 && text.contains("bootstrap-expect"), "{shell}");
    }
    assert!(told(["man"]).1.contains(".SH OPTIONS"));
    assert!(told(["man", "wait"]).1.contains("wait"));
    let expected =
        "chronik-agent: there is no command `nothing`: `chronik-agent --help` lists those that there are\n";
    assert_eq!(told(["man", "nothing"]), (64, String::new(), expected.to_owned()));
}

#[test]
fn discover_asks_one_provider_once() {
    let (code, addrs, remark) = told(["discover", "10.0.0.1,10.0.0.2:9"]);
    assert_eq!((code, addrs.as_str()), (0, "10.0.0.1:7946\tstatic\n10.0.0.2:9\tstatic\n"));
    assert!(remark.starts_with("2 addresses from provider=static addrs=10.0.0.1,10.0.0.2:9 in "), "{remark}");
    let (code, json, _) = told(["discover", "--format", "json", "10.0.0.1"]);
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["took_s"] = 0.into();
    let expected = serde_json::json!({
        "provider": "static", "spec": "provider=static addrs=10.0.0.1", "addrs": ["10.0.0.1:7946"], "took_s": 0,
        "valid_for_s": null, "warnings": [],
    });
    assert_eq!((code, json), (0, expected));
    let (code, _, error) = told(["discover", "provider=sttic addrs=a"]);
    assert_eq!(code, 64);
    assert!(error.starts_with("chronik-agent: unknown provider `sttic`"), "{error}");
}

#[test]
fn two_agents_are_waited_for_listed_and_joined() {
    let first = Agent::start(&["--profile", "local"]);
    let wait = program()
        .args(["wait", &first.at(), "--for", "members=2", "--timeout", "30s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let addr = first.get("/v1/self").json()["addr"].as_str().unwrap().to_owned();
    let second = Agent::start(&["--profile", "local", "--join", &addr]);
    let met = wait.wait_with_output().unwrap();
    assert_eq!(met.status.code(), Some(0));
    let members: serde_json::Value = serde_json::from_slice(&met.stdout).unwrap();
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
    let (code, myself, _) = told(["wait", &second.at(), "--for", "joined", "--timeout", "30s"]);
    assert!(code == 0 && myself.contains("\"joined\":true"), "{myself}");
    let seen = second.get("/v1/members").json();
    let seed =
        seen["members"].as_array().unwrap().iter().find(|member| member["addr"] == addr.as_str()).unwrap();
    assert_eq!(seed["source"], "static");

    let third = Agent::start(&["--profile", "local"]);
    let expected = (0, format!("{addr} joined\n"), String::new());
    assert_eq!(told(["join", &third.at(), &addr]), expected);
    let (code, _, error) = told(["wait", &first.at(), "--for", "members=3", "--timeout", "30s"]);
    assert_eq!((code, error.as_str()), (0, ""));
}

#[test]
fn a_round_trip_is_measured_estimated_or_not_known() {
    let [a, b, c] = crate::cluster::trio(&["--profile", "local"]);
    let json = |agent: &Agent, from: &str, to: &str| {
        let (_, text, _) = told(["rtt", &agent.at(), from, to, "--format", "json"]);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    // Each pair as both ends and as the third see it, once all have been probed.
    crate::awaiting::within(std::time::Duration::from_secs(30), || {
        for (agent, from, to, basis) in
            [(&a, "a", "b", "measured"), (&b, "a", "b", "measured"), (&c, "a", "b", "estimated")]
        {
            let answer = json(agent, from, to);
            if answer["basis"] != basis
                || answer["rtt_s"].as_f64().is_none_or(|rtt| !(0.0..0.5).contains(&rtt))
            {
                return Err(format!("{basis} is wanted: {answer}"));
            }
        }
        Ok(())
    });
    let (code, text, error) = told(["rtt", &a.at(), "b"]);
    assert!(code == 0 && text.starts_with("a <-> b: ") && text.ends_with(" ms, measured\n"), "{text}{error}");
    let (code, text, error) = told(["rtt", &c.at(), "a", "b"]);
    assert!(
        code == 0 && text.starts_with("a <-> b: ") && text.contains(" ms, estimated, within about "),
        "{text}{error}"
    );
    let unknown = "`to=nobody` is no member's name or id: /v1/members lists names and ids\n";
    assert_eq!(told(["rtt", &a.at(), "nobody"]), (2, String::new(), unknown.to_owned()));
    let (code, _, error) = told(["rtt", &a.at(), "a"]);
    assert!(code == 1 && error.contains("are both"), "{error}");
    let myself = a.get("/v1/self").json();
    assert_eq!(myself["coordinate"]["position_s"].as_array().unwrap().len(), 3);
    assert!(a.get("/metrics").body.contains("\nchronik_agent_coordinate_error 0."));
}

#[test]
fn the_demo_shows_agents_that_find_each_other_and_cleans_up() {
    let dir = Dir::new();
    let mut demo = program()
        .args(["demo", "--nodes", "2"])
        .env("TMPDIR", &dir.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Ends when they have met, or with the demo; kept open, since a demo without readers ends by itself.
    let met = lines.find(|line| line.contains("running; sees 2 alive"));
    assert!(met.is_some());
    let sent = std::process::Command::new("kill").args(["-INT", &demo.id().to_string()]).status();
    assert!(sent.unwrap().success());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    drop(lines);
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0, "state and logs are gone");
}
