//! Problem documents and errors of the command line that name a command of this program: the state that each is about is brought
//! about by real means, the command is taken from the message, carried out, and the state ends. A message without a row fails.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    awaiting::within,
    cluster::{addrs, all_say, start},
    founding_api::{LOOK, wait_until},
    running::{Agent, Dir, Ended, program, run},
};

/// The test of a message.
enum Row {
    /// The test of this name, here.
    Here(&'static str),
    /// The test of this name in another file.
    There(&'static str, &'static str),
    /// None: it is no refusal, but says where something is shown.
    Shows,
}

const ETCD_SERVER: &str = include_str!("parts/etcd_server.rs");
const ETCD_GROWS: &str = include_str!("parts/etcd_grows.rs");
const ADMISSION: &str = include_str!("../src/core/admission/tests.rs");
const REMEDIES: &str = include_str!("remedies.rs");
const FOUNDING_API: &str = include_str!("founding_api.rs");
const MACHINE: &str = include_str!("../src/core/bootstrap/tests.rs");

/// A piece of each message, as it stands in the source.
#[expect(clippy::too_many_lines, reason = "one table")]
fn rows() -> Vec<(&'static str, Row)> {
    use Row::{Here, Shows, There};
    let members = || Here("ids_and_names_are_those_that_the_named_command_lists");
    let keys = || Here("keys_are_those_that_the_named_commands_make_and_list");
    let added = || There(ETCD_GROWS, "without_a_group_key_nobody_is_admitted_by_himself");
    let recovered = || There(ETCD_GROWS, "a_lost_majority_is_recovered_by_one_command_and_grows_again");
    let replaced = || {
        There(
            ETCD_GROWS,
            "a_joiner_that_waits_for_a_voter_that_is_down_replaces_it_by_the_command_of_the_message",
        )
    };
    let judged = || There(ADMISSION, "a_refusal_says_why_and_what_to_do");
    let words = || Here("clusters_and_agents_of_which_nothing_is_known_are_listed_by_the_named_command");
    vec![
        ("--require-encryption needs --encrypt-key-file", keys()),
        ("{error}; `chronik-agent members` lists the ids", members()),
        ("a UUID as `chronik-agent members` prints it", members()),
        ("with the ids that `chronik-agent members` lists", members()),
        ("no member is called {node:?}", members()),
        ("no node {0} is known here", members()),
        ("no agent {unknown} is known", members()),
        ("no server {0} is known", members()),
        ("with a key as `chronik-agent keygen` prints it", keys()),
        ("with an id as `chronik-agent keys list` shows it", keys()),
        ("that is no key id: write eight", keys()),
        ("line {0} is no key: write", keys()),
        ("there is no key in it", keys()),
        (
            "report it with `chronik-agent bootstrap complete`",
            There(FOUNDING_API, "an_operator_overrides_and_resets"),
        ),
        ("no cluster is known here: bootstrap one first", words()),
        ("a UUID as `chronik-agent bootstrap` prints it", words()),
        ("there is no command `{0}`", Here("a_command_that_there_is_not_is_found_in_the_list")),
        (
            "so that its word on them does not count",
            There(MACHINE, "an_operators_word_on_the_voters_counts_against_all_that_was_reported_before"),
        ),
        ("so that keeping it would leave none", words()),
        ("{0} does not count here", words()),
        (
            "so that it counts on until you say",
            Here("a_member_is_forgotten_by_the_commands_that_the_refusals_name"),
        ),
        (
            "{0} is alive: stop its agent first",
            Here("a_member_is_forgotten_by_the_commands_that_the_refusals_name"),
        ),
        (
            "{0} is this agent, which lives",
            Here("a_member_is_forgotten_by_the_commands_that_the_refusals_name"),
        ),
        (
            "back with `chronik-agent bootstrap reset --cluster {id}`",
            There(FOUNDING_API, "an_override_that_a_founder_refuses_changes_nothing_and_is_taken_back"),
        ),
        (
            ", and then agree on it once more with",
            Here("an_endpoint_that_was_forgotten_is_agreed_on_by_the_command_that_exec_names"),
        ),
        ("an older copy would take votes back", There(REMEDIES, "fault_ends_by_a_reset")),
        (
            "is of its own cluster {}, and not of {}",
            There(ETCD_SERVER, "an_etcd_of_another_cluster_reports_nothing_and_is_told_so"),
        ),
        (
            "it is no JSON ({0})",
            There(
                FOUNDING_API,
                "a_certificate_is_verified_without_an_agent_and_proves_nothing_once_it_is_changed",
            ),
        ),
        (
            "there is no `certificate` in it",
            There(
                FOUNDING_API,
                "a_certificate_is_verified_without_an_agent_and_proves_nothing_once_it_is_changed",
            ),
        ),
        ("in which nodes had no keys", There(REMEDIES, "old_record_ends_by_a_reset")),
        ("the key of this agent was copied", There(REMEDIES, "key_was_copied_ends_by_a_reset")),
        ("too many overrides are known", There(MACHINE, "overrides_without_end_are_refused_until_a_reset")),
        ("no cluster is established here: see", recovered()),
        ("leads, so that no majority is lost", recovered()),
        ("keep the one that has applied most", recovered()),
        ("now, and stop it first if it runs", recovered()),
        ("start the others; if they are lost for good", recovered()),
        ("start {voter}, or replace it with", replaced()),
        ("replace that with `chronik-agent voters replace {member}`", replaced()),
        ("several agents are called {node:?}", added()),
        ("no agent or member is called {node:?}", added()),
        ("admit this one with `chronik-agent voters add NODE`", added()),
        ("then say `chronik-agent voters add NODE`", added()),
        ("say `chronik-agent voters add NODE`, and start the server at once", added()),
        ("no group key is set, so say `chronik-agent voters add {name}`", added()),
        ("the name is longer than any that a node has", added()),
        ("start it through `chronik-agent exec`, or attest it", added()),
        ("or remove it with `chronik-agent voters remove {member}`", judged()),
        ("no agent {0} is known here", judged()),
        ("is not on the server's list: see", judged()),
        ("has no vote to replace: remove it with", judged()),
        ("what was begun goes on", Shows),
        ("its server does not answer: see", Shows),
        ("it does not vote: see", Shows),
        ("is of the cluster that is known here: see", Shows),
        ("number {number} of `chronik-agent discovery`", Shows),
        ("both claim this name: `chronik-agent bootstrap` says more", Shows),
        ("compare `chronik-agent info` on both", Shows),
        ("and give every agent --encrypt-key-file", Shows),
    ]
}

/// All source files below a folder.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The texts of a file that name a command, each in one line, without comments and tests. The reasons have a table of their own.
fn named(text: &str) -> Vec<String> {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let joined = text.split("\\\n").map(str::trim_start).collect::<Vec<_>>().concat();
    let lines = joined.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    lines.filter(|line| line.contains("`chronik-agent ")).map(str::to_owned).collect()
}

#[test]
fn each_message_that_names_a_command_has_a_row_and_each_row_a_test() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let is_told = |path: &String| !["/reason.rs", "/tests.rs"].iter().any(|end| path.ends_with(end));
    files.retain(|(path, _)| is_told(path));
    let rows = rows();
    let (mut used, mut missing) = (vec![false; rows.len()], Vec::new());
    for (path, text) in files {
        for line in named(&text) {
            let mut any = false;
            for ((piece, _), used) in rows.iter().zip(&mut used) {
                if line.contains(piece) {
                    (any, *used) = (true, true);
                }
            }
            if !any {
                missing.push(format!("{path}: {line}"));
            }
        }
    }
    assert!(missing.is_empty(), "no row for:\n{}", missing.join("\n"));
    let own = include_str!("messages.rs");
    for ((piece, row), used) in rows.iter().zip(used) {
        assert!(used, "nothing says any more: {piece}");
        let (file, test) = match row {
            Row::Here(test) => (own, test),
            Row::There(file, test) => (*file, test),
            Row::Shows => continue,
        };
        assert!(file.contains(&format!("fn {test}()")), "{piece}: no test {test}");
    }
}

/// The command that a message names, without the name of the program.
#[track_caller]
fn command(message: &str) -> Vec<String> {
    let (_, command) =
        message.split_once("`chronik-agent ").unwrap_or_else(|| panic!("no command in {message}"));
    let words = command.split('`').next().unwrap().split(' ');
    words.map(str::to_owned).collect()
}

/// Carries out the command that a message names, at an agent.
#[track_caller]
fn carry_out(agent: &Agent, message: &str, more: &[&str]) -> Ended {
    let words = command(message);
    let at = agent.at();
    let ended = run(words.iter().map(String::as_str).chain([at.as_str()]).chain(more.iter().copied()));
    assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
    ended
}

fn delete(agent: &Agent, path: &str) -> (u16, String) {
    agent.send(&format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n"), "").problem()
}

#[test]
fn a_command_that_there_is_not_is_found_in_the_list() {
    let ended = run(["man", "forgets"]);
    assert_eq!(ended.code, 64);
    let listed = run(command(&ended.error)).out;
    assert!(listed.lines().any(|line| line.trim().starts_with("forget ")), "{listed}");
    assert_eq!(run(["man", "forget"]).code, 0);
}

const NOBODY: &str = "00000000-0000-0000-0000-000000000009";

#[test]
fn ids_and_names_are_those_that_the_named_command_lists() {
    let agent = Agent::start(&["--bootstrap-expect", "1"]);
    let me = agent.get("/v1/self").json()["id"].as_str().unwrap().to_owned();
    let lists = |message: &str| {
        let listed = carry_out(&agent, message, &["--format", "json"]).out;
        assert!(listed.contains(&me), "{listed}");
    };
    let (status, detail) = delete(&agent, "/v1/members/box");
    assert_eq!(status, 400);
    lists(&detail);
    let (status, detail) = delete(&agent, &format!("/v1/members/{NOBODY}"));
    assert_eq!(status, 404);
    lists(&detail);
    let (status, detail) = agent.post("/v1/bootstrap/override", "{}").problem();
    assert_eq!(status, 400);
    lists(&detail);
    let ended = run(["forget", "nobody", "--yes", &agent.at()]);
    assert_eq!(ended.code, 1);
    lists(&ended.error);
    let ended = run(["bootstrap", "adopt", "--voter", NOBODY, "--yes", &agent.at()]);
    assert_eq!(ended.code, 1);
    lists(&ended.error);
    let ended = run(["bootstrap", "override", "--founders", NOBODY, "--yes", &agent.at()]);
    assert_eq!(ended.code, 1);
    lists(&ended.error);
    assert_eq!(run(["bootstrap", "override", "--founders", &me, "--yes", &agent.at()]).code, 0);
}

#[test]
fn keys_are_those_that_the_named_commands_make_and_list() {
    let dir = Dir::new();
    let check = |flags: &[&str]| run([&["--check", "--state-dir", "/nonexistent"], flags].concat());
    let needs = check(&["--require-encryption"]);
    assert_eq!(needs.code, 64, "{needs:?}");
    let made = run(command(&needs.error));
    assert_eq!(made.code, 0);
    let private = |name: &str, text: &str| {
        let file = dir.file(name, text);
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        file
    };
    for (text, problem) in [("", "there is no key in it"), ("x\n", "line 1 is no key")] {
        let ended = check(&["--encrypt-key-file", &private("wrong", text)]);
        assert!(ended.code == 64 && ended.error.contains(problem), "{ended:?}");
        let again = private("right", &run(command(&ended.error)).out);
        assert_eq!(check(&["--encrypt-key-file", &again, "--require-encryption"]).code, 0);
    }
    let agent = Agent::start(&["--encrypt-key-file", &private("key", &made.out)]);
    let (status, detail) = agent.post("/v1/keys/install", "{}").problem();
    assert_eq!(status, 400);
    let key = run(command(&detail)).out;
    assert_eq!(agent.post("/v1/keys/install", &json!({"key": key.trim()}).to_string()).status(), 200);
    for body in ["{}", r#"{"id":"x"}"#] {
        let (status, detail) = agent.post("/v1/keys/use", body).problem();
        assert_eq!(status, 400);
        let listed = carry_out(&agent, &detail, &[]).out;
        let is_id = |word: &&str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = listed.split(|byte: char| !byte.is_ascii_alphanumeric());
        let id = words.map(str::trim).find(is_id).unwrap_or_else(|| panic!("no id in {listed}"));
        assert_eq!(agent.post("/v1/keys/use", &json!({"id": id}).to_string()).status(), 200);
    }
}

#[test]
fn clusters_and_agents_of_which_nothing_is_known_are_listed_by_the_named_command() {
    let agent = Agent::start(&["--join-only"]);
    let ended = run(["bootstrap", "complete", &agent.at()]);
    assert_eq!(ended.code, 1);
    assert!(carry_out(&agent, &ended.error, &[]).out.contains("join_only"), "it says why there is none");
    let ended = run(["bootstrap", "resolve", "--keep", "x", "--yes", &agent.at()]);
    assert_ne!(ended.code, 0);
    carry_out(&agent, &ended.error, &[]);
    for words in [["resolve", "--keep", NOBODY], ["vouch", "--gone", NOBODY]] {
        let ended = run([&["bootstrap"][..], &words, &["--yes", &agent.at()]].concat());
        assert_eq!(ended.code, 1);
        carry_out(&agent, &ended.error, &[]);
    }
}

#[test]
fn a_member_is_forgotten_by_the_commands_that_the_refusals_name() {
    let (addrs, seeds) = addrs(2);
    let flags = ["--join", &seeds, "--profile", "local", "--bootstrap-expect", "3"];
    let [a, mut b] = std::array::from_fn(|n| start(["a", "b"][n], &addrs[n], &flags));
    within(Duration::from_secs(10), || all_say([&a, &b], &[("a", "alive"), ("b", "alive")]));
    let own = run(["forget", "b", "--yes", &b.at()]);
    assert!(own.code == 1 && own.error.contains("is this agent"), "{own:?}");
    let refused = run(["forget", "b", "--yes", &a.at()]);
    assert_eq!(refused.code, 1);
    assert_eq!(command(&own.error), command(&refused.error));
    carry_out(&b, &refused.error, &[]);
    assert_eq!(b.wait_for_end(), 0);
    within(Duration::from_secs(10), || all_say([&a], &[("a", "alive"), ("b", "left")]));
    assert_eq!(run(["forget", "b", "--yes", &a.at()]).code, 0);
    b.restart();
    within(Duration::from_secs(10), || all_say([&a, &b], &[("a", "alive"), ("b", "alive")]));
    b.kill();
    within(Duration::from_secs(30), || all_say([&a], &[("a", "alive"), ("b", "failed")]));
    let forgotten = run(["forget", "b", "--yes", &a.at()]);
    assert!(forgotten.code == 0 && forgotten.error.contains("It may have given a vote"), "{forgotten:?}");
    carry_out(&a, forgotten.error.split("It may").last().unwrap(), &["--yes"]);
}

/// The server cannot be initialised without it, and a founding keeps the endpoints that it was agreed with.
#[test]
fn an_endpoint_that_was_forgotten_is_agreed_on_by_the_command_that_exec_names() {
    let dir = std::rc::Rc::new(Dir::new());
    let flags = ["--bind", "127.0.0.1:0", "--node-name", "box", "--bootstrap-expect", "1"];
    let agent = Agent::launch(dir.clone(), &flags);
    let met = |answer: &Value| answer["decision"] == "bootstrap";
    wait_until(&agent, LOOK, met);
    let data = dir.0.join("data").display().to_string();
    let exec = |agent: &Agent| {
        let at = agent.at();
        let args = ["exec", &at, "--template", "etcd", "--timeout", "30s", "--attest", &data, "--", "echo"];
        Ended::from(program().args(args).output().unwrap())
    };
    let failed = exec(&agent);
    assert_eq!(failed.code, 1);
    drop(agent);
    let agent = Agent::launch(dir.clone(), &[&flags[..], &["--endpoint", "etcd-peer=:2380"]].concat());
    wait_until(&agent, LOOK, |answer| !answer["cluster_id"].is_null());
    carry_out(&agent, failed.error.rsplit("once more with").next().unwrap(), &["--yes"]);
    let filled = exec(&agent);
    assert!(
        filled.code == 0 && filled.out.contains("--initial-cluster=box=http://127.0.0.1:2380"),
        "{filled:?}"
    );
}
