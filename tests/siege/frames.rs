//! Frames and datagrams by the grammar of the wire, written here a second time, so that what an agent refuses to write can be
//! sent to it.

use std::net::{IpAddr, SocketAddr};

use chronik_agent::wire::{self, Kind};
use ed25519_dalek::{Signer as _, SigningKey};
use rand::{RngExt as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};

pub(crate) const CLUSTER: &str = "chronik";

/// A node that anybody can make up: a key, and what it says of itself.
pub(crate) struct Stranger {
    key: SigningKey,
    pub(crate) id: [u8; 16],
    pub(crate) addr: SocketAddr,
    pub(crate) epoch: u64,
}

impl Stranger {
    pub(crate) fn new(rng: &mut StdRng, addr: SocketAddr) -> Self {
        let key = SigningKey::from_bytes(&rng.random());
        let digest =
            Sha256::new_with_prefix("chronik-agent node 1").chain_update(key.verifying_key()).finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        let id = *uuid::Builder::from_custom_bytes(first).as_uuid().as_bytes();
        Self { key, id, addr, epoch: 1_800_000_000_000 }
    }

    fn sign(&self, domain: &str, content: &[u8]) -> Vec<u8> {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        let bytes =
            [&[length(domain)], domain.as_bytes(), &[length(CLUSTER)], CLUSTER.as_bytes(), content].concat();
        [self.key.verifying_key().to_bytes().to_vec(), self.key.sign(&bytes).to_bytes().to_vec()].concat()
    }

    pub(crate) fn life(&self) -> Vec<u8> {
        [&self.id[..], &(self.epoch << 16).to_be_bytes()].concat()
    }

    pub(crate) fn peer(&self) -> Vec<u8> {
        peer(&self.life(), self.addr)
    }

    /// Its account of this life: version, number of the process and signature.
    fn account(&self, version: u32, metadata: &[u8]) -> Vec<u8> {
        let ip = match self.addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let content = [
            &self.addr.port().to_be_bytes()[..],
            &ip,
            &self.epoch.to_be_bytes(),
            &version.to_be_bytes(),
            &7_u64.to_be_bytes(),
            &Sha256::digest(metadata),
        ]
        .concat();
        self.sign("chronik-agent life 1", &content)
    }

    /// Its record as it travels in a state.
    pub(crate) fn record(&self, version: u32, metadata: &[u8]) -> Vec<u8> {
        let seal = self.account(version, metadata);
        map(&[
            (2, number(0, version.into())),
            (3, bytes(metadata)),
            (4, bytes(&self.peer())),
            (5, number(0, 7)),
            (6, bytes(&seal)),
        ])
    }

    /// Its record as it travels in a datagram.
    pub(crate) fn rumour(&self, version: u32, metadata: &[u8]) -> Vec<u8> {
        let seal = self.account(version, metadata);
        [&[1], &self.peer()[..], &version.to_be_bytes(), &7_u64.to_be_bytes(), &seal, metadata].concat()
    }

    /// Its goodbye as it travels in a state, right or forged.
    pub(crate) fn goodbye(&self, is_right: bool) -> Vec<u8> {
        let mut seal = self.sign("chronik-agent goodbye 1", &self.life());
        seal[40] ^= u8::from(!is_right);
        [self.life(), seal].concat()
    }
}

pub(crate) fn peer(life: &[u8], addr: SocketAddr) -> Vec<u8> {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => [&[4], &ip.octets()[..]].concat(),
        IpAddr::V6(ip) => [&[6], &ip.octets()[..]].concat(),
    };
    [life, &ip, &addr.port().to_be_bytes()].concat()
}

/// A member's state: 0 alive, 1 suspect, 2 failed.
pub(crate) fn member(peer: &[u8], incarnation: u16, state: u8) -> Vec<u8> {
    [peer, &incarnation.to_be_bytes(), &[state]].concat()
}

pub(crate) fn number(major: u8, value: u64) -> Vec<u8> {
    let head = major << 5;
    match value {
        0..24 => vec![head | u8::try_from(value).unwrap()],
        24..0x1_0000 => [&[head | 25][..], &u16::try_from(value).unwrap().to_be_bytes()].concat(),
        0x1_0000..0x1_0000_0000 => [&[head | 26][..], &u32::try_from(value).unwrap().to_be_bytes()].concat(),
        _ => [&[head | 27][..], &value.to_be_bytes()].concat(),
    }
}

pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
    [number(2, bytes.len() as u64), bytes.to_vec()].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [number(3, text.len() as u64), text.as_bytes().to_vec()].concat()
}

pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [number(4, items.len() as u64), items.concat()].concat()
}

pub(crate) fn map(fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let inside: Vec<u8> =
        fields.iter().flat_map(|(key, value)| [number(0, *key), value.clone()].concat()).collect();
    [number(5, fields.len() as u64), inside].concat()
}

/// A variant of a request or a reply.
pub(crate) fn variant(which: u64, fields: &[Vec<u8>]) -> Vec<u8> {
    list(&[number(0, which), list(fields)])
}

pub(crate) fn state(sender: &[u8], members: &[u8], left: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    map(&[(0, bytes(sender)), (1, bytes(members)), (2, bytes(left)), (3, list(records))])
}

pub(crate) fn metadata(name: &str, endpoint: &str, tags: &[(String, String)]) -> Vec<u8> {
    let pairs = |pairs: &[(String, String)]| {
        let inside: Vec<u8> =
            pairs.iter().flat_map(|(key, value)| [text(key), text(value)].concat()).collect();
        [number(5, pairs.len() as u64), inside].concat()
    };
    let endpoints = [("raft".to_owned(), endpoint.to_owned())];
    map(&[(0, text(name)), (1, vec![0xf4]), (3, pairs(&endpoints)), (4, pairs(tags))])
}

pub(crate) fn request(payload: &[u8]) -> Vec<u8> {
    wire::seal(&CLUSTER.parse().unwrap(), Kind::Request, payload).to_vec()
}

pub(crate) fn reply(payload: &[u8]) -> Vec<u8> {
    wire::seal(&CLUSTER.parse().unwrap(), Kind::Reply, payload).to_vec()
}

/// A datagram of the engine from `src` to the life `dst`: tag, what follows it, updates and items.
pub(crate) fn swim(
    src: &[u8],
    dst: &[u8],
    tag: u8,
    rest: &[u8],
    updates: &[Vec<u8>],
    items: &[Vec<u8>],
) -> Vec<u8> {
    let mark = crc32fast::hash(dst).to_be_bytes();
    let items: Vec<u8> = items
        .iter()
        .flat_map(|item| [&u16::try_from(item.len()).unwrap().to_be_bytes()[..], item].concat())
        .collect();
    let count = u16::try_from(updates.len()).unwrap().to_be_bytes();
    let payload = [src, &[0, 0], &mark, &[tag], rest, &count, &updates.concat(), &items].concat();
    wire::seal(&CLUSTER.parse().unwrap(), Kind::Swim, &payload).to_vec()
}

/// A frame with its length before it.
pub(crate) fn framed(frame: &[u8]) -> Vec<u8> {
    [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], frame].concat()
}
