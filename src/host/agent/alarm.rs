//! The timer that wakes the core though nothing has come in. The runtime's own timers wake it once on the way to each moment
//! that is more than 64 ms off, and once more for each that is set for earlier than the one before; those were half of all
//! wake-ups of an agent at rest. A timer of the kernel wakes it once.

use std::{
    future::pending,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::descriptors::watch;

/// A timer that is set anew again and again: the kernel's, or the runtime's if there is no descriptor for one.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: Option<AsyncFd<OwnedFd>>,
    /// The moment that the kernel's timer is set for.
    set: Option<Instant>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let timer = kernel_timer().inspect_err(|error| tracing::debug!(%error, "no timer of the kernel"));
        Self { timer: timer.ok(), set: None }
    }

    /// Waits until `at`, or wakes somewhat earlier. The wait may be dropped, and the alarm set for any other moment then.
    pub(super) async fn wait(&mut self, at: Instant, now: Instant) {
        let wait = at.saturating_duration_since(now);
        let Some(timer) = &self.timer else { return tokio::time::sleep(wait).await };
        if wait.is_zero() {
            return;
        }
        if self.set != Some(at) && set(timer, wait).is_err() {
            return tokio::time::sleep(wait).await;
        }
        self.set = Some(at);
        match timer.readable().await {
            // The timer is set anew before the next wait, so that nothing of this one has to be read.
            Ok(mut rung) => rung.clear_ready(),
            // The runtime is being shut down.
            Err(_) => pending().await,
        }
        self.set = None;
    }
}

fn kernel_timer() -> io::Result<AsyncFd<OwnedFd>> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    watch(timer)
}

fn set(timer: &AsyncFd<OwnedFd>, wait: Duration) -> io::Result<()> {
    let once = Itimerspec { it_interval: Timespec::default(), it_value: timespec(wait)? };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
    Ok(())
}

fn timespec(wait: Duration) -> io::Result<Timespec> {
    Timespec::try_from(wait).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the kernel's timer knows no other time")]
    fn now() -> Instant {
        Instant::now()
    }

    /// Time from `start` until the alarm wakes, set for `after` then.
    async fn woken(alarm: &mut Alarm, start: Instant, after: Duration) -> Duration {
        alarm.wait(start + after, now()).await;
        start.elapsed()
    }

    #[tokio::test]
    async fn it_wakes_at_the_last_moment_it_was_set_for() {
        const MS: Duration = Duration::from_millis(1);
        for mut alarm in [Alarm::new(), Alarm { timer: None, set: None }] {
            let start = now();
            assert!(woken(&mut alarm, start, 20 * MS).await >= 20 * MS);
            let start = now();
            let given_up = tokio::time::timeout(20 * MS, woken(&mut alarm, start, 10_000 * MS)).await;
            given_up.expect_err("it wakes early");
            let sooner = woken(&mut alarm, start, 40 * MS).await;
            assert!(sooner >= 40 * MS && sooner < 9_000 * MS, "{sooner:?}");
            assert!(woken(&mut alarm, start, 10 * MS).await < 9_000 * MS, "a moment that has passed");
        }
    }
}
