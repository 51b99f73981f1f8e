//! The probe under way, and what probes have taught: round trips, the wait that follows from them, and the way by which
//! each member answers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foca::{Header, Message};

use crate::{
    gossip::{
        action::{Action, Draft, Purpose, Question},
        clock::{Tick, Wait},
        peer::Peer,
        rumours::Rumour,
        timing::Timing,
    },
    membership::Reach,
    node::NodeId,
};

/// Number of round trips remembered; the greatest but one of them is their 99th percentile.
const REMEMBERED_ROUND_TRIPS: usize = 128;
/// Number of round trips below which they say nothing about a percentile.
const ENOUGH: usize = 32;
/// Delay of a process of which nothing is wrong: scheduling in virtual machines.
const SLACK: Duration = Duration::from_millis(60);
/// Upper bound on relayed probes remembered; each is forgotten after a fraction of a probe period.
const REMEMBERED_RELAYS: usize = 128;
/// Share of the wait for an answer after which a helper says that it had none, so that this arrives in time.
const NACK_AFTER: f64 = 0.8;
/// Weight of a new round trip in a member's smoothed one, as in TCP (RFC 6298).
const GAIN: f64 = 0.125;

/// One probe.
#[derive(Debug)]
struct Probe {
    target: Peer,
    number: u8,
    sent: Instant,
    /// The ping, to be sent again over a stream.
    ping: Bytes,
    answered: Option<Reach>,
    /// Number of members that were asked to help.
    helpers: u32,
    /// Number of helpers that said that they had no answer either.
    nacks: u32,
}

/// The way to a member, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::gossip) struct Way {
    /// Smoothed round trip of datagrams.
    pub(in crate::gossip) rtt: Option<Duration>,
    /// Way by which the last probe was answered.
    pub(in crate::gossip) reach: Option<Reach>,
}

/// The probe under way, and what probes have taught.
#[derive(Debug, Default)]
pub(super) struct Probes {
    current: Option<Probe>,
    /// Last round trips, the newest first.
    recent: VecDeque<Duration>,
    /// The 99th percentile of these.
    percentile: Duration,
    ways: BTreeMap<NodeId, Way>,
    /// Probes of others that this node helped with and that were answered.
    relayed: BTreeSet<Relayed>,
}

/// A probe of another node, by its target and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Relayed {
    target: NodeId,
    number: u8,
}

/// End of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered in time.
    Answered,
    /// Nobody brought an answer.
    Failed {
        /// Number of helpers that did not even say that they had none; `None` if nobody was asked to help.
        silent_helpers: Option<u32>,
    },
}

/// Transport by which a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gossip) enum Transport {
    /// By itself.
    Datagram,
    /// As an answer, or a request to be answered, over a stream.
    Stream,
}

impl Probes {
    /// Takes note of a message of the engine that is about to be sent.
    pub(super) fn note_sent(&mut self, header: &Header<Peer>, to: &Peer, bytes: &[u8], now: Instant) {
        if let Message::Ping(number) = header.message {
            let ping = Bytes::copy_from_slice(bytes);
            let probe = Probe { target: *to, number, sent: now, ping, answered: None, helpers: 0, nacks: 0 };
            self.current = Some(probe);
        } else if let (Message::PingReq { .. }, Some(probe)) = (&header.message, &mut self.current) {
            probe.helpers += 1;
        }
    }

    /// Takes note of an answer; the first datagram tells the round trip, which is returned.
    pub(super) fn note_answer(
        &mut self,
        header: &Header<Peer>,
        transport: Transport,
        now: Instant,
    ) -> Option<Duration> {
        let probe = self.current.as_mut()?;
        let reach = if header.message == Message::Ack(probe.number) && header.src == probe.target {
            match transport {
                Transport::Datagram => Reach::Datagram,
                Transport::Stream => Reach::Stream,
            }
        } else if let Message::ForwardedAck { origin, probe_number } = header.message
            && probe_number == probe.number
            && origin == probe.target
        {
            Reach::Others
        } else {
            return None;
        };
        let best = probe.answered.map_or(reach, |known| known.min(reach));
        let first_datagram = best == Reach::Datagram && probe.answered != Some(Reach::Datagram);
        probe.answered = Some(best);
        let way = self.ways.entry(probe.target.id).or_default();
        way.reach = Some(best);
        let rtt = first_datagram.then(|| now.duration_since(probe.sent))?;
        way.rtt = Some(way.rtt.map_or(rtt, |old| old.mul_f64(1.0 - GAIN) + rtt.mul_f64(GAIN)));
        self.remember(rtt);
        Some(rtt)
    }

    fn remember(&mut self, rtt: Duration) {
        self.recent.truncate(REMEMBERED_ROUND_TRIPS - 1);
        self.recent.push_front(rtt);
        let greatest_two = |(most, next): (Duration, Duration), rtt: &Duration| {
            if *rtt > most { (*rtt, most) } else { (most, next.max(*rtt)) }
        };
        (_, self.percentile) = self.recent.iter().fold((Duration::ZERO, Duration::ZERO), greatest_two);
    }

    /// A helper said that it had no answer.
    pub(super) fn note_nack(&mut self, number: u8) {
        if let Some(probe) = self.current.as_mut().filter(|probe| probe.number == number) {
            probe.nacks += 1;
        }
    }

    /// Target, number and time of the probe under way, if it is still without an answer.
    pub(super) fn open(&self) -> Option<(Peer, u8, Instant)> {
        let probe = self.current.as_ref().filter(|probe| probe.answered.is_none())?;
        Some((probe.target, probe.number, probe.sent))
    }

    /// The member that the probe under way has reached.
    pub(super) fn reached(&self) -> Option<NodeId> {
        let probe = self.current.as_ref().filter(|probe| probe.answered.is_some())?;
        Some(probe.target.id)
    }

    /// Takes note that nothing reaches a member.
    pub(super) fn note_unreached(&mut self, id: NodeId) {
        self.ways.entry(id).or_default().reach = None;
    }

    /// The ping to `target`, if it is still without an answer.
    pub(super) fn unanswered(&self, target: &Peer) -> Option<&Bytes> {
        let probe = self.current.as_ref()?;
        (probe.target == *target && probe.answered.is_none()).then_some(&probe.ping)
    }

    /// Sends the unanswered ping again over a stream, beside the indirect pings: lost datagrams accuse nobody then, and a
    /// host that refuses the stream says that the process is gone.
    pub(super) fn ask_again(&self, target: &Peer, out: &mut Vec<Action>) {
        if let Some(ping) = self.unanswered(target) {
            let question = Question::Repeated(ping.to_vec());
            out.push(Action::Ask { to: target.addr(), question, purpose: Purpose::Ping(*target) });
        }
    }

    /// Helps another node with its probe: if no answer comes in time, that node is told that its helper at least is there.
    pub(super) fn relay(&mut self, header: &Header<Peer>, timing: &Timing, out: &mut Vec<Action>) {
        if let Message::PingReq { target, probe_number: number } = header.message {
            let wait = self.wait(timing).mul_f64(NACK_AFTER);
            self.relayed.remove(&Relayed { target: target.id, number });
            let tick = Tick::Nack { asker: header.src, target: target.id, number };
            out.push(Action::After(Wait::Exactly(wait), tick));
        }
        if let Message::IndirectAck { probe_number: number, .. } = header.message {
            if self.relayed.len() >= REMEMBERED_RELAYS {
                self.relayed.clear();
            }
            self.relayed.insert(Relayed { target: header.src.id, number });
        }
    }

    /// Tells the node that asked for help that no answer came, unless one did.
    pub(super) fn tell_nack(&mut self, asker: Peer, target: NodeId, number: u8, out: &mut Vec<Action>) {
        if !self.relayed.remove(&Relayed { target, number }) {
            out.push(Action::Send(asker, Draft::item(Rumour::Nack(number).encode())));
        }
    }

    /// Ends the probe under way.
    pub(super) fn end(&mut self) -> Option<Outcome> {
        let probe = self.current.take()?;
        if probe.answered.is_some() {
            return Some(Outcome::Answered);
        }
        let silent = (probe.helpers > 0).then(|| probe.helpers.saturating_sub(probe.nacks));
        Some(Outcome::Failed { silent_helpers: silent })
    }

    /// Time that an answer may take: the profile's until enough round trips are known, then what 99 of 100 of them took,
    /// and some slack.
    pub(super) fn wait(&self, timing: &Timing) -> Duration {
        if self.recent.len() < ENOUGH {
            return timing.probe_rtt;
        }
        (self.percentile + SLACK).min(timing.probe_rtt * 8)
    }

    /// The way to a member.
    pub(super) fn way(&self, id: &NodeId) -> Way {
        self.ways.get(id).copied().unwrap_or_default()
    }

    /// Forgets the ways to nodes that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.ways.retain(|id, _| known(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Epoch;

    fn peer(last: u8) -> Peer {
        let id = NodeId::try_from([last; 16]).unwrap();
        Peer::new(id, ([10, 0, 0, last], 7946).into(), Epoch(1), 0)
    }

    fn header(src: u8, message: Message<Peer>) -> Header<Peer> {
        Header { src: peer(src), src_incarnation: 0, dst: peer(9), message }
    }

    #[test]
    fn the_wait_follows_the_round_trips_once_there_are_enough() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let mut now = Instant::now();
        let mut probes = Probes::default();
        let timing = Timing::LAN;
        for number in 0..40 {
            probes.note_sent(&header(9, Message::Ping(number)), &peer(1), b"ping", now);
            now += Duration::from_millis(5);
            probes.note_answer(&header(1, Message::Ack(number)), Transport::Datagram, now);
            assert_eq!(probes.end(), Some(Outcome::Answered));
            let wait = probes.wait(&timing);
            let enough = usize::from(number) + 1 >= ENOUGH;
            assert_eq!(wait, if enough { SLACK + Duration::from_millis(5) } else { timing.probe_rtt });
        }
        assert_eq!(probes.way(&peer(1).id).rtt, Some(Duration::from_millis(5)));
    }

    #[test]
    fn only_an_answer_to_this_probe_counts_and_a_datagram_is_the_best() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut probes = Probes::default();
        probes.note_sent(&header(9, Message::Ping(3)), &peer(1), b"ping", now);
        for (from, message) in [(1, Message::Ack(2)), (2, Message::Ack(3))] {
            probes.note_answer(&header(from, message), Transport::Datagram, now);
            assert_eq!(probes.unanswered(&peer(1)), Some(&Bytes::from_static(b"ping")));
        }
        probes.note_answer(&header(1, Message::Ack(3)), Transport::Stream, now);
        assert_eq!(probes.way(&peer(1).id).reach, Some(Reach::Stream));
        probes.note_answer(&header(1, Message::Ack(3)), Transport::Datagram, now);
        assert_eq!(probes.way(&peer(1).id).reach, Some(Reach::Datagram));
        assert_eq!(probes.unanswered(&peer(1)), None);
    }

    #[test]
    fn helpers_that_are_silent_count_against_this_node() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut probes = Probes::default();
        probes.note_sent(&header(9, Message::Ping(3)), &peer(1), b"ping", now);
        let asked = Message::PingReq { target: peer(1), probe_number: 3 };
        (2..5).for_each(|to| probes.note_sent(&header(9, asked.clone()), &peer(to), b"", now));
        probes.note_nack(3);
        assert_eq!(probes.end(), Some(Outcome::Failed { silent_helpers: Some(2) }));
    }
}
