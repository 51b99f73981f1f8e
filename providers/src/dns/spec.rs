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
    Schema { provider: NAME, keys: &["name", "port", "resolver"], secrets: &[] };

/// The values of a spec, checked.
#[derive(Clone)]
pub(crate) struct Records {
    /// The records that list the seeds.
    pub(crate) query: Query,
    /// The name server to ask; `None`: those of the system.
    pub(crate) resolver: Option<Address>,
}

/// Records that list seeds: their kind and their name. The name is complete, so that no search list is tried.
#[derive(Clone)]
pub(crate) enum Query {
    /// SRV records, which name hosts and ports.
    Service(Name),
    /// A and AAAA records, which have no port; `None` is the gossip port.
    Hosts(Name, Option<NonZeroU16>),
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
        let resolver = keys.take_optional("resolver")?;
        let resolver = resolver.map(|text| text.parse().map_err(|e| keys.bad_value("resolver", &text, e)));
        Ok(Self { query, resolver: resolver.transpose()? })
    }
}

/// Tests for `_SERVICE._PROTOCOL.DOMAIN` (RFC 2782).
fn is_service(name: &str) -> bool {
    let mut labels = name.split('.');
    [labels.next(), labels.next()].iter().all(|label| label.is_some_and(|label| label.starts_with('_')))
}
