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
/// The time in which they are counted.
const WITHIN: Duration = Duration::from_secs(15);
/// How long a member that was wrongly called failed keeps its additional patience.
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
    /// When it was last wrongly called failed, or disturbed since.
    returned: Option<Instant>,
    /// How often it was wrongly called failed since it last was at peace.
    returns: u32,
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
        // As long as it goes on like this the patience does not end.
        let patient = self.patience(id, now) > 1;
        let history = self.members.entry(id).or_default();
        if !patient {
            history.returns = 0;
        }
        history.returns = history.returns.saturating_add(u32::from(returned));
        if returned || patient {
            history.returned = Some(now);
        }
        history.disturbances.truncate(DEGRADED - 1);
        history.disturbances.push_front(now);
        true
    }

    /// Until when a member counts as degraded, if it does.
    pub(super) fn degraded_until(&self, id: NodeId) -> Option<Instant> {
        let disturbances = &self.members.get(&id)?.disturbances;
        let (first, last) = (disturbances.get(DEGRADED - 1)?, disturbances.front()?);
        (last.duration_since(*first) <= WITHIN).then(|| *last + WITHIN)
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
        assert_eq!(trouble.degraded_until(id), None);
        assert_eq!(trouble.patience(id, now + 3 * second), PATIENCE);
        assert!(trouble.note(id, Alive, Suspect, now + 3 * second));
        assert_eq!(trouble.degraded_until(id), Some(now + 3 * second + WITHIN));
        assert_eq!(trouble.patience(id, now + 70 * second), 1);
        trouble.note(id, Suspect, Failed, now + 5 * second);
        trouble.note(id, Failed, Alive, now + 30 * second);
        assert_eq!(trouble.patience(id, now + 31 * second), MOST_PATIENCE, "the second time");
        trouble.note(id, Alive, Suspect, now + 200 * second);
        trouble.note(id, Failed, Alive, now + 201 * second);
        assert_eq!(trouble.patience(id, now + 202 * second), PATIENCE, "that was long ago");
    }
}
