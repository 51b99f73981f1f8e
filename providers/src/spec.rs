//! A spec as text: grammar, keys and values, and what is wrong with them. Nothing in here knows a provider.

pub(crate) mod error;
pub(crate) mod keys;
pub(crate) mod pairs;

use std::fmt;

use self::{keys::Schema, pairs::Pair};

/// The text that stands in place of a secret wherever one would be printed.
pub(crate) const REDACTED: &str = "<redacted>";

/// Prints a spec: `provider` first, then the pairs in the order given, secrets masked. A pointer to a secret (`env:`,
/// `file:`) is not secret itself.
pub(crate) fn print(f: &mut impl fmt::Write, schema: &Schema, pairs: &[Pair]) -> fmt::Result {
    pairs::print(f, "provider", schema.provider)?;
    for Pair { key, value } in pairs {
        let is_pointer = value.starts_with("env:") || value.starts_with("file:");
        let is_secret = schema.secrets.contains(&key.as_str()) && !is_pointer;
        f.write_char(' ')?;
        pairs::print(f, key, if is_secret { REDACTED } else { value })?;
    }
    Ok(())
}
