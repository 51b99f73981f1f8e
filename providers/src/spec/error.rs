//! Errors of specs, each a sentence that names the key, the value and the remedy.

use super::pairs::GrammarFault;

/// A mistake in a spec that shows without asking anybody. Never shows the value of a secret key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nothing but blanks.
    #[error(
        "the spec is empty: give provider=NAME and its keys, or addresses such as 10.0.0.1:7946,10.0.0.2"
    )]
    Empty,
    /// A text that does not split into pairs.
    #[error("column {column}: {fault}")]
    Grammar {
        /// Column where the fault begins, in characters from 1.
        column: usize,
        /// The fault.
        fault: GrammarFault,
    },
    /// Pairs, but no `provider=`.
    #[error("the spec names no provider: add provider=NAME, where NAME is one of {}", known.join(", "))]
    NoProvider {
        /// Names of all providers, whether or not this build has them.
        known: &'static [&'static str],
    },
    /// A provider that no build has.
    #[error("unknown provider `{provider}`{}: the providers are {}", did_you_mean(hint), known.join(", "))]
    UnknownProvider {
        /// The name given.
        provider: String,
        /// The nearest known name.
        hint: Option<&'static str>,
        /// Names of all providers, whether or not this build has them.
        known: &'static [&'static str],
    },
    /// A provider that this build was made without.
    #[error("provider={provider} is not in this build: build with --features {feature}")]
    NotBuilt {
        /// The provider.
        provider: &'static str,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A key that the provider does not take.
    #[error("unknown key `{key}` for provider={provider}{}", did_you_mean(hint))]
    UnknownKey {
        /// The key given.
        key: String,
        /// The provider.
        provider: &'static str,
        /// The nearest key that it takes.
        hint: Option<&'static str>,
    },
    /// A key without which the provider cannot be asked.
    #[error("provider={provider} needs `{key}`: add {example}")]
    MissingKey {
        /// The provider.
        provider: &'static str,
        /// The key.
        key: &'static str,
        /// A pair with this key, as an example.
        example: &'static str,
    },
    /// A value that cannot be meant.
    #[error("provider={provider}: {key}: `{value}` {remedy}")]
    BadValue {
        /// The provider.
        provider: &'static str,
        /// The key.
        key: String,
        /// The value, which is no secret.
        value: String,
        /// The fault and the remedy; completes "`VALUE` ".
        remedy: String,
    },
    /// Keys that do not go together.
    #[error("provider={provider}: {problem}")]
    Conflict {
        /// The provider.
        provider: &'static str,
        /// The keys and the remedy.
        problem: String,
    },
    /// A secret that cannot be read.
    #[error("{key}: {problem}")]
    Secret {
        /// The key.
        key: String,
        /// The fault and the remedy, without the secret.
        problem: String,
    },
}

fn did_you_mean(hint: &Option<&'static str>) -> String {
    hint.map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default()
}
