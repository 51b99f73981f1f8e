//! Look-ups: from a name to addresses with their ports, as many as name servers answer for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata::SRV};
use tokio::time::sleep;

use super::{
    answer::{Absence, Answer, Dated, MAX_ALIASES},
    servers::Servers,
};

/// Number of targets looked up at a time: two queries each, well below the 150 that dnsmasq forwards at a time by default.
const LOOKUPS: usize = 16;

/// Time for all targets together; answers that came by then are kept. 120 targets that are answered take 0.07 s.
const TARGETS_TIMEOUT: Duration = Duration::from_secs(6);

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

/// The reason for which a look-up found nothing.
#[derive(Debug)]
pub(crate) enum Miss {
    /// There is nothing under this name: the sentence says so. Another name may have more.
    Absent(String),
    /// Nobody knows whether there is.
    Unknown(String),
}

impl Miss {
    /// The sentence.
    pub(crate) fn sentence(&self) -> &str {
        match self {
            Self::Absent(sentence) | Self::Unknown(sentence) => sentence,
        }
    }
}

/// A service at a target: priority and port of an SRV record.
struct Offer {
    priority: u16,
    port: u16,
}

/// The addresses of one name.
struct Addresses {
    records: Vec<Dated<IpAddr>>,
    /// The reason for which there are none, or for which others may be missing.
    problem: Option<Miss>,
}

/// Looks up the hosts of a service, at the ports of their SRV records. Every target counts, whatever its priority: targets
/// that clients should not use yet are members all the same.
pub(crate) async fn service(servers: &Servers, name: &Name) -> Result<Found, Miss> {
    let mut found = Found::default();
    let mut targets: BTreeMap<Name, Vec<Offer>> = BTreeMap::new();
    for Dated { data, ttl } in records(servers, name, RecordType::SRV).await? {
        let Some(SRV { priority, port, target, .. }) = srv(data) else { continue };
        found.note_ttl(ttl);
        // The root as a target says that the service is not offered (RFC 2782).
        if !target.is_root() {
            targets.entry(target).or_default().push(Offer { priority, port });
        }
    }
    let mut missing: BTreeSet<Name> = targets.keys().cloned().collect();
    let lookups = stream::iter(targets).map(async |(target, offers)| {
        let hosts = addresses(servers, &target).await;
        (target, offers, hosts)
    });
    let mut answers = pin!(lookups.buffer_unordered(LOOKUPS).take_until(sleep(TARGETS_TIMEOUT)));
    while let Some((target, offers, hosts)) = answers.next().await {
        missing.remove(&target);
        for Dated { data: ip, ttl } in hosts.records {
            found.note_ttl(ttl);
            found.addrs.extend(
                offers.iter().map(|offer| FoundAddr {
                    priority: offer.priority,
                    addr: SocketAddr::new(ip, offer.port),
                }),
            );
        }
        found.warnings.extend(hosts.problem.map(|problem| problem.sentence().to_owned()));
    }
    found.warnings.sort();
    if !missing.is_empty() {
        let problem = format!("{} targets were not answered for within {TARGETS_TIMEOUT:?}", missing.len());
        found.warnings.push(problem);
    }
    if found.addrs.is_empty() && !found.warnings.is_empty() {
        let sentence = format!("no target of {name} has an address: {}", found.warnings.join("; "));
        return Err(Miss::Unknown(sentence));
    }
    Ok(found)
}

/// Looks up the addresses of a name, all at one port.
pub(crate) async fn hosts(servers: &Servers, name: &Name, port: u16) -> Result<Found, Miss> {
    let Addresses { records, problem } = addresses(servers, name).await;
    let mut found = Found::default();
    for Dated { data: ip, ttl } in records {
        found.note_ttl(ttl);
        found.addrs.insert(FoundAddr { priority: 0, addr: SocketAddr::new(ip, port) });
    }
    match problem {
        Some(problem) if found.addrs.is_empty() => Err(problem),
        problem => {
            found.warnings.extend(problem.map(|problem| problem.sentence().to_owned()));
            Ok(found)
        }
    }
}

/// Looks up A and AAAA records of a name at the same time.
async fn addresses(servers: &Servers, name: &Name) -> Addresses {
    let (v4, v6) =
        tokio::join!(records(servers, name, RecordType::A), records(servers, name, RecordType::AAAA));
    let mut found = Vec::new();
    let mut absent = None;
    let mut failed = None;
    for answer in [v4, v6] {
        match answer {
            Ok(records) => found.extend(records.into_iter().filter_map(ip)),
            // A host without an IPv6 address is no fault.
            Err(miss @ Miss::Absent(_)) => absent = Some(miss),
            Err(miss @ Miss::Unknown(_)) => failed = Some(miss),
        }
    }
    let nothing = || Miss::Absent(format!("{name} has neither an A nor an AAAA record"));
    let problem = match (failed, absent) {
        (Some(miss), _) => Some(miss),
        (None, _) if !found.is_empty() => None,
        (None, Some(miss)) if miss.sentence().ends_with(NXDOMAIN) => Some(miss),
        (None, _) => Some(nothing()),
    };
    Addresses { records: found, problem }
}

/// The end of a sentence about a name that does not exist.
const NXDOMAIN: &str = "does not exist (NXDOMAIN)";

/// Asks for the records of a name, and of the names that it is an alias for.
async fn records(servers: &Servers, name: &Name, kind: RecordType) -> Result<Vec<Dated<RData>>, Miss> {
    let mut asked = Dated { data: name.clone(), ttl: u32::MAX };
    for _ in 0..MAX_ALIASES {
        match servers.ask(&asked.data, kind).await.map_err(Miss::Unknown)? {
            Answer::Records(records) => {
                let bounded = |Dated { data, ttl }| Dated { data, ttl: asked.ttl.min(ttl) };
                return Ok(records.into_iter().map(bounded).collect());
            }
            Answer::Alias(alias) => asked = Dated { ttl: asked.ttl.min(alias.ttl), ..alias },
            Answer::Absent(Absence::Name) => {
                return Err(Miss::Absent(format!("{} {NXDOMAIN}", asked.data)));
            }
            Answer::Absent(Absence::Records) => {
                return Err(Miss::Absent(format!("{} has no {kind} record", asked.data)));
            }
        }
    }
    Err(Miss::Unknown(format!("{name} is an alias of an alias, and so on: more than {MAX_ALIASES} of them")))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "one kind of record out of thirty")]
fn srv(data: RData) -> Option<SRV> {
    match data {
        RData::SRV(srv) => Some(srv),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "two kinds of record out of thirty")]
fn ip(record: Dated<RData>) -> Option<Dated<IpAddr>> {
    let data = match record.data {
        RData::A(ip) => IpAddr::V4(ip.0),
        RData::AAAA(ip) => IpAddr::V6(ip.0),
        _ => return None,
    };
    Some(Dated { data, ttl: record.ttl })
}
