//! Time and chance: one queue for the engine's timers and our own, the dice, and the pauses of this process.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use foca::Timer;
use rand::{RngExt as _, rngs::StdRng};

use super::peer::Peer;
use crate::node::NodeId;

/// Something that happens when its time comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tick {
    /// A timer of the engine.
    Swim(Timer<Peer>),
    /// The running round of joining dials its next addresses.
    Widen,
    /// A new round of joining begins, if this node is alone.
    JoinRound,
    /// One failed member or unseen seed is dialled.
    Heal,
    /// The state is compared with that of one random member, if this chain of comparisons is the newest.
    Compare(Chain),
    /// A member is asked for records that are missing.
    AskRecords,
    /// An address is dialled.
    Reach(SocketAddr),
    /// A suspicion may have run out.
    Verdict(NodeId),
    /// The accused has had the time to refute another node's verdict.
    Sentence {
        /// The accused.
        accused: Peer,
        /// Incarnation at which it was called failed.
        incarnation: u16,
    },
    /// The time for looking at a member that others suspect is over.
    CheckEnds(NodeId),
    /// The peer that asked for help with its probe is told that no answer came.
    Nack {
        /// The peer that asked.
        asker: Peer,
        /// Target of its probe.
        target: NodeId,
        /// Number of its probe.
        number: u8,
    },
    /// A member may be degraded no more.
    Refresh(NodeId),
    /// The process that has this node's id is asked whether it is still there.
    Duplicate,
    /// Streams that were given up are to be ended.
    GivenUp,
    /// One more round of the goodbye.
    Goodbye(u8),
}

/// Number of a chain of comparisons; a later one makes those before it void.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Chain(pub(super) u32);

impl Tick {
    /// Order among ticks due at one moment; the lowest goes first. The engine wants the indirect stage of a probe before
    /// the next probe, even if both are late.
    fn rank(&self) -> u8 {
        match self {
            Self::Swim(Timer::SendIndirectProbe { .. }) => 0,
            Self::Swim(Timer::ProbeRandomMember(_)) => 1,
            Self::Swim(Timer::ChangeSuspectToDown { .. }) | Self::Verdict(_) | Self::Sentence { .. } => 2,
            Self::Swim(
                Timer::PeriodicAnnounce(_)
                | Timer::PeriodicAnnounceDown(_)
                | Timer::PeriodicGossip(_)
                | Timer::RemoveDown(_),
            ) => 3,
            Self::Widen
            | Self::JoinRound
            | Self::Heal
            | Self::Compare(_)
            | Self::AskRecords
            | Self::Reach(_)
            | Self::CheckEnds(_)
            | Self::Nack { .. }
            | Self::Refresh(_)
            | Self::Duplicate
            | Self::GivenUp
            | Self::Goodbye(_) => 4,
        }
    }
}

/// Time to wait, with or without dice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Just this long.
    Exactly(Duration),
    /// Half to one and a half of it, so that nodes fall out of step.
    Around(Duration),
    /// A tenth more or less than it, so that nodes fall out of step slowly.
    About(Duration),
    /// A random share of it, so that many nodes that react to one event do not react together.
    Within(Duration),
}

/// Delay of a timer from which on the process counts as too busy: four times what scheduling in a virtual machine costs.
const LATE: Duration = Duration::from_millis(250);

/// Queue of ticks, and the dice.
#[derive(Debug)]
pub(super) struct Clock {
    queue: Queue,
    rng: StdRng,
    /// Time at which this process last noticed that it had been paused.
    stalled: Option<Instant>,
    /// Number of pauses noticed since the start.
    stalls: u64,
}

/// Result of a look at how late the next tick is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// It is in time.
    InTime,
    /// This node is slow.
    Slow,
    /// This process was paused for so long that it may have missed answers.
    Paused(Duration),
}

impl Clock {
    /// A clock without ticks that throws the dice of `rng`.
    pub(super) fn new(rng: StdRng) -> Self {
        Self { queue: Queue::default(), rng, stalled: None, stalls: 0 }
    }

    /// Dice for whoever has to choose.
    pub(super) fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// Schedules `tick` for `at`.
    pub(super) fn schedule(&mut self, at: Instant, tick: Tick) {
        self.queue.schedule(at, tick);
    }

    /// Schedules `tick` after `wait`.
    pub(super) fn schedule_after(&mut self, now: Instant, wait: Wait, tick: Tick) {
        let wait = match wait {
            Wait::Exactly(wait) => wait,
            Wait::Around(wait) => wait.mul_f64(self.rng.random_range(0.5..1.5)),
            Wait::About(wait) => wait.mul_f64(self.rng.random_range(0.9..1.1)),
            Wait::Within(most) => most.mul_f64(self.rng.random_range(0.0..1.0)),
        };
        self.queue.schedule(now + wait, tick);
    }

    /// Time of the next tick.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.next()
    }

    /// The next tick that is due by `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Tick> {
        self.queue.pop_due(now)
    }

    /// Postpones the first tick matching `early` to the time of the first matching `late`, so that both share a wake-up.
    pub(super) fn join(&mut self, early: impl Fn(&Tick) -> bool, late: impl Fn(&Tick) -> bool) {
        self.queue.join(early, late);
    }

    /// Forgets the engine's timers: a new engine has timers of its own.
    pub(super) fn forget_engine(&mut self) {
        self.queue.ticks.retain(|_, tick| !matches!(tick, Tick::Swim(_)));
    }

    /// Forgets all ticks.
    pub(super) fn clear(&mut self) {
        self.queue.ticks.clear();
    }

    /// Looks how late the next tick is, and takes note of a pause, which a delay above `stall` is.
    pub(super) fn note_lateness(&mut self, stall: Duration, now: Instant) -> Lateness {
        let late = self.next().map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late > stall {
            self.stalls += 1;
            self.stalled = Some(now);
            Lateness::Paused(late)
        } else if late > LATE {
            Lateness::Slow
        } else {
            Lateness::InTime
        }
    }

    /// True if this process noticed a pause less than `within` ago.
    pub(super) fn has_stalled(&self, within: Duration, now: Instant) -> bool {
        self.stalled.is_some_and(|at| now.saturating_duration_since(at) < within)
    }

    /// Number of pauses noticed since the start.
    pub(super) fn stalls(&self) -> u64 {
        self.stalls
    }
}

/// Ticks by time, then rank, then order of arrival: the same in every run.
#[derive(Debug, Default)]
struct Queue {
    ticks: BTreeMap<(Instant, u8, u64), Tick>,
    arrivals: u64,
}

impl Queue {
    fn schedule(&mut self, at: Instant, tick: Tick) {
        self.arrivals += 1;
        self.ticks.insert((at, tick.rank(), self.arrivals), tick);
    }

    fn next(&self) -> Option<Instant> {
        self.ticks.first_key_value().map(|((at, ..), _)| *at)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Tick> {
        let entry = self.ticks.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    fn join(&mut self, early: impl Fn(&Tick) -> bool, late: impl Fn(&Tick) -> bool) {
        let first = |is_it: &dyn Fn(&Tick) -> bool| {
            self.ticks.iter().find(|(_, tick)| is_it(tick)).map(|(key, _)| *key)
        };
        if let (Some(early), Some((at, ..))) = (first(&early), first(&late))
            && let Some(tick) = self.ticks.remove(&early)
        {
            self.schedule(early.0.max(at), tick);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn ticks_that_share_a_wake_up_happen_together() {
        let start = start();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::new(StdRng::seed_from_u64(1));
        let (widen, heal, goodbye) = (Tick::Widen, Tick::Heal, Tick::Goodbye(1));
        for (after, tick) in [(1, &widen), (2, &goodbye), (3, &heal), (5, &heal)] {
            clock.schedule(at(after), tick.clone());
        }
        clock.join(|tick| *tick == widen, |tick| *tick == heal);
        clock.join(|tick| *tick == Tick::JoinRound, |tick| *tick == heal);
        assert_eq!(clock.pop_due(at(1)), None);
        assert_eq!(clock.pop_due(at(2)), Some(goodbye));
        assert_eq!(clock.pop_due(at(2)), None);
        let together = [clock.pop_due(at(3)), clock.pop_due(at(3)), clock.pop_due(at(3))];
        assert_eq!(together, [Some(heal.clone()), Some(widen), None]);
        assert_eq!(clock.pop_due(at(5)), Some(heal));
    }

    #[test]
    fn a_late_tick_says_that_this_node_is_slow_and_a_very_late_one_that_it_was_paused() {
        let start = start();
        let stall = Duration::from_millis(500);
        let mut clock = Clock::new(StdRng::seed_from_u64(1));
        assert_eq!(clock.note_lateness(stall, start + stall * 9), Lateness::InTime, "nothing is due");
        clock.schedule(start, Tick::Heal);
        assert_eq!(clock.note_lateness(stall, start + LATE), Lateness::InTime);
        assert_eq!(clock.note_lateness(stall, start + stall), Lateness::Slow);
        assert!(!clock.has_stalled(stall, start + stall));
        let paused = start + stall * 2;
        assert_eq!(clock.note_lateness(stall, paused), Lateness::Paused(stall * 2));
        assert!(clock.has_stalled(stall, paused + stall / 2) && !clock.has_stalled(stall, paused + stall));
        assert_eq!(clock.stalls(), 1);
    }
}
