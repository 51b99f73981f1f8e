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
    /// Set while the server was asked and gave no answer.
    is_silent: bool,
}

#[derive(Debug)]
struct Heartbeat {
    report: ServerReport,
    at: Instant,
    /// Set once this server has said the same twice: a report is a heartbeat only if it is repeated.
    beats: bool,
}

impl ServerBeside {
    /// Takes in a report.
    pub(super) fn note(&mut self, report: ServerReport, now: Instant) {
        self.is_silent &= report.once;
        let before = self.last.as_ref().filter(|last| last.report.server_id == report.server_id);
        let beats = before.is_some_and(|last| last.beats || last.report == report);
        self.last = Some(Heartbeat { report, at: now, beats });
    }

    /// Takes in that it was asked and gave no answer.
    pub(super) fn note_silence(&mut self) {
        self.is_silent = true;
    }

    /// True if it counts as running; `None` if it never spoke, or has not repeated what it said, and was not asked.
    pub(super) fn is_up(&self, now: Instant) -> Option<bool> {
        if self.is_silent {
            return Some(false);
        }
        let Heartbeat { at, .. } = self.last.as_ref().filter(|last| last.beats && !last.report.once)?;
        Some(now.duration_since(*at) <= UP_FOR)
    }

    /// The server for readers.
    pub(super) fn status(&self, now: Instant) -> Option<Server> {
        let Heartbeat { report, .. } = self.last.as_ref()?;
        Some(Server { report: report.clone(), up: self.is_up(now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_heartbeat_once_it_is_repeated() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let report = |has_state| ServerReport {
            server_id: "s1".to_owned().try_into().unwrap(),
            has_state,
            cluster_id: None,
            once: false,
            starts: None,
        };
        let mut server = ServerBeside::default();
        server.note(report(false), now);
        server.note(report(true), now);
        assert_eq!(server.is_up(now + UP_FOR * 2), None, "it has said two things, each once");
        server.note(report(true), now);
        assert_eq!(server.is_up(now), Some(true));
        assert_eq!(server.is_up(now + UP_FOR * 2), Some(false));
        server.note_silence();
        assert_eq!(server.is_up(now), Some(false), "asked, it gave no answer");
        server.note(ServerReport { once: true, ..report(true) }, now);
        assert_eq!(server.is_up(now), Some(false), "a word for once is that of another program");
        server.note(report(true), now);
        assert_eq!(server.is_up(now), Some(true));
    }

    #[test]
    fn a_server_that_was_asked_and_never_answered_is_silent() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut server = ServerBeside::default();
        assert_eq!(server.is_up(now), None);
        server.note_silence();
        assert_eq!(server.is_up(now), Some(false));
    }
}
