//! The one check of what providers return, whichever it is: bounds on seconds, addresses and text, and no address that
//! cannot be a seed.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::timeout;

use crate::{
    discovery::{Cadence, Discover, DiscoverError, FailureKind, Seeds},
    line::one_line,
};

/// Longest poll, above the longest that a provider sets itself (15 s): what is late is no answer.
pub(crate) const LONGEST_POLL: Duration = Duration::from_secs(20);

/// Most addresses of an answer: a cluster has no more members.
const MAX_ADDRS: usize = 16_384;

/// Most warnings of an answer that are shown. Beyond these they are only counted.
const MAX_WARNINGS: usize = 16;

/// Longest warning or error, in characters. A denial of AWS has an encoded message of a thousand characters in it that only
/// AWS can read.
const MAX_CHARS: usize = 600;

/// The kinds of addresses that the asker's socket can send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any.
    All,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Reach {
    /// The reach of a socket that is bound here. One at `[::]` reaches IPv4 as well.
    #[must_use]
    pub fn of(bound: SocketAddr) -> Self {
        match bound.ip() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(ip) if ip.is_unspecified() => Self::All,
            IpAddr::V6(_) => Self::V6,
        }
    }

    fn has(self, ip: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// Fault of an address that cannot be a seed; completes "`ADDRESS` ".
pub(crate) fn fault(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) if ip.octets()[0] == 0 => {
            Some("is no host's address (filters give it for names that they block)")
        }
        IpAddr::V4(ip) if ip.is_broadcast() => Some("is every host's address"),
        IpAddr::V6(ip) if ip.is_unspecified() => Some("is no host's address"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Some("is valid on one link, and does not say on which")
        }
        ip if ip.is_multicast() => Some("is the address of a group"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// A provider whose answers are checked.
pub(crate) struct Checked {
    /// The provider's name, as in `provider=NAME`.
    pub(crate) name: &'static str,
    /// The provider.
    pub(crate) provider: Box<dyn Discover>,
    /// The addresses that the asker can use.
    pub(crate) reach: Reach,
    /// Time for a poll.
    pub(crate) longest: Duration,
}

#[async_trait]
impl Discover for Checked {
    async fn discover(&self) -> Result<Seeds, DiscoverError> {
        let fail = |kind, message: &str| DiscoverError { provider: self.name, kind, message: short(message) };
        let late = || fail(FailureKind::Unavailable, &format!("no answer within {:?}", self.longest));
        let answer = timeout(self.longest, self.provider.discover()).await.unwrap_or_else(|_| Err(late()));
        let answer = answer.map_err(|error| fail(error.kind, &error.message))?;
        check(answer, self.reach).map_err(|problem| fail(FailureKind::Unavailable, &problem))
    }

    fn cadence(&self) -> Cadence {
        self.provider.cadence()
    }
}

/// Leaves out what cannot be a seed, with a warning. If nothing is left of a list that had something in it, that is an
/// error: an empty answer would make the asker forget the members that it knows.
fn check(seeds: Seeds, reach: Reach) -> Result<Seeds, String> {
    let Seeds { addrs, valid_for, mut warnings, instances } = seeds;
    let listed = addrs.len();
    let mut elsewhere = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut good = Vec::new();
    for addr in addrs {
        let addr = plain(addr);
        if !seen.insert(addr) {
            continue;
        }
        match (fault(addr.ip()), addr.port()) {
            (Some(fault), _) => warnings.push(format!("{} {fault}: left out", addr.ip())),
            (None, 0) => warnings.push(format!("{addr} has port 0, at which nobody listens: left out")),
            (None, _) if reach.has(addr.ip()) => good.push(addr),
            (None, _) => {
                elsewhere.insert(addr);
            }
        }
    }
    if good.len() > MAX_ADDRS {
        warnings.push(format!("{} addresses: the first {MAX_ADDRS} of them are taken", good.len()));
        good.truncate(MAX_ADDRS);
    }
    bound(&mut warnings);
    if listed > 0 && good.is_empty() {
        return Err(nothing_left(listed, elsewhere.first(), reach, &warnings));
    }
    if !elsewhere.is_empty() {
        tracing::debug!(?elsewhere, "of a family that the socket cannot reach");
    }
    let instances = instances.into_iter().map(|(addr, instance)| (plain(addr), instance));
    let instances = instances.filter(|(addr, _)| seen.contains(addr)).collect();
    Ok(Seeds { addrs: good, valid_for, warnings, instances })
}

/// The sentence about a list of which nothing can be used.
fn nothing_left(listed: usize, elsewhere: Option<&SocketAddr>, reach: Reach, warnings: &[String]) -> String {
    let mut reasons = warnings.to_vec();
    if let Some(first) = elsewhere {
        let (this, other) = if reach == Reach::V4 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        reasons.push(format!(
            "this agent listens on {this} alone, and {first} is {other}: choose a --bind of that family, or [::] for both"
        ));
    }
    format!("none of the {listed} addresses listed can be a seed: {}", reasons.join("; "))
}

/// An IPv4 address in the clothes of IPv6 (`::ffff:10.0.0.1`) is one of IPv4.
fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn bound(warnings: &mut Vec<String>) {
    let more = warnings.len().saturating_sub(MAX_WARNINGS);
    warnings.truncate(MAX_WARNINGS);
    for warning in warnings.iter_mut() {
        *warning = short(warning);
    }
    if more > 0 {
        warnings.push(format!("{more} more warnings"));
    }
}

/// One line of a length that a reader bears.
fn short(text: &str) -> String {
    let mut text = one_line(text);
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(addrs: &[&str]) -> Seeds {
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        Seeds { addrs, valid_for: Some(Duration::from_secs(1)), ..Seeds::default() }
    }

    fn shown(seeds: &Seeds) -> Vec<String> {
        seeds.addrs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_cannot_be_a_seed_is_left_out_with_a_warning() {
        let bad = [
            (
                "0.0.0.0:1",
                "0.0.0.0 is no host's address (filters give it for names that they block): left out",
            ),
            ("255.255.255.255:1", "255.255.255.255 is every host's address: left out"),
            ("224.0.0.1:1", "224.0.0.1 is the address of a group: left out"),
            ("[::]:1", ":: is no host's address: left out"),
            ("[ff02::1]:1", "ff02::1 is the address of a group: left out"),
            ("[fe80::1]:1", "fe80::1 is valid on one link, and does not say on which: left out"),
            ("10.0.0.1:0", "10.0.0.1:0 has port 0, at which nobody listens: left out"),
        ];
        for (addr, warning) in bad {
            let answer = check(seeds(&[addr, "10.0.0.2:1"]), Reach::All).unwrap();
            assert_eq!(
                (shown(&answer), answer.warnings),
                (vec!["10.0.0.2:1".to_owned()], vec![warning.to_owned()])
            );
            let alone = check(seeds(&[addr]), Reach::All).unwrap_err();
            assert_eq!(alone, format!("none of the 1 addresses listed can be a seed: {warning}"));
        }
    }

    #[test]
    fn what_can_be_one_keeps_its_order_and_comes_once() {
        let listed =
            ["[fd00::1]:1", "10.0.0.2:1", "[::ffff:10.0.0.2]:1", "169.254.1.1:1", "127.0.0.1:2", "[::1]:2"];
        let answer = check(seeds(&listed), Reach::All).unwrap();
        assert_eq!(shown(&answer), ["[fd00::1]:1", "10.0.0.2:1", "169.254.1.1:1", "127.0.0.1:2", "[::1]:2"]);
        assert_eq!((answer.valid_for, answer.warnings), (Some(Duration::from_secs(1)), vec![]));
        assert_eq!(check(Seeds::default(), Reach::V4), Ok(Seeds::default()), "an empty list is no error");
    }

    #[test]
    fn a_socket_takes_its_family() {
        let reach = |bound: &str| Reach::of(bound.parse().unwrap());
        let both = || seeds(&["10.0.0.1:1", "[fd00::1]:1"]);
        for (bound, taken) in [
            ("0.0.0.0:7946", vec!["10.0.0.1:1"]),
            ("10.0.0.9:7946", vec!["10.0.0.1:1"]),
            ("[fd00::9]:7946", vec!["[fd00::1]:1"]),
            ("[::]:7946", vec!["10.0.0.1:1", "[fd00::1]:1"]),
        ] {
            let answer = check(both(), reach(bound)).unwrap();
            assert_eq!(
                (shown(&answer), answer.warnings.len()),
                (taken.iter().map(|t| String::from(*t)).collect(), 0)
            );
        }
        assert_eq!(
            check(seeds(&["[fd00::1]:1"]), Reach::V4).unwrap_err(),
            "none of the 1 addresses listed can be a seed: this agent listens on IPv4 alone, and [fd00::1]:1 is IPv6: \
             choose a --bind of that family, or [::] for both"
        );
    }

    #[test]
    fn a_list_has_an_end() {
        let many = (0..=MAX_ADDRS)
            .map(|n| SocketAddr::from(([10, 0, u8::try_from(n >> 8).unwrap(), n.to_le_bytes()[0]], 1)));
        let warnings = (0..100).map(|n| format!("{n} {}\n", "long ".repeat(1_000))).collect();
        let answer =
            check(Seeds { addrs: many.collect(), warnings, ..Seeds::default() }, Reach::All).unwrap();
        assert_eq!((answer.addrs.len(), answer.warnings.len()), (MAX_ADDRS, MAX_WARNINGS + 1));
        assert_eq!(answer.warnings.last().map(String::as_str), Some("85 more warnings"));
        assert!(answer.warnings.iter().all(|warning| warning.chars().count() <= MAX_CHARS + 1));
    }

    /// A provider that never answers.
    struct Mute;

    #[async_trait]
    impl Discover for Mute {
        async fn discover(&self) -> Result<Seeds, DiscoverError> {
            std::future::pending().await
        }

        fn cadence(&self) -> Cadence {
            Cadence { floor: Duration::ZERO, settled: Duration::ZERO, rationed: false }
        }
    }

    #[tokio::test]
    async fn a_poll_has_an_end() {
        let longest = Duration::from_millis(1);
        let checked = Checked { name: "mute", provider: Box::new(Mute), reach: Reach::All, longest };
        assert_eq!(checked.discover().await.unwrap_err().to_string(), "mute: no answer within 1ms");
    }
}
