//! A hundred thousand datagrams a second at one of three agents: rubbish, torn ones, and real ones again. No member is
//! called failed, the API answers, and memory does not grow; with keys no datagram is answered either.
//!
//! `FLOOD_SECONDS=60 cargo nextest run --no-default-features --test all flood:: --no-capture` for figures.

use std::{
    fs::{self, Permissions},
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    awaiting::{now, within},
    cluster::all_say,
    environment,
    hostile::{assert_none_was_called_failed, datagram, gossip_addr, rss_mb, tapped_trio},
    running::{Agent, Dir, Ended, run},
};

/// Length of the flood in an ordinary test run.
const SECONDS: u64 = 4;
/// Datagrams a second, of all senders together.
const A_SECOND: u64 = 100_000;
const SENDERS: u64 = 2;
/// Most memory that may be resident; a quiet agent has 10 to 15 MB in a development build.
const RSS_MB: u64 = 96;
/// Longest time of an answer, while the senders, the agents and other tests share the processors.
const PROMPT: Duration = Duration::from_secs(1);

/// Sends one sender's share of the flood until `stop` is set; returns how many datagrams came back.
fn send_flood(to: SocketAddr, datagrams: Vec<Vec<u8>>, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let begin = now();
    let mut mine = 0_u64;
    for datagram in datagrams.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // An error means that the kernel dropped it, which is part of a flood.
        socket.send_to(datagram, to).ok();
        mine += 1;
        while mine.is_multiple_of(64)
            && begin.elapsed().as_secs_f64() * ((A_SECOND / SENDERS) as f64) < mine as f64
        {
            thread::yield_now();
        }
    }
    sent.fetch_add(mine, Ordering::Relaxed);
    socket.set_nonblocking(true).unwrap();
    let mut answer = [0; 2048];
    std::iter::from_fn(|| socket.recv_from(&mut answer).ok()).count() as u64
}

fn taken_in(agent: &Agent) -> u64 {
    agent.get("/v1/info").json()["counters"]["datagrams_in"].as_u64().unwrap()
}

#[test]
fn a_flood_at_one_of_three_is_no_failure() {
    flood(&[]);
}

#[test]
fn a_flood_at_one_of_three_that_have_a_key_is_not_answered() {
    let dir = Dir::new();
    let Ended { out: key, .. } = run(["keygen"]);
    let keys = dir.file("keys", &key);
    fs::set_permissions(&keys, Permissions::from_mode(0o600)).unwrap();
    let answered = flood(&["--encrypt-key-file", &keys]);
    assert_eq!(answered, 0, "answers to senders without the key");
}

/// Floods one of three agents with these flags; returns how many datagrams the senders got back.
fn flood(flags: &[&str]) -> u64 {
    let seconds = environment::number("FLOOD_SECONDS", SECONDS);
    let seed = 20_261_126;
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let ([a, b, c], packets) = tapped_trio(flags);
    let to = gossip_addr(&a);
    // All made in advance, because making one costs more than sending it; every fourth is a recorded one.
    let mut many = |_| match rng.random_range(0..4) {
        0 => packets[rng.random_range(0..packets.len())].clone(),
        _ => datagram(&mut rng, &packets),
    };
    let datagrams: Vec<_> = (0..20_000).map(&mut many).collect();
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (datagrams, stop, sent) = (datagrams.clone(), stop.clone(), sent.clone());
            thread::spawn(move || send_flood(to, datagrams, stop, sent))
        })
        .collect();
    let (before, begin) = (taken_in(&a), now());
    let mut took = Vec::new();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let asked = now();
        assert_eq!(a.get("/v1/members").status(), 200);
        took.push(asked.elapsed());
    }
    let after = taken_in(&a);
    let elapsed = begin.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let answered = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    eprintln!(
        "{:.0} datagrams sent and {:.0} taken in a second, for {seconds} s; {} answers of the API: median {:.2?}, p99 {:.2?}; \
         {} MB resident at the peak",
        sent.load(Ordering::Relaxed) as f64 / elapsed,
        (after - before) as f64 / elapsed,
        took.len(),
        at(0.5),
        at(0.99),
        rss_mb(&a)
    );
    assert!(after - before > 10_000 * seconds, "no flood: {}", after - before);
    assert!(at(0.99) < PROMPT, "{:?}", at(0.99));
    assert!(rss_mb(&a) < RSS_MB, "{} MB", rss_mb(&a));
    within(Duration::from_secs(5), || {
        all_say([&a, &b, &c], &[("a", "alive"), ("b", "alive"), ("c", "alive")])
    });
    assert_none_was_called_failed(&[&a, &b, &c]);
    answered
}
