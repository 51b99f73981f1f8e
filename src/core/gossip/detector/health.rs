//! Health of this node itself: a slow or deaf node must doubt itself before it accuses others. It is Lifeguard's local
//! health multiplier (Dadgar, Phillips and Currey, DSN 2018).

use std::time::Duration;

/// The worst score; a probe then takes eight times as long. The paper and memberlist agree on it.
const WORST: u32 = 7;

/// Score of this node: zero if it is well, growing with every sign that it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Health(u32);

impl Health {
    /// Improves the score: a probe was answered in time.
    pub(super) fn improve(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// Worsens the score by a number of signs that the fault is here: a probe failed though its helpers were silent too,
    /// this node was accused, or a timer fired late.
    pub(super) fn worsen(&mut self, signs: u32) {
        self.0 = self.0.saturating_add(signs).min(WORST);
    }

    /// Time that something takes here which takes `wait` on a node that is well.
    pub(super) fn stretch(self, wait: Duration) -> Duration {
        wait * (self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sick_node_takes_up_to_eight_times_as_long_and_recovers() {
        let mut health = Health::default();
        let second = Duration::from_secs(1);
        assert_eq!(health.stretch(second), second);
        health.worsen(3);
        assert_eq!(health.stretch(second), 4 * second);
        health.worsen(100);
        assert_eq!(health.stretch(second), 8 * second);
        (0..7).for_each(|_| health.improve());
        health.improve();
        assert_eq!(health, Health::default());
    }
}
