//! Protocol timing: every constant of the gossip core, with its derivation.

use std::{
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    time::Duration,
};

use crate::{backoff::Backoff, wire::MAX_PAYLOAD};

/// Speed of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between two probes, each of one member. Detection by all takes about `0.7…1 + 1` periods until the suspicion
    /// begins, and the suspicion.
    pub probe_period: Duration,
    /// Time that an acknowledgement may take before others are asked: p99 of the round trip and scheduling slack of at
    /// least 60 ms in virtual machines. At most a third of the period, so that the indirect answers fit in.
    pub probe_rtt: Duration,
    /// Length of a confirmed suspicion with up to ten members; longer with more, see `suspicion`. Together with
    /// the probe period, which passes before a suspicion begins, it is longer than the pauses that must not be taken
    /// for failures, and than twice the time in which a rumour reaches everyone: out goes the suspicion, back comes
    /// the refutation.
    pub suspicion: Duration,
    /// Time between two rounds in which rumours are passed on, to three members each.
    pub gossip_period: Duration,
    /// Time between two comparisons with a random member if all is well. Each takes ten packets of a stream.
    pub compare_period: Duration,
    /// Time between two dials of one failed member or unseen seed, by the cluster as a whole.
    pub heal_period: Duration,
    /// Wait between two rounds of dialling all seeds while alone.
    pub join_backoff: Backoff,
    /// Time after which a round dials on, twice as many addresses.
    pub widen_after: Duration,
}

impl Timing {
    /// One data centre: pauses below a second are no failures (300 + 800 ms), and everybody knows of a silent host in
    /// about a second and a half. Measured with ten members (docs/performance.md, what a longer suspicion costs): half the
    /// suspicion forgives half a second instead of a whole one, and saves 0.45 s, with silent hosts alone; twice of it
    /// forgives 0.75 s more and costs 0.8 s. Half the period doubles the packets, twice the
    /// period brings the worst case of a crash from 1.0 to 2.3 s. Lost packets, up to half of all, make no difference.
    pub const LAN: Self = Self {
        probe_period: Duration::from_millis(300),
        probe_rtt: Duration::from_millis(100),
        suspicion: Duration::from_millis(800),
        gossip_period: Duration::from_millis(100),
        compare_period: Duration::from_secs(20),
        heal_period: Duration::from_secs(1),
        join_backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(3)),
        widen_after: Duration::from_millis(50),
    };

    /// One host: the same shape, faster, for round trips well below a millisecond.
    pub const LOCAL: Self = Self {
        probe_period: Duration::from_millis(200),
        probe_rtt: Duration::from_millis(60),
        suspicion: Duration::from_millis(600),
        gossip_period: Duration::from_millis(50),
        heal_period: Duration::from_millis(500),
        join_backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(2)),
        ..Self::LAN
    };

    /// Several data centres: round trips up to 300 ms and loss on the way.
    pub const WAN: Self = Self {
        probe_period: Duration::from_secs(2),
        probe_rtt: Duration::from_millis(600),
        suspicion: Duration::from_secs(8),
        gossip_period: Duration::from_millis(300),
        compare_period: Duration::from_secs(30),
        heal_period: Duration::from_secs(5),
        join_backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(15)),
        widen_after: Duration::from_millis(300),
    };

    /// Time that a member of a cluster of `size` has to refute a suspicion. A rumour takes `O(log N)` rounds, so the
    /// time grows with `log10 N`, as in SWIM and memberlist.
    pub fn suspicion(&self, size: usize) -> Duration {
        let scale = f64::from(u32::try_from(size).unwrap_or(u32::MAX)).log10().max(1.0);
        self.suspicion.mul_f64(scale)
    }

    /// Time that a member has to refute that its process is gone, which its host said to two of us: a rumour there and its
    /// answer back.
    pub(super) fn gone_after(&self) -> Duration {
        self.gossip_period * 3
    }

    /// Silence of all others after which a node with members says that it is cut off. Each period brings it a ping and an
    /// answer; at 50 % loss eight without either come once in a thousand.
    pub(super) fn deaf_after(&self) -> Duration {
        self.probe_period * 8
    }

    /// Length of a pause from which on this process may have missed answers.
    pub fn stall(&self) -> Duration {
        self.probe_period.max(Duration::from_millis(500))
    }

    /// The engine's configuration for a cluster of `size`. Its own announcing is off: the join and heal loop does it.
    pub(super) fn engine(&self, size: usize) -> foca::Config {
        let mut config = foca::Config::new_lan(NonZeroU32::MIN);
        config.probe_period = self.probe_period;
        config.probe_rtt = self.probe_rtt;
        config.max_transmissions = transmissions(size);
        config.suspect_to_down_after = self.suspicion(size);
        config.max_packet_size = NonZeroUsize::new(MAX_PAYLOAD).expect("a datagram holds something");
        config.notify_down_members = true;
        config.periodic_announce = None;
        config.periodic_announce_to_down_members = None;
        if let Some(gossip) = &mut config.periodic_gossip {
            gossip.frequency = self.gossip_period;
        }
        config
    }
}

/// Number of times that each node passes a rumour on. One passed on `x` times misses a node with probability about `e^-x`, so
/// that it takes more than `2 ln N` for none of `N` to miss it; five on top are for losses. The engine's own default leaves 6 of
/// 1,000 nodes unaware of a join. The count is fixed when a rumour begins, so a cluster counts as one of thirty at
/// least: it may be about to be.
fn transmissions(size: usize) -> NonZeroU8 {
    let size = f64::from(u32::try_from(size.max(30)).unwrap_or(u32::MAX));
    // At most 2 ln 2^32 + 5 = 50.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 12 and 50")]
    let count = (2.0 * size.ln() + 5.0).ceil() as u8;
    NonZeroU8::new(count).unwrap_or(NonZeroU8::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rumours_are_passed_on_often_enough_to_reach_everyone() {
        let count = |size| transmissions(size).get();
        assert_eq!([count(1), count(3), count(10), count(100), count(1_000)], [12, 12, 12, 15, 19]);
    }

    #[test]
    fn suspicion_grows_with_the_logarithm_of_the_cluster() {
        assert_eq!(Timing::LAN.suspicion(3), Duration::from_millis(800));
        assert_eq!(Timing::LAN.suspicion(100), Duration::from_millis(1600));
    }

    #[test]
    fn an_indirect_answer_fits_into_the_probe_period() {
        for timing in [Timing::LOCAL, Timing::LAN, Timing::WAN] {
            assert!(timing.probe_rtt * 3 <= timing.probe_period);
        }
    }
}
