//! The worst of every kind: each attack goes on until its time is over, and answers nothing that it is asked.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use chronik_agent::wire::{self, Kind};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

use super::frames::{self, Stranger, framed};
use crate::{
    awaiting::{now, within},
    cluster::loopback,
    running::Agent,
};

/// Datagrams a second.
const A_SECOND: u64 = 20_000;
/// Made-up nodes; each signature costs an attacker as much as its victim.
const STRANGERS: usize = 400;

/// The agent under attack, and the time until which it is.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) gossip: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) id: [u8; 16],
    pub(crate) epoch: u64,
    pub(crate) until: Instant,
}

impl Target {
    pub(crate) fn of(agent: &Agent, until: Instant) -> Self {
        let myself = agent.get("/v1/self").json();
        let id: uuid::Uuid = myself["id"].as_str().unwrap().parse().unwrap();
        let gossip = myself["bound"].as_str().unwrap().parse().unwrap();
        let epoch = myself["epoch"].as_u64().unwrap();
        Self { gossip, http: agent.http, id: *id.as_bytes(), epoch, until }
    }

    fn is_over(&self) -> bool {
        now() >= self.until
    }

    fn life(&self) -> Vec<u8> {
        [&self.id[..], &(self.epoch << 16).to_be_bytes()].concat()
    }

    /// Sends a frame from an address, and reads the answer for a second at most.
    fn send(&self, from: Ipv4Addr, frame: &[u8]) -> usize {
        let Some(mut stream) = connect_from(from, self.gossip) else { return 0 };
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        // The agent may have had enough before the end.
        stream.write_all(frame).ok();
        let mut answer = vec![0; 1 << 20];
        stream.read(&mut answer).unwrap_or(0)
    }
}

/// Opens a stream from this address of loopback.
fn connect_from(host: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((host, 0).into()).unwrap();
        let connected = tokio::time::timeout(Duration::from_secs(1), socket.connect(to)).await;
        let stream = connected.ok()?.ok()?.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        Some(stream)
    })
}

fn made_up(rng: &mut StdRng, count: usize, mut addr: impl FnMut(usize) -> SocketAddr) -> Vec<Stranger> {
    (0..count).map(|number| Stranger::new(rng, addr(number))).collect()
}

fn metadata(number: usize) -> Vec<u8> {
    frames::metadata(&format!("made-up-{number}"), "10.0.0.1:1", &[])
}

/// Datagrams: rubbish, torn ones, and all messages of the engine by nodes that are made up, at a third party's address.
pub(crate) fn datagrams(target: Target, third: SocketAddr, sent: &AtomicU64) {
    let mut rng = StdRng::seed_from_u64(1);
    let host = loopback();
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let strangers = made_up(&mut rng, STRANGERS, |_| third);
    let dst = target.life();
    let mut kinds: Vec<Vec<u8>> = Vec::new();
    for (number, stranger) in strangers.iter().enumerate() {
        let (src, rumour) = (stranger.peer(), stranger.rumour(1, &metadata(number)));
        let other = strangers[(number + 1) % STRANGERS].peer();
        kinds.push(frames::swim(&src, &dst, 1, &[7], &[], &[rumour]));
        for (tag, rest) in [(1, vec![8]), (7, vec![]), (9, vec![]), (11, vec![])] {
            kinds.push(frames::swim(&src, &dst, tag, &rest, &[], &[]));
        }
        for tag in 3..=6 {
            kinds.push(frames::swim(&src, &dst, tag, &[&[9], &other[..]].concat(), &[], &[]));
        }
        let accused = frames::member(&frames::peer(&dst, target.gossip), 3, 2);
        kinds.push(frames::swim(&src, &dst, 9, &[], &[accused], &[]));
    }
    let whole = kinds.len();
    for at in 0..whole {
        let mut torn = kinds[at].clone();
        torn.truncate(rng.random_range(0..torn.len()));
        kinds.push(torn);
    }
    for _ in 0..whole {
        let mut rubbish = vec![0; rng.random_range(0..1_400)];
        rng.fill_bytes(&mut rubbish);
        kinds.push(wire::seal(&frames::CLUSTER.parse().unwrap(), Kind::Swim, &rubbish).to_vec());
    }
    let begin = now();
    for (number, datagram) in (0_u64..).zip(kinds.iter().cycle()) {
        if number.is_multiple_of(64) {
            while begin.elapsed().as_secs_f64() * (A_SECOND as f64) < number as f64 {
                thread::yield_now();
            }
            if target.is_over() {
                return;
            }
        }
        if socket.send_to(datagram, target.gossip).is_ok() {
            sent.fetch_add(datagram.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Frames by the grammar, as long as they may be: lives that nobody has proven, forged and right goodbyes, accounts, wishes without
/// end, and lists that are empty many times.
pub(crate) fn frames(target: Target) {
    let mut rng = StdRng::seed_from_u64(2);
    let hosts = [loopback(), loopback(), loopback()];
    let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
    let strangers = made_up(&mut rng, STRANGERS, |number| {
        ([127, 200, u8::try_from(number / 250).unwrap(), u8::try_from(1 + number % 250).unwrap()], 7).into()
    });
    let sender = Stranger::new(&mut rng, nowhere);
    let me = sender.peer();
    let own = sender.record(1, &metadata(0));
    let ids = |rng: &mut StdRng, count: usize| -> Vec<u8> {
        let life = |rng: &mut StdRng| [&rng.random::<[u8; 16]>()[..], &(5_u64 << 16).to_be_bytes()].concat();
        (0..count).flat_map(|_| frames::member(&frames::peer(&life(rng), nowhere), 0, 0)).collect()
    };
    let records: Vec<_> = strangers
        .iter()
        .enumerate()
        .map(|(number, stranger)| stranger.record(1, &metadata(number)))
        .collect();
    let members: Vec<u8> =
        strangers.iter().flat_map(|stranger| frames::member(&stranger.peer(), 0, 0)).collect();
    let goodbyes =
        |is_right: bool| -> Vec<u8> { strangers.iter().flat_map(|one| one.goodbye(is_right)).collect() };
    let (right, forged) = (goodbyes(true), goodbyes(false).repeat(100));
    let state = |members: &[u8], left: &[u8], records: &[Vec<u8>]| {
        frames::state(&me, members, left, &[std::slice::from_ref(&own), records].concat())
    };
    let later: Vec<_> = strangers.iter().map(|stranger| stranger.record(2, &metadata(9))).collect();
    let mine = frames::member(&frames::peer(&[&target.id[..], &[0; 8]].concat(), nowhere), 0, 0);
    let wishes = frames::bytes(&vec![7; 7 << 20]);
    let payloads = [
        frames::variant(0, &[state(&ids(&mut rng, 20_000), &[], &[])]),
        frames::variant(0, &[state(&ids(&mut rng, 200_000), &[], &[])]),
        frames::variant(0, &[state(&members, &right, &records)]),
        frames::variant(0, &[state(&members, &forged, &later)]),
        frames::variant(0, &[state(&mine.repeat(1_000), &[], &[])]),
        frames::variant(1, &[frames::number(0, 7)]),
        frames::variant(4, &[state(&[], &[], &[]), wishes]),
        frames::variant(3, &[frames::bytes(&vec![0; 7 << 20])]),
        frames::variant(2, &[frames::bytes(&[0; 96]), frames::bytes(&vec![0x80; 7 << 20])]),
        [frames::number(4, 2), frames::number(0, 0), frames::number(4, 7 << 20), vec![0x80; 7 << 20]]
            .concat(),
        vec![0x9f; 1 << 20],
        vec![0; 64],
    ];
    let all: Vec<Vec<u8>> = payloads.iter().map(|payload| framed(&frames::request(payload))).collect();
    for (number, frame) in all.iter().cycle().enumerate() {
        if target.is_over() {
            return;
        }
        target.send(hosts[number % hosts.len()], frame);
    }
}

/// Streams that announce the longest frame and stay, at their beginning or almost at their end.
pub(crate) fn half_open(target: Target) {
    let hosts: Vec<_> = (0..6).map(|_| loopback()).collect();
    let piece = vec![0xc7; 64 << 10];
    while !target.is_over() {
        let mut streams = Vec::new();
        for (number, host) in hosts.iter().cycle().take(120).enumerate() {
            let Some(mut stream) = connect_from(*host, target.gossip) else { continue };
            stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            // The agent may close at any moment.
            stream.write_all(&(8_u32 << 20).to_be_bytes()).ok();
            let pieces = if number % 3 == 0 { 100 } else { 0 };
            (0..pieces).try_for_each(|_| stream.write_all(&piece)).ok();
            streams.push(stream);
            if target.is_over() {
                return;
            }
        }
    }
}

/// Somebody at the other end of a dial who answers with all that is allowed, slowly, or with a list of nothings.
pub(crate) fn answers(target: Target) {
    let listeners: Vec<_> = (0..12).map(|_| TcpListener::bind((loopback(), 7946)).unwrap()).collect();
    let addrs: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let nothings = frames::reply(
        &[
            frames::number(4, 2),
            frames::number(0, 4),
            frames::number(4, 1),
            frames::number(4, 7 << 20),
            vec![0x40; 7 << 20],
        ]
        .concat(),
    );
    let nothings = Arc::new(framed(&nothings));
    for (number, listener) in listeners.into_iter().enumerate() {
        let nothings = nothings.clone();
        // They end with the process: a dial may come at any time.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
                let end = if number % 2 == 0 { nothings.len() } else { nothings.len() - 1 };
                stream.write_all(&nothings[..end]).ok();
            }
        });
    }
    while !target.is_over() {
        post(target.http, "/v1/join", &format!("{{\"addrs\":[\"{}\"]}}", addrs.join("\",\"")));
    }
}

/// Requests to the API as its contract allows them: addresses to join at which nobody is, many times.
pub(crate) fn joins(target: Target) {
    let mut next = 0_u32;
    while !target.is_over() {
        let addrs: Vec<_> = (0..64)
            .map(|_| {
                next += 1;
                let [_, b, c, d] = next.to_be_bytes();
                // TEST-NET-1 and what follows it: nothing of it is routed where this runs.
                format!("198.{}.{c}.{d}:7946", 18 + b % 2)
            })
            .collect();
        post(target.http, "/v1/join", &format!("{{\"addrs\":[\"{}\"]}}", addrs.join("\",\"")));
    }
}

/// Clients that ask for the longest answers and read none, and clients that never finish asking.
pub(crate) fn slow_readers(target: Target) {
    while !target.is_over() {
        let mut clients = Vec::new();
        for number in 0..200 {
            let Ok(mut client) = TcpStream::connect(target.http) else { continue };
            let paths =
                ["/v1/members", "/v1/members?role=server", "/v1/events", "/v1/bootstrap", "/openapi.json"];
            let head = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n", paths[number % paths.len()]);
            let end = if number % 4 == 0 { "" } else { "\r\n" };
            client.write_all(format!("{head}{end}").as_bytes()).ok();
            clients.push(client);
        }
        let begin = now();
        within(Duration::from_secs(60), || {
            let is_over = target.is_over() || begin.elapsed() > Duration::from_secs(2);
            is_over.then_some(()).ok_or_else(|| "they stay".to_owned())
        });
    }
}

/// Sends a request and does not wait for its answer.
fn post(http: SocketAddr, path: &str, body: &str) {
    let Ok(mut stream) = TcpStream::connect(http) else { return };
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    if stream.write_all(format!("{head}{body}").as_bytes()).is_ok() {
        // A moment for it to arrive; the answer is of no interest.
        stream.peek(&mut [0; 64]).ok();
    }
}
