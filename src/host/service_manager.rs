//! Messages to systemd, or another service manager that sets `NOTIFY_SOCKET` (sd_notify(3)): `READY=1` once the sockets are
//! bound and the API answers, `STOPPING=1` at the goodbye, and `WATCHDOG=1` as long as the task that does the work comes
//! round.

use std::time::Duration;

use sd_notify::NotifyState;

/// The shortest period of a watchdog that [`ServiceManager::tell`] can serve: it needs two messages in each, and the agent's
/// task comes round once a second.
const SHORTEST_WATCHDOG: Duration = Duration::from_secs(2);

/// The service manager above this process, if there is one.
#[derive(Debug, Default)]
pub struct ServiceManager {
    /// False if the agent is embedded in another program.
    there: bool,
    /// True if it wants a message in each period of its watchdog.
    watchdog: bool,
    said: Said,
}

/// The last state that was sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    Ready,
    Stopping,
}

/// Stage of the agent's life, as a service manager sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The sockets are bound and the API answers.
    Running,
    /// The agent says goodbye, and the process ends.
    Stopping,
}

impl ServiceManager {
    /// The one that the environment names. An agent inside another program must not speak for that program, and has the
    /// default, which sends nothing.
    pub fn of_this_process() -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        if let Some(period) = watchdog.filter(|period| *period < SHORTEST_WATCHDOG) {
            tracing::warn!(?period, least = ?SHORTEST_WATCHDOG, "the watchdog is too impatient; raise WatchdogSec");
        }
        Self { there: true, watchdog: watchdog.is_some(), said: Said::Nothing }
    }

    /// Sends a new state, and that the task is alive. The task calls this about once a second.
    pub fn tell(&mut self, stage: Stage) {
        if !self.there {
            return;
        }
        let now = match stage {
            Stage::Running => Said::Ready,
            Stage::Stopping => Said::Stopping,
        };
        let news = match now {
            Said::Stopping => NotifyState::Stopping,
            Said::Nothing | Said::Ready => NotifyState::Ready,
        };
        let mut states = Vec::with_capacity(2);
        if self.said != now {
            states.push(news);
        }
        if self.watchdog {
            states.push(NotifyState::Watchdog);
        }
        self.said = now;
        if states.is_empty() {
            return;
        }
        // Without a `NOTIFY_SOCKET` this sends nothing, and succeeds.
        if let Err(error) = sd_notify::notify(&states) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}
