//! Clients that want too much, send too slowly or never read: each is bounded, and neither the agent nor its other
//! clients notice. The costs are printed.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{
    awaiting::{now, within},
    memory::resident_kb,
    running::Agent,
};

/// Time for a request: head, body and answer have 10 s each, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Growth of memory that is allowed: 1,024 heads of 16 KiB, and twice as much for the allocator.
const MAY_GROW_KB: u64 = 48 * 1024;

fn agent() -> Agent {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    Agent::start(&[])
}

/// 99th percentile of the times of `requests` requests, each over a connection of its own.
pub(crate) fn p99(agent: &Agent, requests: usize) -> Duration {
    let mut took: Vec<Duration> = (0..requests)
        .map(|_| {
            let begin = now();
            assert_eq!(agent.get("/v1/members").status(), 200);
            begin.elapsed()
        })
        .collect();
    took.sort();
    took[requests * 99 / 100 - 1]
}

fn connect(agent: &Agent) -> TcpStream {
    let stream = TcpStream::connect(agent.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the agent closes the connection.
fn read_rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        // Bytes that the agent has not read turn the end into a reset.
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8_lossy(&text).into_owned(),
    }
}

/// Longest time of an answer beside slow clients: far above the measured times, far below the seconds that slow clients
/// are given.
const PROMPT: Duration = Duration::from_secs(1);

#[test]
fn a_head_is_bounded_in_bytes_and_headers() {
    let agent = agent();
    let ask = |more: String| {
        let mut stream = connect(&agent);
        write!(stream, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n").ok();
        read_rest(&mut stream).split(' ').nth(1).unwrap_or("closed").to_owned()
    };
    let headers = |count: usize| (0..count).map(|number| format!("x{number}: y\r\n")).collect::<String>();
    assert_eq!(ask(headers(60)), "200");
    assert_eq!(ask(headers(70)), "431");
    assert_eq!(ask(format!("x: {}\r\n", "y".repeat(12_000))), "200");
    assert_eq!(ask(format!("x: {}\r\n", "y".repeat(20_000))), "431");
    assert_eq!(agent.get(&format!("/livez?{}", "x".repeat(9_000))).status(), 200);
}

#[test]
fn a_thousand_long_polls_cost_little_and_wake_at_once() {
    let agent = agent();
    let (before, quiet) = (resident_kb(agent.pid()), p99(&agent, 200));
    let index = agent.get("/v1/bootstrap").header("x-chronik-index").to_owned();
    let head = format!(
        "GET /v1/bootstrap?index={index}&wait=10m HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    let mut polls: Vec<_> = (0..1000).map(|_| connect(&agent)).collect();
    for poll in &mut polls {
        poll.write_all(head.as_bytes()).unwrap();
    }
    let busy = p99(&agent, 200);
    let during = resident_kb(agent.pid());
    let begin = now();
    let put = agent.put("/v1/server", r#"{"server_id":"s1","has_state":false,"cluster_id":null}"#);
    assert_eq!(put.status(), 200, "{}", put.body);
    let answers: Vec<String> = polls.iter_mut().map(read_rest).collect();
    let woken = begin.elapsed();
    let count = |status: &str| {
        answers.iter().filter(|answer| answer.starts_with(&format!("HTTP/1.1 {status} "))).count()
    };
    assert_eq!((count("200"), count("503")), (512, 488));
    eprintln!(
        "1,000 long polls: RSS {before} -> {during} kB, p99 {quiet:?} -> {busy:?}, 512 woken and read in {woken:?}"
    );
    assert!(during < before + MAY_GROW_KB && busy < PROMPT);
}

#[test]
fn slow_clients_are_given_up_and_hold_nobody_up() {
    let agent = agent();
    let (before, quiet) = (resident_kb(agent.pid()), p99(&agent, 200));
    // Heads that never end and are as large as allowed; with the other slow clients they take all places but 64.
    let mut heads: Vec<_> = (0..900).map(|_| connect(&agent)).collect();
    for head in &mut heads {
        write!(head, "GET / HTTP/1.1\r\nx: {}", "y".repeat(15_000)).unwrap();
    }
    let mut bodies: Vec<_> = (0..40).map(|_| connect(&agent)).collect();
    let head = "POST /v1/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{";
    bodies.iter_mut().for_each(|body| body.write_all(head.as_bytes()).unwrap());
    let mut deaf: Vec<_> = (0..20).map(|_| connect(&agent)).collect();
    deaf.iter_mut().for_each(fill);
    let busy = p99(&agent, 200);
    let during = resident_kb(agent.pid());
    eprintln!("960 slow clients: RSS {before} -> {during} kB, p99 {quiet:?} -> {busy:?}");
    assert!(during < before + MAY_GROW_KB && busy < PROMPT);
    for body in &mut bodies {
        let answer = read_rest(body);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    heads.iter_mut().for_each(|head| assert!(!read_rest(head).starts_with("HTTP/1.1 2")));
    for stream in &mut deaf {
        within(PATIENCE, || match stream.write(b"x") {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Ok(()),
            _ => Err("a client that does not read still has its place".to_owned()),
        });
    }
}

/// Sends requests and never reads, until no more fit.
fn fill(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let request = "GET /ui HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let mut full = None;
    within(PATIENCE, || {
        loop {
            match stream.write(request.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
                Ok(_) => full = None,
            }
        }
        // Full at two looks means that the agent has stopped reading, because its answers are not read.
        let looked = full.get_or_insert_with(now);
        (looked.elapsed() > Duration::from_millis(30)).then_some(()).ok_or_else(|| "room".to_owned())
    });
}

#[test]
fn more_connections_than_there_are_places_wait_and_are_served_in_the_end() {
    let agent = agent();
    let before = resident_kb(agent.pid());
    let idle: Vec<_> = (0..1100).map(|_| connect(&agent)).collect();
    let during = resident_kb(agent.pid());
    let begin = now();
    // This request waits behind all of them in the queue, until the silent ones are given up.
    assert_eq!(agent.get("/livez").status(), 200);
    eprintln!(
        "1,100 idle connections: RSS {before} -> {during} kB, the next was served after {:?}",
        begin.elapsed()
    );
    assert!(during < before + MAY_GROW_KB);
    drop(idle);
}
