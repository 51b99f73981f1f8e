//! Failures to accept a connection, for want of file descriptors for instance: each is followed by a pause, so that the
//! processor stays free, and one a minute is logged.

use std::{
    io,
    time::{Duration, Instant},
};

/// Pause after a failure: only time mends it.
const PAUSE: Duration = Duration::from_millis(100);
/// Interval between two lines in the log; the failures in between are counted.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The failures of one accept loop.
#[derive(Debug, Default)]
pub(crate) struct AcceptFailures {
    /// Time of the last line in the log.
    logged: Option<Instant>,
    /// Number of failures since then.
    unlogged: u64,
}

impl AcceptFailures {
    /// Notes a failure and waits. `what` was to be accepted.
    pub(crate) async fn pause(&mut self, what: &'static str, error: &io::Error) {
        if let Some(untold) = self.note(now()) {
            tracing::warn!(
                what, %error, untold,
                "cannot accept; where too many files are open, raise the limit (ulimit -n, LimitNOFILE=)"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// Notes a failure. If it is to be logged, returns the number of those before it that were not.
    fn note(&mut self, now: Instant) -> Option<u64> {
        if self.logged.is_some_and(|logged| now.duration_since(logged) < LOG_EVERY) {
            self.unlogged += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.unlogged))
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
    fn failures_are_logged_once_a_minute_with_the_number_of_the_others() {
        let begin = now();
        let mut failures = AcceptFailures::default();
        let logged: Vec<_> = (0..1_201).filter_map(|tenth| failures.note(begin + tenth * PAUSE)).collect();
        assert_eq!(logged, [0, 599, 599]);
    }
}
