//! All providers, and the spec that picks one of them: the value of `--retry-join`.

use std::{fmt, net::SocketAddr, sync::Arc};

#[cfg(feature = "aws")]
use crate::aws;
#[cfg(feature = "dns")]
use crate::dns;
use crate::{
    checked::{Checked, LONGEST_POLL, Reach},
    discovery::Discover,
    fixed,
    nearest::nearest,
    registration::{Registration, Source},
    spec::{
        self,
        error::SpecError,
        keys::{Keys, Schema},
        pairs::{self, Pair},
    },
};

/// The providers of this build.
const BUILT: &[Registration] = &[
    #[cfg(feature = "aws")]
    aws::REGISTRATION,
    #[cfg(feature = "dns")]
    dns::REGISTRATION,
    fixed::REGISTRATION,
];

/// The names of all providers, whether or not this build has them.
const NAMES: [&str; 3] = ["aws", "dns", "static"];

/// The providers that a build may lack; each is called like the cargo feature that brings it.
const OPTIONAL: [&str; 2] = ["aws", "dns"];

/// A provider and the values that it is asked with, parsed and checked.
///
/// Whatever shows to be a mistake without asking anybody is refused when a spec is parsed. `Display` prints the canonical
/// form: `provider` first, the other keys sorted, and `<redacted>` in place of secrets. A spec without secrets parses back
/// from it to an equal spec.
#[derive(Clone)]
pub struct Spec {
    schema: &'static Schema,
    /// The pairs but for `provider`, sorted by key; they decide which specs are equal, and hold the secrets.
    pairs: Vec<Pair>,
    source: Arc<dyn Source>,
}

impl Spec {
    /// Parses a spec: `provider=NAME KEY=VALUE…`, or addresses alone (no `=` anywhere in it).
    ///
    /// # Errors
    /// Every mistake that shows without asking anybody.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        if text.trim().is_empty() {
            return Err(SpecError::Empty);
        }
        if !text.contains('=') {
            let pair = Pair { key: fixed::ADDRS.to_owned(), value: text.trim().to_owned() };
            return Self::read(&fixed::REGISTRATION, vec![pair]);
        }
        let mut pairs =
            pairs::parse(text).map_err(|e| SpecError::Grammar { column: e.column, fault: e.fault })?;
        let provider = pairs.iter().position(|pair| pair.key == "provider");
        let provider = pairs.remove(provider.ok_or(SpecError::NoProvider { known: &NAMES })?).value;
        let registration = BUILT.iter().find(|built| built.schema.provider == provider);
        Self::read(registration.ok_or_else(|| unavailable(provider))?, pairs)
    }

    /// `provider=static` with these addresses.
    ///
    /// # Errors
    /// Port 0, or more addresses than that provider takes.
    pub fn of_addrs(addrs: &[SocketAddr]) -> Result<Self, SpecError> {
        let source = fixed::of_addrs(addrs)?;
        let value = addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let pairs = vec![Pair { key: fixed::ADDRS.to_owned(), value }];
        Ok(Self { schema: fixed::REGISTRATION.schema, pairs, source })
    }

    fn read(registration: &Registration, mut pairs: Vec<Pair>) -> Result<Self, SpecError> {
        let schema = registration.schema;
        let source = (registration.read)(Keys::new(schema, pairs.clone())?)?;
        pairs.sort();
        Ok(Self { schema, pairs, source })
    }

    /// The provider's name, as in `provider=NAME`.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        self.schema.provider
    }

    /// Makes the provider ready to be asked. Reads the secrets that the spec points to, and touches no network.
    ///
    /// `default_port` is the port of seeds that come without one.
    ///
    /// # Errors
    /// A secret that cannot be read.
    pub fn connect(&self, default_port: u16) -> Result<Box<dyn Discover>, SpecError> {
        self.connect_within(Reach::All, default_port)
    }

    /// Makes it ready to be asked by somebody who can send to some addresses only. All answers have gone through one check, whichever the
    /// provider: they come in time, and each address can be a seed.
    ///
    /// # Errors
    /// A secret that cannot be read.
    pub fn connect_within(&self, reach: Reach, default_port: u16) -> Result<Box<dyn Discover>, SpecError> {
        let provider = self.source.connect(default_port)?;
        Ok(Box::new(Checked { name: self.provider(), provider, reach, longest: LONGEST_POLL }))
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.schema.provider == other.schema.provider && self.pairs == other.pairs
    }
}

impl Eq for Spec {}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spec::print(f, self.schema, &self.pairs)
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spec({self})")
    }
}

impl std::str::FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::parse(text)
    }
}

/// Makes the error for a provider that this build does not have.
fn unavailable(provider: String) -> SpecError {
    match OPTIONAL.into_iter().find(|optional| *optional == provider) {
        Some(provider) => SpecError::NotBuilt { provider, feature: provider },
        None => SpecError::UnknownProvider { hint: nearest(&provider, NAMES), provider, known: &NAMES },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_listed_by_its_name() {
        let built: Vec<_> = BUILT.iter().map(|built| built.schema.provider).collect();
        assert!(built.iter().all(|name| NAMES.contains(name)), "{built:?}");
        let lacking: Vec<_> = NAMES.into_iter().filter(|name| !built.contains(name)).collect();
        assert!(lacking.iter().all(|name| OPTIONAL.contains(name)), "{lacking:?}");
    }
}
