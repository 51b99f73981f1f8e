//! A watchdog over the task that does the work: a thread of its own, which waits for nothing of the agent and ends the
//! program if that task stands still.
//!
//! The service manager then starts it anew. It cannot be mended from inside: a task that is stuck in a system call or a
//! loop cannot be taken away, and holds the state directory's lock and the sockets with it.

use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::log::Log;

/// Interval of the looks: the task beats once a second at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Number of looks without a beat after which the task stands still: less than the 10 s after which the systemd unit loses
/// its patience, so that the log says why. Looks are counted rather than time, so that a pause of the whole process or
/// host is no fault.
const LOOKS: u32 = 8;
/// Time allowed for the final log line; logging itself may be what blocks.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The heartbeat of a task; the task has ended once this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Beats once. The task calls this each time it comes round.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The state of a watcher between two looks.
#[derive(Debug, Default)]
struct Watcher {
    /// Number of beats at the last look.
    beats: u64,
    /// Number of looks since the last new beat.
    looks_without_beat: u32,
}

/// The result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Alive,
    StandsStill,
}

/// The end of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    StandsStill,
    /// The task has ended, and its pulse is dropped.
    Ended,
}

impl Watcher {
    /// Looks at the number of beats.
    fn look(&mut self, beats: u64) -> Found {
        self.looks_without_beat = if beats == self.beats { self.looks_without_beat + 1 } else { 0 };
        self.beats = beats;
        if self.looks_without_beat < LOOKS { Found::Alive } else { Found::StandsStill }
    }
}

/// Starts a thread that ends the program if `pulse` stops, with a last line in `log`. For a program of its own, not for an agent inside another.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn watch(pulse: &Pulse, log: Log) -> io::Result<()> {
    let pulse = Arc::downgrade(&pulse.0);
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        if await_end(&pulse) == End::StandsStill {
            give_up(log);
        }
    })?;
    Ok(())
}

/// Looks at the pulse at intervals, until the task stands still or has ended.
fn await_end(pulse: &Weak<AtomicU64>) -> End {
    let mut watcher = Watcher::default();
    // Nothing is ever sent: this only waits for a bounded time.
    let (_never, wait) = mpsc::sync_channel::<()>(0);
    loop {
        wait.recv_timeout(LOOK_EVERY).ok();
        let Some(pulse) = pulse.upgrade() else { return End::Ended };
        if watcher.look(pulse.load(Ordering::Relaxed)) == Found::StandsStill {
            return End::StandsStill;
        }
    }
}

fn give_up(log: Log) {
    let (logged, wait) = mpsc::sync_channel(1);
    let last_words = move || {
        tracing::error!(
            "the agent's task has stood still for {LOOKS} s, on a disk that does not answer perhaps: ending, to be \
             started anew"
        );
        // The line is another thread's to write, which ends with the program.
        log.flush();
        logged.send(()).ok();
    };
    // Without a thread there are no last words.
    thread::Builder::new().spawn(last_words).ok();
    wait.recv_timeout(LAST_WORDS).ok();
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_comes_round_is_alive_and_one_that_does_not_is_not() {
        let mut watcher = Watcher::default();
        assert!((1..100).all(|beats| watcher.look(beats) == Found::Alive));
        assert!((1..LOOKS).all(|_| watcher.look(99) == Found::Alive));
        assert_eq!(watcher.look(100), Found::Alive, "at the last moment");
        assert!((1..LOOKS).all(|_| watcher.look(100) == Found::Alive));
        assert_eq!(watcher.look(100), Found::StandsStill);
    }

    #[test]
    fn a_task_that_has_ended_is_watched_no_more() {
        let pulse = Pulse::default();
        let watched = Arc::downgrade(&pulse.0);
        drop(pulse);
        assert_eq!(await_end(&watched), End::Ended);
    }
}
