//! The keys of `provider=dns`, and a query made of their values.

use std::{net::IpAddr, num::NonZeroU16};

use hickory_resolver::proto::rr::Name;

use crate::{
    address::{Address, HostName},
    spec::{
        error::SpecError,
        keys::{Keys, Schema},
    },
};

/// The provider's name, as in `provider=NAME`.
pub(crate) const NAME: &str = "dns";

/// The keys, explained in the README.
pub(crate) const SCHEMA: Schema =
    Schema { provider: NAME, keys: &["name", "port", "resolver", "search"], secrets: &[] };

/// The values of a spec, checked.
#[derive(Clone)]
pub(crate) struct Records {
    /// The records that list the seeds.
    pub(crate) query: Query,
    /// The name server to ask; `None`: those of the system.
    pub(crate) resolver: Option<Address>,
    /// The reading of the name.
    pub(crate) reading: Reading,
}

/// Records that list seeds: their kind and their name.
#[derive(Clone)]
pub(crate) enum Query {
    /// SRV records, which name hosts and ports.
    Service(Name),
    /// A and AAAA records, which have no port; `None` is the gossip port.
    Hosts(Name, Option<NonZeroU16>),
}

impl Query {
    /// The name.
    pub(crate) fn name(&self) -> &Name {
        match self {
            Self::Service(name) | Self::Hosts(name, _) => name,
        }
    }

    /// Records of the same kind, of another name.
    pub(crate) fn at(&self, name: Name) -> Self {
        match self {
            Self::Service(_) => Self::Service(name),
            Self::Hosts(_, port) => Self::Hosts(name, *port),
        }
    }
}

/// The reading of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It ends with a dot: it is complete.
    Complete,
    /// It is taken for complete; whoever wrote it may have thought of a search list.
    AsItStands,
    /// The search list of the system is tried, as the C library does.
    Search,
}

impl Records {
    /// Reads and checks the values.
    pub(crate) fn read(mut keys: Keys) -> Result<Self, SpecError> {
        let text = keys.take_required("name", "name=_gossip._udp.example.com, or name=HOST port=PORT")?;
        if text.parse::<IpAddr>().is_ok() {
            let remedy = format!("is an address, not a name: use provider=static addrs={text}");
            return Err(keys.bad_value("name", &text, remedy));
        }
        text.parse::<HostName>().map_err(|e| keys.bad_value("name", &text, e))?;
        let mut name =
            Name::from_ascii(&text).map_err(|e| keys.bad_value("name", &text, format!("is no name: {e}")))?;
        name.set_fqdn(true);
        let query = match keys.take_port()? {
            None if is_service(&text) => Query::Service(name),
            port => Query::Hosts(name, port),
        };
        let resolver = keys.take_optional("resolver");
        let resolver = resolver.map(|text| text.parse().map_err(|e| keys.bad_value("resolver", &text, e)));
        let resolver = resolver.transpose()?;
        Ok(Self { query, resolver, reading: reading(&mut keys, &text)? })
    }
}

fn reading(keys: &mut Keys, name: &str) -> Result<Reading, SpecError> {
    let search = keys.take_optional("search");
    let is_complete = name.ends_with('.');
    match search.as_deref() {
        Some("yes") if is_complete => {
            let problem = format!(
                "name={name} ends with a dot, so no search list is tried: leave out the dot or search=yes"
            );
            Err(keys.conflict(problem))
        }
        Some("yes") => Ok(Reading::Search),
        Some(other) if other != "no" => Err(keys.bad_value("search", other, "is neither yes nor no")),
        _ if is_complete => Ok(Reading::Complete),
        _ => Ok(Reading::AsItStands),
    }
}

/// Tests for `_SERVICE._PROTOCOL.DOMAIN` (RFC 2782).
fn is_service(name: &str) -> bool {
    let mut labels = name.split('.');
    [labels.next(), labels.next()].iter().all(|label| label.is_some_and(|label| label.starts_with('_')))
}
