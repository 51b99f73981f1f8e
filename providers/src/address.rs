//! Addresses as people write them: `host`, `host:port`, `10.0.0.1:7946`, `::1`, `[::1]:7946`.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU16,
    str::FromStr,
    time::Duration,
};

use tokio::time::timeout;

/// Time for one look-up. The system's resolver gives up on a name server after 5 s by default and then tries the next;
/// names that are answered at all are answered in a fraction of one second.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest label of a name, in characters (RFC 1035).
const MAX_LABEL: usize = 63;

/// Longest name without its final dot, in characters: 255 bytes on the wire (RFC 1035), less a length and the root.
const MAX_NAME: usize = 253;

/// A host, and a port if one is given: `HOST`, `HOST:PORT`, `10.0.0.1:7946`, `::1`, `[::1]`, `[::1]:7946`.
///
/// ```
/// use chronik_providers::{Address, AddressFault};
///
/// let address: Address = "node-1.example.com:7946".parse()?;
/// assert_eq!((address.host.to_string().as_str(), address.port_or(1)), ("node-1.example.com", 7946));
/// assert_eq!("10.0.0.256:7946".parse::<Address>(), Err(AddressFault::NotIpv4));
/// # Ok::<(), AddressFault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host, by number or by name.
    pub host: Host,
    /// The port; `None` if the text has none, and the port depends on who reads it.
    pub port: Option<NonZeroU16>,
}

impl Address {
    /// The port, or `default_port` if the text has none.
    #[must_use]
    pub fn port_or(&self, default_port: u16) -> u16 {
        self.port.map_or(default_port, NonZeroU16::get)
    }
}

impl FromStr for Address {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { host: Host::Ip(ip), port: None });
        }
        if let Some((host, rest)) = bracketed(text)? {
            let port = match rest {
                "" => None,
                rest => Some(parse_port(rest.strip_prefix(':').ok_or(AddressFault::Port)?)?),
            };
            return Ok(Self { host, port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        Ok(Self { host: host.parse()?, port })
    }
}

/// A host by number or by name: `10.0.0.1`, `::1`, `[::1]`, `node-1.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address, which needs no look-up.
    Ip(IpAddr),
    /// A name.
    Name(HostName),
}

impl Host {
    /// Looks up the addresses of this host with the system's resolver, which knows `/etc/hosts` too. Takes 3 s at most.
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

impl FromStr for Host {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        match bracketed(text)? {
            Some((host, "")) => Ok(host),
            Some(_) => Err(AddressFault::Name),
            None => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A name that a name server can be asked for: labels of 1 to 63 letters, digits, `-` and `_` with dots between them, 253
/// characters at most (RFC 1035, RFC 1123; `_` for service names). No label begins or ends with `-`, the last one is not
/// all digits, and a final dot is allowed. Case is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// The name as it was written, in ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name without the checks, so that tests have one whose look-up fails before a name server is asked.
    #[cfg(test)]
    pub(crate) fn unchecked(name: String) -> Self {
        Self(name)
    }
}

impl FromStr for HostName {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(AddressFault::NoHost);
        }
        let is_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > MAX_NAME || !name.split('.').all(is_label) {
            return Err(AddressFault::Name);
        }
        // No top-level domain is a number: 10.0.0.256 is a mistyped address, not a name.
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return Err(AddressFault::NotIpv4);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fault of a text that is no address, host or port. The sentence completes "`TEXT` " and ends with the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// An opening bracket without a closing one.
    #[error("has no closing bracket: write [IPv6]:PORT")]
    Bracket,
    /// Brackets around anything but an IPv6 address.
    #[error("has no IPv6 address between its brackets: write [IPv6]:PORT")]
    NotIpv6,
    /// A port that is no number from 1 to 65535.
    #[error("has a bad port: a port is a number from 1 to 65535")]
    Port,
    /// Nothing in the host's place.
    #[error("names no host: write HOST or HOST:PORT")]
    NoHost,
    /// A host that breaks the rules for names.
    #[error(
        "is no host name: labels of 1 to 63 letters, digits, `-` and `_` with dots between them, 253 characters at most (international names in their xn-- form)"
    )]
    Name,
    /// A host that ends in a number, as only IPv4 addresses do, but is none.
    #[error("is no IPv4 address: write four numbers from 0 to 255 with dots between them")]
    NotIpv4,
}

/// Parses a port, a number from 1 to 65535 without a sign.
///
/// # Errors
/// [`AddressFault::Port`].
pub fn parse_port(text: &str) -> Result<NonZeroU16, AddressFault> {
    // `parse` alone would take "+1".
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressFault::Port);
    }
    text.parse().map_err(|_| AddressFault::Port)
}

/// Splits `[IPv6]` off the beginning; `None` if there is no opening bracket.
fn bracketed(text: &str) -> Result<Option<(Host, &str)>, AddressFault> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(None);
    };
    let (ip, rest) = rest.split_once(']').ok_or(AddressFault::Bracket)?;
    let ip: Ipv6Addr = ip.parse().map_err(|_| AddressFault::NotIpv6)?;
    Ok(Some((Host::Ip(ip.into()), rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:7946", "10.0.0.1", Some(7946)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[2001:db8::1]:1", "2001:db8::1", Some(1)),
            ("node-1", "node-1", None),
            ("node-1.example.com.:65535", "node-1.example.com.", Some(65535)),
            ("_gossip._udp.example.com", "_gossip._udp.example.com", None),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.host.to_string().as_str(), address.port.map(u16::from)),
                (host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn hosts() {
        for (text, host) in [
            ("10.0.0.1", Ok("10.0.0.1")),
            ("::1", Ok("::1")),
            ("[::1]", Ok("::1")),
            ("Node-1.example.com.", Ok("Node-1.example.com.")),
            ("[::1]:7946", Err(AddressFault::Name)),
            ("[::1", Err(AddressFault::Bracket)),
            ("[10.0.0.1]", Err(AddressFault::NotIpv6)),
            ("node-1:7946", Err(AddressFault::Name)),
            ("10.0.0.256", Err(AddressFault::NotIpv4)),
            ("", Err(AddressFault::NoHost)),
        ] {
            assert_eq!(text.parse::<Host>().map(|host| host.to_string()), host.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn faults() {
        let assert_fault = |text: &str, fault| assert_eq!(text.parse::<Address>(), Err(fault), "{text}");
        assert_fault("[::1", AddressFault::Bracket);
        assert_fault("[10.0.0.1]:1", AddressFault::NotIpv6);
        assert_fault("[::1]7946", AddressFault::Port);
        for text in ["a:0", "a:65536", "a:", "a:+1", "a:x", "a:1:2", "[::1]:", "2001:db8:::1"] {
            assert_fault(text, AddressFault::Port);
        }
        for text in ["", ".", ":1"] {
            assert_fault(text, AddressFault::NoHost);
        }
        for text in ["a..b", "-a", "a-", "a b", "bücher", "fe80%eth0", &"a".repeat(64), &"a.".repeat(128)] {
            assert_fault(text, AddressFault::Name);
        }
        assert_fault("10.0.0.256", AddressFault::NotIpv4);
    }
}
