//! Nodes of a cluster that are joined by hand, without network, clock or waiting.

use std::{
    net::SocketAddr,
    num::NonZeroU16,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chronik_agent::{
    bootstrap::{self, Admission, FoundingRecord, NodeRecord, SeedGate, Terms},
    gossip::{self, Backlog, Gossip, NoAnswer, Settings, Timing, Transmit},
    machine::Machine,
    membership::{FoundingNews, Metadata},
    node::{Epoch, Role},
    signing::{KEY_LEN, NodeKey},
};
use rand::{SeedableRng as _, rngs::StdRng};
use zeroize::Zeroizing;

/// Time in which a node sends its next probe: one comes every 300 ms.
const PATIENCE: Duration = Duration::from_secs(5);

fn addr(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    ([10, 0, high, low], 7946).into()
}

fn key(number: usize) -> NodeKey {
    let mut secret = Zeroizing::new([0; KEY_LEN]);
    secret[..8].copy_from_slice(&number.to_be_bytes());
    NodeKey::new(&secret)
}

/// A node that describes itself as one of a real cluster does: with an endpoint and a tag.
fn node(number: usize, now: Instant) -> Gossip {
    let addr = addr(number);
    let metadata = Metadata {
        name: format!("node-{number}").parse().unwrap(),
        role: Role::Server,
        expect: None,
        endpoints: [("raft".parse().unwrap(), addr.to_string())].into(),
        tags: [("zone".parse().unwrap(), "eu-central-1a".to_owned())].into(),
        founding: FoundingNews::default(),
    };
    let settings = Settings {
        cluster: "chronik".parse().unwrap(),
        timing: Timing::LAN,
        key: key(number),
        addr,
        epoch: Epoch(1),
        former: None,
        metadata,
        cached: vec![],
        encryption: None,
        read_record: gossip::Record::read,
        seed: number as u64,
    };
    Gossip::new(settings, now).unwrap()
}

/// Carries requests that `from` dials to `answer`, until it dials no more.
fn carry_dials(from: &mut Gossip, now: Instant, mut answer: impl FnMut(SocketAddr, &[u8]) -> Option<Bytes>) {
    while let Some(dial) = from.poll_dial() {
        let reply = answer(from.me().addr(), &dial.frame);
        from.handle_reply(
            dial.exchange,
            reply.as_deref().ok_or_else(|| NoAnswer::Failed("silence".to_owned())),
            now,
        );
    }
}

/// A node that all others have joined, so that it knows each of them; and the first of those, which knows no other.
pub(super) struct Hub {
    pub(super) node: Gossip,
    first: Gossip,
    pub(super) now: Instant,
}

impl Hub {
    /// The hub of a cluster of `size`. It still passes on news of all but the first.
    pub(super) fn of(size: usize, now: Instant) -> Self {
        let mut hub = Self::pair(now);
        hub.settle();
        hub.grow(size);
        hub
    }

    /// As `of`, but the first node still has to tell that it has come.
    pub(super) fn with_news(size: usize, now: Instant) -> Self {
        let mut hub = Self::pair(now);
        carry_dials(&mut hub.first, now, |from, frame| hub.node.handle_request(from, frame, now));
        hub.grow(size);
        hub
    }

    fn pair(now: Instant) -> Self {
        let (node, mut first) = (node(0, now), node(1, now));
        first.set_seeds([node.me().addr()], now);
        Self { node, first, now }
    }

    fn grow(&mut self, size: usize) {
        for number in 2..size {
            self.join(number);
        }
        self.drain();
        let known = self.node.membership().active().count();
        assert_eq!(known, size, "all have joined");
    }

    /// Lets the first two talk until neither has anything to tell.
    fn settle(&mut self) {
        let end = self.now + PATIENCE;
        let mut due = Some(self.now);
        while let Some(now) = due.filter(|now| *now < end) {
            self.now = now;
            talk(&mut self.first, &mut self.node, now);
            talk(&mut self.node, &mut self.first, now);
            talk(&mut self.first, &mut self.node, now);
            due = [self.first.poll_timeout(), self.node.poll_timeout()].into_iter().flatten().min();
        }
        assert_eq!([self.first.backlog(), self.node.backlog()], [Backlog::default(); 2], "nothing is news");
    }

    /// Joins one more node, which learns of all before it.
    pub(super) fn join(&mut self, number: usize) -> (Gossip, SocketAddr) {
        let mut joining = node(number, self.now);
        joining.set_seeds([self.node.me().addr()], self.now);
        carry_dials(&mut joining, self.now, |from, frame| self.node.handle_request(from, frame, self.now));
        (joining, addr(number))
    }

    /// Lets the first node run until it probes; returns its address and the probe.
    pub(super) fn next_ping(&mut self) -> (SocketAddr, Bytes) {
        let (from, hub) = (self.first.me().addr(), self.node.me().addr());
        // Not all of its datagrams are probes: those that are answered are.
        while let Some(due) = self.first.poll_timeout().filter(|due| *due < self.now + PATIENCE) {
            self.first.handle_timeout(due);
            while let Some(Transmit { to, payload }) = self.first.poll_transmit() {
                assert_eq!(to, hub, "it knows nobody else");
                self.node.handle_datagram(from, &payload, self.now);
                if self.drain() > 0 {
                    return (from, payload);
                }
            }
        }
        panic!("no probe in {PATIENCE:?}");
    }

    /// Discards the datagrams that wait to be sent; returns how many there were.
    pub(super) fn drain(&mut self) -> usize {
        std::iter::from_fn(|| self.node.poll_transmit()).count()
    }
}

/// Does what is due at one node, and carries its packets to the other.
fn talk(from: &mut Gossip, to: &mut Gossip, now: Instant) {
    if from.poll_timeout().is_some_and(|due| due <= now) {
        from.handle_timeout(now);
    }
    carry_dials(from, now, |addr, frame| to.handle_request(addr, frame, now));
    while let Some(transmit) = from.poll_transmit() {
        to.handle_datagram(from.me().addr(), &transmit.payload, now);
    }
}

/// Runs a node that has just joined until it compares states; returns the request.
pub(super) fn next_comparison(node: &mut Gossip, now: Instant) -> Bytes {
    while let Some(due) = node.poll_timeout().filter(|due| *due < now + PATIENCE) {
        node.handle_timeout(due);
        while node.poll_transmit().is_some() {}
        while let Some(dial) = node.poll_dial() {
            // A whole state is longer by far than its digest.
            if dial.frame.len() < 200 {
                return dial.frame;
            }
        }
    }
    panic!("no comparison in {PATIENCE:?}");
}

/// A whole machine in a cluster of `size` servers that waits until there are `expect`.
pub(super) fn machine(size: usize, expect: NonZeroU16, now: Instant) -> Machine {
    let gossip = node(0, now);
    let config = bootstrap::Config {
        cluster_name: "chronik".parse().unwrap(),
        role: Role::Server,
        name: "node-0".parse().unwrap(),
        addr: gossip.me().addr(),
        endpoints: gossip.own_metadata().endpoints.clone(),
        zone: Some("eu-central-1a".to_owned()),
        terms: Some(Terms::Count(expect)),
        admission: Admission::Found,
        is_admitted_first: false,
        seed_gate: SeedGate::Patient,
        words: bootstrap::Words::Here,
        timing: bootstrap::BallotTiming::LAN,
    };
    let record = NodeRecord { epoch: Epoch(1), founding: FoundingRecord::blank(key(0)) };
    let mut machine = Machine::new(gossip, config, record, StdRng::seed_from_u64(1), now);
    for number in 1..size {
        let mut joining = node(number, now);
        joining.set_seeds([machine.me().addr()], now);
        carry_dials(&mut joining, now, |from, frame| machine.handle_request(from, frame, now));
    }
    machine.finish_input(now);
    assert_eq!(machine.membership().active().count(), size, "all have joined");
    machine
}
