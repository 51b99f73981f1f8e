//! Reasons for which a request to the agent is not done.

/// The agent has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent has stopped")]
pub struct Stopped;

/// A request that was taken in and is not on disk: a crash would lose it. It is written once the disk takes it. A reset
/// is not done at all then, and has to be asked for again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not on disk yet: {0}")]
pub struct Unwritten(pub String);

/// The reason why a request is not done; `R` is the machine's refusal of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone<R> {
    /// The agent has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The disk refuses it.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    /// It contradicts what is known here.
    #[error("{0}")]
    Refused(R),
}
