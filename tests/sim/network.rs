//! The network between the hosts: latency, loss, cuts; datagrams that vanish and streams that are late or given up.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use chronik_agent::{
    gossip::{Dial, ExchangeId, NoAnswer},
    wire::{self, Kind},
};
use rand::RngExt as _;

use super::{Node, World, log::Sent};

/// How long the shell waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a stream may take before the shell gives it up.
const STREAM_TIMEOUT: Duration = Duration::from_secs(3);
/// First retransmission of a lost segment; it doubles.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// What crosses the network, or comes due.
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
    /// The server of this host, in this life of its agent, speaks.
    Heartbeat(Node, u32),
}

impl Happening {
    pub(super) fn node(&self) -> Node {
        match self {
            Self::Datagram { to, .. } | Self::Request { to, .. } | Self::Reply { to, .. } => *to,
            Self::Wake(node) | Self::Heartbeat(node, _) => *node,
        }
    }

    /// How many bytes of ours it carries.
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

/// Whether a message ends with a coordinate: its length, its kind, twelve bytes.
fn is_coordinate(message: &[u8]) -> bool {
    message.len() > 15 && message[message.len() - 15..].starts_with(&[0, 13, 8])
}

impl World {
    /// Cuts every connection between the two sides, both ways.
    pub(crate) fn cut(&mut self, one: &[Node], other: &[Node]) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.cuts.extend([(a, b), (b, a)]);
        }
    }

    /// Cuts what `from` sends to `to`, and nothing else.
    pub(crate) fn cut_one_way(&mut self, from: Node, to: Node) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn mend(&mut self) {
        self.cuts.clear();
        self.udp_cuts.clear();
    }

    /// A host's own delay, and what the way takes where the hosts have places.
    fn latency(&mut self, from: Node, to: Option<Node>) -> Duration {
        let own = Duration::from_micros(self.rng.random_range(200..1_000));
        let way = to.and_then(|to| self.distance(from, to)).unwrap_or_default();
        own + way / 2
    }

    /// The round trip between the places of two hosts, without their own delays.
    pub(crate) fn distance(&self, one: Node, other: Node) -> Option<Duration> {
        let ([x, y], [u, v]) = (self.places.get(&one)?, self.places.get(&other)?);
        Some(Duration::from_secs_f64((x - u).hypot(y - v) / 1e3))
    }

    /// What the liar says in place of the coordinate at the end of a message, in turn.
    fn lie(&self, from: Node, payload: Bytes) -> Bytes {
        let Some((liar, lies)) = &self.liar else { return payload };
        let cluster = &self.hosts[from].cluster;
        match wire::open(cluster, &payload) {
            Ok((Kind::Swim, message)) if from == *liar && is_coordinate(message) => {
                let lie = lies[usize::try_from(self.datagrams).unwrap() % lies.len()];
                let told = [&message[..message.len() - lie.len()], &lie[..]].concat();
                wire::seal(cluster, Kind::Swim, &told)
            }
            Ok(_) | Err(_) => payload,
        }
    }

    /// Share of what this node sends that is lost; a stream has acknowledgements that are lost, too.
    fn loss_from(&self, node: Node) -> f64 {
        self.egress_loss.get(&node).copied().unwrap_or(self.loss)
    }

    pub(super) fn send_datagram(&mut self, from: Node, to: SocketAddr, payload: Bytes) {
        self.datagrams += 1;
        self.bytes += payload.len() as u64;
        self.log_sent(Sent::Datagram, from, to, &payload);
        self.record_datagram(from, to, &payload);
        let lost = self.rng.random_bool(self.loss_from(from)) || self.is_to_be_lost();
        if let Some(count) = &mut self.coordinates {
            let opened = wire::open(&self.hosts[from].cluster, &payload);
            *count += u64::from(opened.is_ok_and(|(_, message)| is_coordinate(message)));
        }
        let to = self.by_addr.get(&to).copied();
        let at = self.now + self.latency(from, to);
        let Some(to) = to else {
            return;
        };
        let payload = self.lie(from, payload);
        if !lost && !self.cuts.contains(&(from, to)) && !self.udp_cuts.contains(&(from, to)) {
            let from = self.hosts[from].addr;
            if let Some((share, latest)) = self.again
                && self.rng.random_bool(share)
            {
                let late = latest.mul_f64(self.rng.random());
                self.push(at + late, Happening::Datagram { from, to, payload: payload.clone() });
            }
            self.push(at, Happening::Datagram { from, to, payload });
        }
    }

    /// Counts what is sent, and picks the one that a scenario wants lost.
    fn is_to_be_lost(&mut self) -> bool {
        self.sent += 1;
        self.lose.contains(&self.sent)
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
        let cut = self.cuts.contains(&(from, to)) || self.cuts.contains(&(to, from));
        if cut || self.is_to_be_lost() {
            return self.push(self.now + CONNECT_TIMEOUT, failed("timed out"));
        }
        self.send_stream(from, to, Happening::Request { from, boot, exchange, to, frame });
    }

    /// A stream loses nothing; it is late instead, or given up.
    pub(super) fn send_stream(&mut self, from: Node, to: Node, happening: Happening) {
        let mut late = Duration::ZERO;
        let loss = self.loss_from(from).max(self.loss_from(to));
        self.bytes += happening.length();
        for _segment in 0..2 {
            let mut wait = RETRANSMIT;
            while self.rng.random_bool(loss) {
                late = late.saturating_add(wait);
                wait = wait.saturating_mul(2);
            }
        }
        let at = self.now + self.latency(from, Some(to)) * 2 + late.min(2 * STREAM_TIMEOUT);
        let broken =
            late > STREAM_TIMEOUT || self.cuts.contains(&(from, to)) || self.cuts.contains(&(to, from));
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
