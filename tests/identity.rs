//! The state directory: it has one agent and is kept over restarts; an agent reports one that is locked, copied, damaged or
//! not to be written to.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use jiff::Timestamp;

use crate::{
    awaiting::within,
    cluster::{addrs, all_say, loopback, start, statuses, trio},
    founding_api::{Place, places, seeds},
    remedies::another,
    running::{Agent, Dir, Ended, program},
};

/// Runs an agent that cannot start, to its end.
fn run_refused(flags: &[&str]) -> Ended {
    let bind = loopback().to_string();
    program().args(["--bind", &bind, "--http", "127.0.0.1:0"]).args(flags).output().unwrap().into()
}

fn state(agent: &Agent) -> String {
    agent.dir.0.join("state").display().to_string()
}

#[test]
fn a_state_directory_has_one_agent() {
    let agent = start("a", &loopback().to_string(), &[]);
    let Ended { code, error: log, .. } = run_refused(&["--state-dir", &state(&agent)]);
    let expected = format!(
        "--state-dir {} is in use by another agent (process {}); stop that one, or give this one a directory of its own",
        state(&agent),
        agent.pid()
    );
    assert_eq!(code, 1);
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn a_port_in_use_is_named_with_its_remedy() {
    let bind = loopback().to_string();
    let _agent = start("a", &bind, &[]);
    let dir = Dir::new();
    let state = dir.0.join("other");
    let output = program()
        .args(["--bind", &bind, "--http", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .output()
        .unwrap();
    let Ended { code, error: log, .. } = output.into();
    assert_eq!(code, 1);
    let expected = format!("--bind {bind}:7946: cannot listen on TCP: ");
    assert!(log.contains(&expected) && log.contains("choose another --bind"), "{log}");
    // A port that is in use by UDP alone is named, too.
    let udp = std::net::UdpSocket::bind((loopback(), 7946)).unwrap();
    let addr = udp.local_addr().unwrap();
    let output = program()
        .args(["--bind", &addr.to_string(), "--http", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .output()
        .unwrap();
    let Ended { code, error: log, .. } = output.into();
    assert_eq!(code, 1);
    assert!(log.contains(&format!("--bind {addr}: cannot listen on UDP: ")), "{log}");
}

#[test]
fn a_directory_that_may_not_be_written_to_is_named() {
    let dir = Dir::new();
    let closed = dir.0.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o755)).unwrap();
    let binary = program().get_program().to_owned();
    let state = closed.join("state").display().to_string();
    let args = ["--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state-dir", &state];
    // Root may write anywhere, and so becomes the user nobody, which may not enter root's directories and runs a copy.
    let mut command = if rustix::process::geteuid().is_root() {
        let copy = dir.0.join("program");
        fs::copy(&binary, &copy).unwrap();
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(copy);
        command
    } else {
        std::process::Command::new(binary)
    };
    let Ended { code, error: log, .. } = command.args(args).output().unwrap().into();
    assert_eq!(code, 1, "{log}");
    let expected = format!("--state-dir {state}: cannot make the directory: Permission denied");
    assert!(
        log.contains(&expected) && log.contains("give the agent's user a directory it may write to"),
        "{log}"
    );
}

#[test]
fn a_damaged_identity_is_reported_left_alone_and_votes_nothing() {
    let mut agent = start("a", &loopback().to_string(), &[]);
    agent.kill();
    let file = agent.dir.0.join("state/node.json");
    let whole = fs::read(&file).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"", b"{}"] {
        fs::write(&file, damaged).unwrap();
        agent.restart();
        assert_eq!(agent.get("/livez").status(), 200, "it gossips on");
        let log = agent.log();
        for said in [
            &format!("{} does not read (", file.display()),
            "this agent votes nothing",
            "to start as a new node",
        ] {
            assert!(log.contains(said), "{said:?} is not in\n{log}");
        }
        agent.kill();
        assert_eq!(fs::read(&file).unwrap(), damaged, "nothing is mended in silence");
    }
    fs::write(&file, whole).unwrap();
    agent.restart();
}

#[test]
fn a_damaged_list_of_peers_is_no_obstacle() {
    let mut agent = start("a", &loopback().to_string(), &[]);
    agent.kill();
    fs::write(agent.dir.0.join("state/peers.json"), "garbage").unwrap();
    agent.restart();
    assert!(agent.log().contains("the members of the last run are unknown"), "{}", agent.log());
}

#[test]
fn a_node_without_seeds_comes_back_by_its_memory() {
    let (addrs, seeds) = addrs(2);
    let a = start("a", &addrs[0], &["--join", &seeds]);
    let mut b = start("b", &addrs[1], &[]);
    let both = [("a", "alive"), ("b", "alive")];
    within(Duration::from_secs(5), || all_say([&a, &b], &both));
    let peers = b.dir.0.join("state/peers.json");
    within(Duration::from_secs(15), || {
        peers.exists().then_some(()).ok_or_else(|| "no peers.json".to_owned())
    });
    b.signal("TERM");
    assert_eq!(b.wait_for_end(), 0);
    b.restart();
    within(Duration::from_secs(1), || all_say([&a, &b], &both));
}

#[test]
fn a_copied_state_directory_is_reported_by_both_and_the_copy_stops() {
    let [a, b, c] = trio(&[]);
    let told = |agent: &Agent| {
        let answer = agent.get("/v1/bootstrap?look=true").json();
        if answer["decision"] == "bootstrap" { Ok(()) } else { Err(answer.to_string()) }
    };
    within(Duration::from_secs(10), || told(&b));
    let copy = Dir::new();
    fs::create_dir(copy.0.join("state")).unwrap();
    fs::copy(b.dir.0.join("state/node.json"), copy.0.join("state/node.json")).unwrap();
    let (bind, seed) =
        (loopback().to_string(), a.get("/v1/self").json()["addr"].as_str().unwrap().to_owned());
    let original = b.get("/v1/self").json()["addr"].as_str().unwrap().to_owned();
    let seeds = format!("{seed},{original}");
    let twin = Agent::launch(copy, &["--node-name", "twin", "--bind", &bind, "--join", &seeds]);
    let conflict = |agent: &Agent, other: &str| {
        let quorum = agent.get("/v1/quorum").json();
        let reason = format!(
            "the agent at {other} has this node's id: one state directory was copied; stop one of the two and delete its copy"
        );
        let so = quorum["status"] == "conflict" && quorum["reasons"][0] == reason;
        so.then_some(()).ok_or_else(|| quorum.to_string())
    };
    let bound = Duration::from_secs(10);
    within(bound, || conflict(&twin, &original));
    within(bound, || conflict(&b, &format!("{bind}:7946")));
    for agent in [&b, &twin] {
        assert!(
            agent.log().contains("has this node's id: one state directory was copied"),
            "{}",
            agent.log()
        );
    }
    // The members that the cluster knew stay, at their addresses.
    let all = [("a", "alive"), ("b", "alive"), ("c", "alive")];
    within(bound, || all_say([&a, &b, &c], &all));
    let at = |agent: &Agent| {
        let members = agent.get("/v1/members").json();
        let listed = members["members"].as_array().unwrap();
        listed.iter().find(|member| member["name"] == "b").map(|member| member["addr"].clone())
    };
    // The copy may have been heard of first: the original begins a later life once the copy has stopped.
    let is_there = |agent: &Agent| {
        let found = at(agent);
        if found == Some(original.clone().into()) { Ok(()) } else { Err(format!("b is at {found:?}")) }
    };
    within(bound, || is_there(&a));
    within(bound, || is_there(&c));
}

/// An image of a host, and a volume that was copied: nobody misses the id of an agent that has voted for nothing.
#[test]
fn copies_of_a_directory_that_holds_no_vote_become_nodes_of_their_own() {
    let places = places(4);
    let seeds = seeds(&places);
    let flags = ["--join", &seeds, "--join-only"];
    let id = |agent: &Agent| agent.get("/v1/self").json()["id"].as_str().unwrap().to_owned();
    let mut image = places[0].start(&flags);
    let before = id(&image);
    image.kill();
    let copied = |place: &Place, files: &[&str]| {
        let state = place.dir.0.join("state");
        fs::create_dir(&state).unwrap();
        for file in files {
            fs::copy(image.dir.0.join("state").join(file), state.join(file)).unwrap();
        }
        place.start(&flags)
    };
    // With the note of where the directory was, each is told at its start; without it, the two find each other.
    let noted = copied(&places[1], &["node.json", "home.json"]);
    assert_ne!(id(&noted), before);
    let pair = [copied(&places[2], &["node.json"]), copied(&places[3], &["node.json"])];
    within(Duration::from_secs(10), || pair.iter().try_for_each(|agent| another(agent, &before)));
    let all = ["node-2", "node-3", "node-4"];
    let alive = |agent: &Agent| {
        let listed = statuses(agent);
        let is_alive = |name: &&str| listed.get(*name).is_some_and(|status| status == "alive");
        if all.iter().all(is_alive) { Ok(()) } else { Err(format!("{listed:?}")) }
    };
    let [one, other] = &pair;
    within(Duration::from_secs(10), || [&noted, one, other].into_iter().try_for_each(alive));
    let ids: BTreeSet<String> = [&noted, one, other].into_iter().map(id).collect();
    assert_eq!(ids.len(), 3);
}

/// An operator who has changed what a provider lists need not wait for its next turn.
#[test]
fn providers_are_asked_again_on_sighup() {
    let [a, ..] = trio(&[]);
    let asked =
        |field: &str| a.get("/v1/discovery").json()["providers"][0][field].as_str().unwrap().to_owned();
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    // A settled agent asks a static list every 15 s at the soonest.
    let settled = || {
        let (answered, next) = (asked("answered"), asked("next"));
        let wait = time(&next).duration_since(time(&answered));
        if wait.as_secs() >= 10 { Ok(answered) } else { Err(format!("asks again in {wait:?}")) }
    };
    let (before, _) = within(Duration::from_secs(30), settled);
    a.signal("HUP");
    let again = || if asked("answered") == before { Err("it waits".to_owned()) } else { Ok(()) };
    within(Duration::from_secs(3), again);
}
