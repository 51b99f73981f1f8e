//! The pairs of one provider, taken out by the names it knows.

use std::collections::BTreeMap;

use super::{SpecError, hint, pairs::Pair};
#[cfg(feature = "aws")]
use crate::secret::SecretSource;

/// What a provider may be told.
pub(crate) struct Known {
    /// The provider's name, as in `provider=NAME`.
    pub(crate) provider: &'static str,
    /// Its keys; `KEY` at the end of one stands for any name.
    pub(crate) keys: &'static [&'static str],
    /// Those of them whose values are never shown.
    pub(crate) secrets: &'static [&'static str],
}

/// The pairs of a spec, every one of them known to its provider.
pub(crate) struct Keys {
    provider: &'static str,
    values: BTreeMap<String, String>,
}

impl Keys {
    /// Refuses every key the provider does not know.
    pub(crate) fn new(known: &Known, pairs: Vec<Pair>) -> Result<Self, SpecError> {
        let mut values = BTreeMap::new();
        for Pair { key, value } in pairs {
            let fits = |known: &&str| match known.strip_suffix("KEY") {
                Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
                None => key == *known,
            };
            if !known.keys.iter().any(fits) {
                let hint = hint(&key, known.keys);
                return Err(SpecError::UnknownKey { key, provider: known.provider, hint });
            }
            values.insert(key, value);
        }
        Ok(Self { provider: known.provider, values })
    }

    /// The error for a value of this provider.
    pub(crate) fn bad_value(&self, key: &'static str, value: &str, remedy: impl ToString) -> SpecError {
        SpecError::BadValue {
            provider: self.provider,
            key: key.to_owned(),
            value: value.to_owned(),
            remedy: remedy.to_string(),
        }
    }

    /// The error for keys that do not go together.
    pub(crate) fn conflict(&self, problem: impl ToString) -> SpecError {
        SpecError::Conflict { provider: self.provider, problem: problem.to_string() }
    }

    /// Takes a value that may be empty.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    /// Takes a value that must not be empty.
    pub(crate) fn optional(&mut self, key: &'static str) -> Result<Option<String>, SpecError> {
        match self.take(key) {
            Some(value) if value.is_empty() => {
                Err(self.bad_value(key, "", "is empty: give it a value, or leave the key out"))
            }
            value => Ok(value),
        }
    }

    /// Takes a value that must be there; `example` shows one.
    pub(crate) fn required(&mut self, key: &'static str, example: &'static str) -> Result<String, SpecError> {
        let provider = self.provider;
        self.optional(key)?.ok_or(SpecError::MissingKey { provider, key, example })
    }

    /// Takes a port.
    #[cfg(any(feature = "aws", feature = "dns"))]
    pub(crate) fn port(&mut self) -> Result<Option<std::num::NonZeroU16>, SpecError> {
        let Some(text) = self.optional("port")? else {
            return Ok(None);
        };
        crate::address::parse_port(&text).map(Some).map_err(|e| self.bad_value("port", &text, e))
    }

    /// Takes a secret.
    #[cfg(feature = "aws")]
    pub(crate) fn secret(&mut self, key: &'static str) -> Result<Option<SecretSource>, SpecError> {
        self.optional(key)?.map(|value| SecretSource::parse(key, &value)).transpose()
    }

    /// Takes every pair whose key begins with `prefix`, without it.
    #[cfg(feature = "aws")]
    pub(crate) fn with_prefix(&mut self, prefix: &str) -> Vec<(String, String)> {
        self.values
            .extract_if(.., |key, _| key.starts_with(prefix))
            .map(|(key, value)| (key[prefix.len()..].to_owned(), value))
            .collect()
    }
}
