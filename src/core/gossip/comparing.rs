//! Comparisons with others over streams: they make good what rumours missed, and if so many nodes join at once that there
//! would be more rumours than the network can carry, they do most of the work.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use rand::{rngs::StdRng, seq::IndexedRandom as _};

use super::{
    action::Action,
    clock::{Chain, Tick, Wait},
    engine::Backlog,
    facts::Facts,
    peer::Peer,
    roster::Roster,
    state::{self, EntryHash, Reply},
    timing::Timing,
};
use crate::node::NodeId;

/// Number of rumours that may wait to be passed on; introductions beyond that are left to the comparisons. Each goes out a
/// dozen to two dozen times, and the thirty datagrams a second of `lan` hold six with metadata: a queue of 128 lasts ten
/// seconds. A join of fewer at once is told by rumour alone; of 10,000, each node would pass the others' introductions
/// on for twenty minutes, and everybody would hear each of them two dozen times.
const CROWDED: usize = 128;
/// Shortest wait between two questions for what is missing: a comparison takes two round trips, of a quarter of a second at worst.
const SOONEST_ASKED_AGAIN: Duration = Duration::from_millis(250);
/// Longest wait between them: as seldom as a join whose seeds do not answer.
const LATEST_ASKED_AGAIN: Duration = Duration::from_secs(2);
/// Time that a record has to come by itself: it travels with the news of its owner or shortly after it.
const FIRST_ASKED: Duration = Duration::from_millis(500);

/// Number of entries that are asked for at once: each may come with an account and a goodbye.
const MAX_WANTED: usize = state::MAX_VERIFIED / 2;

/// Schedule of comparisons and of questions for what is missing.
#[derive(Debug)]
pub(super) struct Comparing {
    /// Time between the scheduled comparison and the one after it.
    interval: Duration,
    /// Chain of comparisons that counts; ticks of an older one are void.
    chain: Chain,
    /// Set while the rumour queue is full; new members are then announced by state comparison only.
    crowded: bool,
    missing: Missing,
    /// A node that knows more than was asked of it.
    knows_more: Option<SocketAddr>,
}

/// Schedule of questions for what has not come: members' metadata, and proofs of lives of which others speak.
#[derive(Debug, Default)]
struct Missing {
    /// Set while a timer for the next question runs.
    is_due: bool,
    /// The last one who spoke of a life that is not proven.
    speaker: Option<SocketAddr>,
    /// Number of records at the last question.
    known: usize,
    /// Wait after that question.
    wait: Duration,
}

impl Missing {
    /// Wait after a question: twice as long each time that nothing has come of it.
    fn next_wait(&mut self, known: usize) -> Duration {
        let has_changed = std::mem::replace(&mut self.known, known) != known;
        self.wait = if has_changed { SOONEST_ASKED_AGAIN } else { (self.wait * 2).min(LATEST_ASKED_AGAIN) };
        self.wait
    }
}

/// A comparison to schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scheduled {
    pub(super) after: Duration,
    pub(super) chain: Chain,
}

impl Comparing {
    /// A schedule that begins with one comparison a period.
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            interval: timing.compare_period,
            chain: Chain::default(),
            crowded: false,
            missing: Missing::default(),
            knows_more: None,
        }
    }

    /// The next comparison of the chain: soon after the first, then ever later, up to once a period.
    pub(super) fn next(&mut self, timing: &Timing) -> Scheduled {
        let after = self.interval;
        self.interval = (after * 2).min(timing.compare_period);
        Scheduled { after, chain: self.chain }
    }

    /// The first comparison of a new chain, which comes soon: this node has joined, or a difference was found.
    pub(super) fn begin_chain(&mut self, timing: &Timing) -> Scheduled {
        self.chain = Chain(self.chain.0 + 1);
        self.interval = timing.compare_period / 20;
        Scheduled { after: timing.compare_period / 40, chain: self.chain }
    }

    /// True if ticks of `chain` count.
    pub(super) fn is_current(&self, chain: Chain) -> bool {
        chain == self.chain
    }

    /// Takes note of the rumours that wait. Once their queue is full, introductions are not queued any more, and a chain
    /// of comparisons begins.
    pub(super) fn note_backlog(&mut self, backlog: Backlog, out: &mut Vec<Action>) {
        let crowded = room_for_rumours(backlog) == 0;
        if crowded != std::mem::replace(&mut self.crowded, crowded) && crowded {
            out.push(Action::CompareSoon);
        }
    }

    /// Sees to it that metadata that does not come by itself is asked for.
    pub(super) fn note_missing(&mut self, out: &mut Vec<Action>) {
        self.ask_after(FIRST_ASKED, out);
    }

    /// Sees to it that proofs which do not come by themselves are asked for, of whoever spoke of lives that lack them.
    pub(super) fn note_unproven(&mut self, speaker: SocketAddr, out: &mut Vec<Action>) {
        self.missing.speaker = Some(speaker);
        self.ask_after(FIRST_ASKED, out);
    }

    /// Takes note of whether the node at `to` knows more than was asked of it.
    pub(super) fn note_more(&mut self, to: SocketAddr, has_more: bool) {
        self.knows_more = has_more.then_some(to);
    }

    /// True once if the node at `to`, which has answered, is to be asked for the rest.
    pub(super) fn take_more(&mut self, to: SocketAddr) -> bool {
        self.knows_more.take_if(|known| *known == to).is_some()
    }

    /// Picks a node to compare states with for the sake of what is missing, and asks again until all has come or the members
    /// are gone: one that spoke of a life that is not proven, or a member whose metadata has not come. If many have joined at
    /// once, what one of them brings is what most lack.
    pub(super) fn choose_asked(
        &mut self,
        facts: &Facts<'_>,
        rng: &mut StdRng,
        out: &mut Vec<Action>,
    ) -> Option<SocketAddr> {
        self.missing.is_due = false;
        let lacking = facts.engine.members().filter(|peer| facts.roster.record(&peer.id).is_none());
        let lacking: Vec<_> = lacking.map(Peer::addr).chain(self.missing.speaker.take()).collect();
        let wait = self.missing.next_wait(facts.roster.records().count());
        let chosen = lacking.choose(rng).copied();
        if chosen.is_some() {
            self.ask_after(wait, out);
        }
        chosen
    }

    fn ask_after(&mut self, wait: Duration, out: &mut Vec<Action>) {
        if !std::mem::replace(&mut self.missing.is_due, true) {
            out.push(Action::After(Wait::Around(wait), Tick::AskRecords));
        }
    }
}

/// Number of introductions that may still be passed on.
pub(super) fn room_for_rumours(backlog: Backlog) -> usize {
    CROWDED.saturating_sub(backlog.updates.max(backlog.items))
}

/// Entries that another node lacks, and hashes of those that this node lacks, from the hashes that the other sent.
pub(super) fn difference(theirs: &BTreeSet<EntryHash>, roster: &Roster) -> Difference {
    let mut wanted = theirs.clone();
    let lacking = roster.hashes().filter(|(_, hash)| !wanted.remove(hash)).map(|(id, _)| id).collect();
    // Any of them: hashes are spread evenly. More would come in vain, for their proofs are not looked at.
    let has_more = wanted.len() > MAX_WANTED;
    let wanted = wanted.into_iter().take(MAX_WANTED).collect();
    Difference { lacking, wanted, has_more }
}

/// Difference between two states.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Members of which the other node lacks the entry.
    pub(super) lacking: BTreeSet<NodeId>,
    /// Hashes of entries that this node lacks, as many as are asked for at once.
    pub(super) wanted: BTreeSet<EntryHash>,
    /// True if there are more.
    pub(super) has_more: bool,
}

/// Answers another node's comparison of digests.
pub(super) fn answer(theirs: EntryHash, roster: &Roster) -> Reply {
    if theirs == roster.digest() {
        Reply::Same
    } else {
        Reply::Differ(state::put_hashes(roster.hashes().map(|(_, hash)| hash)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::{super::fixture::View, *};

    /// A record that never comes does not make the next one wait.
    #[test]
    fn the_wait_for_records_begins_anew_once_one_has_come() {
        let mut missing = Missing::default();
        let waits: Vec<_> = [1, 1, 1, 1, 1, 2, 2].map(|known| missing.next_wait(known).as_millis()).into();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 2_000, 250, 500]);
    }

    #[test]
    fn whoever_spoke_of_a_life_without_proof_is_asked_once() {
        let mut comparing = Comparing::new(&Timing::LAN);
        let (view, mut rng) = (View::of([]), StdRng::seed_from_u64(1));
        let (speaker, mut out) = (([10, 0, 0, 2], 7946).into(), vec![]);
        (0..3).for_each(|_| comparing.note_unproven(speaker, &mut out));
        assert_eq!(out.len(), 1);
        assert_eq!(comparing.choose_asked(&view.facts(), &mut rng, &mut out), Some(speaker));
        assert_eq!(comparing.choose_asked(&view.facts(), &mut rng, &mut out), None);
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn a_chain_of_comparisons_begins_soon_slows_down_and_makes_the_one_before_void() {
        let timing = Timing::LAN;
        let mut comparing = Comparing::new(&timing);
        let former = comparing.next(&timing);
        assert_eq!(former.after, timing.compare_period);
        let first = comparing.begin_chain(&timing);
        assert!(comparing.is_current(first.chain) && !comparing.is_current(former.chain));
        let waits: Vec<_> = (0..7).map(|_| comparing.next(&timing).after.as_secs()).collect();
        assert_eq!((first.after, waits), (Duration::from_millis(500), vec![1, 2, 4, 8, 16, 20, 20]));
    }

    #[test]
    fn comparisons_begin_when_the_rumours_become_too_many() {
        let mut comparing = Comparing::new(&Timing::LAN);
        let mut begins = |items| {
            let mut out = vec![];
            comparing.note_backlog(Backlog { updates: 0, items }, &mut out);
            out.len()
        };
        assert_eq!([CROWDED - 1, CROWDED, CROWDED + 9, 5, CROWDED].map(&mut begins), [0, 1, 0, 0, 1]);
    }
}
