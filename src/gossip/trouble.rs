//! Members that come and go: suspected again and again, or called failed and back a moment later. They are shown as
//! degraded, and get more patience, so that they do not flap.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{membership::MemberStatus, node::NodeId};

/// So many disturbances within `WITHIN` make a member degraded. A process that is stopped for two seconds of every two
/// and a quarter has four to five in ten seconds; lost packets alone bring one now and then.
const DEGRADED: usize = 3;
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
    disturbances: VecDeque<Instant>,
    degraded_until: Option<Instant>,
    /// When it was last wrongly called failed, or spared that by its patience.
    returned: Option<Instant>,
    /// How often it was wrongly called failed since it last was at peace.
    returns: u32,
}

impl History {
    /// Once it is degraded, each further disturbance prolongs that: of a large cluster each sees only some of them.
    fn disturb(&mut self, now: Instant) {
        self.disturbances.truncate(DEGRADED - 1);
        self.disturbances.push_front(now);
        let first = self.disturbances.get(DEGRADED - 1);
        let often = first.is_some_and(|first| now.duration_since(*first) <= WITHIN);
        if often || self.degraded_until.is_some_and(|until| now < until) {
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
    /// Takes note of a change of a member's status within one life of its process; says whether it is a disturbance.
    pub(super) fn note(
        &mut self,
        id: NodeId,
        before: MemberStatus,
        after: MemberStatus,
        now: Instant,
    ) -> bool {
        use MemberStatus::{Alive, Failed, Left, Suspect};
        let returned = before == Failed && after.is_active();
        let disturbed = match (before, after) {
            (Alive, Suspect | Failed) => true,
            (Failed, Alive | Suspect) => returned,
            (Alive | Suspect | Failed | Left, _) => false,
        };
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
        assert!(trouble.note(id, Alive, Suspect, now));
        assert!(!trouble.note(id, Suspect, Failed, now + second), "one story");
        assert_eq!(trouble.patience(id, now + second), 1);
        assert!(trouble.note(id, Failed, Alive, now + 2 * second));
        assert_eq!(trouble.degraded_until(id, now + 2 * second), None);
        assert_eq!(trouble.patience(id, now + 3 * second), PATIENCE);
        assert!(trouble.note(id, Alive, Suspect, now + 3 * second));
        let until = now + 3 * second + WITHIN;
        assert_eq!(trouble.degraded_until(id, now + 3 * second), Some(until));
        assert_eq!(trouble.degraded_until(id, until), None, "nothing is planned for what is over");
        assert_eq!(trouble.patience(id, now + 61 * second), PATIENCE, "a minute after the return");
        assert_eq!(trouble.patience(id, now + 62 * second), 1, "a suspicion alone does not prolong it");
        trouble.note(id, Suspect, Failed, now + 5 * second);
        trouble.note(id, Failed, Alive, now + 30 * second);
        assert_eq!(trouble.patience(id, now + 31 * second), MOST_PATIENCE, "the second time");
        trouble.note_late(id, now + 80 * second);
        assert_eq!(trouble.patience(id, now + 139 * second), MOST_PATIENCE, "it needed that");
        trouble.note_late(id, now + 140 * second);
        assert_eq!(trouble.patience(id, now + 140 * second), 1, "too late");
        trouble.note(id, Alive, Suspect, now + 200 * second);
        trouble.note(id, Failed, Alive, now + 201 * second);
        assert_eq!(trouble.patience(id, now + 202 * second), PATIENCE, "that was long ago");
    }
}
