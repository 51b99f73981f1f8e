//! Trouble with the server beside the agent, said once in the log, and at a bounded rate.

use std::time::{Duration, Instant};

/// The shortest time between two complaints.
const EVERY: Duration = Duration::from_secs(60);

/// The last complaint.
#[derive(Debug)]
pub(super) struct Complaint {
    server: String,
    /// The trouble that was said, while it lasts.
    said: Option<String>,
    at: Option<Instant>,
}

impl Complaint {
    pub(super) fn new(server: String) -> Self {
        Self { server, said: None, at: None }
    }

    /// Says it, unless it was said, or something else just was. What is no news is for those who look closely.
    pub(super) fn make(&mut self, trouble: &str, is_news: bool, now: Instant) {
        if !is_news {
            tracing::debug!(server = %self.server, "{trouble}");
        } else if self.is_due(trouble, now) {
            tracing::warn!(server = %self.server, "{trouble}");
        }
    }

    /// True if it is said now.
    fn is_due(&mut self, trouble: &str, now: Instant) -> bool {
        let is_said = self.said.as_deref() == Some(trouble);
        let is_soon = self.at.is_some_and(|at| now < at + EVERY);
        if is_said || is_soon {
            return false;
        }
        (self.said, self.at) = (Some(trouble.to_owned()), Some(now));
        true
    }

    /// The trouble is over.
    pub(super) fn end(&mut self, now: Instant) {
        if self.said.take().is_some() {
            self.at = Some(now);
            tracing::info!(server = %self.server, "the server is well again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_said_once_and_no_two_within_a_minute() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut complaint = Complaint::new("etcd".to_owned());
        assert!(complaint.is_due("a", now));
        assert!(!complaint.is_due("a", now + 2 * EVERY), "it lasts");
        assert!(complaint.is_due("b", now + 2 * EVERY));
        assert!(!complaint.is_due("a", now + 2 * EVERY), "just another one");
        complaint.end(now + 3 * EVERY);
        assert!(!complaint.is_due("b", now + 3 * EVERY), "it comes and goes");
        assert!(complaint.is_due("b", now + 4 * EVERY));
    }
}
