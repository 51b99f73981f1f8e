//! File descriptors: a program gets 1,024 by default, for reasons of `select` alone, and may take more by asking.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{Interest, unix::AsyncFd};

/// More than all queues and connections of the agent together.
const ENOUGH: u64 = 16_384;

/// Asks for as many as the program may have, and enough. For a program of its own, not for an agent inside another.
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

/// How many there may be.
pub(crate) fn allowed() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH)
}

/// Has the runtime watch what owns a descriptor for something to read, and for nothing else.
#[expect(
    deprecated,
    reason = "what has a safe successor for nobody is sound for an owner, which keeps its descriptor"
)]
pub(crate) fn watch<F: AsRawFd + Into<OwnedFd>>(owner: F) -> io::Result<AsyncFd<F>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}
