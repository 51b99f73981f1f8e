//! The look at the other founders' servers: whether each is blank, all at one moment. A server that is blank again may initialise
//! only then, because nobody else can be started with what it has lost.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::founding::ClusterId;
use crate::node::NodeId;

/// Time for which a server that waits counts as seen: it says so each second.
pub(super) const SEEN_FOR: Duration = Duration::from_secs(3);
/// Interval at which the others are asked.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Time for which a server is not started after another one looked: several that look at once pass together.
const HOLD_FOR: Duration = Duration::from_millis(1_500);

/// The look of one wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The cluster, and the founders that are to be seen blank; `None` while nothing is looked for.
    target: Option<(ClusterId, BTreeSet<NodeId>)>,
    /// Number of the question under way.
    number: u64,
    /// Founders that were seen blank in this round.
    seen: BTreeSet<NodeId>,
    /// Rounds in which all were seen blank. After the first, each is seen once more: between the two all were blank at once.
    rounds: u8,
    asked_at: Option<Instant>,
    /// Time of the last question of another founder that looks.
    looked_at: Option<Instant>,
}

/// The questions that are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Questions {
    pub(super) number: u64,
    pub(super) holds: bool,
    pub(super) to: Vec<NodeId>,
}

impl Look {
    /// Looks for these founders of a cluster; a look that is under way goes on. Its questions are numbered from a number that is
    /// drawn: messages may come late, and the answers to an earlier life or wait of this node are none to it.
    pub(super) fn begin(
        &mut self,
        cluster_id: ClusterId,
        founders: BTreeSet<NodeId>,
        draw: impl FnOnce() -> u32,
    ) {
        let target = Some((cluster_id, founders));
        if self.target != target {
            // Above it is room for all rounds of one wait.
            let number = u64::from(draw()) << 31;
            *self = Self { target, number, looked_at: self.looked_at, ..Self::default() };
            self.end_round();
        }
    }

    /// Ends the wait that was looked for: what was seen counts no more.
    pub(super) fn end(&mut self) {
        *self = Self { number: self.number + 1, looked_at: self.looked_at, ..Self::default() };
    }

    /// True if all were blank at one moment of this wait.
    pub(super) fn has_passed(&self) -> bool {
        self.target.is_some() && self.rounds >= 2
    }

    /// The founders that were not seen blank in this round.
    pub(super) fn unseen(&self) -> Vec<NodeId> {
        let founders = self.target.iter().flat_map(|(_, founders)| founders);
        founders.filter(|id| !self.seen.contains(id)).copied().collect()
    }

    /// The questions that are due now.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Questions> {
        let is_due = self.asked_at.is_none_or(|asked| asked + ASK_EVERY <= now);
        if !self.is_under_way() || !is_due {
            return None;
        }
        self.asked_at = Some(now);
        Some(Questions { number: self.number, holds: self.rounds > 0, to: self.unseen() })
    }

    /// Time of the next question, or of the end of a hold.
    pub(super) fn wake(&self, now: Instant) -> Option<Instant> {
        let next = self.asked_at.filter(|_| self.is_under_way()).map(|asked| asked + ASK_EVERY);
        let free = self.looked_at.map(|at| at + HOLD_FOR).filter(|free| *free > now);
        [next, free].into_iter().flatten().min()
    }

    /// Takes in an answer. One that is not blank means that what was seen before counts no more.
    pub(super) fn note_answer(&mut self, from: NodeId, number: u64, is_blank: bool) {
        let is_asked = self.target.as_ref().is_some_and(|(_, founders)| founders.contains(&from));
        if number != self.number || !is_asked || self.has_passed() {
            return;
        }
        if is_blank {
            self.seen.insert(from);
            self.end_round();
        } else {
            self.number += 1;
            self.rounds = 0;
            self.seen.clear();
        }
    }

    fn end_round(&mut self) {
        while self.is_under_way() && self.unseen().is_empty() {
            self.rounds += 1;
            self.number += 1;
            self.asked_at = None;
            if !self.has_passed() {
                self.seen.clear();
            }
            if self.target.as_ref().is_some_and(|(_, founders)| !founders.is_empty()) {
                break;
            }
        }
    }

    /// True while this node looks, and has not seen all blank yet.
    pub(super) fn is_under_way(&self) -> bool {
        self.target.is_some() && !self.has_passed()
    }

    /// Notes that another founder looks, and may see all blank.
    pub(super) fn note_other(&mut self, now: Instant) {
        self.looked_at = Some(now);
    }

    /// True while another founder looks: no server here is started meanwhile.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.looked_at.is_some_and(|at| now < at + HOLD_FOR)
    }
}

/// The inside of a look, for the exhaustive table: it writes one down and takes it up again.
#[cfg(test)]
impl Look {
    pub(super) fn at(
        cluster_id: ClusterId,
        founders: BTreeSet<NodeId>,
        seen: BTreeSet<NodeId>,
        rounds: u8,
    ) -> Self {
        Self { target: Some((cluster_id, founders)), seen, rounds, ..Self::default() }
    }

    pub(super) fn progress(&self) -> Option<(u8, &BTreeSet<NodeId>)> {
        self.target.as_ref().map(|_| (self.rounds, &self.seen))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::id, *};

    fn look() -> (Look, Instant) {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut look = Look::default();
        look.begin([1; 16].into(), [id(1), id(2)].into(), || 7);
        (look, now)
    }

    #[test]
    fn each_is_seen_once_more_after_all_were_seen() {
        let (mut look, now) = look();
        let Questions { number, to, .. } = look.ask(now).unwrap();
        assert_eq!(to, [id(1), id(2)]);
        look.note_answer(id(1), number, true);
        look.note_answer(id(2), number, true);
        assert!(!look.has_passed());
        let again = look.ask(now).unwrap();
        look.note_answer(id(1), number, true);
        assert_eq!(again.to, [id(1), id(2)], "an answer to an earlier question is none");
        assert!(again.holds, "others are not started while this node is about to pass");
        look.note_answer(id(1), again.number, true);
        look.note_answer(id(2), again.number, true);
        assert!(look.has_passed());
        look.end();
        assert!(!look.has_passed());
    }

    #[test]
    fn one_that_is_not_blank_takes_all_back() {
        let (mut look, now) = look();
        let Questions { number, .. } = look.ask(now).unwrap();
        look.note_answer(id(1), number, true);
        look.note_answer(id(2), number, false);
        assert_eq!(look.unseen(), [id(1), id(2)]);
        let Questions { number, .. } = look.ask(now + ASK_EVERY).unwrap();
        look.note_answer(id(9), number, true);
        assert_eq!(look.unseen().len(), 2, "a stranger's answer is none");
    }

    #[test]
    fn a_founder_without_others_has_seen_them_all() {
        let mut look = Look::default();
        look.begin([1; 16].into(), BTreeSet::new(), || 7);
        assert!(look.has_passed());
    }
}
