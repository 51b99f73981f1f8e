//! The command line: exit codes, and every message whole.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::running::{Agent, Dir, Ended, program, run};

#[test]
fn wrong_usage_is_64_and_help_is_not() {
    assert_eq!(run(["--bnd", "x"]).code, 64);
    assert_eq!(run(["members", "--stats", "alive"]).code, 64);
    assert_eq!(run(["wait", "--for", "luck"]).code, 64);
    assert_eq!(
        run(["--cluster", "x", "members"]).code,
        64,
        "a flag of the agent means nothing to its client"
    );
    assert_eq!(run(["--help"]).code, 0);
    assert_eq!(run(["--version"]).out, format!("chronik-agent {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_value_names_where_it_stands() {
    let dir = Dir::new();
    let file = dir.file("agent.toml", "profile = 'moon'\n");
    let wrong = "--profile \"moon\"";
    let remedy = "is not one of local, lan, wan\n";
    assert_eq!(
        run(["--check", "--profile", "moon"]),
        Ended::failed(64, format!("chronik-agent: {wrong} {remedy}"))
    );
    let from_file = format!("chronik-agent: {wrong} (from {file}) {remedy}");
    assert_eq!(run(["--check", "--config", &file]), Ended::failed(64, from_file));
    let output = program().arg("--check").env("CHRONIK_AGENT_PROFILE", "moon").output().unwrap();
    let from_environment = format!("chronik-agent: {wrong} (from CHRONIK_AGENT_PROFILE) {remedy}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), from_environment);
}

#[test]
fn a_wrong_key_or_file_is_64() {
    let dir = Dir::new();
    let file = dir.file("agent.toml", "clutser = 'x'\n");
    let expected = format!("chronik-agent: {file}: unknown key `clutser`: did you mean `cluster`?\n");
    assert_eq!(run(["--check", "--config", &file]), Ended::failed(64, expected));
    let expected =
        "chronik-agent: --config /none.toml: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(run(["--check", "--config", "/none.toml"]), Ended::failed(64, expected));
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
    let Ended { code, out: plan, .. } = run([
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
        let Ended { code, out: plan, error } = run(own.iter().chain(flags));
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
    let Ended { code, error: log, .. } =
        run(["--bind", "127.0.0.1:0", "--http", &http, "--state-dir", &state]);
    assert_eq!(code, 1);
    let expected = format!("--http {http}: address in use: another agent? choose another --http");
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn an_agent_that_is_not_there_is_named() {
    let expected = "chronik-agent: cannot reach the agent at http://127.0.0.1:1: connection refused: is it running? \
                    --http says where\n";
    for command in ["members", "quorum", "discovery", "self", "info", "leave", "health"] {
        assert_eq!(run([command, "--http", "127.0.0.1:1"]), Ended::failed(1, expected), "{command}");
    }
    let Ended { code, out, error } =
        run(["wait", "--for", "joined", "--timeout", "300ms", "--http", "127.0.0.1:1"]);
    let expected = "timed out after 300ms: cannot reach the agent at http://127.0.0.1:1: connection refused: is it \
                    running? --http says where\n";
    assert_eq!((code, out.as_str(), error.as_str()), (3, "", expected));
}

#[test]
fn members_are_shown_as_lines_table_json_or_filled_in() {
    let agent = Agent::start(&["--tag", "zone=a", "--endpoint", "raft=:5001"]);
    let members = |more: &[&str]| run(["members", &agent.at()].iter().chain(more));
    let Ended { code, out: lines, .. } = members(&["--tag", "zone=a"]);
    let cells: Vec<&str> = lines.trim_end().split('\t').collect();
    assert_eq!((code, cells.len()), (0, 8), "{lines}");
    let shown = [cells[0], cells[2], cells[3], cells[5], cells[6]];
    assert_eq!(shown, ["box", "alive", "server", "raft=127.0.0.1:5001", "zone=a"]);
    let Ended { out: table, .. } = members(&["--format", "table"]);
    assert!(table.starts_with("NAME  ADDR "), "{table}");
    let Ended { out: json, .. } = members(&["--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["members"][0]["name"], "box");
    let template = |text| members(&["--format", "template", "--template", text]);
    assert_eq!(template("{{ name }} {{ endpoints.raft }}").out, "box 127.0.0.1:5001\n");
    let Ended { code, error, .. } = template("{{ nmae }}");
    assert!(code == 1 && error.contains("--template \"{{ nmae }}\": undefined value"), "{error}");
    assert_eq!(members(&["--status", "failed"]), Ended::failed(2, ""));
    assert_eq!(members(&["--role", "observer", "--format", "json"]).code, 2);
}

#[test]
fn each_command_shows_the_endpoint_of_its_name() {
    let agent = Agent::start(&[]);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for (command, line) in [
        ("quorum", "status forming"),
        ("discovery", "providers -"),
        ("self", "name box"),
        ("info", "config.node_name box"),
    ] {
        let Ended { code, out: text, .. } = run([command, &agent.at()]);
        assert!(code == 0 && text.lines().any(|found| words(found) == line), "{line} is not in\n{text}");
        let Ended { out: json, .. } = run([command, &agent.at(), "--format", "json"]);
        assert!(json.starts_with("{\"index\":"), "{json}");
    }
    assert_eq!(run(["health", &agent.at()]), Ended::succeeded("ok\n"));
}

#[test]
fn wait_ends_when_its_condition_holds_or_in_time() {
    let agent = Agent::start(&[]);
    let wait = |what: &str| run(["wait", &agent.at(), "--timeout", "400ms", "--for", what]);
    let Ended { code, out: answer, .. } = wait("members=1");
    assert!(code == 0 && answer.starts_with("{\"cluster\":\"chronik\""), "{answer}");
    assert_eq!(wait("members=9"), Ended::failed(3, "timed out after 400ms: 1 of 9 members are alive\n"));
    let expected = "timed out after 400ms: the agent has not been in contact with another one\n";
    assert_eq!(wait("joined"), Ended::failed(3, expected));
}

#[test]
fn join_and_leave_act_on_the_agent() {
    let mut agent = Agent::start(&[]);
    // Nothing listens at port 1 of loopback.
    let Ended { code, out, .. } = run(["join", &agent.at(), "127.0.0.1:1"]);
    assert!(code == 1 && out.starts_with("127.0.0.1:1 failed: "), "{out}");
    let expected = format!(
        "chronik-agent: the agent at http://{} refused /v1/join: \"db1\" is no address: send ADDR or ADDR:PORT; names \
         are not looked up here, --retry-join does that\n",
        agent.http
    );
    assert_eq!(run(["join", &agent.at(), "db1"]), Ended::failed(1, expected));
    assert_eq!(run(["leave", &agent.at()]), Ended::succeeded("the agent has left and stops\n"));
    assert_eq!(agent.wait_for_end(), 0);
}

#[test]
fn a_signal_ends_the_agent_with_success() {
    for signal in ["TERM", "INT"] {
        let mut agent = Agent::start(&[]);
        let sent =
            std::process::Command::new("kill").args([format!("-{signal}"), agent.pid().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(agent.wait_for_end(), 0, "{signal}");
    }
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let Ended { code, out: text, .. } = run(["completions", shell]);
        assert!(code == 0 && text.contains("bootstrap-expect"), "{shell}");
    }
    assert!(run(["man"]).out.contains(".SH OPTIONS"));
    assert!(run(["man", "wait"]).out.contains("wait"));
    let expected =
        "chronik-agent: there is no command `nothing`: `chronik-agent --help` lists those that there are\n";
    assert_eq!(run(["man", "nothing"]), Ended::failed(64, expected));
}

#[test]
fn discover_asks_one_provider_once() {
    let Ended { code, out: addrs, error: remark } = run(["discover", "10.0.0.1,10.0.0.2:9"]);
    assert_eq!((code, addrs.as_str()), (0, "10.0.0.1:7946\tstatic\n10.0.0.2:9\tstatic\n"));
    assert!(remark.starts_with("2 addresses from provider=static addrs=10.0.0.1,10.0.0.2:9 in "), "{remark}");
    let Ended { code, out: json, .. } = run(["discover", "--format", "json", "10.0.0.1"]);
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["took_s"] = 0.into();
    let expected = serde_json::json!({
        "provider": "static", "spec": "provider=static addrs=10.0.0.1", "addrs": ["10.0.0.1:7946"], "took_s": 0,
        "valid_for_s": null, "warnings": [],
    });
    assert_eq!((code, json), (0, expected));
    let Ended { code, error, .. } = run(["discover", "provider=sttic addrs=a"]);
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
    let Ended { code, out: myself, .. } = run(["wait", &second.at(), "--for", "joined", "--timeout", "30s"]);
    assert!(code == 0 && myself.contains("\"joined\":true"), "{myself}");
    let seen = second.get("/v1/members").json();
    let seed =
        seen["members"].as_array().unwrap().iter().find(|member| member["addr"] == addr.as_str()).unwrap();
    assert_eq!(seed["source"], "static");

    let third = Agent::start(&["--profile", "local"]);
    let expected = Ended::succeeded(format!("{addr} joined\n"));
    assert_eq!(run(["join", &third.at(), &addr]), expected);
    let Ended { code, error, .. } = run(["wait", &first.at(), "--for", "members=3", "--timeout", "30s"]);
    assert_eq!((code, error.as_str()), (0, ""));
}

#[test]
fn a_round_trip_is_measured_estimated_or_not_known() {
    let [a, b, c] = crate::cluster::trio(&["--profile", "local"]);
    let json = |agent: &Agent, from: &str, to: &str| {
        let Ended { out: text, .. } = run(["rtt", &agent.at(), from, to, "--format", "json"]);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    // One pair, as its two ends and as the third member see it, once all have been probed.
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
    let Ended { code, out: text, error } = run(["rtt", &a.at(), "b"]);
    assert!(code == 0 && text.starts_with("a <-> b: ") && text.ends_with(" ms, measured\n"), "{text}{error}");
    let Ended { code, out: text, error } = run(["rtt", &c.at(), "a", "b"]);
    assert!(
        code == 0 && text.starts_with("a <-> b: ") && text.contains(" ms, estimated, within about "),
        "{text}{error}"
    );
    let unknown = "`to=nobody` is no member's name or id: /v1/members lists names and ids\n";
    assert_eq!(run(["rtt", &a.at(), "nobody"]), Ended::failed(2, unknown));
    let Ended { code, error, .. } = run(["rtt", &a.at(), "a"]);
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
    // The output ends with the demo. It is kept open, because a demo without readers ends by itself.
    let met = lines.find(|line| line.contains("running; sees 2 alive"));
    assert!(met.is_some());
    let sent = std::process::Command::new("kill").args(["-INT", &demo.id().to_string()]).status();
    assert!(sent.unwrap().success());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    drop(lines);
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0, "state and logs are gone");
}
