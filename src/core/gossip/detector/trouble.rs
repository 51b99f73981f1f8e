//! Members that come and go: suspected again and again, or called failed and back a moment later. They are shown as
//! degraded, and get more patience, so that they do not flap.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{gossip::roster::Change, membership::MemberStatus, node::NodeId};

/// Number of points within `WITHIN` that makes a member degraded.
const DEGRADED: usize = 3 * DISTURBANCE;
/// Points for a disturbance that this node saw. A process that is stopped for two seconds of every two and a quarter has
/// four to five in ten seconds; lost packets alone bring one now and then. A suspicion that was refuted without this node
/// having heard of it counts one point: with one, three or four of them to a disturbance, a member that can hardly speak
/// is marked by all of ten after some 2.4, 4.2 and 5 s, and healthy ones in 45, 8 and 4 % of the time while a
/// quarter of everybody's packets is lost.
const DISTURBANCE: usize = 4;
/// Time in which points are counted, and for which a member counts as degraded after the last one.
const WITHIN: Duration = Duration::from_secs(15);
/// Time for which a member that was wrongly called failed keeps its additional patience, counted from when it last was, or
/// would have been without the patience. It is longer than the 40 s in which the outages of Rapid's campaign repeat
/// themselves; a minute without an outage is peace, and a member that dies after it is missed as soon as any other.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Suspicion timeout factor after one false failure: three times the shortest suspicion is longer than the two seconds for
/// which half-dead machines and overloaded processes commonly hang.
const PATIENCE: u32 = 3;
/// Number of false failures within `REMEMBERED` from which on `MOST_PATIENCE` applies.
const OFTEN: u32 = 2;
/// Suspicion timeout factor from then on: longer than 20 s for a dozen members, the outages of Rapid's campaign. The
/// member is shown as suspect meanwhile, and a host that refuses ends it at once.
const MOST_PATIENCE: u32 = 30;

#[derive(Debug, Default)]
struct History {
    /// Time of each point, the newest first.
    points: VecDeque<Instant>,
    degraded_until: Option<Instant>,
    /// Time at which it was last wrongly called failed, or spared that by its patience.
    returned: Option<Instant>,
    /// Number of times that it was wrongly called failed since it last was at peace.
    returns: u32,
}

impl History {
    /// Counts a disturbance. Once a member is degraded, each one prolongs that: of a large cluster each sees only some.
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

/// Disturbances of members of late.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    members: BTreeMap<NodeId, History>,
}

impl Trouble {
    /// Takes note of a change of a member. `confirmed` is the suspicion timeout of a member of whom two more confirmed a
    /// suspicion. Returns until when it counts as degraded, if it does and this may have prolonged it.
    pub(super) fn note_change(
        &mut self,
        change: &Change,
        confirmed: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let Change { before, after } = change;
        if before.peer.epoch() != after.peer.epoch() {
            return None;
        }
        let id = after.peer.id;
        let renewed = before.peer.bump() < after.peer.bump();
        let refuted = (before.status, after.status) == (MemberStatus::Suspect, MemberStatus::Alive);
        let late = refuted && now.duration_since(before.since) > confirmed;
        if late {
            self.note_late(id, now);
        }
        let unseen = if before.peer == after.peer { refuted_unseen(change) } else { 0 };
        if unseen > 0 {
            self.note_unseen(id, unseen, now);
        }
        let disturbed = self.note_status(id, before.status, after.status, renewed, now);
        if disturbed || late || unseen > 0 { self.degraded_until(id, now) } else { None }
    }

    /// Takes note of a change of status within one start of a process. `renewed` says that it has renewed itself, which
    /// it does after it was called failed, even if that was not heard of here. Returns whether it is a disturbance.
    fn note_status(
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

    /// Takes note that a member refuted a suspicion so late that with two more who confirmed it would have been called
    /// failed. That is a disturbance of its own, and its patience lasts as long as it goes on like this. A member that
    /// refutes in time, as it does if packets are lost now and then, does not earn any.
    fn note_late(&mut self, id: NodeId, now: Instant) {
        let patient = self.patience(id, now) > 1;
        let history = self.members.entry(id).or_default();
        history.disturb(now);
        if patient {
            history.returned = Some(now);
        }
    }

    /// Takes note of suspicions that a member refuted without this node having heard of them. Their times are not known,
    /// so that they alone do not make it degraded.
    fn note_unseen(&mut self, id: NodeId, suspicions: u16, now: Instant) {
        let points = usize::from(suspicions).min(DEGRADED - 1);
        self.members.entry(id).or_default().count(points, now);
    }

    /// End of the time for which a member counts as degraded, if it does.
    pub(super) fn degraded_until(&self, id: NodeId, now: Instant) -> Option<Instant> {
        self.members.get(&id)?.degraded_until.filter(|until| *until > now)
    }

    /// Suspicion timeout factor of a member.
    pub(super) fn patience(&self, id: NodeId, now: Instant) -> u32 {
        let Some(history) = self.members.get(&id) else { return 1 };
        match history.returned {
            Some(at) if now.duration_since(at) < REMEMBERED && history.returns >= OFTEN => MOST_PATIENCE,
            Some(at) if now.duration_since(at) < REMEMBERED => PATIENCE,
            _ => 1,
        }
    }

    /// Forgets nodes that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.members.retain(|id, _| known(id));
    }
}

/// Number of suspicions that one life has refuted between two sights of it without having been seen suspected. Of a large
/// cluster each member hears of few before they are refuted; but a life counts its refutations, and that count is in all
/// that it says.
fn refuted_unseen(Change { before, after }: &Change) -> u16 {
    use MemberStatus::{Alive, Suspect};
    let refuted = after.incarnation.saturating_sub(before.incarnation);
    match (before.status, after.status) {
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
        assert!(trouble.note_status(id, Alive, Suspect, false, now));
        assert!(!trouble.note_status(id, Suspect, Failed, false, now + second), "one story");
        assert_eq!(trouble.patience(id, now + second), 1);
        assert!(trouble.note_status(id, Failed, Alive, false, now + 2 * second));
        assert_eq!(trouble.degraded_until(id, now + 2 * second), None);
        assert_eq!(trouble.patience(id, now + 3 * second), PATIENCE);
        assert!(trouble.note_status(id, Alive, Suspect, false, now + 3 * second));
        let until = now + 3 * second + WITHIN;
        assert_eq!(trouble.degraded_until(id, now + 3 * second), Some(until));
        assert_eq!(trouble.degraded_until(id, until), None, "nothing is planned for what is over");
        assert_eq!(trouble.patience(id, now + 61 * second), PATIENCE, "a minute after the return");
        assert_eq!(trouble.patience(id, now + 62 * second), 1, "a suspicion alone does not prolong it");
        trouble.note_status(id, Suspect, Failed, false, now + 5 * second);
        trouble.note_status(id, Failed, Alive, false, now + 30 * second);
        assert_eq!(trouble.patience(id, now + 31 * second), MOST_PATIENCE, "the second time");
        trouble.note_late(id, now + 80 * second);
        assert_eq!(trouble.patience(id, now + 139 * second), MOST_PATIENCE, "it needed that");
        trouble.note_late(id, now + 140 * second);
        assert_eq!(trouble.patience(id, now + 140 * second), 1, "too late");
        trouble.note_status(id, Alive, Suspect, false, now + 200 * second);
        trouble.note_status(id, Failed, Alive, false, now + 201 * second);
        assert_eq!(trouble.patience(id, now + 202 * second), PATIENCE, "that was long ago");
        assert!(!trouble.note_status(id, Alive, Alive, false, now + 300 * second));
        assert_eq!(trouble.patience(id, now + 300 * second), 1);
        assert!(
            trouble.note_status(id, Alive, Alive, true, now + 301 * second),
            "others had called it failed"
        );
        assert_eq!(trouble.patience(id, now + 301 * second), PATIENCE);
    }
}
