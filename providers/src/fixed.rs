//! `provider=static`: a list of addresses. Names in it are looked up again at every poll, so that a host may move.

use std::{net::SocketAddr, num::NonZeroU16, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use crate::{
    Cadence, Discover, DiscoverError, FailureKind, Seeds,
    address::{Address, AddressFault, Host},
    spec::{
        SpecError,
        keys::{Keys, Known},
    },
};

/// As in `provider=NAME`.
pub(crate) const NAME: &str = "static";

/// What it may be told.
pub(crate) const KNOWN: Known = Known { provider: NAME, keys: &["addrs"], secrets: &[] };

/// Look-ups at a time. Each holds a thread of the runtime's pool for blocking calls, which has 512.
const LOOKUPS: usize = 64;

/// With [`LOOKUPS`] and the time-out of a look-up this bounds a poll: 256 / 64 rounds of 3 s are 12 s.
const MAX_ADDRS: usize = 256;

/// Asks a local list, or a local resolver that has its own cache: cheap enough for once a second while alone. Settled, a
/// look-up every 30 s (the time to live that cluster resolvers give their names) finds a host that moved.
const CADENCE: Cadence =
    Cadence { floor: Duration::from_secs(1), settled: Duration::from_secs(30), rationed: false };

/// A list of hosts, checked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Static {
    addrs: Vec<Address>,
}

impl Static {
    /// Reads `addrs`: addresses with commas or blanks between them.
    pub(crate) fn new(mut keys: Keys) -> Result<Self, SpecError> {
        let list = keys.required("addrs", "addrs=10.0.0.1:7946,node-2.example.com")?;
        let mut addrs = Vec::new();
        for text in list.split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty()) {
            addrs.push(text.parse().map_err(|e| keys.bad_value("addrs", text, e))?);
        }
        if addrs.is_empty() {
            return Err(keys.bad_value("addrs", &list, "lists no address: write addrs=HOST:PORT,HOST"));
        }
        match too_many(addrs.len()) {
            Some(problem) => Err(keys.conflict(problem)),
            None => Ok(Self { addrs }),
        }
    }

    /// Takes addresses that need not be read.
    pub(crate) fn of_addrs(addrs: &[SocketAddr]) -> Result<Self, SpecError> {
        let with_port = |addr: &SocketAddr| {
            let port = NonZeroU16::new(addr.port()).ok_or_else(|| SpecError::BadValue {
                provider: NAME,
                key: "addrs".to_owned(),
                value: addr.to_string(),
                remedy: AddressFault::Port.to_string(),
            })?;
            Ok(Address { host: Host::Ip(addr.ip()), port: Some(port) })
        };
        match too_many(addrs.len()) {
            Some(problem) => Err(SpecError::Conflict { provider: NAME, problem }),
            None => Ok(Self { addrs: addrs.iter().map(with_port).collect::<Result<_, _>>()? }),
        }
    }
}

fn too_many(count: usize) -> Option<String> {
    let problem = || format!("addrs lists {count} addresses: {MAX_ADDRS} at most, and a few are enough");
    (count > MAX_ADDRS).then(problem)
}

/// The provider, ready to be asked.
pub(crate) struct Provider {
    hosts: Vec<(Host, u16)>,
}

impl Provider {
    /// Gives every address its port.
    pub(crate) fn new(spec: &Static, default_port: u16) -> Self {
        let hosts = spec.addrs.iter();
        Self { hosts: hosts.map(|addr| (addr.host.clone(), addr.port_or(default_port))).collect() }
    }
}

#[async_trait]
impl Discover for Provider {
    async fn discover(&self) -> Result<Seeds, DiscoverError> {
        let lookups = stream::iter(self.hosts.clone()).map(async |(host, port)| {
            let answer = resolve(&host, port).await;
            (host, answer)
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

async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, String> {
    let ips = host.lookup().await.map_err(|e| format!("the name cannot be looked up: {e}"))?;
    if ips.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than a label may be, so that the look-up fails without a name server being asked.
    fn unknown() -> (Host, u16) {
        (Host::Name("a".repeat(64)), 1)
    }

    #[tokio::test]
    async fn what_fails_beside_what_is_found_is_a_warning() {
        let provider = Provider { hosts: vec![unknown(), (Host::Ip([10, 0, 0, 1].into()), 2)] };
        let seeds = provider.discover().await.unwrap();
        assert_eq!(seeds.addrs, ["10.0.0.1:2".parse().unwrap()]);
        let [warning] = seeds.warnings.as_slice() else { panic!("{seeds:?}") };
        assert!(
            warning.starts_with(&format!("{}: the name cannot be looked up: ", "a".repeat(64))),
            "{warning}"
        );
    }

    #[tokio::test]
    async fn nothing_found_is_a_failure() {
        let error = Provider { hosts: vec![unknown(), unknown()] }.discover().await.unwrap_err();
        assert_eq!((error.provider, error.kind), ("static", FailureKind::Unavailable));
        assert_eq!(error.message.lines().count(), 1, "{error}");
    }
}
