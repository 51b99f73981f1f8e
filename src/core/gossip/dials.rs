//! The streams to open: how many at once, whose turn is next, and which are given up when too many wait. What strangers,
//! operators and lists of seeds ask for never keeps the members' own streams waiting.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{action::Purpose, output::ExchangeId};

/// Upper bound on streams under way: a round trip between continents takes 0.3 s, so that this is 200 a second where hosts
/// answer, and 40 where none does.
const MAX_IN_FLIGHT: usize = 64;
/// Part of them that seeds, operators and strangers may have; the rest is for members alone.
const FOR_OTHERS: usize = MAX_IN_FLIGHT - 8;
/// Part of them that may go to addresses which strangers name.
const FOR_STRANGERS: usize = 4;
/// Upper bound on streams that wait: four times as many as go at once, six seconds where no host answers.
const MAX_WAITING: usize = 256;
/// Bytes of frames that may be under way, beside one more: the state of a cluster of 10,000 is below 10 MB.
const MAX_BYTES: usize = 16 << 20;
/// Dials at the word of a stranger: a handful at once, as in a join of many, and one a quarter second in the long run.
const FAVOURS: u32 = 16;
const FAVOUR_EVERY: Duration = Duration::from_millis(250);

/// Streams that wait and streams under way.
#[derive(Debug, Default)]
pub(super) struct Dials {
    waiting: VecDeque<Waiting>,
    in_flight: BTreeMap<ExchangeId, InFlight>,
    /// Streams that were given up, for the caller to end.
    dropped: VecDeque<ExchangeId>,
    favours: Favours,
    /// Number of streams that were given up since the start.
    given_up: u64,
}

/// State of the streams that this node opens, for readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialUse {
    /// Number under way.
    pub in_flight: usize,
    /// Number that wait.
    pub waiting: usize,
    /// Number that were given up since the start.
    pub given_up: u64,
}

impl DialUse {
    /// Upper bound on those under way.
    pub const MAX_IN_FLIGHT: usize = MAX_IN_FLIGHT;
    /// Upper bound on those that wait.
    pub const MAX_WAITING: usize = MAX_WAITING;
}

/// A stream that is to be opened.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) exchange: ExchangeId,
    pub(super) to: SocketAddr,
    pub(super) purpose: Purpose,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    to: SocketAddr,
    brings_state: bool,
    errand: Errand,
    bytes: usize,
}

/// Source of the wish for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Errand {
    Member,
    Seed,
    Operator,
    Stranger,
}

impl Errand {
    const ALL: [Self; 4] = [Self::Member, Self::Seed, Self::Operator, Self::Stranger];

    fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Round => Self::Seed,
            Purpose::Asked(_) => Self::Operator,
            Purpose::Duplicate => Self::Stranger,
            Purpose::Exchange
            | Purpose::Compare
            | Purpose::Trade
            | Purpose::Founding
            | Purpose::Keys(..)
            | Purpose::Ping(_)
            | Purpose::Check(_) => Self::Member,
        }
    }
}

/// True if the stream brings a state: never two of them go to one address at once. Probes and messages about the bootstrap are
/// small, go to members alone, and each says something else.
fn brings_state(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Round
        | Purpose::Asked(_)
        | Purpose::Exchange
        | Purpose::Compare
        | Purpose::Trade
        | Purpose::Duplicate => true,
        Purpose::Ping(_) | Purpose::Check(_) | Purpose::Founding | Purpose::Keys(..) => false,
    }
}

impl Dials {
    /// Puts a stream behind those that wait. If too many do, the oldest of the errand that has most of them is given up.
    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() >= MAX_WAITING {
            let count =
                |errand: &Errand| self.waiting.iter().filter(|it| Errand::of(it.purpose) == *errand).count();
            let most = Errand::ALL.into_iter().max_by_key(count);
            if let Some(at) = self.waiting.iter().position(|it| Some(Errand::of(it.purpose)) == most) {
                self.drop_at(at);
            }
        }
        self.waiting.push_back(waiting);
    }

    /// Puts a stream before all that wait: it goes on with a conversation.
    pub(super) fn push_first(&mut self, waiting: Waiting) {
        self.waiting.push_front(waiting);
    }

    fn drop_at(&mut self, at: usize) {
        if let Some(given_up) = self.waiting.remove(at) {
            self.given_up += 1;
            self.dropped.push_back(given_up.exchange);
        }
    }

    /// Gives up all that waits.
    pub(super) fn drop_all(&mut self) {
        while !self.waiting.is_empty() {
            self.drop_at(0);
        }
    }

    /// The next stream to open, if there may be one more: members' first, then those of whoever has fewest under way.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        if self.in_flight.len() >= MAX_IN_FLIGHT || self.waiting.is_empty() || self.bytes() >= MAX_BYTES {
            return None;
        }
        let mut errands = Errand::ALL.map(|errand| (errand != Errand::Member, self.count(errand), errand));
        errands.sort_unstable();
        let at = errands.into_iter().filter(|(.., errand)| self.may(*errand)).find_map(|(.., errand)| {
            self.waiting.iter().position(|it| {
                let is_busy = |flight: &InFlight| flight.to == it.to && flight.brings_state;
                let waits = brings_state(it.purpose) && self.in_flight.values().any(is_busy);
                Errand::of(it.purpose) == errand && !waits
            })
        })?;
        let next = self.waiting.remove(at)?;
        let (brings_state, errand) = (brings_state(next.purpose), Errand::of(next.purpose));
        self.in_flight.insert(next.exchange, InFlight { to: next.to, brings_state, errand, bytes: 0 });
        Some(next)
    }

    fn may(&self, errand: Errand) -> bool {
        let of_others = self.in_flight.values().filter(|flight| flight.errand != Errand::Member).count();
        match errand {
            Errand::Member => true,
            Errand::Seed | Errand::Operator => of_others < FOR_OTHERS,
            Errand::Stranger => of_others < FOR_OTHERS && self.count(Errand::Stranger) < FOR_STRANGERS,
        }
    }

    fn count(&self, errand: Errand) -> usize {
        self.in_flight.values().filter(|flight| flight.errand == errand).count()
    }

    fn bytes(&self) -> usize {
        self.in_flight.values().map(|flight| flight.bytes).sum()
    }

    /// Takes note of the length of the frame that a stream carries.
    pub(super) fn note_frame(&mut self, exchange: ExchangeId, bytes: usize) {
        if let Some(flight) = self.in_flight.get_mut(&exchange) {
            flight.bytes = bytes;
        }
    }

    /// Takes note that a stream has ended.
    pub(super) fn end(&mut self, exchange: ExchangeId) {
        self.in_flight.remove(&exchange);
    }

    /// The next stream that was given up.
    pub(super) fn poll_dropped(&mut self) -> Option<ExchangeId> {
        self.dropped.pop_front()
    }

    /// True if there is one.
    pub(super) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Takes one of the dials that strangers are granted; false if they are used up for now.
    pub(super) fn try_favour(&mut self, now: Instant) -> bool {
        self.favours.try_take(now)
    }

    /// State of them, for readers.
    pub(super) fn use_now(&self) -> DialUse {
        let given_up = self.given_up + self.favours.refused;
        DialUse { in_flight: self.in_flight.len(), waiting: self.waiting.len(), given_up }
    }
}

/// The dials that are granted to strangers: a few at once, and then one after a time.
#[derive(Debug, Default)]
struct Favours {
    /// Number granted of late.
    granted: u32,
    /// Time from which the last grants are counted off.
    since: Option<Instant>,
    refused: u64,
}

impl Favours {
    fn try_take(&mut self, now: Instant) -> bool {
        let since = self.since.unwrap_or(now);
        let passed = now.saturating_duration_since(since);
        let back = u32::try_from(passed.as_millis() / FAVOUR_EVERY.as_millis()).unwrap_or(u32::MAX);
        self.granted = self.granted.saturating_sub(back);
        self.since = Some(if self.granted == 0 { now } else { since + FAVOUR_EVERY * back });
        let may = self.granted < FAVOURS;
        self.granted += u32::from(may);
        self.refused += u64::from(!may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::{
        fixture::{peer, start},
        output::JoinId,
    };

    fn waiting(number: u64, port: u16, purpose: Purpose) -> Waiting {
        Waiting { exchange: ExchangeId(number), to: ([10, 0, 0, 1], port).into(), purpose }
    }

    #[test]
    fn however_many_are_asked_for_few_are_under_way_and_members_find_a_place() {
        let mut dials = Dials::default();
        for number in 0..10_000_u16 {
            dials.push(waiting(number.into(), number, Purpose::Asked(JoinId(0))));
            while dials.next().is_some() {}
        }
        let (in_flight, waiting_now) = (FOR_OTHERS, MAX_WAITING);
        let given_up = 10_000 - (in_flight + waiting_now) as u64;
        assert_eq!(dials.use_now(), DialUse { in_flight, waiting: waiting_now, given_up });
        assert_eq!(dials.poll_dropped(), Some(ExchangeId(56)), "the oldest that waited");
        dials.push(waiting(10_001, 1, Purpose::Ping(peer(2))));
        assert_eq!(dials.next().unwrap().exchange, ExchangeId(10_001));
        assert!(dials.next().is_none());
        dials.end(ExchangeId(0));
        dials.push(waiting(10_002, 20_000, Purpose::Round));
        assert_eq!(dials.next().unwrap().exchange, ExchangeId(10_002), "seeds have none under way");
    }

    #[test]
    fn no_address_is_sent_two_states_at_once_and_strangers_have_few_dials() {
        let mut dials = Dials::default();
        dials.push(waiting(1, 7, Purpose::Exchange));
        dials.push(waiting(2, 7, Purpose::Compare));
        dials.push(waiting(3, 7, Purpose::Check(peer(2))));
        assert_eq!([1, 3].map(ExchangeId), [dials.next(), dials.next()].map(|next| next.unwrap().exchange));
        assert!(dials.next().is_none());
        dials.end(ExchangeId(1));
        assert_eq!(dials.next().unwrap().exchange, ExchangeId(2));
        (10..20).for_each(|number| dials.push(waiting(number.into(), number, Purpose::Duplicate)));
        assert_eq!(std::iter::from_fn(|| dials.next()).count(), FOR_STRANGERS);
    }

    #[test]
    fn while_long_frames_are_under_way_others_wait() {
        let mut dials = Dials::default();
        for number in 1..5 {
            dials.push(waiting(number.into(), number, Purpose::Exchange));
        }
        for number in 1..=2 {
            assert!(dials.next().is_some());
            dials.note_frame(ExchangeId(number), MAX_BYTES - 1);
        }
        assert!(dials.next().is_none());
        dials.end(ExchangeId(1));
        dials.end(ExchangeId(2));
        assert!(dials.next().is_some());
    }

    #[test]
    fn strangers_are_granted_a_few_dials_and_then_four_a_second() {
        let (mut favours, begin) = (Favours::default(), start());
        let granted = (0..1_000).filter(|_| favours.try_take(begin)).count();
        let more = (1..=10_000).filter(|ms| favours.try_take(begin + Duration::from_millis(*ms))).count();
        assert_eq!((granted, more), (FAVOURS as usize, 40));
    }
}
