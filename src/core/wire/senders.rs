//! Which packets of which sender were seen: a window over the numbers of each one's latest packets.

use std::collections::BTreeMap;

use super::sealed::{Boot, Stamp};

/// How far a packet may come behind later ones of its sender. A sender's numbers count what it sends to everybody: at a
/// hundred packets a second this is ten seconds, and a burst to every member of a large cluster is within it.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;
/// Most senders remembered, one for each start of each member. Only holders of a key can fill it.
pub(super) const MAX_SENDERS: usize = 16_384;

/// Whether a packet was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It was not.
    New,
    /// It was, or is too old to say.
    Replayed,
    /// Nothing is known of its sender.
    Stranger,
}

/// Of the packets numbered up to `top`, the latest ones that were seen, a bit each.
#[derive(Debug)]
struct Window {
    top: u64,
    seen: [u64; WORDS],
    used: u64,
}

impl Window {
    /// Everything up to `top` counts as seen.
    fn after(top: u64) -> Self {
        Self { top, seen: [u64::MAX; WORDS], used: 0 }
    }

    /// Marks a number as seen; false where it was.
    fn take(&mut self, number: u64) -> bool {
        if number > self.top {
            // As far as the window goes, the numbers between were not seen.
            let first = (self.top + 1).max(number.saturating_sub(WINDOW - 1));
            for skipped in first..number {
                self.set(skipped, false);
            }
            self.top = number;
        } else if self.top - number >= WINDOW || self.is_set(number) {
            return false;
        }
        self.set(number, true);
        true
    }

    fn is_set(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, number: u64, on: bool) {
        let (word, bit) = place(number);
        if on {
            self.seen[word] |= bit;
        } else {
            self.seen[word] &= !bit;
        }
    }
}

fn place(number: u64) -> (usize, u64) {
    let at = number % WINDOW;
    (usize::try_from(at / 64).expect("below the window's size"), 1 << (at % 64))
}

/// The senders that are known to run, or to have run a while ago.
#[derive(Debug, Default)]
pub(super) struct Senders {
    windows: BTreeMap<Boot, Window>,
    uses: u64,
}

impl Senders {
    /// Whether that packet is new; it counts as seen from now on, unless its sender is a stranger.
    pub(super) fn judge(&mut self, stamp: Stamp) -> Freshness {
        self.uses += 1;
        let Some(window) = self.windows.get_mut(&stamp.boot) else {
            return Freshness::Stranger;
        };
        if !window.take(stamp.number) {
            return Freshness::Replayed;
        }
        window.used = self.uses;
        Freshness::New
    }

    /// Knows the sender from this packet on; says whether another one was forgotten for it.
    pub(super) fn admit(&mut self, stamp: Stamp) -> bool {
        if self.judge(stamp) != Freshness::Stranger {
            return false;
        }
        let longest_silent =
            || self.windows.iter().min_by_key(|(_, window)| window.used).map(|(boot, _)| *boot);
        let forgotten = if self.windows.len() < MAX_SENDERS { None } else { longest_silent() };
        if let Some(boot) = forgotten {
            self.windows.remove(&boot);
        }
        self.windows.insert(stamp.boot, Window { used: self.uses, ..Window::after(stamp.number) });
        forgotten.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn stamp(boot: u64, number: u64) -> Stamp {
        Stamp { boot: Boot(u128::from(boot).to_be_bytes()), number }
    }

    #[test]
    fn packets_may_overtake_each_other_within_the_window_only() {
        let mut senders = Senders::default();
        assert_eq!(senders.judge(stamp(1, 5)), Freshness::Stranger);
        senders.admit(stamp(1, 5));
        let late = |senders: &mut Senders, number| senders.judge(stamp(1, number));
        assert_eq!(late(&mut senders, 5), Freshness::Replayed);
        assert_eq!(late(&mut senders, 4), Freshness::Replayed, "sent before he was known");
        assert_eq!(late(&mut senders, 5 + WINDOW), Freshness::New);
        assert_eq!(late(&mut senders, 6), Freshness::New, "the oldest in the window");
        assert_eq!(late(&mut senders, 6), Freshness::Replayed);
        assert_eq!(late(&mut senders, 7 + WINDOW), Freshness::New);
        assert_eq!(late(&mut senders, 7), Freshness::Replayed, "behind the window");
        assert_eq!(late(&mut senders, 8), Freshness::New);
    }

    #[test]
    fn whoever_was_silent_longest_is_forgotten() {
        let mut senders = Senders::default();
        for boot in 0..MAX_SENDERS as u64 {
            assert!(!senders.admit(stamp(boot, 1)));
        }
        assert_eq!(senders.judge(stamp(0, 2)), Freshness::New);
        assert!(senders.admit(stamp(u64::MAX, 1)));
        assert_eq!(senders.windows.len(), MAX_SENDERS);
        assert_eq!(senders.judge(stamp(0, 3)), Freshness::New);
        assert_eq!(senders.judge(stamp(1, 2)), Freshness::Stranger);
    }

    proptest! {
        #[test]
        fn no_number_is_new_twice(numbers in proptest::collection::vec(0..3 * WINDOW, 1..400)) {
            let mut senders = Senders::default();
            senders.admit(stamp(1, 0));
            let (mut seen, mut top) = (BTreeSet::from([0]), 0);
            for number in numbers {
                let new = senders.judge(stamp(1, number)) == Freshness::New;
                let expected = !seen.contains(&number) && number + WINDOW > top;
                prop_assert_eq!(new, expected, "number {} below {}", number, top);
                if new {
                    seen.insert(number);
                    top = top.max(number);
                }
            }
        }
    }
}
