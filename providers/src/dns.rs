//! `provider=dns`: SRV records, or A and AAAA records.

mod answer;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lookup;
mod resolv_conf;
mod search;
mod servers;
pub(crate) mod spec;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;

use self::{
    exchange::{Host, Transport},
    lookup::{Found, Miss},
    resolv_conf::{DNS_PORT, ResolvConf},
    servers::{PACE, Servers},
    spec::{NAME, Query, Reading, Records, SCHEMA},
};
use crate::{
    discovery::{Cadence, Discover, DiscoverError, FailureKind, Seeds},
    line::one_line,
    registration::{Registration, Source},
    spec::error::SpecError,
};

/// The provider, as the registry lists it.
pub(crate) const REGISTRATION: Registration =
    Registration { schema: &SCHEMA, read: |keys| Ok(Arc::new(Records::read(keys)?)) };

/// Floor: twice the patience with a name server. Settled: the usual time to live of cluster resolvers, 30 s, so that each
/// answer is asked for once. Any cache in between answers queries that come early.
const CADENCE: Cadence =
    Cadence { floor: Duration::from_secs(2), settled: Duration::from_secs(30), rationed: false };

impl Source for Records {
    /// Keeps the values alone: the system's configuration is read at each poll.
    fn connect(&self, default_port: u16) -> Result<Box<dyn Discover>, SpecError> {
        Ok(Box::new(Provider { records: self.clone(), default_port }))
    }
}

/// The provider, ready to be asked.
struct Provider {
    records: Records,
    default_port: u16,
}

impl Provider {
    /// Reads `/etc/resolv.conf` anew, so that a change of it shows, and asks.
    async fn poll(&self) -> Result<Found, String> {
        let conf = match &self.records.resolver {
            Some(_) if self.records.reading != Reading::Search => None,
            _ => Some(ResolvConf::read().await?),
        };
        let (addrs, transport) = match (&self.records.resolver, &conf) {
            (Some(server), _) => {
                let ips = server.host.lookup().await;
                let ips =
                    ips.map_err(|e| format!("the resolver {} cannot be looked up: {e}", server.host))?;
                let port = server.port_or(DNS_PORT);
                (ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(), Transport::Udp)
            }
            (None, Some(conf)) => (conf.servers.clone(), conf.transport),
            (None, None) => (Vec::new(), Transport::Udp),
        };
        let servers = Servers::new(Arc::new(Host), transport, PACE, addrs);
        self.look_up_each(&servers, conf.as_ref()).await
    }

    /// Looks up each of the names that the name may stand for, until one has records.
    async fn look_up_each(&self, servers: &Servers, conf: Option<&ResolvConf>) -> Result<Found, String> {
        let Records { query, reading, .. } = &self.records;
        let names = conf
            .map_or_else(|| vec![query.name().clone()], |conf| search::names(query.name(), *reading, conf));
        let mut misses = Vec::new();
        for name in names {
            match look_up(&query.at(name), servers, self.default_port).await {
                Ok(found) => return Ok(found),
                Err(miss) => misses.push(miss),
            }
        }
        search::sum_up(misses).map_err(|miss| match (miss, conf) {
            (Miss::Absent(sentence), Some(conf)) => search::hint(sentence, query.name(), *reading, conf),
            (miss, _) => miss.sentence().to_owned(),
        })
    }
}

async fn look_up(query: &Query, servers: &Servers, default_port: u16) -> Result<Found, Miss> {
    match query {
        Query::Service(name) => lookup::service(servers, name).await,
        Query::Hosts(name, port) => {
            let port = port.map_or(default_port, u16::from);
            lookup::hosts(servers, name, port).await
        }
    }
}

/// Turns the outcome of a look-up into that of a poll.
fn seeds_of(found: Result<Found, String>) -> Result<Seeds, DiscoverError> {
    let found = found.map_err(|e| DiscoverError {
        provider: NAME,
        kind: FailureKind::Unavailable,
        message: one_line(&e),
    })?;
    let mut seeds = Seeds {
        valid_for: found.min_ttl.map(|ttl| Duration::from_secs(ttl.into())),
        warnings: found.warnings.iter().map(|warning| one_line(warning)).collect(),
        ..Seeds::default()
    };
    seeds.extend(found.addrs.into_iter().map(|found| found.addr));
    Ok(seeds)
}

#[async_trait]
impl Discover for Provider {
    async fn discover(&self) -> Result<Seeds, DiscoverError> {
        seeds_of(self.poll().await)
    }

    fn cadence(&self) -> Cadence {
        CADENCE
    }
}
