//! Packets of strangers and of damaged networks at a running cluster: no member is called failed, no agent ends, and memory
//! does not grow.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use chronik_agent::wire;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, ever_said, loopback, start, trio},
    memory,
    running::Agent,
};

const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];
const DATAGRAMS: u32 = 100_000;
/// Most memory that may be resident; a quiet agent has 10 to 15 MB in a development build.
const RSS_MB: u64 = 96;

pub(crate) fn rss_mb(agent: &Agent) -> u64 {
    memory::peak_kb(agent.pid()) / 1024
}

fn refused(agent: &Agent) -> u64 {
    agent.get("/v1/info").json()["counters"]["refused"].as_u64().unwrap()
}

pub(crate) fn gossip_addr(agent: &Agent) -> SocketAddr {
    agent.get("/v1/self").json()["bound"].as_str().unwrap().parse().unwrap()
}

/// Asserts that no agent ever called a member failed. A suspicion may come and be refuted, on a busy machine.
pub(crate) fn assert_none_was_called_failed(agents: &[&Agent]) {
    for agent in agents {
        for name in ["a", "b", "c"] {
            assert!(!ever_said(agent, name, "failed"), "{}", agent.log());
        }
    }
    within(Duration::from_secs(5), || all_say(agents.iter().copied(), &ALL));
}

/// Forwards streams for ever, both ways: a member that checks if a process listens at the tap's address is to find the
/// agent behind it.
fn forward_streams(tap: TcpListener, to: SocketAddr) {
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            // If one end closes, both are closed.
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        })
    };
    for near in tap.incoming().flatten() {
        if let Ok(far) = TcpStream::connect(to) {
            pass(near.try_clone().unwrap(), far.try_clone().unwrap());
            pass(far, near);
        }
    }
}

/// A trio whose first member advertises the address of a tap, which forwards everything; returns the datagrams so far.
pub(crate) fn tapped_trio(more: &[&str]) -> ([Agent; 3], Vec<Vec<u8>>) {
    let (addrs, seeds) = addrs(3);
    let tap = UdpSocket::bind((loopback(), 7946)).unwrap();
    let streams = TcpListener::bind(tap.local_addr().unwrap()).unwrap();
    let tap_addr = tap.local_addr().unwrap().to_string();
    let flags = [&["--join", &seeds, "--bootstrap-expect", "3"], more].concat();
    let a = start("a", &addrs[0], &[&flags[..], &["--advertise", &tap_addr]].concat());
    let (b, c) = (start("b", &addrs[1], &flags), start("c", &addrs[2], &flags));
    let to = gossip_addr(&a);
    // The forwarding of streams and of datagrams ends with the test's process.
    std::thread::spawn(move || forward_streams(streams, to));
    tap.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut packets = Vec::new();
    let mut buffer = [0; 2048];
    while packets.len() < 60 || all_say([&a, &b, &c], &ALL).is_err() {
        let (length, _) = tap.recv_from(&mut buffer).unwrap();
        tap.send_to(&buffer[..length], to).unwrap();
        packets.push(buffer[..length].to_vec());
    }
    std::thread::spawn(move || {
        while let Ok((length, _)) = tap.recv_from(&mut buffer) {
            tap.send_to(&buffer[..length], to).ok();
        }
    });
    ([a, b, c], packets)
}

/// A random datagram of the kinds that a hostile or broken network may bring.
pub(crate) fn datagram(rng: &mut StdRng, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut real = packets[rng.random_range(0..packets.len())].clone();
    match rng.random_range(0..5) {
        0 => {
            let mut random = vec![0; rng.random_range(0..1500)];
            rng.fill_bytes(&mut random);
            return random;
        }
        // A good envelope around rubbish.
        1 => {
            rng.fill_bytes(&mut real);
            let ours = "chronik".parse().unwrap();
            return wire::seal(&ours, wire::Kind::Swim, &real).to_vec();
        }
        2 => real.truncate(rng.random_range(0..real.len())),
        3 => {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..real.len());
                real[at] ^= 1 << rng.random_range(0..8);
            }
        }
        // The cluster's name begins at the fifth byte, and has a checksum behind it.
        _ => {
            let other = "chronic".parse().unwrap();
            return wire::seal(&other, wire::Kind::Swim, &real[4 + 7 + 4..]).to_vec();
        }
    }
    real
}

#[test]
fn a_hundred_thousand_datagrams_change_nothing() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let ([a, b, c], packets) = tapped_trio(&[]);
    let before = refused(&a);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let targets = [&a, &b, &c].map(gossip_addr);
    let begin = now();
    for n in 0..DATAGRAMS {
        socket.send_to(&datagram(&mut rng, &packets), targets[n as usize % 3]).unwrap();
        // Faster than the agents read, the kernel would drop most: an answer every now and then keeps pace.
        if n % 300 == 0 {
            assert_eq!(a.get("/livez").status(), 200);
        }
    }
    println!("{DATAGRAMS} datagrams sent in {:?}", begin.elapsed());
    within(Duration::from_secs(5), || all_say([&a, &b, &c], &ALL));
    // The counters are published once a second.
    let refused = within(Duration::from_secs(5), || {
        let refused = refused(&a) - before;
        (refused > u64::from(DATAGRAMS) / 6).then_some(refused).ok_or_else(|| format!("{refused} refused"))
    });
    println!("refused by the first: {refused:?} of {}", DATAGRAMS / 3);
    for agent in [&a, &b, &c] {
        println!("peak of resident memory: {} MB", rss_mb(agent));
        assert!(rss_mb(agent) < RSS_MB);
    }
    assert_none_was_called_failed(&[&a, &b, &c]);
}

#[test]
fn the_api_is_served_while_datagrams_pour_in() {
    let [a, b, c] = trio(&[]);
    let to = gossip_addr(&a);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    // The costliest kind of rubbish: all of it is read before it is refused.
    let rubbish = wire::seal(&"chronik".parse().unwrap(), wire::Kind::Swim, &[0xC7; 1100]);
    let flood = |_| {
        let (stop, rubbish) = (stop.clone(), rubbish.clone());
        std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // An error means that the kernel dropped it; the next follows at once.
                socket.send_to(&rubbish, to).ok();
            }
        })
    };
    let floods: Vec<_> = (0..2).map(flood).collect();
    let taken_in = || a.get("/v1/info").json()["counters"]["datagrams_in"].as_u64().unwrap();
    let pouring = || Some(taken_in()).filter(|count| *count > 10_000).ok_or_else(|| "no flood".to_owned());
    let (before, _) = within(Duration::from_secs(10), pouring);
    for _ in 0..5 {
        let begin = now();
        let answer = a.post("/v1/join", "{\"addrs\":[\"127.0.0.1:1\"]}");
        assert_eq!(answer.status(), 200);
        println!("a join was answered in {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
    // The counters are published once a second.
    let more = || Some(taken_in()).filter(|count| *count > before).ok_or_else(|| "no flood".to_owned());
    let (after, _) = within(Duration::from_secs(5), more);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    println!("{} datagrams meanwhile", after - before);
    assert_none_was_called_failed(&[&a, &b, &c]);
}

/// Opens a stream from this address of loopback.
fn connect_from(host: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((host, 0).into()).unwrap();
        let stream = socket.connect(to).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    })
}

/// True if the other side has closed; false if it is silent.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 64];
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    match stream.read(&mut answer) {
        Ok(0) => true,
        Ok(_) => panic!("an answer to a stranger: {answer:?}"),
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn streams_of_strangers_are_closed_and_cost_nothing() {
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let [a, mut b, c] = trio(&["--log-level", "info,chronik_agent=debug"]);
    let to = gossip_addr(&a);
    let before = refused(&a);
    let mut random = vec![0; 4096];
    rng.fill_bytes(&mut random);
    let mut short = 100_u32.to_be_bytes().to_vec();
    short.extend(&random[..100]);
    let sayings: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &u32::MAX.to_be_bytes(),
        &(9_u32 << 20).to_be_bytes(),
        &random,
        &short,
        &[0, 0, 0, 0],
    ];
    for saying in sayings {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(saying).unwrap();
        let end = || is_closed(&mut stream).then_some(()).ok_or_else(|| format!("open after {saying:?}"));
        within(Duration::from_secs(2), end);
    }
    // The counters are published once a second.
    let counted = || match refused(&a) - before {
        count if count == sayings.len() as u64 => Ok(()),
        count => Err(format!("{count} of {} refused", sayings.len())),
    };
    within(Duration::from_secs(3), counted);
    // Slow streams: they announce the longest frame, send a little, and stay. Without a bound one host would fill all
    // places.
    let slow = |host, count: usize| -> Vec<_> {
        (0..count)
            .map(|_| {
                let mut stream = connect_from(host, to);
                stream.write_all(&(8_u32 << 20).to_be_bytes()).unwrap();
                // A stream over the bound may be closed already.
                stream.write_all(&[0xC7, 1]).ok();
                stream
            })
            .collect()
    };
    let (one, other) = (loopback(), loopback());
    let mut greedy = slow(one, 300);
    let mut end = || greedy.iter_mut().filter_map(|stream| is_closed(stream).then_some(())).count();
    within(Duration::from_secs(5), || match end() {
        236 => Ok(()),
        count => Err(format!("{count} of 300 streams of one host are closed")),
    });
    let slow: Vec<_> = greedy.into_iter().chain(slow(other, 64)).collect();
    // Meanwhile a crash is noticed, and so is a return, which needs a stream.
    b.kill();
    let gone = [("a", "alive"), ("b", "failed"), ("c", "alive")];
    within(Duration::from_secs(3), || all_say([&a, &c], &gone));
    b.restart();
    within(Duration::from_secs(3), || all_say([&a, &b, &c], &ALL));
    println!("peak of resident memory after {} slow streams: {} MB", slow.len(), rss_mb(&a));
    assert!(rss_mb(&a) < RSS_MB);
    for mut stream in slow {
        let end = || is_closed(&mut stream).then_some(()).ok_or_else(|| "a slow stream is open".to_owned());
        within(Duration::from_secs(15), end);
    }
}

#[test]
fn frames_as_long_as_allowed_do_not_fill_the_memory() {
    let [a, b, c] = trio(&[]);
    let to = gossip_addr(&a);
    let senders: Vec<_> = (0..24)
        .map(|_| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(to).unwrap();
                stream.write_all(&(8_u32 << 20).to_be_bytes()).unwrap();
                let piece = vec![0xC7; 1 << 20];
                // The last byte is never sent; the agent may close before.
                (0..7).try_for_each(|_| stream.write_all(&piece)).ok();
                stream
            })
        })
        .collect();
    let streams: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    println!("peak of resident memory with {} long frames: {} MB", streams.len(), rss_mb(&a));
    assert!(rss_mb(&a) < RSS_MB, "{} MB", rss_mb(&a));
    assert_none_was_called_failed(&[&a, &b, &c]);
}
