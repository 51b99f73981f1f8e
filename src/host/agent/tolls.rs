//! The core's time by the source of streams: whoever has had more than its share of late is not heard until that is paid off, so
//! that no host keeps this one from hearing the others. Datagrams are not counted: their sources can be forged, and whoever
//! forges a member's would silence it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::budget::{Use, source};

/// Time that a source may take at once: the join of a node that knows 10,000 takes half of it.
const AT_ONCE: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(8) } else { Duration::from_secs(1) };
/// Part of the time that a source may take in the long run: a quarter.
const SHARE: u32 = 4;
/// Number of sources with an account. Whoever owes least makes room.
const ACCOUNTS: usize = 1_024;
/// Time between two lines in the log.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Debts of the sources.
#[derive(Debug, Default)]
pub(super) struct Tolls {
    debts: BTreeMap<IpAddr, Debt>,
    refused: u64,
    told: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    owed: Duration,
    at: Instant,
}

impl Debt {
    /// The rest of it now.
    fn left(&self, now: Instant) -> Duration {
        self.owed.saturating_sub(now.saturating_duration_since(self.at) / SHARE)
    }
}

impl Tolls {
    /// True if a source is heard now.
    pub(super) fn admit(&mut self, from: IpAddr, now: Instant) -> bool {
        let debt = self.debts.get(&source(from)).map(|debt| debt.left(now));
        if debt.is_none_or(|debt| debt < AT_ONCE) {
            return true;
        }
        self.refused += 1;
        if self.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY) {
            self.told = Some(now);
            tracing::warn!(
                budget = "core_milliseconds", %from, limit = AT_ONCE.as_millis(), refused = self.refused,
                "a bound for others is reached: this source takes more than its share of the agent's time; told at most \
                 once a minute"
            );
        }
        false
    }

    /// Writes down the time that a source has taken since `began`.
    pub(super) fn charge(&mut self, from: IpAddr, began: Took, now: Instant) {
        let took = began.elapsed();
        let from = source(from);
        if self.debts.len() >= ACCOUNTS && !self.debts.contains_key(&from) {
            self.make_room(now);
        }
        let debt = self.debts.entry(from).or_insert(Debt { owed: Duration::ZERO, at: now });
        *debt = Debt { owed: debt.left(now) + took, at: now };
    }

    fn make_room(&mut self, now: Instant) {
        self.debts.retain(|_, debt| !debt.left(now).is_zero());
        let least = self.debts.iter().min_by_key(|(_, debt)| debt.left(now)).map(|(from, _)| *from);
        if self.debts.len() >= ACCOUNTS
            && let Some(least) = least
        {
            self.debts.remove(&least);
        }
    }

    /// Debt of the greatest debtor.
    pub(super) fn use_now(&self, now: Instant) -> Use {
        let most = self.debts.values().map(|debt| debt.left(now)).max().unwrap_or_default();
        let ms = |time: Duration| usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
        Use { name: "core_milliseconds", used: ms(most), limit: ms(AT_ONCE), refused: self.refused }
    }
}

/// A moment on the clock of this thread, which stands still while others have the processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took(Duration);

impl Took {
    pub(super) fn begin() -> Self {
        Self(of_this_thread())
    }

    fn elapsed(self) -> Duration {
        of_this_thread().saturating_sub(self.0)
    }
}

fn of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(secs.unwrap_or_default(), nanos.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_had_its_share_waits_and_others_do_not() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let begin = Instant::now();
        let (greedy, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut tolls = Tolls::default();
        let owes = |tolls: &mut Tolls, owed, at| tolls.debts.insert(greedy, Debt { owed, at });
        assert!(tolls.admit(greedy, begin));
        owes(&mut tolls, AT_ONCE, begin);
        assert!(!tolls.admit(greedy, begin) && tolls.admit(other, begin));
        assert_eq!(tolls.use_now(begin).refused, 1);
        assert!(tolls.admit(greedy, begin + Duration::from_millis(1)), "it pays as time passes");
        owes(&mut tolls, 2 * AT_ONCE, begin);
        assert!(
            !tolls.admit(greedy, begin + AT_ONCE * SHARE) && tolls.admit(greedy, begin + AT_ONCE * SHARE * 2)
        );
    }

    #[test]
    fn there_are_as_many_accounts_however_many_sources_there_are() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let begin = Instant::now();
        let mut tolls = Tolls::default();
        tolls.debts.insert(IpAddr::from([9, 9, 9, 9]), Debt { owed: AT_ONCE * 9, at: begin });
        for number in 0..10_000_u32 {
            tolls.charge(IpAddr::from(number.to_be_bytes()), Took(Duration::ZERO), begin);
        }
        assert_eq!(tolls.debts.len(), ACCOUNTS);
        assert!(tolls.debts.contains_key(&IpAddr::from([9, 9, 9, 9])), "whoever owes most is remembered");
    }
}
