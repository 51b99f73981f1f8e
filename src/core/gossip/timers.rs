//! Everything that is to happen later, in one queue: the engine's timers and our own.

use std::{collections::BTreeMap, time::Instant};

use foca::Timer;

use super::peer::Peer;
use crate::node::NodeId;

/// What happens when a time comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tick {
    /// A timer of the engine.
    Swim(Timer<Peer>),
    /// The next seeds of the running round are dialled.
    Widen,
    /// A new round of dialling begins, where it is needed.
    JoinRound,
    /// One failed member or unseen seed is dialled.
    Heal,
    /// The state is compared with that of one random member; of several chains of comparisons only the newest counts.
    Compare(u32),
    /// A member whose metadata is missing is asked for it.
    AskMetadata,
    /// Another member is dialled, now that it is known to be reachable.
    Reach(NodeId),
    /// A suspicion may have run out.
    Verdict(NodeId),
    /// Another node's verdict over a life at this incarnation came before that had the time to refute.
    Sentence(Peer, u16),
    /// The time for looking at a member that others suspect is over.
    CheckEnds(NodeId),
    /// The peer asked for help with this probe of this node is told that no answer came.
    Nack(Peer, NodeId, u8),
    /// What readers see of a member may have changed by the time alone.
    Refresh(NodeId),
    /// One more round of the goodbye.
    Goodbye(u8),
}

impl Tick {
    /// Among ticks due at one moment the lower goes first. The engine wants the indirect stage of a probe before the
    /// next probe, even when both are late.
    fn rank(&self) -> u8 {
        match self {
            Self::Swim(Timer::SendIndirectProbe { .. }) => 0,
            Self::Swim(Timer::ProbeRandomMember(_)) => 1,
            Self::Swim(Timer::ChangeSuspectToDown { .. }) | Self::Verdict(_) | Self::Sentence(..) => 2,
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
            | Self::AskMetadata
            | Self::Reach(_)
            | Self::CheckEnds(_)
            | Self::Nack(..)
            | Self::Refresh(_)
            | Self::Goodbye(_) => 4,
        }
    }
}

/// Ticks by deadline, then rank, then order of arrival: the same every time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<(Instant, u8, u64), Tick>,
    arrivals: u64,
}

impl Timers {
    /// Has `tick` happen at `at`.
    pub(super) fn schedule(&mut self, at: Instant, tick: Tick) {
        self.arrivals += 1;
        self.queue.insert((at, tick.rank(), self.arrivals), tick);
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, ..), _)| *at)
    }

    /// The next one that is due by `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Tick> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Has the first tick that is `early` happen together with the first that is `late`, where both are still to come: by
    /// then it is known to have nothing to do, and nothing else need wake this node.
    pub(super) fn join(&mut self, early: impl Fn(&Tick) -> bool, late: impl Fn(&Tick) -> bool) {
        let first = |is_it: &dyn Fn(&Tick) -> bool| {
            self.queue.iter().find(|(_, tick)| is_it(tick)).map(|(key, _)| *key)
        };
        if let (Some(early), Some((at, ..))) = (first(&early), first(&late))
            && let Some(tick) = self.queue.remove(&early)
        {
            self.schedule(early.0.max(at), tick);
        }
    }

    /// Forgets the engine's timers: a new engine has timers of its own.
    pub(super) fn forget_engine(&mut self) {
        self.queue.retain(|_, tick| !matches!(tick, Tick::Swim(_)));
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_has_nothing_to_do_happens_together_with_the_next_thing() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        let (widen, heal, goodbye) = (Tick::Widen, Tick::Heal, Tick::Goodbye(1));
        for (after, tick) in [(1, &widen), (2, &goodbye), (3, &heal), (5, &heal)] {
            timers.schedule(at(after), tick.clone());
        }
        timers.join(|tick| *tick == widen, |tick| *tick == heal);
        timers.join(|tick| *tick == Tick::JoinRound, |tick| *tick == heal);
        assert_eq!(timers.pop_due(at(1)), None);
        assert_eq!(timers.pop_due(at(2)), Some(goodbye));
        assert_eq!(timers.pop_due(at(2)), None);
        let together = [timers.pop_due(at(3)), timers.pop_due(at(3)), timers.pop_due(at(3))];
        assert_eq!(together, [Some(heal.clone()), Some(widen), None]);
        assert_eq!(timers.pop_due(at(5)), Some(heal));
    }
}
