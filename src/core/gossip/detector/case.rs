//! One suspicion that this node follows up: how long the accused has to refute it, and what speaks for the accused.

use std::time::{Duration, Instant};

use crate::gossip::{
    action::{Source, Suspect},
    facts::Facts,
    peer::Peer,
    rumours::Evidence,
};

/// Factor between the wait of an unconfirmed suspicion and that of a confirmed one. Others are asked at once, so that a
/// dead member's suspicion is confirmed within two waits for an answer; six as in Lifeguard would only add to the case of a
/// node that nobody answers, which is the one at fault.
const UNCONFIRMED: u32 = 4;
/// Number of confirmations for the shortest wait; fewer are needed if fewer members could confirm. Lifeguard's K.
pub(super) const CONFIRMATIONS: usize = 2;
/// Number of times that a verdict is put off because nobody confirms it though others are heard from.
const PUT_OFF: u32 = 3;
/// Time for which a node that hears nobody judges nobody: it is cut off or stands still, and the fault is its own. Its
/// quorum is stale meanwhile, and so not claimed. The outages of Rapid's campaign take 20 s; an operator who looks half a
/// minute later should see who is missing, for it may be true that all others are gone.
const CUT_OFF_JUDGES_AFTER: Duration = Duration::from_secs(25);

/// A suspicion that this node follows up.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) accused: Peer,
    pub(super) incarnation: u16,
    /// Time from which on the accused has its time to refute.
    pub(super) since: Instant,
    pub(super) evidence: Evidence,
    put_off: u32,
    /// Set if it began with another node's verdict, which is not to be believed before it has run out.
    pub(super) doubted: bool,
}

/// Times that a suspicion may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// Wait of a confirmed suspicion.
    pub(super) confirmed: Duration,
    /// Wait if hosts say that the process is gone.
    pub(super) gone: Duration,
}

impl Case {
    /// Opens the case of a suspicion.
    pub(super) fn new(suspect: &Suspect, now: Instant) -> Self {
        let Suspect { accused, incarnation, evidence, source } = *suspect;
        let doubted = source == Source::Verdict;
        Self { accused, incarnation, since: now, evidence, put_off: 0, doubted }
    }

    /// Time at which the accused has had its time. `confirmers` is the evidence that others found, `others` the number of
    /// members that could confirm.
    pub(super) fn verdict_at(&self, confirmers: &[Evidence], waits: Waits, others: usize) -> Instant {
        self.since + self.wait(confirmers, waits, others)
    }

    fn wait(&self, confirmers: &[Evidence], waits: Waits, others: usize) -> Duration {
        let needed = CONFIRMATIONS.min(others);
        let confirmations = confirmers.len().min(needed);
        let refused = confirmers.iter().filter(|evidence| **evidence == Evidence::Refused).count()
            + usize::from(self.evidence == Evidence::Refused);
        // One host's word is not enough if another could look: a firewall refuses, too.
        if refused > needed.min(1) {
            return waits.gone.min(waits.confirmed);
        }
        let (shortest, longest) = (waits.confirmed, waits.confirmed * UNCONFIRMED);
        if needed == 0 || confirmations == needed {
            return shortest;
        }
        let counted = |count: usize| f64::from(u32::try_from(count + 1).unwrap_or(u32::MAX)).ln();
        longest - (longest - shortest).mul_f64(counted(confirmations) / counted(needed))
    }

    /// Time for which this node has heard nobody at all, if that is long and no host has refused it.
    pub(super) fn silence(&self, confirmers: &[Evidence], facts: &Facts<'_>) -> Option<Duration> {
        let refused = self.evidence == Evidence::Refused || confirmers.contains(&Evidence::Refused);
        facts.roster.silence(facts.now).filter(|silence| !refused && *silence > facts.timing.deaf_after())
    }

    /// True if this node is cut off and its verdict can wait: it hears nobody, though there are others beside the accused.
    pub(super) fn is_cut_off(&self, confirmers: &[Evidence], facts: &Facts<'_>) -> bool {
        let silence = self.silence(confirmers, facts);
        facts.others() > 1 && silence.is_some_and(|silence| silence < CUT_OFF_JUDGES_AFTER)
    }

    /// True if the verdict would be this node's alone: the accused itself was heard since, or nobody confirms though
    /// others are there to do so.
    pub(super) fn is_unshared(&self, confirmers: &[Evidence], facts: &Facts<'_>) -> bool {
        let Self { accused, since, .. } = self;
        let heard = facts.roster.heard(&accused.id);
        let itself = heard.is_some_and(|heard| heard.at > *since && heard.life == *accused);
        let mut others = facts.engine.members().map(|peer| peer.id).filter(|id| *id != accused.id);
        itself || (confirmers.is_empty() && others.any(|id| facts.roster.was_heard_since(&id, *since)))
    }

    /// Puts the verdict off once more; false if that was done often enough.
    pub(super) fn try_put_off(&mut self) -> bool {
        let may = self.put_off < PUT_OFF;
        self.put_off += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Epoch, NodeId};

    fn case(evidence: Evidence) -> Case {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let id = NodeId::try_from([1; 16]).unwrap();
        let accused = Peer::new(id, ([10, 0, 0, 1], 7946).into(), Epoch(1), 0);
        Case::new(&Suspect { accused, incarnation: 0, evidence, source: Source::Probe }, now)
    }

    #[test]
    fn confirmations_shorten_the_wait_and_two_refusals_end_it() {
        use Evidence::{Refused, Silent};
        let waits = Waits { confirmed: Duration::from_secs(1), gone: Duration::from_millis(300) };
        let wait =
            |evidence, confirmers: &[_], others| case(evidence).wait(confirmers, waits, others).as_secs_f64();
        assert_eq!(wait(Silent, &[], 8), 4.0);
        assert!((wait(Silent, &[Silent], 8) - 2.107).abs() < 0.001);
        assert_eq!(wait(Silent, &[Silent, Silent], 8), 1.0);
        assert_eq!(wait(Silent, &[Silent], 1), 1.0, "of three members one can confirm");
        assert_eq!(wait(Silent, &[], 0), 1.0, "of two none can");
        assert_eq!(wait(Refused, &[], 8), 4.0, "one host's word is not enough");
        assert_eq!(wait(Refused, &[Refused], 8), 0.3);
        assert_eq!(wait(Refused, &[], 0), 0.3, "unless nobody else can look");
    }

    #[test]
    fn a_verdict_is_put_off_three_times() {
        let mut case = case(Evidence::Silent);
        let tries: Vec<_> = (0..5).map(|_| case.try_put_off()).collect();
        assert_eq!(tries, [true, true, true, false, false]);
    }
}
