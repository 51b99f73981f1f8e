//! The server beside this agent, as far as it speaks.

use std::time::{Duration, Instant};

use crate::bootstrap::{Server, ServerReport};

/// Time for which a server that reports itself counts as running: three of the heartbeats of ten seconds that the
/// documentation asks for.
const UP_FOR: Duration = Duration::from_secs(30);

/// The server's last report.
#[derive(Debug, Default)]
pub(super) struct ServerBeside {
    last: Option<Heartbeat>,
}

#[derive(Debug)]
struct Heartbeat {
    report: ServerReport,
    at: Instant,
}

impl ServerBeside {
    /// Takes in a report.
    pub(super) fn note(&mut self, report: ServerReport, now: Instant) {
        self.last = Some(Heartbeat { report, at: now });
    }

    /// True if it counts as running; `None` if it never spoke, or speaks only once.
    pub(super) fn is_up(&self, now: Instant) -> Option<bool> {
        let Heartbeat { at, .. } = self.last.as_ref().filter(|last| !last.report.once)?;
        Some(now.duration_since(*at) <= UP_FOR)
    }

    /// The server for readers.
    pub(super) fn status(&self, now: Instant) -> Option<Server> {
        let Heartbeat { report, .. } = self.last.as_ref()?;
        Some(Server { report: report.clone(), up: self.is_up(now) })
    }
}
