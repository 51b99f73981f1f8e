//! Hosts as they are: logs that cannot be written, stops that arrive twice, addresses that nobody reaches.

use std::{
    fs::{File, OpenOptions},
    io::{PipeReader, PipeWriter, Read as _, pipe},
    process::{Child, Stdio},
    time::Duration,
};

use crate::{
    awaiting::within,
    cluster::{addrs, all_say, loopback, start},
    running::{Agent, Dir, program},
};

const SECOND: Duration = Duration::from_secs(1);

/// An agent whose log goes there, and the pipe that tells when it has its API.
fn agent_with(log: Stdio, dir: &Dir, format: &str) -> Child {
    let (addr, socket) = (loopback().to_string(), dir.0.join("api"));
    let http = format!("unix:{}", socket.display());
    let state = dir.0.join("state").display().to_string();
    let flags = ["--bind", &addr, "--http", &http, "--state-dir", &state, "--log-format", format];
    let child = program().args(flags).args(["--log-level", "debug"]).stderr(log).spawn().unwrap();
    within(10 * SECOND, || socket.exists().then_some(()).ok_or_else(|| "no API yet".to_owned()));
    child
}

/// Asserts that an agent answers, and that it ends at a signal as if all were well.
fn assert_is_well(mut agent: Child, dir: &Dir) {
    let socket = dir.0.join("api").display().to_string();
    let answers = || crate::running::over_unix(&socket, "GET /v1/self HTTP/1.1\r\nHost: x\r\n").status();
    (0..20).for_each(|_| assert_eq!(answers(), 200));
    rustix::process::kill_process(rustix::process::Pid::from_child(&agent), rustix::process::Signal::TERM)
        .unwrap();
    let (status, _) = within(5 * SECOND, || agent.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_agent_goes_on_whose_log_cannot_be_written() {
    for format in ["text", "json"] {
        let full = || -> Stdio { OpenOptions::new().write(true).open("/dev/full").unwrap().into() };
        let gone = || -> Stdio {
            let (reader, writer): (PipeReader, PipeWriter) = pipe().unwrap();
            drop(reader);
            writer.into()
        };
        for log in [full(), gone(), File::open("/dev/null").unwrap().into()] {
            let dir = Dir::new();
            assert_is_well(agent_with(log, &dir, format), &dir);
        }
    }
}

/// A full pipe holds up whoever writes to it: a supervisor that hangs, or a terminal that somebody has stopped.
#[test]
fn an_agent_goes_on_whose_log_nobody_reads() {
    let (mut reader, writer) = pipe().unwrap();
    let dir = Dir::new();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let agent = agent_with(writer.into(), &dir, "text");
    assert_is_well(agent, &dir);
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert!(log.len() <= 4096, "the pipe was full");
}

#[test]
fn one_stop_that_arrives_as_two_signals_is_one_stop() {
    let (peer, mine) = (loopback().to_string(), loopback().to_string());
    let peer_agent = start("peer", &peer, &[]);
    let mut agent = start("n", &mine, &["--join", &peer]);
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        within(10 * SECOND, || all_say([&peer_agent], &[("peer", "alive"), ("n", "alive")]));
        agent.signal(first);
        agent.signal(second);
        assert_eq!(agent.wait_for_end(), 0, "{}", agent.log());
        within(2 * SECOND, || all_say([&peer_agent], &[("peer", "alive"), ("n", "left")]));
        agent.restart();
    }
}

/// It can speak, and nobody reaches it: behind a bridge without `--advertise`, or a firewall that lets one way through.
#[test]
fn a_member_that_cannot_be_reached_stays_as_it_is_and_is_told_of_once() {
    let (addrs, seeds) = addrs(3);
    let nowhere = format!("{}:7946", loopback());
    let mute = start("mute", &addrs[0], &["--join", &seeds, "--advertise", &nowhere]);
    let others =
        ["b", "c"].map(|name| start(name, &addrs[usize::from(name == "c") + 1], &["--join", &seeds]));
    let told = |agent: &Agent| {
        let lines = agent.log();
        lines.lines().filter(|line| line.contains("a member speaks") && line.contains(&nowhere)).count()
    };
    within(20 * SECOND, || {
        others.iter().all(|agent| told(agent) == 1).then_some(()).ok_or_else(|| others[0].log())
    });
    let sent = |agent: &Agent| agent.get("/v1/info").json()["counters"]["datagrams_out"].as_u64().unwrap();
    let suspicions = |agent: &Agent| agent.log().matches("name=mute ").count();
    let before = others.each_ref().map(|agent| (sent(agent), suspicions(agent)));
    // Dozens of probes later nothing has changed.
    for (agent, (sent_before, lines)) in others.iter().zip(before) {
        within(30 * SECOND, || match sent(agent) - sent_before {
            100.. => Ok(()),
            few => Err(format!("{few} datagrams")),
        });
        assert_eq!((suspicions(agent), told(agent)), (lines, 1), "{}", agent.log());
        let wanted = [("mute", "alive"), ("b", "alive"), ("c", "alive")];
        within(SECOND, || all_say([agent], &wanted));
    }
    drop(mute);
}
