//! The network between the hosts: latency, loss, cuts. Datagrams vanish; streams are late, or given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    time::Duration,
};

use bytes::Bytes;
use chronik_agent::{
    gossip::{Dial, ExchangeId, NoAnswer},
    wire::{self, Kind},
};
use rand::RngExt as _;

use super::{Node, World, log::Sent};

/// Time that the shell waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time after which the shell gives a stream up.
const STREAM_TIMEOUT: Duration = Duration::from_secs(3);
/// First retransmission of a lost segment; it doubles.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// Faults of the network, and the places of the hosts.
pub(crate) struct Network {
    /// Share of datagrams lost.
    pub(crate) loss: f64,
    /// Share lost of what these hosts send, instead of `loss`.
    pub(crate) egress_loss: BTreeMap<Node, f64>,
    /// Datagrams that arrive twice.
    pub(crate) repeat: Option<Repeat>,
    /// Directed pairs that cannot reach each other.
    cuts: BTreeSet<(Node, Node)>,
    /// Directed pairs between which datagrams are lost, and streams are not.
    pub(crate) udp_cuts: BTreeSet<(Node, Node)>,
    /// Numbers of the packets that are lost: datagrams and streams, counted together from 1.
    pub(crate) lose: RangeInclusive<u64>,
    /// Number of packets sent so far.
    sent: u64,
    /// Places of hosts in a plane, in milliseconds of round trip; hosts without one are all in one place.
    pub(crate) places: BTreeMap<Node, [f64; 2]>,
    pub(crate) liar: Option<Liar>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            loss: 0.0,
            egress_loss: BTreeMap::new(),
            repeat: None,
            cuts: BTreeSet::new(),
            udp_cuts: BTreeSet::new(),
            lose: 0..=0,
            sent: 0,
            places: BTreeMap::new(),
            liar: None,
        }
    }
}

impl Network {
    fn is_cut(&self, from: Node, to: Node) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// A stream needs both directions.
    fn is_cut_either_way(&self, one: Node, other: Node) -> bool {
        self.is_cut(one, other) || self.is_cut(other, one)
    }

    /// Counts a packet, and says if it is one of those that a scenario wants lost.
    fn count_and_lose(&mut self) -> bool {
        self.sent += 1;
        self.lose.contains(&self.sent)
    }

    /// Share of what this node sends that is lost; a stream has acknowledgements that are lost, too.
    fn loss_from(&self, node: Node) -> f64 {
        self.egress_loss.get(&node).copied().unwrap_or(self.loss)
    }

    /// The round trip between the places of two hosts, without their own delays.
    pub(crate) fn distance(&self, one: Node, other: Node) -> Option<Duration> {
        let ([x, y], [u, v]) = (self.places.get(&one)?, self.places.get(&other)?);
        Some(Duration::from_secs_f64((x - u).hypot(y - v) / 1e3))
    }
}

/// Datagrams that arrive a second time.
pub(crate) struct Repeat {
    /// Share of datagrams.
    pub(crate) share: f64,
    /// Longest delay of the second arrival.
    pub(crate) latest: Duration,
}

/// A host whose coordinates are replaced by lies on their way.
pub(crate) struct Liar {
    pub(crate) node: Node,
    /// Coordinates as bytes, used in turn.
    pub(crate) lies: Vec<[u8; 12]>,
}

/// A packet that arrives, or a time that comes.
pub(super) enum Happening {
    Datagram {
        from: SocketAddr,
        to: Node,
        payload: Bytes,
    },
    Request {
        from: Node,
        boot: u32,
        exchange: ExchangeId,
        to: Node,
        frame: Bytes,
    },
    Reply {
        to: Node,
        boot: u32,
        exchange: ExchangeId,
        answer: Result<Bytes, NoAnswer>,
    },
    Wake(Node),
    /// The server of this host sends a heartbeat; void if the agent's process has another number by then.
    Heartbeat(Node, u32),
}

impl Happening {
    pub(super) fn node(&self) -> Node {
        match self {
            Self::Datagram { to, .. } | Self::Request { to, .. } | Self::Reply { to, .. } => *to,
            Self::Wake(node) | Self::Heartbeat(node, _) => *node,
        }
    }

    /// Bytes of the agents' own that it carries.
    fn length(&self) -> u64 {
        let bytes = match self {
            Self::Datagram { payload, .. } => payload.len(),
            Self::Request { frame, .. } => frame.len(),
            Self::Reply { answer, .. } => answer.as_ref().map_or(0, Bytes::len),
            Self::Wake(_) | Self::Heartbeat(..) => 0,
        };
        bytes as u64
    }
}

/// True if a message ends with a coordinate: its length, its kind, twelve bytes.
fn is_coordinate(message: &[u8]) -> bool {
    message.len() > 15 && message[message.len() - 15..].starts_with(&[0, 13, 8])
}

impl World {
    /// Cuts every connection between the two sides, both ways.
    pub(crate) fn cut(&mut self, one: &[Node], other: &[Node]) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.network.cuts.extend([(a, b), (b, a)]);
        }
    }

    /// Cuts what `from` sends to `to`, and nothing else.
    pub(crate) fn cut_one_way(&mut self, from: Node, to: Node) {
        self.network.cuts.insert((from, to));
    }

    pub(crate) fn mend(&mut self) {
        self.network.cuts.clear();
        self.network.udp_cuts.clear();
    }

    /// One way's delay: the host's own, and the distance's if the hosts have places.
    fn latency(&mut self, from: Node, to: Option<Node>) -> Duration {
        let own = Duration::from_micros(self.rng.random_range(200..1_000));
        let way = to.and_then(|to| self.network.distance(from, to)).unwrap_or_default();
        own + way / 2
    }

    /// The payload; if the liar sends it and it ends with a coordinate, with the next lie in its place.
    fn with_lie(&self, from: Node, payload: Bytes) -> Bytes {
        let Some(Liar { node, lies }) = &self.network.liar else { return payload };
        let cluster = &self.hosts[from].cluster;
        match wire::open(cluster, &payload) {
            Ok((Kind::Swim, message)) if from == *node && is_coordinate(message) => {
                let lie = lies[usize::try_from(self.traffic.datagrams).unwrap() % lies.len()];
                let told = [&message[..message.len() - lie.len()], &lie[..]].concat();
                wire::seal(cluster, Kind::Swim, &told)
            }
            Ok(_) | Err(_) => payload,
        }
    }

    pub(super) fn send_datagram(&mut self, from: Node, to: SocketAddr, payload: Bytes) {
        self.traffic.datagrams += 1;
        self.traffic.bytes += payload.len() as u64;
        self.log_sent(Sent::Datagram, from, to, &payload);
        self.record_datagram(from, to, &payload);
        let lost = self.rng.random_bool(self.network.loss_from(from)) || self.network.count_and_lose();
        if let Some(count) = &mut self.traffic.coordinates {
            let opened = wire::open(&self.hosts[from].cluster, &payload);
            *count += u64::from(opened.is_ok_and(|(_, message)| is_coordinate(message)));
        }
        let to = self.by_addr.get(&to).copied();
        let at = self.now + self.latency(from, to);
        let Some(to) = to else {
            return;
        };
        let payload = self.with_lie(from, payload);
        if !lost && !self.network.is_cut(from, to) && !self.network.udp_cuts.contains(&(from, to)) {
            let from = self.hosts[from].addr;
            if let Some(Repeat { share, latest }) = &self.network.repeat
                && self.rng.random_bool(*share)
            {
                let late = latest.mul_f64(self.rng.random());
                self.push(at + late, Happening::Datagram { from, to, payload: payload.clone() });
            }
            self.push(at, Happening::Datagram { from, to, payload });
        }
    }

    pub(super) fn open_stream(&mut self, from: Node, dial: Dial) {
        let Dial { exchange, to, frame } = dial;
        let boot = self.hosts[from].boot;
        self.log_sent(Sent::Dial, from, to, &frame);
        self.record_request(from, to, &frame);
        let failed = |error: &str| Happening::Reply {
            to: from,
            boot,
            exchange,
            answer: Err(NoAnswer::Failed(error.to_owned())),
        };
        let Some(to) = self.by_addr.get(&to).copied() else {
            return self.push(self.now + CONNECT_TIMEOUT, failed("timed out"));
        };
        if self.network.is_cut_either_way(from, to) || self.network.count_and_lose() {
            return self.push(self.now + CONNECT_TIMEOUT, failed("timed out"));
        }
        self.send_stream(from, to, Happening::Request { from, boot, exchange, to, frame });
    }

    /// Sends over a stream, which loses nothing: lost segments make it late, and after `STREAM_TIMEOUT` it is given up.
    pub(super) fn send_stream(&mut self, from: Node, to: Node, happening: Happening) {
        let mut late = Duration::ZERO;
        let loss = self.network.loss_from(from).max(self.network.loss_from(to));
        self.traffic.bytes += happening.length();
        for _segment in 0..2 {
            let mut wait = RETRANSMIT;
            while self.rng.random_bool(loss) {
                late = late.saturating_add(wait);
                wait = wait.saturating_mul(2);
            }
        }
        let at = self.now + self.latency(from, Some(to)) * 2 + late.min(2 * STREAM_TIMEOUT);
        let broken = late > STREAM_TIMEOUT || self.network.is_cut_either_way(from, to);
        let dialler = match &happening {
            Happening::Request { from, boot, exchange, .. } => Some((*from, *boot, *exchange)),
            Happening::Reply { to, boot, exchange, .. } => Some((*to, *boot, *exchange)),
            Happening::Datagram { .. } | Happening::Wake(_) | Happening::Heartbeat(..) => None,
        };
        match dialler {
            Some((to, boot, exchange)) if broken => {
                let answer = Err(NoAnswer::Failed("timed out".to_owned()));
                let reply = Happening::Reply { to, boot, exchange, answer };
                self.push(self.now + STREAM_TIMEOUT, reply);
            }
            _ => self.push(at, happening),
        }
    }
}
