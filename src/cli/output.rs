//! The output of a command, and its outcome.

use std::io::Write;

use clap::ValueEnum;

/// The end of a command that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Asked, and the answer is no.
    Failed,
    /// Nothing matched.
    NothingMatched,
    /// The time was over before the condition was met.
    TimedOut,
    /// A provider failed.
    ProviderFailed,
}

/// The streams that a command writes to.
pub struct Output<'a> {
    /// Answers.
    pub out: &'a mut dyn Write,
    /// Remarks.
    pub err: &'a mut dyn Write,
    /// True if a person reads the answers.
    pub terminal: bool,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As the API gives it.
    Json,
    /// For people.
    Table,
}
