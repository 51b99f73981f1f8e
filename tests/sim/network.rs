//! The network between the hosts: latency, loss, cuts; datagrams that vanish and streams that are late or given up.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use chronik_agent::gossip::{Dial, ExchangeId, NoAnswer};
use rand::RngExt as _;

use super::{Node, World};

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

    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..1_000))
    }

    pub(super) fn send_datagram(&mut self, from: Node, to: SocketAddr, payload: Bytes) {
        self.datagrams += 1;
        for byte in payload.iter() {
            self.log = self.log.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte);
        }
        self.record_datagram(from, to, &payload);
        let lost = self.rng.random_bool(self.loss) || self.is_to_be_lost();
        let at = self.now + self.latency();
        let Some(to) = self.by_addr.get(&to).copied() else {
            return;
        };
        if !lost && !self.cuts.contains(&(from, to)) && !self.udp_cuts.contains(&(from, to)) {
            let from = self.hosts[from].addr;
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
        for _segment in 0..2 {
            let mut wait = RETRANSMIT;
            while self.rng.random_bool(self.loss) {
                late += wait;
                wait *= 2;
            }
        }
        let at = self.now + self.latency() * 2 + late;
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
