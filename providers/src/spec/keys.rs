//! The keys that a provider takes, and the values given for them in a spec.

use std::collections::BTreeMap;
#[cfg(any(feature = "aws", feature = "dns"))]
use std::num::NonZeroU16;

use super::{error::SpecError, pairs::Pair};
#[cfg(any(feature = "aws", feature = "dns"))]
use crate::address::parse_port;
use crate::nearest::nearest;

/// The keys that a provider takes.
pub(crate) struct Schema {
    /// The provider's name, as in `provider=NAME`.
    pub(crate) provider: &'static str,
    /// The keys; a `KEY` at the end of one stands for any name.
    pub(crate) keys: &'static [&'static str],
    /// Secret keys, whose values are never shown; also listed in `keys`.
    pub(crate) secrets: &'static [&'static str],
}

/// The pairs of a spec but for `provider`, every key of which the provider takes.
///
/// The provider takes each value out by its key, and reports a bad one by the errors made here.
pub(crate) struct Keys {
    provider: &'static str,
    values: BTreeMap<String, String>,
}

impl Keys {
    /// Checks every key against the schema.
    ///
    /// # Errors
    /// [`SpecError::UnknownKey`].
    pub(crate) fn new(schema: &Schema, pairs: Vec<Pair>) -> Result<Self, SpecError> {
        let mut values = BTreeMap::new();
        for Pair { key, value } in pairs {
            let fits = |known: &&str| match known.strip_suffix("KEY") {
                Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
                None => key == *known,
            };
            if !schema.keys.iter().any(fits) {
                let hint = nearest(&key, schema.keys.iter().copied());
                return Err(SpecError::UnknownKey { key, provider: schema.provider, hint });
            }
            values.insert(key, value);
        }
        Ok(Self { provider: schema.provider, values })
    }

    /// Makes the error for a value; `remedy` completes "`VALUE` ".
    pub(crate) fn bad_value(&self, key: &'static str, value: &str, remedy: impl ToString) -> SpecError {
        SpecError::BadValue {
            provider: self.provider,
            key: key.to_owned(),
            value: value.to_owned(),
            remedy: remedy.to_string(),
        }
    }

    /// Makes the error for keys that do not go together.
    pub(crate) fn conflict(&self, problem: impl ToString) -> SpecError {
        SpecError::Conflict { provider: self.provider, problem: problem.to_string() }
    }

    /// Takes a value that may be empty.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    /// Takes a value, if the key is given. An empty one counts as left out: templates write such for what is not set, and
    /// go-discover reads it so.
    pub(crate) fn take_optional(&mut self, key: &'static str) -> Option<String> {
        self.take(key).filter(|value| !value.is_empty())
    }

    /// Takes a value that must be given; `example` is a pair with this key, for the error.
    pub(crate) fn take_required(
        &mut self,
        key: &'static str,
        example: &'static str,
    ) -> Result<String, SpecError> {
        let provider = self.provider;
        self.take_optional(key).ok_or(SpecError::MissingKey { provider, key, example })
    }

    /// Takes the value of `port`.
    #[cfg(any(feature = "aws", feature = "dns"))]
    pub(crate) fn take_port(&mut self) -> Result<Option<NonZeroU16>, SpecError> {
        let Some(text) = self.take_optional("port") else {
            return Ok(None);
        };
        parse_port(&text).map(Some).map_err(|e| self.bad_value("port", &text, e))
    }

    /// Takes every pair whose key begins with `prefix`, which is cut off.
    #[cfg(feature = "aws")]
    pub(crate) fn take_prefixed(&mut self, prefix: &str) -> BTreeMap<String, String> {
        self.values
            .extract_if(.., |key, _| key.starts_with(prefix))
            .map(|(key, value)| (key[prefix.len()..].to_owned(), value))
            .collect()
    }
}
