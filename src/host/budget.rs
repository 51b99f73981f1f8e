//! Accounts of what strangers may have of this agent: one for each source, and one for all. Whoever takes from one holds it until
//! the value is dropped. No account is locked: each is a counter, and a source is known by the digest of its address, so that
//! there are as many accounts however many sources there are.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Number of accounts of sources. Two sources share one by chance only: the digest is keyed.
const ACCOUNTS: usize = 1_024;
/// Time between two lines in the log about one budget; what was refused in between is counted.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// One thing of which there is not enough for everybody.
#[derive(Debug)]
pub struct Budget {
    name: &'static str,
    limit: usize,
    share: usize,
    used: AtomicUsize,
    accounts: Box<[AtomicUsize]>,
    keys: RandomState,
    refused: AtomicU64,
    begun: Instant,
    /// Milliseconds after `begun` at which the log was last told, and one more.
    told: AtomicU64,
}

/// State of a budget, for readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Name of the budget, as metrics have it.
    pub name: &'static str,
    /// Part of it that is taken.
    pub used: usize,
    /// All of it.
    pub limit: usize,
    /// Number of times that there was not enough, since the start.
    pub refused: u64,
}

/// The reason for which there was not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// The source has its share.
    Source,
    /// All of it is taken.
    All,
}

impl Budget {
    /// A budget of `limit`, of which one source may have `share`.
    pub(crate) fn new(name: &'static str, limit: usize, share: usize) -> Arc<Self> {
        let accounts = (0..ACCOUNTS).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self {
            name,
            limit,
            share,
            used: AtomicUsize::new(0),
            accounts,
            keys: RandomState::new(),
            refused: AtomicU64::new(0),
            begun: now(),
            told: AtomicU64::new(0),
        })
    }

    /// Takes `amount` for a source, or tells the log why not.
    pub(crate) fn take(self: &Arc<Self>, from: IpAddr, amount: usize) -> Result<Held, Short> {
        let mut held = Held { budget: self.clone(), account: self.account(from), amount: 0 };
        held.grow(from, amount).map(|()| held)
    }

    fn account(&self, from: IpAddr) -> usize {
        let digest = self.keys.hash_one(source(from));
        usize::try_from(digest % ACCOUNTS as u64).unwrap_or_default()
    }

    fn refuse(&self, from: IpAddr, short: Short) -> Short {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let at = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let told = self.told.load(Ordering::Relaxed);
        let is_due = told == 0 || u128::from(at - told.min(at)) >= TOLD_EVERY.as_millis();
        if is_due && self.told.compare_exchange(told, at, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let of = match short {
                Short::Source => "this source has its share",
                Short::All => "all of it is taken",
            };
            tracing::warn!(
                budget = self.name, %from, of, limit = self.limit, share = self.share, refused,
                "a bound for others is reached; told at most once a minute"
            );
        }
        short
    }

    /// State of it.
    pub(crate) fn use_now(&self) -> Use {
        let used = self.used.load(Ordering::Relaxed);
        Use { name: self.name, used, limit: self.limit, refused: self.refused.load(Ordering::Relaxed) }
    }
}

/// Source of a packet: an address, or the network that one host is given whole.
pub(crate) fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// A part of a budget; given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    account: usize,
    amount: usize,
}

impl Held {
    /// Takes more.
    pub(crate) fn grow(&mut self, from: IpAddr, more: usize) -> Result<(), Short> {
        let Budget { limit, share, used, accounts, .. } = &*self.budget;
        let account = &accounts[self.account];
        if account.fetch_add(more, Ordering::Relaxed) + more > *share {
            account.fetch_sub(more, Ordering::Relaxed);
            return Err(self.budget.refuse(from, Short::Source));
        }
        if used.fetch_add(more, Ordering::Relaxed) + more > *limit {
            used.fetch_sub(more, Ordering::Relaxed);
            account.fetch_sub(more, Ordering::Relaxed);
            return Err(self.budget.refuse(from, Short::All));
        }
        self.amount += more;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::Relaxed);
        self.budget.accounts[self.account].fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the shell reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_share_and_all_together_the_whole_and_what_is_dropped_is_there_again() {
        let budget = Budget::new("test", 100, 40);
        let from = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut first = budget.take(from(1), 30).unwrap();
        assert_eq!(budget.take(from(1), 11).unwrap_err(), Short::Source);
        first.grow(from(1), 10).unwrap();
        let others: Vec<_> = (2..100).filter_map(|last| budget.take(from(last), 20).ok()).collect();
        assert_eq!((others.len(), budget.use_now().used), (3, 100));
        assert_eq!(budget.take(from(200), 1).unwrap_err(), Short::All);
        drop(others);
        assert_eq!(budget.use_now().used, 40);
        assert!(budget.use_now().refused > 90);
        drop(first);
        assert_eq!(budget.use_now().used, 0);
    }

    #[test]
    fn all_addresses_of_a_host_are_one_source() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(source(ip("fd00::1:2")), source(ip("fd00::ffff:0:0:9")));
        assert_ne!(source(ip("fd00::1")), source(ip("fd00:0:0:1::1")));
        assert_eq!(source(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }
}
