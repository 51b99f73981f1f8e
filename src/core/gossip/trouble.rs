//! Members that come and go: suspected again and again, or called failed and back a moment later. They are shown as
//! degraded, and get more patience, so that they do not flap.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Gossip,
    timers::Tick,
    view::{Known, Sight},
};
use crate::{membership::MemberStatus, node::NodeId};

/// So many points within `WITHIN` make a member degraded.
const DEGRADED: usize = 3 * DISTURBANCE;
/// What a disturbance that this node saw counts. A process that is stopped for two seconds of every two and a quarter has
/// four to five in ten seconds; lost packets alone bring one now and then. A suspicion that was refuted without this node
/// having heard of it counts one point: with one, three or four of them to a disturbance, a member that can hardly speak
/// is marked by all of ten after some 2.4, 4.2 and 5 s, and healthy ones in 45, 8 and 4 % of the time while a
/// quarter of everybody's packets is lost.
const DISTURBANCE: usize = 4;
/// The time in which they are counted, and how long after the last one it counts as degraded.
const WITHIN: Duration = Duration::from_secs(15);
/// How long a member that was wrongly called failed keeps its additional patience, counted from when it last was, or
/// would have been without the patience. Longer than the 40 s in which the outages of Rapid's campaign repeat themselves;
/// a minute without an outage is peace, and whoever dies after it is missed as soon as anybody.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How much more of it: three times the shortest suspicion is longer than the two seconds for which half-dead machines
/// and overloaded processes commonly hang.
const PATIENCE: u32 = 3;
/// And of a member that was wrongly called failed so often within what is remembered: longer than 20 s for a dozen
/// members, the outages of Rapid's campaign. It is shown as suspect meanwhile, and a host that refuses ends it at once.
const OFTEN: u32 = 2;
const MOST_PATIENCE: u32 = 30;

#[derive(Debug, Default)]
struct History {
    /// When each point was counted, the newest first.
    points: VecDeque<Instant>,
    degraded_until: Option<Instant>,
    /// When it was last wrongly called failed, or spared that by its patience.
    returned: Option<Instant>,
    /// How often it was wrongly called failed since it last was at peace.
    returns: u32,
}

impl History {
    /// Once it is degraded, each further disturbance prolongs that: of a large cluster each sees only some of them.
    fn disturb(&mut self, now: Instant) {
        self.count(DISTURBANCE, now);
        if self.degraded_until.is_some_and(|until| now < until) {
            self.degraded_until = Some(now + WITHIN);
        }
    }

    fn count(&mut self, points: usize, now: Instant) {
        for _ in 0..points {
            self.points.truncate(DEGRADED - 1);
            self.points.push_front(now);
        }
        let first = self.points.get(DEGRADED - 1);
        if first.is_some_and(|first| now.duration_since(*first) <= WITHIN) {
            self.degraded_until = Some(now + WITHIN);
        }
    }
}

/// What has happened to members of late.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    members: BTreeMap<NodeId, History>,
}

impl Trouble {
    /// Takes note of a change of a member within one life of its process: of its status, or `renewed`, which it is after
    /// it was called failed, also where that was not heard of here. Says whether it is a disturbance.
    pub(super) fn note(
        &mut self,
        id: NodeId,
        before: MemberStatus,
        after: MemberStatus,
        renewed: bool,
        now: Instant,
    ) -> bool {
        use MemberStatus::{Alive, Failed, Suspect};
        let returned = after.is_active() && (before == Failed || renewed && before.is_active());
        let disturbed = returned || before == Alive && matches!(after, Suspect | Failed);
        if !disturbed {
            return false;
        }
        let patient = self.patience(id, now) > 1;
        let history = self.members.entry(id).or_default();
        if !patient {
            history.returns = 0;
        }
        if returned {
            history.returns = history.returns.saturating_add(1);
            history.returned = Some(now);
        }
        history.disturb(now);
        true
    }

    /// A member has refuted a suspicion so late that with two more who confirmed it would have been called failed. That
    /// is a disturbance of its own, and its patience lasts as long as it goes on like this. One that refutes in time, as
    /// where packets are lost now and then, does not earn any.
    pub(super) fn note_late(&mut self, id: NodeId, now: Instant) {
        let patient = self.patience(id, now) > 1;
        let history = self.members.entry(id).or_default();
        history.disturb(now);
        if patient {
            history.returned = Some(now);
        }
    }

    /// A member has refuted so many suspicions that this node did not hear of. When they were is not known, so that they
    /// alone do not make it degraded.
    pub(super) fn note_unseen(&mut self, id: NodeId, suspicions: u16, now: Instant) {
        let points = usize::from(suspicions).min(DEGRADED - 1);
        self.members.entry(id).or_default().count(points, now);
    }

    /// Until when a member counts as degraded, if it does.
    pub(super) fn degraded_until(&self, id: NodeId, now: Instant) -> Option<Instant> {
        self.members.get(&id)?.degraded_until.filter(|until| *until > now)
    }

    /// How many times the usual suspicion a member gets.
    pub(super) fn patience(&self, id: NodeId, now: Instant) -> u32 {
        let Some(history) = self.members.get(&id) else { return 1 };
        match history.returned {
            Some(at) if now.duration_since(at) < REMEMBERED && history.returns >= OFTEN => MOST_PATIENCE,
            Some(at) if now.duration_since(at) < REMEMBERED => PATIENCE,
            _ => 1,
        }
    }

    /// Forgets those who are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.members.retain(|id, _| known(id));
    }
}

impl Gossip {
    /// Remembers that a member comes and goes, where it was seen otherwise `before` within one life of its process.
    pub(super) fn note_trouble(&mut self, before: &Known, sight: &Sight, now: Instant) {
        let id = sight.peer.id;
        let former = before.life.of(id);
        let renewed = former.bump() < sight.peer.bump();
        let refuted = (before.status, sight.status) == (MemberStatus::Suspect, MemberStatus::Alive);
        let late = refuted && now.duration_since(before.since) > self.timing.suspicion(self.known.len());
        if late {
            self.trouble.note_late(id, now);
        }
        let unseen = if former == sight.peer { refuted_unseen(before, sight) } else { 0 };
        if unseen > 0 {
            self.trouble.note_unseen(id, unseen, now);
        }
        if (self.trouble.note(id, before.status, sight.status, renewed, now) || late || unseen > 0)
            && let Some(until) = self.trouble.degraded_until(id, now)
        {
            self.timers.schedule(until, Tick::Refresh(id));
        }
    }
}

/// How many suspicions one life has refuted between two sights of it without having been seen suspected. Of a large cluster
/// each member hears of few before they are refuted; but a life counts its refutations, and that count is in all that it
/// says.
fn refuted_unseen(before: &Known, sight: &Sight) -> u16 {
    use MemberStatus::{Alive, Suspect};
    let refuted = sight.incarnation.saturating_sub(before.incarnation);
    match (before.status, sight.status) {
        (Suspect, Alive) => refuted.saturating_sub(1),
        (Alive, Alive | Suspect) | (Suspect, Suspect) => refuted,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_disturbances_in_a_row_degrade_and_a_return_brings_patience() {
        use MemberStatus::{Alive, Failed, Suspect};
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let id = NodeId::try_from([1; 16]).unwrap();
        let second = Duration::from_secs(1);
        let mut trouble = Trouble::default();
        assert!(trouble.note(id, Alive, Suspect, false, now));
        assert!(!trouble.note(id, Suspect, Failed, false, now + second), "one story");
        assert_eq!(trouble.patience(id, now + second), 1);
        assert!(trouble.note(id, Failed, Alive, false, now + 2 * second));
        assert_eq!(trouble.degraded_until(id, now + 2 * second), None);
        assert_eq!(trouble.patience(id, now + 3 * second), PATIENCE);
        assert!(trouble.note(id, Alive, Suspect, false, now + 3 * second));
        let until = now + 3 * second + WITHIN;
        assert_eq!(trouble.degraded_until(id, now + 3 * second), Some(until));
        assert_eq!(trouble.degraded_until(id, until), None, "nothing is planned for what is over");
        assert_eq!(trouble.patience(id, now + 61 * second), PATIENCE, "a minute after the return");
        assert_eq!(trouble.patience(id, now + 62 * second), 1, "a suspicion alone does not prolong it");
        trouble.note(id, Suspect, Failed, false, now + 5 * second);
        trouble.note(id, Failed, Alive, false, now + 30 * second);
        assert_eq!(trouble.patience(id, now + 31 * second), MOST_PATIENCE, "the second time");
        trouble.note_late(id, now + 80 * second);
        assert_eq!(trouble.patience(id, now + 139 * second), MOST_PATIENCE, "it needed that");
        trouble.note_late(id, now + 140 * second);
        assert_eq!(trouble.patience(id, now + 140 * second), 1, "too late");
        trouble.note(id, Alive, Suspect, false, now + 200 * second);
        trouble.note(id, Failed, Alive, false, now + 201 * second);
        assert_eq!(trouble.patience(id, now + 202 * second), PATIENCE, "that was long ago");
        assert!(!trouble.note(id, Alive, Alive, false, now + 300 * second));
        assert_eq!(trouble.patience(id, now + 300 * second), 1);
        assert!(trouble.note(id, Alive, Alive, true, now + 301 * second), "others had called it failed");
        assert_eq!(trouble.patience(id, now + 301 * second), PATIENCE);
    }
}
