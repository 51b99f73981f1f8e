//! Waits between attempts: exponential with full jitter, so that a thousand nodes that failed together do not try
//! again together.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng};

/// Bounds of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits between `shortest` and `longest`; a `longest` below `shortest` counts as equal to it.
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        let longest = if longest.as_nanos() < shortest.as_nanos() { shortest } else { longest };
        Self { shortest, longest }
    }

    /// The wait after `failures` in a row: a random one up to a ceiling that doubles with each failure, and at least a
    /// quarter of the shortest, so that nothing spins.
    pub fn wait(&self, failures: u32, rng: &mut StdRng) -> Duration {
        let ceiling = self.shortest.saturating_mul(1 << failures.min(16)).min(self.longest);
        ceiling.mul_f64(rng.random_range(0.0..1.0)).max(self.shortest / 4)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn the_wait_grows_to_its_bound_and_is_never_nothing() {
        let mut rng = StdRng::seed_from_u64(1);
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));
        let mut waits = |failures| {
            let waits: Vec<_> = (0..500).map(|_| backoff.wait(failures, &mut rng)).collect();
            (*waits.iter().min().unwrap(), *waits.iter().max().unwrap())
        };
        let (least, most) = waits(0);
        assert!(least >= Duration::from_millis(125) && most <= Duration::from_millis(500));
        for failures in [4, 60, u32::MAX] {
            let (_, most) = waits(failures);
            assert!(most > Duration::from_secs(7) && most <= Duration::from_secs(8));
        }
    }
}
