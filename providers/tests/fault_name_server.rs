//! A name server that misbehaves in the way that the first label of a name says. Loopback, UDP and TCP.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::daemon::free_port;

/// Types of records (RFC 1035, RFC 3596, RFC 2782).
const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// Length of the header in front of the question (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// Flags of an answer with authority and recursion; the last four bits are the response code.
const NO_ERROR: u16 = 0x8580;

/// The flag of an answer that was cut to fit into a datagram.
const TRUNCATED: u16 = 0x0200;

/// The server's reaction to a query.
enum Answer {
    Nothing,
    Bytes(Vec<u8>),
}

/// The way that a query came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// A name and a type of records, as they were asked for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    name: String,
    kind: u16,
}

/// A running server, which lives as long as the test.
pub(crate) struct FaultNameServer {
    /// The port, the same for UDP and TCP.
    pub(crate) port: u16,
    mended: Arc<AtomicBool>,
}

impl FaultNameServer {
    /// Starts a server that misbehaves.
    pub(crate) fn start() -> Self {
        let mended = Arc::new(AtomicBool::new(false));
        let port = free_port();
        let udp = UdpSocket::bind(("127.0.0.1", port)).unwrap();
        let tcp = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let is_mended = Arc::clone(&mended);
        thread::spawn(move || serve_udp(&udp, &is_mended));
        thread::spawn(move || serve_tcp(&tcp));
        Self { port, mended }
    }

    /// The spec that asks this server for `LABELS.bad.test`.
    pub(crate) fn spec(&self, labels: &str) -> String {
        format!("provider=dns resolver=127.0.0.1:{} name={labels}.bad.test", self.port)
    }

    /// Makes it a good server over UDP, for which every name has an address.
    pub(crate) fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }
}

fn serve_udp(udp: &UdpSocket, mended: &AtomicBool) {
    let mut seen = BTreeSet::new();
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = udp.recv_from(&mut buffer) {
        let query = &buffer[..length];
        let answer =
            if mended.load(Ordering::SeqCst) { good(query) } else { bad(query, &mut seen, Transport::Udp) };
        if let Answer::Bytes(bytes) = answer {
            let _ = udp.send_to(&bytes, from);
        }
    }
}

fn serve_tcp(tcp: &TcpListener) {
    for mut stream in tcp.incoming().map_while(Result::ok) {
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            continue;
        }
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        if stream.read_exact(&mut query).is_ok()
            && let Answer::Bytes(bytes) = bad(&query, &mut BTreeSet::new(), Transport::Tcp)
        {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[length.as_slice(), &bytes].concat());
        }
    }
}

/// Answers as the first label says. `seen` holds the questions asked before.
fn bad(query: &[u8], seen: &mut BTreeSet<Question>, transport: Transport) -> Answer {
    let Question { name, kind } = question(query);
    let fault = name.split('.').next().unwrap_or_default().trim_start_matches('_').to_owned();
    let is_first = seen.insert(Question { name, kind });
    match (fault.as_str(), kind) {
        ("drop", _) | ("aonly", AAAA) | ("half", AAAA) => Answer::Nothing,
        ("id", _) => reply(query, id(query) ^ 1, NO_ERROR, &[v4()]),
        ("garbage", _) => Answer::Bytes(vec![0xff; 40]),
        ("second", _) if is_first => Answer::Nothing,
        ("servfail", _) | ("halffail", AAAA) => reply(query, id(query), NO_ERROR | 2, &[]),
        ("nxdomain", _) => reply(query, id(query), NO_ERROR | 3, &[]),
        ("nodata", _) => reply(query, id(query), NO_ERROR, &[]),
        ("refused", _) => reply(query, id(query), NO_ERROR | 5, &[]),
        ("cut", _) if transport == Transport::Udp => reply(query, id(query), NO_ERROR | TRUNCATED, &[]),
        ("mixed", SRV) => {
            reply(query, id(query), NO_ERROR, &[target("good"), target("drop"), target("aonly")])
        }
        ("mute", SRV) => reply(query, id(query), NO_ERROR, &[target("drop")]),
        ("zeroport", SRV) => reply(query, id(query), NO_ERROR, &[target_at("good", 0), target("good")]),
        ("foreign", A) => reply(query, id(query), NO_ERROR, &[stray(), v4()]),
        ("blocked", A) => reply(query, id(query), NO_ERROR, &[record(A, &[0, 0, 0, 0])]),
        (ttl, A) if ttl.starts_with("ttl-") => {
            let ttl: u32 = ttl.trim_start_matches("ttl-").parse().unwrap();
            let mut record = v4();
            record[6..10].copy_from_slice(&ttl.to_be_bytes());
            reply(query, id(query), NO_ERROR, &[record])
        }
        (_, A) => reply(query, id(query), NO_ERROR, &[v4()]),
        _ => reply(query, id(query), NO_ERROR, &[]),
    }
}

/// Answers every question for addresses with one, and every question for a service with one target.
fn good(query: &[u8]) -> Answer {
    let records = match question(query).kind {
        A => vec![v4()],
        SRV => vec![target("good")],
        _ => vec![],
    };
    reply(query, id(query), NO_ERROR, &records)
}

fn id(query: &[u8]) -> u16 {
    u16::from_be_bytes([query[0], query[1]])
}

fn question(query: &[u8]) -> Question {
    let mut labels = Vec::new();
    let mut at = HEADER;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    Question { name: labels.join("."), kind: u16::from_be_bytes([query[at + 1], query[at + 2]]) }
}

fn reply(query: &[u8], id: u16, flags: u16, records: &[Vec<u8>]) -> Answer {
    let end = query.iter().skip(HEADER).position(|byte| *byte == 0).unwrap() + HEADER + 5;
    let count = u16::try_from(records.len()).unwrap();
    let header = [id, flags, 1, count, 0, 0].map(u16::to_be_bytes).concat();
    Answer::Bytes([&header[..], &query[HEADER..end], &records.concat()].concat())
}

fn v4() -> Vec<u8> {
    record(A, &[10, 9, 0, 1])
}

/// An address of a name that nobody asked for: the root.
fn stray() -> Vec<u8> {
    [&[0], &v4()[2..]].concat()
}

/// A record of the name in the question, with a time to live of 7 s.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&[0xc0, 12], &kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 7], &length.to_be_bytes(), data].concat()
}

/// An SRV record for `LABEL.bad.test` at port 7946.
fn target(label: &str) -> Vec<u8> {
    target_at(label, 7946)
}

/// An SRV record for `LABEL.bad.test` at this port.
fn target_at(label: &str, port: u16) -> Vec<u8> {
    let mut data = [0, 0, port].map(u16::to_be_bytes).concat();
    for label in [label, "bad", "test"] {
        data.push(u8::try_from(label.len()).unwrap());
        data.extend(label.bytes());
    }
    data.push(0);
    record(SRV, &data)
}
