//! Connections that cannot be accepted, for want of file descriptors for instance: a pause after each, so that the
//! processor stays free, and a line in the log now and then, not one for each.

use std::{
    io,
    time::{Duration, Instant},
};

/// Only time mends what is wrong.
const PAUSE: Duration = Duration::from_millis(100);
/// Those in between are counted.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What an accept loop remembers of its failures.
#[derive(Debug, Default)]
pub(crate) struct AcceptFailures {
    told: Option<Instant>,
    untold: u64,
}

impl AcceptFailures {
    /// Takes note of one, and waits. `what` is what was to be accepted.
    pub(crate) async fn pause(&mut self, what: &'static str, error: &io::Error) {
        if self.are_to_be_told(now()) {
            tracing::warn!(
                what, %error, untold = self.untold,
                "cannot accept; where too many files are open, raise the limit (ulimit -n, LimitNOFILE=)"
            );
            self.untold = 0;
        }
        tokio::time::sleep(PAUSE).await;
    }

    fn are_to_be_told(&mut self, now: Instant) -> bool {
        if self.told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
            self.untold += 1;
            return false;
        }
        self.told = Some(now);
        true
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
    fn failures_are_told_once_a_minute() {
        let begin = now();
        let mut failures = AcceptFailures::default();
        let told = (0..1_200).filter(|tenth| failures.are_to_be_told(begin + *tenth * PAUSE)).count();
        // Whoever tells them begins to count anew.
        assert_eq!((told, failures.untold), (2, 1_198));
    }
}
