//! A name server that misbehaves as the first label of the name it is asked for says. Loopback, UDP and TCP.

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

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What is sent back.
enum Answer {
    Nothing,
    Bytes(Vec<u8>),
}

/// Starts it; it lives as long as the test. Once the flag is set it is a good one: every name has an address.
pub(crate) fn start() -> (u16, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    (serve(&mended), mended)
}

fn serve(mended: &Arc<AtomicBool>) -> u16 {
    let mended = Arc::clone(mended);
    let port = free_port();
    let udp = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let tcp = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        let mut seen = BTreeSet::new();
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            if let Answer::Bytes(bytes) =
                answer(&buffer[..length], &mut seen, false, mended.load(Ordering::SeqCst))
            {
                let _ = udp.send_to(&bytes, from);
            }
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().map_while(Result::ok) {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            if stream.read_exact(&mut query).is_ok()
                && let Answer::Bytes(bytes) = answer(&query, &mut BTreeSet::new(), true, false)
            {
                let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
                let _ = stream.write_all(&[length.as_slice(), &bytes].concat());
            }
        }
    });
    port
}

/// `seen` holds the names asked for before.
fn answer(query: &[u8], seen: &mut BTreeSet<(String, u16)>, tcp: bool, mended: bool) -> Answer {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let question = &query[12..at + 5];
    let first = !seen.contains(&(labels.join("."), kind));
    seen.insert((labels.join("."), kind));
    let reply = |id: u16, flags: u16, records: &[Vec<u8>]| {
        let count = u16::try_from(records.len()).unwrap();
        let header = [id, flags, 1, count, 0, 0].map(u16::to_be_bytes).concat();
        Answer::Bytes([header, question.to_vec(), records.concat()].concat())
    };
    let id = u16::from_be_bytes([query[0], query[1]]);
    let good = |records: &[Vec<u8>]| reply(id, 0x8580, records);
    let v4 = || record(A, &[10, 9, 0, 1]);
    if mended {
        return match kind {
            A => good(&[v4()]),
            SRV => good(&[target("good")]),
            _ => good(&[]),
        };
    }
    match (labels[0].trim_start_matches('_'), kind) {
        ("drop", _) | ("aonly", AAAA) | ("half", AAAA) => Answer::Nothing,
        ("id", _) => reply(id ^ 1, 0x8580, &[v4()]),
        ("garbage", _) => Answer::Bytes(vec![0xff; 40]),
        ("second", _) if first => Answer::Nothing,
        ("servfail", _) | ("halffail", AAAA) => reply(id, 0x8582, &[]),
        ("nxdomain", _) => reply(id, 0x8583, &[]),
        ("nodata", _) => good(&[]),
        ("refused", _) => reply(id, 0x8585, &[]),
        ("cut", _) if !tcp => reply(id, 0x8780, &[]),
        ("mixed", SRV) => good(&[target("good"), target("drop"), target("aonly")]),
        ("mute", SRV) => good(&[target("drop")]),
        (_, A) => good(&[v4()]),
        _ => good(&[]),
    }
}

/// A record of the name in the question, with a time to live of 7 s.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&[0xc0, 12], &kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 7], &length.to_be_bytes(), data].concat()
}

/// An SRV record for `LABEL.bad.test` at port 7946.
fn target(label: &str) -> Vec<u8> {
    let mut data = [0, 0, 7946].map(u16::to_be_bytes).concat();
    for label in [label, "bad", "test"] {
        data.push(u8::try_from(label.len()).unwrap());
        data.extend(label.bytes());
    }
    data.push(0);
    record(SRV, &data)
}
