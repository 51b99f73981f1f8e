//! Whom to dial: the endless join and heal loop. Alone is not dead; a node without members asks everybody it has ever
//! heard of, for ever, and one with members keeps trying those that are missing.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};

use super::profile::Timing;

/// How many seeds a node wants to reach when it joins; one more costs a stream, one less a single point of failure.
const WANTED: usize = 3;
/// Most addresses dialled at the same moment. A round over more of them waits for some to end.
const MAX_OUTSTANDING: usize = 128;
/// Most rounds that wait to begin. Each provider's first list brings one, beside that of the start.
const MAX_PLANNED: usize = 4;

/// Addresses worth dialling, and the round of dialling that is going on.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    /// What the providers list now.
    seeds: BTreeSet<SocketAddr>,
    /// What an operator asked to join.
    asked: BTreeSet<SocketAddr>,
    /// Members of the last run, from the state directory.
    cached: BTreeSet<SocketAddr>,
    /// Addresses that turned out to be this node.
    own: BTreeSet<SocketAddr>,
    /// Addresses from which an agent has answered, whatever address it gives itself.
    answered: BTreeSet<SocketAddr>,
    round: Option<Round>,
    /// Rounds that wait to begin.
    planned: usize,
    /// Rounds in a row that reached nobody.
    fruitless: u32,
}

/// One attempt to reach a few of many addresses: a few at first, then twice as many, until enough have answered.
#[derive(Debug)]
struct Round {
    /// Everybody it is over, where that is more than can be dialled at once.
    long: Option<BTreeSet<SocketAddr>>,
    /// The next is the last.
    waiting: Vec<SocketAddr>,
    outstanding: usize,
    reached: usize,
    width: usize,
}

impl Contacts {
    pub(super) fn new(own: SocketAddr, cached: Vec<SocketAddr>) -> Self {
        // The first round is planned with the node itself.
        Self { own: [own].into(), cached: cached.into_iter().collect(), planned: 1, ..Self::default() }
    }

    /// Takes `seeds` as what the providers list now and says whether there is a new one among them.
    pub(super) fn set_seeds(&mut self, seeds: impl IntoIterator<Item = SocketAddr>) -> bool {
        let seeds: BTreeSet<_> = seeds.into_iter().collect();
        let news = seeds.difference(&self.seeds).any(|addr| !self.own.contains(addr));
        self.seeds = seeds;
        news
    }

    pub(super) fn ask(&mut self, addr: SocketAddr) {
        self.asked.insert(addr);
    }

    /// Remembers that `addr` is this node, so that it is never dialled again.
    pub(super) fn is_own(&mut self, addr: SocketAddr) {
        self.own.insert(addr);
    }

    pub(super) fn owns(&self, addr: SocketAddr) -> bool {
        self.own.contains(&addr)
    }

    /// Remembers that an agent answers at `addr`, as long as a provider lists it.
    pub(super) fn has_answer(&mut self, addr: SocketAddr) {
        if self.answered.len() > self.seeds.len() + 1_024 {
            self.answered.retain(|addr| self.seeds.contains(addr));
        }
        self.answered.insert(addr);
    }

    pub(super) fn has_answered(&self, addr: SocketAddr) -> bool {
        self.answered.contains(&addr) || self.own.contains(&addr)
    }

    /// Begins a round over everybody, `failed` members too, in random order. One over thousands takes minutes where
    /// nobody answers, and begun anew it would never come to the last of them: it goes on, and whoever is new comes next.
    /// Says whether it began.
    pub(super) fn begin_round(&mut self, failed: impl Iterator<Item = SocketAddr>, rng: &mut StdRng) -> bool {
        let known = self.seeds.iter().chain(&self.asked).chain(&self.cached).copied();
        let everybody: BTreeSet<_> = known.chain(failed).filter(|addr| !self.own.contains(addr)).collect();
        self.fruitless = self.fruitless.saturating_add(1);
        if let Some(Round { long: Some(of), waiting, .. }) = &mut self.round
            && !waiting.is_empty()
        {
            waiting.retain(|addr| everybody.contains(addr));
            let mut new: Vec<_> = everybody.difference(of).copied().collect();
            new.shuffle(rng);
            of.extend(&new);
            waiting.extend(new);
            return false;
        }
        let mut waiting: Vec<_> = everybody.iter().copied().collect();
        waiting.shuffle(rng);
        let long = (waiting.len() > MAX_OUTSTANDING).then_some(everybody);
        if long.is_some() {
            // Where an agent has been, one may be.
            waiting.sort_by_key(|addr| self.cached.contains(addr) || self.answered.contains(addr));
        }
        self.round = Some(Round { long, waiting, outstanding: 0, reached: 0, width: WANTED });
        true
    }

    /// Whether one more round may be planned; it counts until it is [`Self::due`].
    pub(super) fn may_plan(&mut self) -> bool {
        let may = self.planned < MAX_PLANNED;
        self.planned += usize::from(may);
        may
    }

    /// The time of a planned round has come.
    pub(super) fn due(&mut self) {
        self.planned = self.planned.saturating_sub(1);
    }

    /// The addresses to dial now, none while too many have not answered; nothing when the round is over.
    pub(super) fn widen(&mut self) -> Option<Vec<SocketAddr>> {
        let round = self.round.as_mut()?;
        if round.reached >= WANTED || round.waiting.is_empty() {
            self.round = None;
            return None;
        }
        let free = MAX_OUTSTANDING.saturating_sub(round.outstanding);
        let count = round.width.min(free).min(round.waiting.len());
        round.width = (2 * round.width).min(MAX_OUTSTANDING);
        round.outstanding += count;
        Some(round.waiting.split_off(round.waiting.len() - count))
    }

    /// One of the round's dials has ended.
    pub(super) fn ended(&mut self, reached: bool) {
        if reached {
            self.fruitless = 0;
        }
        if let Some(round) = &mut self.round {
            round.outstanding = round.outstanding.saturating_sub(1);
            round.reached += usize::from(reached);
        }
    }

    /// How long to wait before the next round.
    pub(super) fn backoff(&self, timing: &Timing, rng: &mut StdRng) -> Duration {
        timing.join_backoff.wait(self.fruitless, rng)
    }

    /// One missing address, or none this time. Every node asks with such a probability that each missing address is
    /// dialled about once a period by the `active` nodes together.
    pub(super) fn missing(
        &self,
        active: impl Iterator<Item = SocketAddr>,
        failed: impl Iterator<Item = SocketAddr>,
        rng: &mut StdRng,
    ) -> Option<SocketAddr> {
        let mut missing: BTreeSet<_> = self.seeds.union(&self.asked).copied().collect();
        // The members are many, the seeds often few.
        let mut count = 0;
        for addr in active {
            count += 1;
            missing.remove(&addr);
        }
        missing.extend(failed);
        missing.retain(|addr| !self.own.contains(addr));
        // The addresses are few enough to pick by walking.
        let nth = rng.random_range(0..missing.len().max(count).max(1));
        missing.into_iter().nth(nth)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn a_round_widens_until_three_have_answered() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut contacts = Contacts::new(addr(1), vec![]);
        contacts.set_seeds((1..=51).map(addr));
        contacts.begin_round(std::iter::empty(), &mut rng);
        let first = contacts.widen().unwrap();
        assert_eq!(first.len(), 3);
        assert!(!first.contains(&addr(1)), "a node never dials itself");
        let sizes: Vec<_> = (0..4).map(|_| contacts.widen().unwrap().len()).collect();
        assert_eq!(sizes, [6, 12, 24, 5], "fifty addresses are dialled in five steps");

        contacts.begin_round(std::iter::empty(), &mut rng);
        contacts.widen();
        (0..3).for_each(|_| contacts.ended(true));
        assert_eq!(contacts.widen(), None, "three are enough");
    }

    #[test]
    fn a_round_over_thousands_dials_each_though_it_is_begun_again_and_bounds_those_that_do_not_answer() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut contacts = Contacts::new(addr(1), vec![addr(77)]);
        contacts.set_seeds((2..=20_001).map(addr));
        assert!(contacts.begin_round(std::iter::empty(), &mut rng));
        let (mut dialled, mut silent) = (Vec::new(), 0);
        while let Some(addrs) = contacts.widen() {
            silent += addrs.len();
            dialled.extend(addrs);
            assert!(silent <= MAX_OUTSTANDING);
            // Some time-outs are over; at times none is.
            let over = rng.random_range(0..=silent.min(40));
            (0..over).for_each(|_| contacts.ended(false));
            silent -= over;
            if dialled.len() > 10_000 && contacts.set_seeds((3..=20_002).map(addr)) {
                assert!(!contacts.begin_round(std::iter::empty(), &mut rng));
                assert_eq!(contacts.round.as_ref().unwrap().waiting.last(), Some(&addr(20_002)), "it is new");
            }
        }
        assert!(dialled[..WANTED].contains(&addr(77)), "it was a member");
        let every: BTreeSet<_> = dialled.iter().copied().collect();
        assert_eq!(every.len(), dialled.len(), "twice");
        assert!((3..=20_002).all(|port| every.contains(&addr(port))));
    }

    #[test]
    fn a_missing_address_is_dialled_about_once_a_period_by_all_together() {
        let mut rng = StdRng::seed_from_u64(2);
        let contacts = Contacts::new(addr(1), vec![]);
        let dials = (0..10_000)
            .filter(|_| contacts.missing((1..=100).map(addr), [addr(999)].into_iter(), &mut rng).is_some())
            .count();
        assert!((80..120).contains(&dials), "{dials} of 10,000, expected one in a hundred");
    }
}
