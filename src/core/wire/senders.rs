//! Memory of the packets that were seen: for each sender, a window over the numbers of its latest ones.

use std::collections::BTreeMap;

use super::packet_id::{BootId, PacketId};

/// Distance by which a packet may come behind later ones of its sender. A sender's numbers count all its packets, to
/// all members: at a hundred packets a second this is ten seconds, and a burst to every member of a large cluster is
/// within it.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;
/// Upper bound on the senders remembered, one for each start of each member. Only holders of a key can fill it.
pub(super) const MAX_SENDERS: usize = 16_384;

/// The verdict on a packet that may have been seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The packet was not seen before.
    New,
    /// The packet was seen before, or is too old to say.
    Replayed,
    /// The sender of the packet is unknown.
    Stranger,
}

/// The latest packets of one sender, up to the number `top`: a bit each, set if it was seen.
#[derive(Debug)]
struct Window {
    top: u64,
    seen: [u64; WORDS],
    /// Value of the counter of uses when it was last used.
    used: u64,
}

impl Window {
    /// A window in which everything up to `top` counts as seen.
    fn after(top: u64) -> Self {
        Self { top, seen: [u64::MAX; WORDS], used: 0 }
    }

    /// Marks a number as seen; returns false if it was before, or is too old to say.
    fn try_mark(&mut self, number: u64) -> bool {
        if number > self.top {
            // The numbers between were not seen; the window holds no more than its length of them.
            let first = (self.top + 1).max(number.saturating_sub(WINDOW - 1));
            for skipped in first..number {
                self.clear(skipped);
            }
            self.top = number;
        } else if self.top - number >= WINDOW || self.is_set(number) {
            return false;
        }
        self.mark(number);
        true
    }

    fn is_set(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen[word] & bit != 0
    }

    fn mark(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.seen[word] &= !bit;
    }
}

fn place(number: u64) -> (usize, u64) {
    let at = number % WINDOW;
    (usize::try_from(at / 64).expect("below the window's size"), 1 << (at % 64))
}

/// The senders that are known to run, or to have run a while ago.
#[derive(Debug, Default)]
pub(super) struct Senders {
    windows: BTreeMap<BootId, Window>,
    uses: u64,
}

impl Senders {
    /// Checks whether that packet is new, and marks it as seen, unless its sender is a stranger.
    pub(super) fn check_and_mark(&mut self, packet: PacketId) -> Freshness {
        self.uses += 1;
        let Some(window) = self.windows.get_mut(&packet.boot) else {
            return Freshness::Stranger;
        };
        if !window.try_mark(packet.number) {
            return Freshness::Replayed;
        }
        window.used = self.uses;
        Freshness::New
    }

    /// Remembers the sender from this packet on; returns the sender that was forgotten for it, if there was no room.
    pub(super) fn admit(&mut self, packet: PacketId) -> Option<BootId> {
        if self.check_and_mark(packet) != Freshness::Stranger {
            return None;
        }
        let longest_silent =
            || self.windows.iter().min_by_key(|(_, window)| window.used).map(|(boot, _)| *boot);
        let forgotten = if self.windows.len() < MAX_SENDERS { None } else { longest_silent() };
        if let Some(boot) = forgotten {
            self.windows.remove(&boot);
        }
        self.windows.insert(packet.boot, Window { used: self.uses, ..Window::after(packet.number) });
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn packet(boot: u64, number: u64) -> PacketId {
        PacketId { boot: BootId(u128::from(boot).to_be_bytes()), number }
    }

    #[test]
    fn packets_may_overtake_each_other_within_the_window_only() {
        let mut senders = Senders::default();
        assert_eq!(senders.check_and_mark(packet(1, 5)), Freshness::Stranger);
        senders.admit(packet(1, 5));
        let late = |senders: &mut Senders, number| senders.check_and_mark(packet(1, number));
        assert_eq!(late(&mut senders, 5), Freshness::Replayed);
        assert_eq!(late(&mut senders, 4), Freshness::Replayed, "sent before its sender was known");
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
            assert_eq!(senders.admit(packet(boot, 1)), None);
        }
        assert_eq!(senders.check_and_mark(packet(0, 2)), Freshness::New);
        assert_eq!(senders.admit(packet(u64::MAX, 1)), Some(packet(1, 1).boot));
        assert_eq!(senders.windows.len(), MAX_SENDERS);
        assert_eq!(senders.check_and_mark(packet(0, 3)), Freshness::New);
        assert_eq!(senders.check_and_mark(packet(1, 2)), Freshness::Stranger);
    }

    proptest! {
        #[test]
        fn no_number_is_new_twice(numbers in proptest::collection::vec(0..3 * WINDOW, 1..400)) {
            let mut senders = Senders::default();
            senders.admit(packet(1, 0));
            let (mut seen, mut top) = (BTreeSet::from([0]), 0);
            for number in numbers {
                let new = senders.check_and_mark(packet(1, number)) == Freshness::New;
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
