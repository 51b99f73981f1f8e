//! What `provider=dns` may be told.

use std::{net::IpAddr, num::NonZeroU16};

use hickory_resolver::proto::rr::Name;

use crate::{
    address::{Address, check_name},
    spec::{
        SpecError,
        keys::{Keys, Known},
    },
};

/// The keys, explained in the README.
pub(crate) const KNOWN: Known =
    Known { provider: super::NAME, keys: &["name", "port", "resolver"], secrets: &[] };

/// Which records to ask for, and whom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Records {
    /// What kind, and under which name; complete, so that no search list is tried.
    pub(crate) query: Query,
    /// Whom to ask; `None`: whom the system asks.
    pub(crate) resolver: Option<Address>,
}

/// The kind of records that list the seeds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Query {
    /// SRV records, which name hosts and ports.
    Service(Name),
    /// A and AAAA records, which have no port; `None` is the gossip port.
    Hosts(Name, Option<NonZeroU16>),
}

impl Records {
    /// Reads and checks the keys.
    pub(crate) fn new(mut keys: Keys) -> Result<Self, SpecError> {
        let text = keys.required("name", "name=_gossip._udp.example.com, or name=HOST port=PORT")?;
        if text.parse::<IpAddr>().is_ok() {
            let remedy = format!("is an address, not a name: use provider=static addrs={text}");
            return Err(keys.bad_value("name", &text, remedy));
        }
        check_name(&text).map_err(|e| keys.bad_value("name", &text, e))?;
        let mut name =
            Name::from_ascii(&text).map_err(|e| keys.bad_value("name", &text, format!("is no name: {e}")))?;
        name.set_fqdn(true);
        let query = match keys.port()? {
            None if is_service(&text) => Query::Service(name),
            port => Query::Hosts(name, port),
        };
        let resolver = keys.optional("resolver")?;
        let resolver = resolver.map(|text| text.parse().map_err(|e| keys.bad_value("resolver", &text, e)));
        Ok(Self { query, resolver: resolver.transpose()? })
    }
}

/// `_SERVICE._PROTOCOL.DOMAIN` (RFC 2782).
fn is_service(name: &str) -> bool {
    let mut labels = name.split('.');
    let mut underscored = || labels.next().is_some_and(|label| label.starts_with('_'));
    underscored() && underscored()
}
