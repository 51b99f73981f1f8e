//! Joining: the addresses worth dialling, and the endless loop that dials them. Alone is not dead; a node without members
//! asks every address it has ever heard of, for ever, and one with members keeps trying those that are missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};

use super::{
    action::{Action, Purpose, Question},
    clock::{Tick, Wait},
    facts::Facts,
    output::{Event, JoinId},
    timing::Timing,
};

/// Number of seeds that a node wants to reach when it joins; one more costs a stream, one less a single point of failure.
const WANTED: usize = 3;
/// Upper bound on addresses dialled at the same moment; a round over more of them waits for some dials to end.
const MAX_OUTSTANDING: usize = 96;
/// Upper bound on rounds that wait to begin. Each provider's first list brings one, beside that of the start.
const MAX_PLANNED: usize = 4;

/// Upper bound on addresses remembered because an operator asked for them; the one asked for longest ago makes room.
const MAX_ASKED: usize = 1_024;
/// Time for which such an address is dialled without an answer: as long as a host may take to come up again after a repair.
const ASKED_FOR: Duration = Duration::from_secs(3_600);
/// Upper bound on addresses remembered to have answered, beyond the seeds.
const MAX_ANSWERED: usize = 1_024;

/// Addresses worth dialling, the round of dialling under way, and operators' requests to join.
#[derive(Debug)]
pub(super) struct Joining {
    /// Addresses that the providers list now.
    seeds: BTreeSet<SocketAddr>,
    /// Addresses that an operator asked to join, and when one last asked for it, or it answered.
    asked: BTreeMap<SocketAddr, Instant>,
    /// Members of the last run, from the state directory.
    cached: BTreeSet<SocketAddr>,
    /// Addresses that turned out to be this node.
    own: BTreeSet<SocketAddr>,
    /// Addresses from which an agent has answered, whatever address it gives itself.
    answered: BTreeSet<SocketAddr>,
    round: Option<Round>,
    /// Number of dials of rounds under way, also of those before this one.
    outstanding: usize,
    /// Number of rounds that wait to begin.
    planned: usize,
    /// Number of rounds in a row that reached nobody.
    fruitless: u32,
    /// Operators' requests under way.
    joins: BTreeMap<JoinId, Join>,
    next_join: u64,
}

/// An operator's request to contact some addresses.
#[derive(Debug)]
struct Join {
    outstanding: usize,
    /// Addresses whose dial has ended, each with the reason if it failed.
    ended: Vec<(SocketAddr, Option<String>)>,
}

/// One attempt to reach a few of many addresses: a few at first, then twice as many, until enough have answered.
#[derive(Debug)]
struct Round {
    /// All addresses of this round; `None` if they fit into one batch.
    long: Option<BTreeSet<SocketAddr>>,
    /// Addresses not dialled yet, popped from the end.
    waiting: Vec<SocketAddr>,
    reached: usize,
    width: usize,
}

impl Joining {
    /// A node at `own` that knew `cached` in its last run. Its first round is planned.
    pub(super) fn new(own: SocketAddr, cached: Vec<SocketAddr>) -> Self {
        Self {
            seeds: BTreeSet::new(),
            asked: BTreeMap::new(),
            cached: cached.into_iter().collect(),
            own: [own].into(),
            answered: BTreeSet::new(),
            round: None,
            outstanding: 0,
            planned: 1,
            fruitless: 0,
            joins: BTreeMap::new(),
            next_join: 0,
        }
    }

    /// Takes `seeds` as what the providers list now. Returns whether there is a new one among them.
    pub(super) fn set_seeds(&mut self, seeds: impl IntoIterator<Item = SocketAddr>) -> bool {
        let seeds: BTreeSet<_> = seeds.into_iter().collect();
        let any_new = seeds.difference(&self.seeds).any(|addr| !self.own.contains(addr));
        self.seeds = seeds;
        any_new
    }

    /// Contacts `addrs` at an operator's request, and keeps them among the addresses worth dialling.
    pub(super) fn join(
        &mut self,
        addrs: impl IntoIterator<Item = SocketAddr>,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> JoinId {
        let id = JoinId(self.next_join);
        self.next_join += 1;
        let addrs: BTreeSet<_> = addrs.into_iter().collect();
        self.joins.insert(id, Join { outstanding: addrs.len(), ended: Vec::new() });
        for to in addrs {
            self.remember_asked(to, now);
            out.push(Action::Ask { to, question: Question::State, purpose: Purpose::Asked(id) });
        }
        self.finish_join(id, out);
        id
    }

    fn remember_asked(&mut self, to: SocketAddr, now: Instant) {
        self.asked.insert(to, now);
        if self.asked.len() > MAX_ASKED
            && let Some(oldest) = self.asked.iter().min_by_key(|(_, at)| **at).map(|(addr, _)| *addr)
        {
            self.asked.remove(&oldest);
        }
    }

    /// Forgets addresses of operators that have not answered for a long time.
    fn forget_asked(&mut self, now: Instant) {
        self.asked.retain(|_, at| now.saturating_duration_since(*at) < ASKED_FOR);
    }

    /// Takes note of how one address of an operator's request ended.
    pub(super) fn end_asked(
        &mut self,
        id: JoinId,
        to: SocketAddr,
        outcome: Result<(), String>,
        out: &mut Vec<Action>,
    ) {
        if let Some(join) = self.joins.get_mut(&id) {
            join.outstanding -= 1;
            join.ended.push((to, outcome.err()));
        }
        self.finish_join(id, out);
    }

    fn finish_join(&mut self, id: JoinId, out: &mut Vec<Action>) {
        if self.joins.get(&id).is_some_and(|join| join.outstanding == 0)
            && let Some(join) = self.joins.remove(&id)
        {
            out.push(Action::Emit(Event::JoinEnded(id, join.ended)));
        }
    }

    /// Takes note that `addr` is this node, so that it is never dialled again.
    pub(super) fn mark_own(&mut self, addr: SocketAddr) {
        self.own.insert(addr);
    }

    /// True if `addr` is this node's.
    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        self.own.contains(&addr)
    }

    /// Takes note that an agent answers at `addr`; this is remembered as long as a provider lists it.
    pub(super) fn mark_answered(&mut self, addr: SocketAddr, now: Instant) {
        if let Some(at) = self.asked.get_mut(&addr) {
            *at = now;
        }
        if self.answered.len() > self.seeds.len() + MAX_ANSWERED {
            self.answered.retain(|addr| self.seeds.contains(addr));
        }
        self.answered.insert(addr);
    }

    /// True if an agent has answered at `addr`.
    pub(super) fn has_answered(&self, addr: SocketAddr) -> bool {
        self.answered.contains(&addr) || self.own.contains(&addr)
    }

    /// Begins a round over all addresses, those of failed members too, and plans the next.
    pub(super) fn begin_round(&mut self, facts: &Facts<'_>, rng: &mut StdRng, out: &mut Vec<Action>) {
        self.forget_asked(facts.now);
        let failed = facts.roster.failed(facts.me().id).map(|peer| peer.addr());
        if self.try_begin_round(failed, rng) {
            self.widen(facts.timing, out);
        }
        if self.try_plan() {
            let wait = facts.timing.join_backoff.wait(self.fruitless, rng);
            out.push(Action::After(Wait::Exactly(wait), Tick::JoinRound));
        }
    }

    /// Begins a round in random order. A round over thousands of addresses takes minutes if nobody answers, and begun anew
    /// it would never come to the last of them: it goes on, and new addresses come next. Returns whether a round began.
    fn try_begin_round(&mut self, failed: impl Iterator<Item = SocketAddr>, rng: &mut StdRng) -> bool {
        let known = self.seeds.iter().chain(self.asked.keys()).chain(&self.cached).copied();
        let all: BTreeSet<_> = known.chain(failed).filter(|addr| !self.own.contains(addr)).collect();
        self.fruitless = self.fruitless.saturating_add(1);
        if let Some(Round { long: Some(of), waiting, .. }) = &mut self.round
            && !waiting.is_empty()
        {
            waiting.retain(|addr| all.contains(addr));
            let mut new: Vec<_> = all.difference(of).copied().collect();
            new.shuffle(rng);
            of.extend(&new);
            waiting.extend(new);
            return false;
        }
        let mut waiting: Vec<_> = all.iter().copied().collect();
        waiting.shuffle(rng);
        let long = (waiting.len() > MAX_OUTSTANDING).then_some(all);
        if long.is_some() {
            // An address at which an agent has been is more likely to have one.
            waiting.sort_by_key(|addr| self.cached.contains(addr) || self.answered.contains(addr));
        }
        self.round = Some(Round { long, waiting, reached: 0, width: WANTED });
        true
    }

    /// Plans one more round, unless enough wait to begin. Returns whether it did.
    fn try_plan(&mut self) -> bool {
        let may = self.planned < MAX_PLANNED;
        self.planned += usize::from(may);
        may
    }

    /// Plans a round for now, because the engine has become idle.
    pub(super) fn plan_now(&mut self, facts: &Facts<'_>, out: &mut Vec<Action>) {
        if self.try_plan() {
            out.push(Action::At(facts.now, Tick::JoinRound));
        }
    }

    /// Takes note that the time of a planned round has come.
    pub(super) fn note_due(&mut self) {
        self.planned = self.planned.saturating_sub(1);
    }

    /// Dials the next addresses of the round, and sees to it that more follow; nothing once the round is over.
    pub(super) fn widen(&mut self, timing: &Timing, out: &mut Vec<Action>) {
        let Some(addrs) = self.next_batch() else { return };
        let ask = |to| Action::Ask { to, question: Question::State, purpose: Purpose::Round };
        out.extend(addrs.into_iter().map(ask));
        out.push(Action::After(Wait::Exactly(timing.widen_after), Tick::Widen));
    }

    /// The addresses to dial now, none while too many have not answered; `None` when the round is over.
    fn next_batch(&mut self) -> Option<Vec<SocketAddr>> {
        let round = self.round.as_mut()?;
        if round.reached >= WANTED || round.waiting.is_empty() {
            self.round = None;
            return None;
        }
        let free = MAX_OUTSTANDING.saturating_sub(self.outstanding);
        let count = round.width.min(free).min(round.waiting.len());
        round.width = (2 * round.width).min(MAX_OUTSTANDING);
        self.outstanding += count;
        Some(round.waiting.split_off(round.waiting.len() - count))
    }

    /// Takes note that one of the round's dials has ended.
    pub(super) fn note_ended(&mut self, dial: DialEnd) {
        if dial == DialEnd::Reached {
            self.fruitless = 0;
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        if let Some(round) = &mut self.round {
            round.reached += usize::from(dial == DialEnd::Reached);
        }
    }

    /// Dials one missing address, or none this time: a failed member may be back, and a seed that is no member may be the
    /// door to another half of the cluster.
    pub(super) fn heal(&mut self, facts: &Facts<'_>, rng: &mut StdRng, out: &mut Vec<Action>) {
        self.forget_asked(facts.now);
        let active = facts.engine.members().map(|peer| peer.addr());
        let failed = facts.roster.failed(facts.me().id).map(|peer| peer.addr());
        if let Some(to) = self.choose_missing(active, failed, rng) {
            out.push(Action::exchange(to));
        }
    }

    /// One missing address, with such a probability that each is dialled about once a period by all `active` nodes
    /// together.
    fn choose_missing(
        &self,
        active: impl Iterator<Item = SocketAddr>,
        failed: impl Iterator<Item = SocketAddr>,
        rng: &mut StdRng,
    ) -> Option<SocketAddr> {
        let mut missing: BTreeSet<_> = self.seeds.iter().chain(self.asked.keys()).copied().collect();
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

/// End of a dial of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialEnd {
    /// An agent answered.
    Reached,
    /// None did.
    Failed,
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::gossip::fixture::{View, peer, start};

    fn addr(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn a_round_widens_until_three_have_answered() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut joining = Joining::new(addr(1), vec![]);
        joining.set_seeds((1..=51).map(addr));
        joining.try_begin_round(std::iter::empty(), &mut rng);
        let first = joining.next_batch().unwrap();
        assert_eq!(first.len(), 3);
        assert!(!first.contains(&addr(1)), "a node never dials itself");
        let sizes: Vec<_> = (0..4).map(|_| joining.next_batch().unwrap().len()).collect();
        assert_eq!(sizes, [6, 12, 24, 5], "fifty addresses are dialled in five steps");

        joining.try_begin_round(std::iter::empty(), &mut rng);
        joining.next_batch();
        (0..3).for_each(|_| joining.note_ended(DialEnd::Reached));
        assert_eq!(joining.next_batch(), None, "three are enough");
    }

    #[test]
    fn a_round_over_thousands_dials_each_though_it_is_begun_again_and_bounds_those_that_do_not_answer() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut joining = Joining::new(addr(1), vec![addr(77)]);
        joining.set_seeds((2..=20_001).map(addr));
        assert!(joining.try_begin_round(std::iter::empty(), &mut rng));
        let (mut dialled, mut silent) = (Vec::new(), 0);
        while let Some(addrs) = joining.next_batch() {
            silent += addrs.len();
            dialled.extend(addrs);
            assert!(silent <= MAX_OUTSTANDING);
            // Some time-outs are over; at times none is.
            let over = rng.random_range(0..=silent.min(40));
            (0..over).for_each(|_| joining.note_ended(DialEnd::Failed));
            silent -= over;
            if dialled.len() > 10_000 && joining.set_seeds((3..=20_002).map(addr)) {
                assert!(!joining.try_begin_round(std::iter::empty(), &mut rng));
                assert_eq!(joining.round.as_ref().unwrap().waiting.last(), Some(&addr(20_002)), "it is new");
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
        let joining = Joining::new(addr(1), vec![]);
        let dials = (0..10_000)
            .filter(|_| {
                joining.choose_missing((1..=100).map(addr), [addr(999)].into_iter(), &mut rng).is_some()
            })
            .count();
        assert!((80..120).contains(&dials), "{dials} of 10,000, expected one in a hundred");
    }

    #[test]
    fn an_operators_join_dials_each_address_once_and_ends_with_the_last() {
        let (mut joining, mut out) = (Joining::new(addr(1), vec![]), vec![]);
        let id = joining.join([addr(2), addr(3), addr(2)], start(), &mut out);
        let dialled: Vec<_> = out.iter().map(|action| format!("{action:?}")).collect();
        let ask = |port| format!("Ask {{ to: 10.0.0.1:{port}, question: State, purpose: Asked({id:?}) }}");
        assert_eq!(dialled, [ask(2), ask(3)]);
        out.clear();
        joining.end_asked(id, addr(2), Ok(()), &mut out);
        assert!(out.is_empty());
        joining.end_asked(id, addr(3), Err("silent".to_owned()), &mut out);
        let ended = vec![(addr(2), None), (addr(3), Some("silent".to_owned()))];
        assert!(matches!(&out[..], [Action::Emit(Event::JoinEnded(of, how))] if *of == id && *how == ended));
    }

    #[test]
    fn rounds_are_planned_one_after_the_other_and_not_without_end() {
        let view = View::of([]);
        let mut joining = Joining::new(addr(1), vec![]);
        let plan = |joining: &mut Joining| {
            let mut out = vec![];
            joining.plan_now(&view.facts(), &mut out);
            out.len()
        };
        let planned: Vec<_> = (0..5).map(|_| plan(&mut joining)).collect();
        assert_eq!(planned, [1, 1, 1, 0, 0], "the first is planned from the start");
        joining.note_due();
        assert_eq!(plan(&mut joining), 1);
    }

    #[test]
    fn a_failed_member_and_a_seed_that_is_no_member_are_missing() {
        let mut view = View::of([2]);
        view.apply(foca::Member::down(peer(2)));
        let mut joining = Joining::new(peer(1).addr(), vec![]);
        joining.set_seeds([peer(1).addr(), addr(9)]);
        let mut dialled = BTreeSet::new();
        for seed in 0..50 {
            let mut out = vec![];
            joining.heal(&view.facts(), &mut StdRng::seed_from_u64(seed), &mut out);
            let [Action::Ask { to, purpose: Purpose::Exchange, .. }] = &out[..] else { panic!("{out:?}") };
            dialled.insert(*to);
        }
        assert_eq!(dialled, [peer(2).addr(), addr(9)].into());
    }
}
