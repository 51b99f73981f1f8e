//! Waiting for a condition, with a bound: the one place in the tests where a thread sleeps. And the real clock.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Interval between two looks; well below every time that a test measures.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until the condition holds; returns what was found and how long it took.
///
/// # Panics
/// With what was missing last, if the condition does not hold within `bound`.
#[track_caller]
pub(crate) fn within<T>(bound: Duration, mut look: impl FnMut() -> Result<T, String>) -> (T, Duration) {
    let begin = now();
    loop {
        match look() {
            Ok(found) => return (found, begin.elapsed()),
            Err(missing) if begin.elapsed() > bound => panic!("not within {bound:?}: {missing}"),
            #[expect(clippy::disallowed_methods, reason = "between two looks at a thing in another process")]
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

/// Real time: real processes are measured in it, and a simulation may begin at any instant.
#[expect(clippy::disallowed_methods, reason = "the agents under test run on it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
