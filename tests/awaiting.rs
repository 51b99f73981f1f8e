//! Waiting for the thing itself, with a bound: the one place in the tests where a thread sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a thing is looked at; well below every figure that a test measures.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until it is so, and says what was found and how long that took.
///
/// # Panics
/// With what was missing last, where it is not so within `bound`.
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

/// Real time, which real processes are measured in.
#[expect(clippy::disallowed_methods, reason = "the agents under test run on it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
