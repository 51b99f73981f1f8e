//! Look-ups: from a name to addresses with their ports, as many as name servers answer for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use hickory_resolver::{
    ConnectionProvider, Resolver,
    lookup::Lookup,
    net::{DnsError, NetError},
    proto::rr::{Name, RData, RecordType, rdata::SRV},
};
use tokio::time::{sleep, timeout};

/// Number of targets looked up at a time: two queries each, well below the 150 that dnsmasq forwards at a time by default.
const LOOKUPS: usize = 16;

/// Time for one kind of record of one name: a dead name server costs 2 s (two tries of `TIMEOUT`), so a live one behind it
/// is still reached, also by TCP.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for all targets together; answers that came by then are kept. 120 targets that are answered take 0.07 s.
const TARGETS_TIMEOUT: Duration = Duration::from_secs(6);

/// Number of aliases followed from one SRV name to the next.
const MAX_ALIASES: usize = 4;

/// The outcome of a look-up.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Addresses, those with the lowest priority first.
    pub(crate) addrs: BTreeSet<FoundAddr>,
    /// The lowest time to live of the records used, in seconds, as the server gave it.
    pub(crate) min_ttl: Option<u32>,
    /// Problems met beside the addresses found.
    pub(crate) warnings: Vec<String>,
}

impl Found {
    fn note_ttl(&mut self, ttl: u32) {
        self.min_ttl = Some(self.min_ttl.map_or(ttl, |min| min.min(ttl)));
    }
}

/// An address of a look-up, in the order in which clients should use it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FoundAddr {
    /// Priority of the SRV record, the lowest first; 0 without one.
    priority: u16,
    /// The address.
    pub(crate) addr: SocketAddr,
}

/// The data of a record, and its time to live in seconds.
struct Record<T> {
    data: T,
    ttl: u32,
}

/// A service at a target: priority and port of an SRV record.
struct Offer {
    priority: u16,
    port: u16,
}

/// The addresses of one name.
struct Addresses {
    records: Vec<Record<IpAddr>>,
    /// The reason for which there are none, or for which others may be missing.
    problem: Option<String>,
}

/// Looks up the hosts of a service, at the ports of their SRV records. Every target counts, whatever its priority: targets
/// that clients should not use yet are members all the same.
pub(crate) async fn service<P: ConnectionProvider>(
    resolver: &Resolver<P>,
    name: &Name,
) -> Result<Found, String> {
    let records = timeout(LOOKUP_TIMEOUT, service_records(resolver, name.clone()));
    let records = records.await.map_err(|_| format!("no answer for {name} within {LOOKUP_TIMEOUT:?}"))?;
    let mut found = Found::default();
    let mut targets: BTreeMap<Name, Vec<Offer>> = BTreeMap::new();
    for Record { data: SRV { priority, port, target, .. }, ttl } in records.map_err(|e| sentence(name, &e))? {
        found.note_ttl(ttl);
        // The root as a target says that the service is not offered (RFC 2782).
        if !target.is_root() {
            targets.entry(target).or_default().push(Offer { priority, port });
        }
    }
    let mut missing: BTreeSet<Name> = targets.keys().cloned().collect();
    let lookups = stream::iter(targets).map(async |(target, offers)| {
        let hosts = addresses(resolver, &target).await;
        (target, offers, hosts)
    });
    let mut answers = pin!(lookups.buffer_unordered(LOOKUPS).take_until(sleep(TARGETS_TIMEOUT)));
    while let Some((target, offers, hosts)) = answers.next().await {
        missing.remove(&target);
        for Record { data: ip, ttl } in hosts.records {
            found.note_ttl(ttl);
            found.addrs.extend(
                offers.iter().map(|offer| FoundAddr {
                    priority: offer.priority,
                    addr: SocketAddr::new(ip, offer.port),
                }),
            );
        }
        found.warnings.extend(hosts.problem);
    }
    found.warnings.sort();
    if !missing.is_empty() {
        let problem = format!("{} targets were not answered for within {TARGETS_TIMEOUT:?}", missing.len());
        found.warnings.push(problem);
    }
    if found.addrs.is_empty() && !found.warnings.is_empty() {
        return Err(format!("no target of {name} has an address: {}", found.warnings.join("; ")));
    }
    Ok(found)
}

/// Looks up the addresses of a name, all at one port.
pub(crate) async fn hosts<P: ConnectionProvider>(
    resolver: &Resolver<P>,
    name: &Name,
    port: u16,
) -> Result<Found, String> {
    let Addresses { records, problem } = addresses(resolver, name).await;
    let mut found = Found::default();
    for Record { data: ip, ttl } in records {
        found.note_ttl(ttl);
        found.addrs.insert(FoundAddr { priority: 0, addr: SocketAddr::new(ip, port) });
    }
    match problem {
        Some(problem) if found.addrs.is_empty() => Err(problem),
        problem => {
            found.warnings.extend(problem);
            Ok(found)
        }
    }
}

async fn service_records<P: ConnectionProvider>(
    resolver: &Resolver<P>,
    mut name: Name,
) -> Result<Vec<Record<SRV>>, NetError> {
    for _ in 0..=MAX_ALIASES {
        let error = match resolver.lookup(name.clone(), RecordType::SRV).await {
            Ok(lookup) => return Ok(records(&lookup, |data| srv(data).cloned()).collect()),
            Err(e) => e,
        };
        // hickory 0.26.3 takes the target of an SRV record behind an alias for the next alias, and then finds no record.
        if !error.is_no_records_found() || error.is_nx_domain() {
            return Err(error);
        }
        let Ok(aliases) = resolver.lookup(name, RecordType::CNAME).await else {
            return Err(error);
        };
        match records(&aliases, |data| alias(data).cloned()).next() {
            Some(alias) => name = alias.data,
            None => return Err(error),
        }
    }
    Err(NetError::Message("a chain of more than 4 aliases"))
}

/// Looks up A and AAAA records of a name at the same time.
async fn addresses<P: ConnectionProvider>(resolver: &Resolver<P>, name: &Name) -> Addresses {
    let ask = async |kind| {
        let answer = timeout(LOOKUP_TIMEOUT, resolver.lookup(name.clone(), kind)).await;
        answer.unwrap_or(Err(NetError::Timeout))
    };
    let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
    let mut found = Vec::new();
    let mut empty = None;
    let mut failed = None;
    for answer in [v4, v6] {
        match answer {
            Ok(lookup) => found.extend(records(&lookup, ip)),
            // A host without an IPv6 address is no fault.
            Err(e) if e.is_no_records_found() => empty = Some(e),
            Err(e) => failed = Some(e),
        }
    }
    let problem = match (failed, empty) {
        (Some(e), _) => Some(sentence(name, &e)),
        (None, _) if !found.is_empty() => None,
        (None, Some(e)) if e.is_nx_domain() => Some(sentence(name, &e)),
        (None, _) => Some(format!("{name} has neither an A nor an AAAA record")),
    };
    Addresses { records: found, problem }
}

fn records<T>(lookup: &Lookup, pick: impl Fn(&RData) -> Option<T>) -> impl Iterator<Item = Record<T>> {
    lookup.answers().iter().filter_map(move |record| {
        let data = pick(&record.data)?;
        Some(Record { data, ttl: record.ttl })
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "one kind of record out of thirty")]
fn srv(data: &RData) -> Option<&SRV> {
    match data {
        RData::SRV(srv) => Some(srv),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "one kind of record out of thirty")]
fn alias(data: &RData) -> Option<&Name> {
    match data {
        RData::CNAME(name) => Some(&name.0),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "two kinds of record out of thirty")]
fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(ip) => Some(IpAddr::V4(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "other errors say what they are")]
fn sentence(name: &Name, error: &NetError) -> String {
    match error {
        NetError::Timeout => format!("no name server answered for {name} in time"),
        NetError::Dns(DnsError::NoRecordsFound(none)) if error.is_nx_domain() => {
            format!("{} does not exist (NXDOMAIN)", none.query.name())
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            format!("{} has no {} record", none.query.name(), none.query.query_type())
        }
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the name server answered {code} for {name}"),
        e => format!("{name}: {e}"),
    }
}
