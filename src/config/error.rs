//! Errors of the configuration: each names flag, value and remedy.

use chronik_providers::SpecError;

/// A mistake in the configuration, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is no such TOML.
    #[error("--config {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// The problem.
        problem: String,
    },
    /// The file has a key that is no flag.
    #[error("{path}: unknown key `{key}`: {remedy}")]
    UnknownKey {
        /// The file.
        path: String,
        /// The key.
        key: String,
        /// The key that may be meant, or all that there are.
        remedy: String,
    },
    /// The environment has variables with the prefix of ours that set nothing, and look like some that would: each with the
    /// one that may be meant.
    #[error("the environment sets nothing by {0}: correct or unset them")]
    UnknownVariables(String),
    /// A value is none that its flag takes.
    #[error("--{flag} {value:?}{origin} {problem}")]
    Value {
        /// The flag, without dashes.
        flag: &'static str,
        /// The value, as written.
        value: String,
        /// Its source in brackets, unless that is the command line.
        origin: String,
        /// The problem and what to write instead; continues the sentence.
        problem: String,
    },
    /// A spec is wrong. It may hold secrets, so that its place stands for it.
    #[error("--retry-join number {number}{origin}: {error}")]
    Spec {
        /// Its place among the specs, from 1.
        number: usize,
        /// Its source in brackets, unless that is the command line.
        origin: String,
        /// The problem, and the remedy.
        error: SpecError,
    },
    /// Two values do not go together, or one that is needed is missing.
    #[error("{0}")]
    Together(String),
}
