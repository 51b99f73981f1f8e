//! What follows `--retry-join`: which provider to ask, and for what.
//!
//! A spec is parsed once, into types that cannot be wrong. Whatever can be known to be a mistake without asking anybody
//! is refused here, in a sentence that names the key, the value and the remedy.

pub(crate) mod keys;
pub(crate) mod pairs;

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use keys::{Keys, Known};
pub use pairs::GrammarFault;
use pairs::Pair;

#[cfg(feature = "aws")]
use crate::aws;
#[cfg(feature = "dns")]
use crate::dns;
use crate::{Discover, fixed};

/// Every provider there is, whether or not this build has it, and the cargo feature that brings it.
const PROVIDERS: [(&str, Option<&str>); 3] = [("aws", Some("aws")), ("dns", Some("dns")), ("static", None)];

/// What stands in place of a secret wherever one would be printed.
pub(crate) const REDACTED: &str = "<redacted>";

/// Where to ask for seeds: a provider and what it is told.
///
/// `Display` prints the canonical form: `provider` first, the other keys sorted, and `<redacted>` in place of secrets.
/// A spec without secrets parses back from it to the same spec.
#[derive(Clone, PartialEq, Eq)]
pub struct Spec {
    canonical: String,
    source: Source,
}

#[derive(Clone, PartialEq, Eq)]
enum Source {
    Static(fixed::Static),
    #[cfg(feature = "dns")]
    Dns(dns::spec::Records),
    #[cfg(feature = "aws")]
    Aws(Box<aws::spec::Instances>),
}

/// Makes a provider's own type of its pairs.
type Reader = fn(Keys) -> Result<Source, SpecError>;

/// What is wrong with a spec. Never shows the value of a secret key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nothing but blanks.
    #[error(
        "the spec is empty: give provider=NAME and its keys, or addresses such as 10.0.0.1:7946,10.0.0.2"
    )]
    Empty,
    /// The text does not split into pairs.
    #[error("column {column}: {fault}")]
    Grammar {
        /// Where, in characters from 1.
        column: usize,
        /// What.
        fault: GrammarFault,
    },
    /// Pairs, but no `provider=`.
    #[error("the spec names no provider: add provider=NAME, where NAME is one of {}", provider_list())]
    NoProvider,
    /// A provider nobody knows.
    #[error("unknown provider `{provider}`{}: the providers are {}", did_you_mean(hint), provider_list())]
    UnknownProvider {
        /// The name given.
        provider: String,
        /// The nearest name there is.
        hint: Option<&'static str>,
    },
    /// A provider that this build was made without.
    #[error("provider={provider} is not in this build: build with --features {feature}")]
    NotBuilt {
        /// The provider.
        provider: &'static str,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A key the provider does not know.
    #[error("unknown key `{key}` for provider={provider}{}", did_you_mean(hint))]
    UnknownKey {
        /// The key given.
        key: String,
        /// The provider.
        provider: &'static str,
        /// The nearest key it knows.
        hint: Option<&'static str>,
    },
    /// A key without which the provider cannot be asked.
    #[error("provider={provider} needs `{key}`: add {example}")]
    MissingKey {
        /// The provider.
        provider: &'static str,
        /// The key.
        key: &'static str,
        /// How it may look.
        example: &'static str,
    },
    /// A value that cannot be what was meant.
    #[error("provider={provider}: {key}: `{value}` {remedy}")]
    BadValue {
        /// The provider.
        provider: &'static str,
        /// The key.
        key: String,
        /// The value, which is no secret.
        value: String,
        /// What is wrong and what to write instead.
        remedy: String,
    },
    /// Keys that do not go together.
    #[error("provider={provider}: {problem}")]
    Conflict {
        /// The provider.
        provider: &'static str,
        /// Which keys, and what to do.
        problem: String,
    },
    /// A secret that cannot be had.
    #[error("{key}: {problem}")]
    Secret {
        /// The key.
        key: String,
        /// What is wrong, without the secret.
        problem: String,
    },
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
        let mut pairs = if text.contains('=') {
            pairs::parse(text).map_err(|e| SpecError::Grammar { column: e.column, fault: e.fault })?
        } else {
            let pair = |key: &str, value: &str| Pair { key: key.to_owned(), value: value.to_owned() };
            vec![pair("provider", "static"), pair("addrs", text.trim())]
        };
        let provider = pairs.iter().position(|pair| pair.key == "provider").ok_or(SpecError::NoProvider)?;
        let provider = pairs.remove(provider).value;
        let (known, read): (&Known, Reader) = match provider.as_str() {
            fixed::NAME => (&fixed::KNOWN, |keys| fixed::Static::new(keys).map(Source::Static)),
            #[cfg(feature = "dns")]
            dns::NAME => (&dns::spec::KNOWN, |keys| dns::spec::Records::new(keys).map(Source::Dns)),
            #[cfg(feature = "aws")]
            aws::NAME => {
                (&aws::spec::KNOWN, |keys| aws::spec::Instances::new(keys).map(Box::new).map(Source::Aws))
            }
            other => return Err(no_such_provider(other)),
        };
        let canonical = print(known, &pairs);
        let source = read(Keys::new(known, pairs)?)?;
        Ok(Self { canonical, source })
    }

    /// `provider=static` with these addresses.
    ///
    /// # Errors
    /// Port 0, or more addresses than that provider takes.
    pub fn of_addrs(addrs: &[SocketAddr]) -> Result<Self, SpecError> {
        let source = Source::Static(fixed::Static::of_addrs(addrs)?);
        let listed = addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let canonical = print(&fixed::KNOWN, &[Pair { key: "addrs".to_owned(), value: listed }]);
        Ok(Self { canonical, source })
    }

    /// The provider's name, as in `provider=NAME`.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self.source {
            Source::Static(_) => fixed::NAME,
            #[cfg(feature = "dns")]
            Source::Dns(_) => dns::NAME,
            #[cfg(feature = "aws")]
            Source::Aws(_) => aws::NAME,
        }
    }

    /// What `provider=aws` is asked for.
    #[cfg(all(feature = "aws", any(test, fuzzing)))]
    pub(crate) fn into_instances(self) -> Option<aws::spec::Instances> {
        if let Source::Aws(instances) = self.source { Some(*instances) } else { None }
    }

    /// Makes the provider ready to be asked. Reads the secrets that the spec points to, and touches no network.
    ///
    /// `default_port` is the port of seeds that come without one.
    ///
    /// # Errors
    /// A secret that cannot be read.
    pub fn connect(&self, default_port: u16) -> Result<Box<dyn Discover>, SpecError> {
        Ok(match &self.source {
            Source::Static(hosts) => Box::new(fixed::Provider::new(hosts, default_port)),
            #[cfg(feature = "dns")]
            Source::Dns(records) => Box::new(dns::Provider::new(records, default_port)),
            #[cfg(feature = "aws")]
            Source::Aws(instances) => Box::new(aws::Provider::new(instances, default_port)?),
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spec({})", self.canonical)
    }
}

impl std::str::FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::parse(text)
    }
}

/// The canonical form of a spec, its secrets masked. Where a secret is found (`env:`, `file:`) is none.
fn print(known: &Known, pairs: &[Pair]) -> String {
    let shown = |pair: &Pair| {
        let pointer = pair.value.starts_with("env:") || pair.value.starts_with("file:");
        if known.secrets.contains(&pair.key.as_str()) && !pointer {
            REDACTED.to_owned()
        } else {
            pair.value.clone()
        }
    };
    let sorted: BTreeMap<_, _> = pairs.iter().map(|pair| (&pair.key, shown(pair))).collect();
    let mut text = String::new();
    pairs::print(&mut text, "provider", known.provider).expect("a String takes whatever is written");
    for (key, value) in sorted {
        text.push(' ');
        pairs::print(&mut text, key, &value).expect("a String takes whatever is written");
    }
    text
}

fn no_such_provider(name: &str) -> SpecError {
    for (provider, feature) in PROVIDERS {
        if let Some(feature) = feature
            && provider == name
        {
            return SpecError::NotBuilt { provider, feature };
        }
    }
    SpecError::UnknownProvider {
        provider: name.to_owned(),
        hint: hint(name, &PROVIDERS.map(|(name, _)| name)),
    }
}

/// The nearest of the known words, where one is near enough that it may have been meant: clap's measure and limit.
fn hint(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let near =
        known.iter().map(|known| (strsim::jaro(word, known), *known)).filter(|(score, _)| *score > 0.7);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

fn did_you_mean(hint: &Option<&'static str>) -> String {
    hint.map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default()
}

fn provider_list() -> String {
    PROVIDERS.map(|(name, _)| name).join(", ")
}
