//! Addresses as people write them: `host`, `host:port`, `10.0.0.1:7946`, `::1`, `[::1]:7946`.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU16,
    str::FromStr,
    time::Duration,
};

use tokio::time::timeout;

/// The system's resolver gives up on a name server after 5 s by default and then tries the next; names that are answered
/// at all are answered in a fraction of one.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// A host, and a port where one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Whom to ask.
    pub(crate) host: Host,
    /// `None`: whatever port the asker takes by default.
    pub(crate) port: Option<NonZeroU16>,
}

impl Address {
    /// Its port, or the one to take where it has none.
    pub(crate) fn port_or(&self, default_port: u16) -> u16 {
        self.port.map_or(default_port, NonZeroU16::get)
    }
}

/// A host by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// By number: nothing needs to be looked up.
    Ip(IpAddr),
    /// By name, in ASCII, checked by [`check_name`].
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Host {
    /// Its addresses, asked of the system's resolver, which knows `/etc/hosts` too. Takes 3 s at most.
    pub(crate) async fn lookup(&self) -> io::Result<Vec<IpAddr>> {
        let name = match self {
            Self::Ip(ip) => return Ok(vec![*ip]),
            Self::Name(name) => name.as_str(),
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {LOOKUP_TIMEOUT:?}"));
        let addrs =
            timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((name, 0))).await.map_err(|_| late())??;
        Ok(addrs.map(|addr| addr.ip()).collect())
    }
}

/// Why a text is no address; completes "`TEXT` ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressFault {
    #[error("has no closing bracket: write [IPv6]:PORT")]
    Bracket,
    #[error("has no IPv6 address between its brackets: write [IPv6]:PORT")]
    NotIpv6,
    #[error("has a bad port: a port is a number from 1 to 65535")]
    Port,
    #[error("names no host: write HOST or HOST:PORT")]
    NoHost,
    #[error(
        "is no host name: labels of 1 to 63 letters, digits, `-` and `_` with dots between them, 253 characters at most (international names in their xn-- form)"
    )]
    Name,
    #[error("is no IPv4 address: write four numbers from 0 to 255 with dots between them")]
    NotIpv4,
}

impl FromStr for Address {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { host: Host::Ip(ip), port: None });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, rest) = rest.split_once(']').ok_or(AddressFault::Bracket)?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| AddressFault::NotIpv6)?;
            let port = match rest {
                "" => None,
                rest => Some(parse_port(rest.strip_prefix(':').ok_or(AddressFault::Port)?)?),
            };
            return Ok(Self { host: Host::Ip(ip.into()), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        let host = match host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => {
                check_name(host)?;
                Host::Name(host.to_owned())
            }
        };
        Ok(Self { host, port })
    }
}

/// Reads a port; 0 is none.
pub(crate) fn parse_port(text: &str) -> Result<NonZeroU16, AddressFault> {
    // `parse` alone would take "+1".
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressFault::Port);
    }
    text.parse().map_err(|_| AddressFault::Port)
}

/// Checks that a name can be asked of a name server (RFC 1035 lengths), with `_` for service names. A final dot is allowed.
pub(crate) fn check_name(name: &str) -> Result<(), AddressFault> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(AddressFault::NoHost);
    }
    let mut last = name;
    for label in name.split('.') {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !letters || label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-')
        {
            return Err(AddressFault::Name);
        }
        last = label;
    }
    if name.len() > 253 {
        return Err(AddressFault::Name);
    }
    // No top-level domain is a number: 10.0.0.256 is a slip of the pen, not a name.
    if last.bytes().all(|b| b.is_ascii_digit()) { Err(AddressFault::NotIpv4) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let reads = |text: &str, host: &str, port: Option<u16>| {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.host.to_string().as_str(), address.port.map(u16::from)),
                (host, port),
                "{text}"
            );
        };
        reads("10.0.0.1", "10.0.0.1", None);
        reads("10.0.0.1:7946", "10.0.0.1", Some(7946));
        reads("::1", "::1", None);
        reads("[::1]", "::1", None);
        reads("[2001:db8::1]:1", "2001:db8::1", Some(1));
        reads("node-1", "node-1", None);
        reads("node-1.example.com.:65535", "node-1.example.com.", Some(65535));
        reads("_gossip._udp.example.com", "_gossip._udp.example.com", None);
    }

    #[test]
    fn faults() {
        let fault = |text: &str, fault| assert_eq!(text.parse::<Address>(), Err(fault), "{text}");
        fault("[::1", AddressFault::Bracket);
        fault("[10.0.0.1]:1", AddressFault::NotIpv6);
        fault("[::1]7946", AddressFault::Port);
        for text in ["a:0", "a:65536", "a:", "a:+1", "a:x", "a:1:2", "[::1]:", "2001:db8:::1"] {
            fault(text, AddressFault::Port);
        }
        for text in ["", ".", ":1"] {
            fault(text, AddressFault::NoHost);
        }
        for text in ["a..b", "-a", "a-", "a b", "bücher", "fe80%eth0", &"a".repeat(64), &"a.".repeat(128)] {
            fault(text, AddressFault::Name);
        }
        fault("10.0.0.256", AddressFault::NotIpv4);
    }
}
