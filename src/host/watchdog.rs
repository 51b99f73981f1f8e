//! Notices that the task which does the work stands still, from a thread of its own that waits for nothing of the agent.
//!
//! Then the program ends, and whoever runs it starts it anew. It cannot be mended from inside: a task that is stuck in
//! a system call or a loop cannot be taken away, and holds the state directory's lock and the sockets with it.

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

/// The task comes round once a second at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks without a sign of life: before the 10 s after which the systemd unit loses its patience, so that the log says
/// why. Looks are counted rather than time, so that a pause of the whole process or host is no fault.
const LOOKS: u32 = 8;
/// For the last line of the log: what the task is stuck in may be the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The signs of life of a task, which ends where this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// To be called each time the task comes round.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a watcher remembers between two looks.
#[derive(Debug, Default)]
struct Watcher {
    seen: u64,
    without_sign: u32,
}

impl Watcher {
    /// Whether the task stands still.
    fn looks(&mut self, beats: u64) -> bool {
        self.without_sign = if beats == self.seen { self.without_sign + 1 } else { 0 };
        self.seen = beats;
        self.without_sign >= LOOKS
    }
}

/// Ends the program where `pulse` stops. For a program of its own, not for an agent inside another.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn watch(pulse: &Pulse) -> io::Result<()> {
    let pulse = Arc::downgrade(&pulse.0);
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        if stands_still(&pulse) {
            give_up();
        }
    })?;
    Ok(())
}

/// Returns false where the task has ended.
fn stands_still(pulse: &Weak<AtomicU64>) -> bool {
    let mut watcher = Watcher::default();
    // Nothing is ever sent: a wait of a bounded time.
    let (_never, wait) = mpsc::sync_channel::<()>(0);
    loop {
        wait.recv_timeout(LOOK_EVERY).ok();
        let Some(pulse) = pulse.upgrade() else { return false };
        if watcher.looks(pulse.load(Ordering::Relaxed)) {
            return true;
        }
    }
}

fn give_up() {
    let (said, hear) = mpsc::sync_channel(1);
    let last_words = move || {
        tracing::error!(
            "the agent's task has stood still for {LOOKS} s, on a disk that does not answer perhaps: ending, to be \
             started anew"
        );
        said.send(()).ok();
    };
    // Without a thread there are no last words.
    thread::Builder::new().spawn(last_words).ok();
    hear.recv_timeout(LAST_WORDS).ok();
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_comes_round_is_alive_and_one_that_does_not_is_not() {
        let mut watcher = Watcher::default();
        assert!((1..100).all(|beats| !watcher.looks(beats)));
        assert!((1..LOOKS).all(|_| !watcher.looks(99)));
        assert!(!watcher.looks(100), "at the last moment");
        assert!((1..LOOKS).all(|_| !watcher.looks(100)));
        assert!(watcher.looks(100));
    }

    #[test]
    fn a_task_that_has_ended_is_watched_no_more() {
        let pulse = Pulse::default();
        let watched = Arc::downgrade(&pulse.0);
        drop(pulse);
        assert!(!stands_still(&watched));
    }
}
