//! `provider=static`: a list of addresses. Names in it are looked up again at every poll, so that a host may move.

use std::{net::SocketAddr, num::NonZeroU16, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use crate::{
    address::{Address, AddressFault, Host},
    checked,
    discovery::{Cadence, Discover, DiscoverError, FailureKind, Seeds},
    registration::{Registration, Source},
    spec::{
        error::SpecError,
        keys::{Keys, Schema},
    },
};

const NAME: &str = "static";

/// The one key; a spec without keys is its value.
pub(crate) const ADDRS: &str = "addrs";

/// The provider, as the registry lists it.
pub(crate) const REGISTRATION: Registration = Registration {
    schema: &Schema { provider: NAME, keys: &[ADDRS], secrets: &[] },
    read: |keys| Ok(Arc::new(List::read(keys)?)),
};

/// Number of look-ups at a time. Each holds a thread of the runtime's pool for blocking calls, which has 512.
const LOOKUPS: usize = 64;

/// Most addresses in a list. With [`LOOKUPS`] and the time-out of a look-up it bounds a poll: 256 / 64 rounds of 3 s are
/// 12 s.
const MAX_ADDRS: usize = 256;

/// Floor: the list is local, or the resolver is local and has its own cache, so asking once a second is cheap. Settled: a
/// look-up every 30 s (the time to live that cluster resolvers give their names) finds a host that moved.
const CADENCE: Cadence =
    Cadence { floor: Duration::from_secs(1), settled: Duration::from_secs(30), rationed: false };

/// The addresses of a spec, checked. Never empty.
#[derive(Clone)]
struct List(Vec<Address>);

impl List {
    /// Reads `addrs`: addresses with commas or blanks between them.
    fn read(mut keys: Keys) -> Result<Self, SpecError> {
        let text = keys.take_required(ADDRS, "addrs=10.0.0.1:7946,node-2.example.com")?;
        let mut addrs = Vec::new();
        for addr in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|addr| !addr.is_empty()) {
            let read: Address = addr.parse().map_err(|e| keys.bad_value(ADDRS, addr, e))?;
            if let Some(remedy) = fault_of(&read) {
                return Err(keys.bad_value(ADDRS, addr, remedy));
            }
            addrs.push(read);
        }
        if addrs.is_empty() {
            return Err(keys.bad_value(ADDRS, &text, "lists no address: write addrs=HOST:PORT,HOST"));
        }
        match too_many(addrs.len()) {
            Some(problem) => Err(keys.conflict(problem)),
            None => Ok(Self(addrs)),
        }
    }
}

/// Makes a provider of addresses that need not be read.
pub(crate) fn of_addrs(addrs: &[SocketAddr]) -> Result<Arc<dyn Source>, SpecError> {
    let checked = |addr: &SocketAddr| {
        let bad = |remedy| SpecError::BadValue {
            provider: NAME,
            key: ADDRS.to_owned(),
            value: addr.to_string(),
            remedy,
        };
        let port = NonZeroU16::new(addr.port()).ok_or_else(|| bad(AddressFault::Port.to_string()))?;
        let read = Address { host: Host::Ip(addr.ip()), port: Some(port) };
        match fault_of(&read) {
            Some(remedy) => Err(bad(remedy)),
            None => Ok(read),
        }
    };
    match too_many(addrs.len()) {
        Some(problem) => Err(SpecError::Conflict { provider: NAME, problem }),
        None => Ok(Arc::new(List(addrs.iter().map(checked).collect::<Result<_, _>>()?))),
    }
}

/// The fault of an address that no other host can be reached at, with the remedy.
fn fault_of(addr: &Address) -> Option<String> {
    let fault = match &addr.host {
        Host::Ip(ip) => checked::fault(ip.to_canonical())?,
        Host::Name(_) => return None,
    };
    Some(format!("{fault}: give the address of one host"))
}

fn too_many(count: usize) -> Option<String> {
    let problem = || format!("addrs lists {count} addresses: {MAX_ADDRS} at most, and a few are enough");
    (count > MAX_ADDRS).then(problem)
}

impl Source for List {
    fn connect(&self, default_port: u16) -> Result<Box<dyn Discover>, SpecError> {
        Ok(Box::new(Provider { list: self.clone(), default_port }))
    }
}

/// The provider, ready to be asked.
struct Provider {
    list: List,
    default_port: u16,
}

#[async_trait]
impl Discover for Provider {
    async fn discover(&self) -> Result<Seeds, DiscoverError> {
        let lookups = stream::iter(self.list.0.clone()).map(async |addr| {
            let port = addr.port_or(self.default_port);
            let answer = lookup(&addr.host, port).await;
            (addr.host, answer)
        });
        let answers: Vec<_> = lookups.buffered(LOOKUPS).collect().await;
        let mut seeds = Seeds::default();
        for (host, answer) in answers {
            match answer {
                Ok(addrs) => seeds.extend(addrs),
                Err(problem) => seeds.warnings.push(format!("{host}: {problem}")),
            }
        }
        if seeds.addrs.is_empty() {
            let message = seeds.warnings.join("; ");
            return Err(DiscoverError { provider: NAME, kind: FailureKind::Unavailable, message });
        }
        Ok(seeds)
    }

    fn cadence(&self) -> Cadence {
        CADENCE
    }
}

async fn lookup(host: &Host, port: u16) -> Result<Vec<SocketAddr>, String> {
    let ips = host.lookup().await.map_err(|e| format!("the name cannot be looked up: {e}"))?;
    if ips.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::HostName;

    fn provider(list: Vec<Address>) -> Provider {
        Provider { list: List(list), default_port: 1 }
    }

    /// A name with a label that is too long, so that the look-up fails before a name server is asked.
    fn unknown() -> Address {
        Address { host: Host::Name(HostName::unchecked("a".repeat(64))), port: None }
    }

    #[tokio::test]
    async fn a_failed_lookup_is_a_warning_beside_the_addresses_found() {
        let seeds = provider(vec![unknown(), "10.0.0.1:2".parse().unwrap()]).discover().await.unwrap();
        assert_eq!(seeds.addrs, ["10.0.0.1:2".parse().unwrap()]);
        let [warning] = seeds.warnings.as_slice() else { panic!("{seeds:?}") };
        let expected = format!("{}: the name cannot be looked up: ", "a".repeat(64));
        assert!(warning.starts_with(&expected), "{warning}");
    }

    #[tokio::test]
    async fn nothing_found_is_a_failure() {
        let error = provider(vec![unknown(), unknown()]).discover().await.unwrap_err();
        assert_eq!((error.provider, error.kind), ("static", FailureKind::Unavailable));
        assert_eq!(error.message.lines().count(), 1, "{error}");
    }
}
