//! The probe under way, and what probes have taught: round trips, the wait that follows from them, and by which way
//! each member answers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foca::{Header, Message, Timer};

use super::{Gossip, Peer, Purpose, Timing, sync::Request, timers::Tick};
use crate::{membership::Reach, node::NodeId};

/// Round trips remembered; the greatest but one of them is their 99th percentile.
const REMEMBERED: usize = 128;
/// Fewer round trips than this say nothing about a percentile.
const ENOUGH: usize = 32;
/// What a process may be late by though nothing is wrong: scheduling in virtual machines.
const SLACK: Duration = Duration::from_millis(60);
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
    /// How many were asked to help, and how many of them said that they had no answer either.
    helpers: u32,
    nacks: u32,
}

/// What is known of the way to a member.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Way {
    /// Smoothed round trip of datagrams.
    pub(super) rtt: Option<Duration>,
    /// By which way the last probe was answered.
    pub(super) reach: Option<Reach>,
}

/// The probe under way, and what probes have taught.
#[derive(Debug, Default)]
pub(super) struct Probing {
    current: Option<Probe>,
    recent: VecDeque<Duration>,
    /// The 99th percentile of these.
    percentile: Duration,
    pub(super) ways: BTreeMap<NodeId, Way>,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    /// Nobody brought an answer; so many helpers did not even say that they had none.
    Failed {
        silent_helpers: Option<u32>,
    },
}

impl Probing {
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

    /// Takes note of an answer. The first datagram's tells the round trip.
    pub(super) fn note_answer(
        &mut self,
        header: &Header<Peer>,
        over_stream: bool,
        now: Instant,
    ) -> Option<Duration> {
        let probe = self.current.as_mut()?;
        let reach = if header.message == Message::Ack(probe.number) && header.src == probe.target {
            if over_stream { Reach::Stream } else { Reach::Datagram }
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
        self.recent.truncate(REMEMBERED - 1);
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

    /// The ping to `target`, if it is still without an answer.
    pub(super) fn unanswered(&self, target: &Peer) -> Option<&Bytes> {
        let probe = self.current.as_ref()?;
        (probe.target == *target && probe.answered.is_none()).then_some(&probe.ping)
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

    /// How long an answer may take: as the profile says until enough round trips are known, then what 99 of 100 of
    /// them took, and some slack.
    pub(super) fn wait(&self, timing: &Timing) -> Duration {
        if self.recent.len() < ENOUGH {
            return timing.probe_rtt;
        }
        (self.percentile + SLACK).min(timing.probe_rtt * 8)
    }

    /// Forgets the ways to those who are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.ways.retain(|id, _| known(id));
    }
}

impl Gossip {
    /// What the engine wants done after `wait`: a node that is not well, or whose network is slow, takes longer.
    pub(super) fn pace(&mut self, wait: Duration, timer: &Timer<Peer>) -> Duration {
        if let Timer::SendIndirectProbe { .. } = timer {
            self.answer_within()
        } else if let Timer::ProbeRandomMember(_) = timer
            && !wait.is_zero()
        {
            // The indirect stage takes two more waits.
            let period = self.timing.probe_period.max(self.probing.wait(&self.timing) * 3);
            self.jitter(self.health.stretch(period))
        } else if let Timer::PeriodicGossip(_) = timer {
            self.jitter(wait)
        } else {
            wait
        }
    }

    /// How long this node waits for an answer.
    pub(super) fn answer_within(&self) -> Duration {
        self.health.stretch(self.probing.wait(&self.timing))
    }

    /// The probe under way has its answer: its indirect stage, which the engine insists on, may wait for the next probe.
    pub(super) fn spare_indirect_stage(&mut self) {
        let current = self.token;
        let indirect = |tick: &Tick| matches!(tick, Tick::Swim(Timer::SendIndirectProbe { token, .. }) if *token == current);
        let next = Tick::Swim(Timer::ProbeRandomMember(current));
        self.timers.join(indirect, |tick| *tick == next);
    }

    /// The period just before a probe: the one under way has had its time.
    pub(super) fn end_probe(&mut self) {
        // The engine suspects whoever has not answered, and does not say so.
        if let Some(probe) = self.probing.current.as_ref().filter(|probe| probe.answered.is_none()) {
            self.news.of(probe.target.id);
        }
        match self.probing.end() {
            Some(Outcome::Answered) => self.health.better(),
            Some(Outcome::Failed { silent_helpers }) => self.health.worse(silent_helpers.unwrap_or(1)),
            None => {}
        }
    }

    /// The ping was not answered in time: the same bytes go over a stream, beside the indirect pings. Lost datagrams
    /// accuse nobody then, and a host that refuses the stream says that the process is gone.
    pub(super) fn ping_again(&mut self, target: &Peer) {
        if let Some(ping) = self.probing.unanswered(target) {
            let request = Request::Swim(ping.to_vec().into());
            self.request(target.addr(), Purpose::Ping(*target), &request);
        }
    }

    /// A helper: where no answer comes in time, its asker is told that the helper at least is there.
    pub(super) fn promise_nack(&mut self, header: &Header<Peer>, now: Instant) {
        if let Message::PingReq { target, probe_number } = header.message {
            let at = self.probing.wait(&self.timing).mul_f64(0.8);
            self.relayed.remove(&(target.id, probe_number));
            self.after_exactly(now, at, Tick::Nack(header.src, target.id, probe_number));
        }
        if let Message::IndirectAck { probe_number, .. } = header.message {
            if self.relayed.len() >= REMEMBERED {
                self.relayed.clear();
            }
            self.relayed.insert((header.src.id, probe_number));
        }
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
        let mut probing = Probing::default();
        let timing = Timing::LAN;
        for number in 0..40 {
            probing.note_sent(&header(9, Message::Ping(number)), &peer(1), b"ping", now);
            now += Duration::from_millis(5);
            probing.note_answer(&header(1, Message::Ack(number)), false, now);
            assert_eq!(probing.end(), Some(Outcome::Answered));
            let wait = probing.wait(&timing);
            let enough = usize::from(number) + 1 >= ENOUGH;
            assert_eq!(wait, if enough { SLACK + Duration::from_millis(5) } else { timing.probe_rtt });
        }
        assert_eq!(probing.ways[&peer(1).id].rtt, Some(Duration::from_millis(5)));
    }

    #[test]
    fn only_an_answer_to_this_probe_counts_and_a_datagram_is_the_best() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut probing = Probing::default();
        probing.note_sent(&header(9, Message::Ping(3)), &peer(1), b"ping", now);
        for (from, message) in [(1, Message::Ack(2)), (2, Message::Ack(3))] {
            probing.note_answer(&header(from, message), false, now);
            assert_eq!(probing.unanswered(&peer(1)), Some(&Bytes::from_static(b"ping")));
        }
        probing.note_answer(&header(1, Message::Ack(3)), true, now);
        assert_eq!(probing.ways[&peer(1).id].reach, Some(Reach::Stream));
        probing.note_answer(&header(1, Message::Ack(3)), false, now);
        assert_eq!(probing.ways[&peer(1).id].reach, Some(Reach::Datagram));
        assert_eq!(probing.unanswered(&peer(1)), None);
    }

    #[test]
    fn helpers_that_are_silent_count_against_this_node() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut probing = Probing::default();
        probing.note_sent(&header(9, Message::Ping(3)), &peer(1), b"ping", now);
        let asked = Message::PingReq { target: peer(1), probe_number: 3 };
        (2..5).for_each(|to| probing.note_sent(&header(9, asked.clone()), &peer(to), b"", now));
        probing.note_nack(3);
        assert_eq!(probing.end(), Some(Outcome::Failed { silent_helpers: Some(2) }));
    }
}
