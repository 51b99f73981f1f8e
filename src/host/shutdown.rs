//! Signals: the first to stop asks for a graceful end, the second for an immediate one; SIGHUP has what is read once be read again.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// Time within which signals are one stop: `timeout`, a wrapper beside Ctrl-C and some supervisors signal the process and its
/// group, within a few milliseconds. An impatient person takes longer.
const ONE_STOP: Duration = Duration::from_millis(300);

/// SIGTERM and SIGINT, caught as soon as this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to catch them, and SIGHUP.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> io::Result<Self> {
        // By default SIGHUP would end the process; once caught it does not, even if nothing listens to it.
        let _hangup = signal(SignalKind::hangup())?;
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Completes at the next stop after one that began a moment ago.
    pub async fn next_stop(&mut self) {
        let same = sleep(ONE_STOP);
        tokio::pin!(same);
        loop {
            tokio::select! {
                () = &mut same => break,
                () = self.next() => {}
            }
        }
        self.next().await;
    }

    /// Completes at the next SIGTERM or SIGINT.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, for a task that reads something again.
#[derive(Debug)]
pub(crate) struct Hangups(Option<Signal>);

impl Hangups {
    /// Starts to catch it. If the system refuses, the log says what is left.
    pub(crate) fn catch(left: &str) -> Self {
        let caught = signal(SignalKind::hangup());
        Self(caught.inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be caught; {left}")).ok())
    }

    /// Completes at the next one.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(hangups) => _ = hangups.recv().await,
            None => std::future::pending().await,
        }
    }
}
