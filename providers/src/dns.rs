//! `provider=dns`: SRV records, or A and AAAA records.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lookup;
pub(crate) mod spec;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use hickory_resolver::{
    ConnectionProvider, Resolver, TokioResolver,
    config::{
        ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
        ServerOrderingStrategy,
    },
    net::{NetError, runtime::TokioRuntimeProvider},
};

use self::{
    lookup::Found,
    spec::{NAME, Query, Records, SCHEMA},
};
use crate::{
    address::Address,
    discovery::{Cadence, Discover, DiscoverError, FailureKind, Seeds},
    line::one_line,
    registration::{Registration, Source},
    spec::error::SpecError,
};

/// The provider, as the registry lists it.
pub(crate) const REGISTRATION: Registration =
    Registration { schema: &SCHEMA, read: |keys| Ok(Arc::new(Records::read(keys)?)) };

/// Time for one try of a query. A name server in the same network answers in milliseconds, one that has to ask others in
/// tens or hundreds of them.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Number of tries after the first. Only waiting shows that a name server is dead, so that one costs 2 s in all.
const RETRIES: usize = 1;

/// The port of name servers (RFC 1035).
const DNS_PORT: u16 = 53;

/// Floor: the time in which a dead name server is noticed (2 s). Settled: the usual time to live of cluster resolvers,
/// 30 s, so that each answer is asked for once. Any cache in between answers queries that come early.
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
    async fn poll(&self) -> Result<Found, String> {
        // A resolver for each poll costs 0.2 ms, sees a changed /etc/resolv.conf, and holds no broken connection. Its
        // cache would die with it; the interval between polls takes the cache's place.
        let resolver = resolver(self.records.resolver.as_ref()).await?;
        look_up(&self.records.query, &resolver, self.default_port).await
    }
}

async fn look_up<P: ConnectionProvider>(
    query: &Query,
    resolver: &Resolver<P>,
    default_port: u16,
) -> Result<Found, String> {
    match query {
        Query::Service(name) => lookup::service(resolver, name).await,
        Query::Hosts(name, port) => {
            let port = port.map_or(default_port, u16::from);
            lookup::hosts(resolver, name, port).await
        }
    }
}

/// Turns the outcome of a look-up into that of a poll.
fn answer(found: Result<Found, String>) -> Result<Seeds, DiscoverError> {
    let found = found.map_err(|e| DiscoverError {
        provider: NAME,
        kind: FailureKind::Unavailable,
        message: one_line(&e),
    })?;
    let mut seeds = Seeds {
        addrs: Vec::new(),
        valid_for: found.min_ttl.map(|ttl| Duration::from_secs(ttl.into())),
        warnings: found.warnings.iter().map(|warning| one_line(warning)).collect(),
    };
    seeds.extend(found.addrs.into_iter().map(|found| found.addr));
    Ok(seeds)
}

#[async_trait]
impl Discover for Provider {
    async fn discover(&self) -> Result<Seeds, DiscoverError> {
        answer(self.poll().await)
    }

    fn cadence(&self) -> Cadence {
        CADENCE
    }
}

/// Makes a resolver that asks the name server given, or those of the system.
async fn resolver(given: Option<&Address>) -> Result<TokioResolver, String> {
    let mut builder = match given {
        Some(server) => {
            let ips = server.host.lookup().await;
            let ips = ips.map_err(|e| format!("the resolver {} cannot be looked up: {e}", server.host))?;
            let port = server.port_or(DNS_PORT);
            let servers = ips.into_iter().map(|ip| name_server(SocketAddr::new(ip, port))).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
        None => TokioResolver::builder_tokio().map_err(|e| no_system_resolver(&e))?,
    };
    tune(builder.options_mut());
    builder.build().map_err(|e| no_system_resolver(&e))
}

fn tune(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.timeout = TIMEOUT;
    options.attempts = RETRIES;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.use_hosts_file = ResolveHosts::Never;
}

fn name_server(addr: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = addr.port();
    }
    NameServerConfig::new(addr.ip(), true, connections)
}

fn no_system_resolver(error: &NetError) -> String {
    format!("/etc/resolv.conf does not say whom to ask: {error}; mend it, or add resolver=HOST:PORT")
}
