//! The limit of file descriptors: 1,024 by default, for reasons of `select` alone; a program may ask for more.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{Interest, unix::AsyncFd};

/// The number that is asked for: more than all queues and connections of the agent together.
const ENOUGH: u64 = 16_384;

/// Raises the limit as far as the program may, up to [`ENOUGH`]. For a program of its own, not for an agent inside another.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of file descriptors stays");
        }
    }
}

/// The limit.
pub(crate) fn allowed() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH)
}

/// Has the runtime watch the owner of a descriptor for something to read, and for nothing else.
#[expect(
    deprecated,
    reason = "deprecated because a caller may close the descriptor early; here `owner` is kept, and it stays open"
)]
pub(crate) fn watch<F: AsRawFd + Into<OwnedFd>>(owner: F) -> io::Result<AsyncFd<F>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}
