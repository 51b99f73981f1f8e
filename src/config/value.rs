//! Parsers of the texts of flags. Each error is one line: what is wrong and what to write instead.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;
use tracing::Level;
use tracing_subscriber::filter::Targets;

use super::address::{Advertise, DEFAULT_GOSSIP_PORT, EndpointFlag, HttpAddr};
use crate::{
    bootstrap::SeedGate,
    choice::Choice,
    nearest::nearest,
    node::{InvalidName, TagKey},
};

/// An IP address in the ways people write one: `10.0.0.1`, `::1`, `[::1]`.
fn ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    }
}

/// `ADDR[:PORT]`; IPv6 with a port stands in brackets.
fn addr_and_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some((addr.ip(), Some(addr.port())));
    }
    Some((ip(text)?, None))
}

/// An address with the gossip port where none is given.
pub(crate) fn gossip_addr(text: &str) -> Option<SocketAddr> {
    let (ip, port) = addr_and_port(text)?;
    Some(SocketAddr::new(ip, port.unwrap_or(DEFAULT_GOSSIP_PORT)))
}

pub(super) fn bind(text: &str) -> Result<SocketAddr, String> {
    gossip_addr(text).ok_or_else(|| {
        "is no address; write ADDR or ADDR:PORT, such as 0.0.0.0:7946 or [::]:7946 (--advertise takes interface \
         names)"
            .to_owned()
    })
}

pub(super) fn advertise(text: &str) -> Result<Advertise, String> {
    if let Some((ip, port)) = addr_and_port(text) {
        if ip.is_unspecified() {
            return Err(
                "is no address that others could reach; leave the flag out to have one worked out, or name \
                        one, an interface or a network"
                    .to_owned(),
            );
        }
        return Ok(Advertise::Addr(ip, nonzero(port)?));
    }
    let (name, port) = split_port(text);
    let port = port
        .map(|port| port.parse().map_err(|_| format!("has no valid port: `{port}` is not one of 1 to 65535")))
        .transpose()?;
    let port = nonzero(port)?;
    if name.contains('/') {
        let network: IpNet =
            name.parse().map_err(|_| "is no network; write it as 10.0.0.0/8 or fd00::/8".to_owned())?;
        return Ok(Advertise::Network(network, port));
    }
    let like_an_address =
        name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || name.contains(':');
    // The kernel's IFNAMSIZ is 16 with its final zero; names hold neither blanks nor slashes.
    if like_an_address || name.is_empty() || name.len() > 15 || name.contains(char::is_whitespace) {
        return Err("is neither an address (10.0.0.1, 10.0.0.1:7946, [fd00::1]:7946), nor an interface (eth0), nor a \
                    network (10.0.0.0/8); host names are not looked up"
            .to_owned());
    }
    Ok(Advertise::Interface(name.to_owned(), port))
}

fn nonzero(port: Option<u16>) -> Result<Option<u16>, String> {
    match port {
        Some(0) => Err("has port 0, which nobody can reach; write the port that others see".to_owned()),
        port => Ok(port),
    }
}

/// Splits a port off `eth0:7946`, `10.0.0.0/8:7946` and `fd00::/8:7946`.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let from = text.find('/').unwrap_or(0);
    match text.get(from..).and_then(|rest| rest.rfind(':')) {
        Some(colon) => (text.get(..from + colon).unwrap_or(text), text.get(from + colon + 1..)),
        None => (text, None),
    }
}

pub(crate) fn http(text: &str) -> Result<HttpAddr, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        // sun_path has 108 bytes with its final zero, and the socket is first made beside its place with a suffix.
        return match path.len() {
            0 => Err("names no path; write unix:/run/chronik-agent.sock".to_owned()),
            1..=100 => Ok(HttpAddr::Unix(PathBuf::from(path))),
            _ => Err("is longer than the 100 bytes that a socket's path may have".to_owned()),
        };
    }
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    named.as_deref().unwrap_or(text).parse().map(HttpAddr::Tcp).map_err(|_| {
        "is neither ADDR:PORT nor unix:PATH; write 127.0.0.1:7947, [::1]:7947 or unix:/run/chronik-agent.sock"
            .to_owned()
    })
}

pub(super) fn endpoint(text: &str) -> Result<EndpointFlag, String> {
    let shape =
        || "is not NAME=[HOST]:PORT, such as raft=:5001, kafka=db1:9092 or raft=[fd00::1]:5001".to_owned();
    let (name, addr) = text.split_once('=').ok_or_else(shape)?;
    let name = name.parse().map_err(|error| format!("is not NAME=[HOST]:PORT: {error}"))?;
    let (host, port) = addr.rsplit_once(':').unwrap_or(("", addr));
    let port = match port.parse() {
        Ok(0) | Err(_) => return Err(format!("has no valid port: `{port}` is not one of 1 to 65535")),
        Ok(port) => port,
    };
    let host = match host {
        "" => None,
        host if ip(host).is_some_and(|ip| ip.is_ipv4()) || (host.starts_with('[') && ip(host).is_some()) => {
            Some(host.to_owned())
        }
        host if is_host_name(host) => Some(host.to_owned()),
        host if ip(host).is_some() => {
            return Err(format!("has an IPv6 address without brackets: write [{host}]:{port}"));
        }
        _ => return Err(shape()),
    };
    Ok(EndpointFlag { name, host, port })
}

/// A DNS name as RFC 1123 has it, underscores tolerated since service names carry them.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
}

pub(super) fn tag(text: &str) -> Result<(TagKey, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "is not KEY=VALUE, such as zone=a".to_owned())?;
    let key = key.parse().map_err(|error| format!("is not KEY=VALUE: {error}"))?;
    if value.chars().any(char::is_control) {
        return Err("has control characters in its value; leave them out".to_owned());
    }
    Ok((key, value.to_owned()))
}

pub(super) fn usual_log_level() -> Targets {
    Targets::new().with_default(Level::INFO)
}

/// A level, or directives by module; a bare unknown word would silently be taken for a module's name.
pub(super) fn log_level(text: &str) -> Result<Targets, String> {
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    let level = |word: &str| levels.contains(&word.to_lowercase().as_str());
    let directives: Vec<_> = text.split(',').map(str::trim).collect();
    let bad = directives.iter().find(|directive| !directive.contains('=') && !level(directive));
    match bad {
        Some(word) => Err(format!(
            "has no level `{word}`; write one of {}, or directives such as info,chronik_agent=debug",
            levels.join(", ")
        )),
        None => directives
            .join(",")
            .parse()
            .map_err(|error| format!("cannot be read: {error}; write for instance info,chronik_agent=debug")),
    }
}

/// A name or an id with a rule of its own.
pub(super) fn rule<T: FromStr<Err = InvalidName>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: InvalidName| format!("is no {}: write {}", error.what, error.rule))
}

/// One of a few words.
pub(super) fn choice<T: Choice>(text: &str) -> Result<T, String> {
    T::named(text).ok_or_else(|| {
        let words: Vec<_> = T::ALL.iter().map(|value| value.word()).collect();
        let all = words.join(", ");
        match nearest(text, words) {
            Some(near) => format!("is not one of {all}: did you mean `{near}`?"),
            None => format!("is not one of {all}"),
        }
    })
}

pub(super) fn count(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| {
        "is no number of servers: write 1 to 65535, usually 3 or 5, or leave the flag out never to bootstrap a cluster"
            .to_owned()
    })
}

pub(super) fn seed_gate(text: &str) -> Result<SeedGate, String> {
    match text {
        "patient" => Ok(SeedGate::Patient),
        "strict" => Ok(SeedGate::Strict),
        _ => Err("is not one of patient, strict".to_owned()),
    }
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "is neither true nor false".to_owned())
}

/// An address of another agent. Names are not looked up here, since they may come to mean another address.
pub(super) fn seed_addr(text: &str) -> Result<SocketAddr, String> {
    gossip_addr(text.trim()).ok_or_else(|| {
        "is no address; write 10.0.0.1 or 10.0.0.1:7946; for a name use --retry-join".to_owned()
    })
}

/// A host name, in lower case.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    if is_host_name(text) {
        Ok(text.to_lowercase())
    } else {
        Err("is no host name; write it without scheme and port, such as node-1.example.com".to_owned())
    }
}

pub(super) fn file_name(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("names no file".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("names no directory".to_owned()) } else { Ok(PathBuf::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_takes_an_address_with_or_without_a_port() {
        for (text, expected) in [
            ("0.0.0.0", "0.0.0.0:7946"),
            ("10.0.0.1:9", "10.0.0.1:9"),
            ("::", "[::]:7946"),
            ("[::1]", "[::1]:7946"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(bind(text), Ok(expected.parse().unwrap()), "{text}");
        }
        for text in ["eth0", "10.0.0.1:99999", "[10.0.0.1]:9", "[10.0.0.1]", "", ":7946"] {
            assert!(bind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn advertise_takes_addresses_interfaces_and_networks() {
        let ip = |text: &str| text.parse().unwrap();
        for (text, expected) in [
            ("10.0.0.1", Advertise::Addr(ip("10.0.0.1"), None)),
            ("10.0.0.1:9", Advertise::Addr(ip("10.0.0.1"), Some(9))),
            ("[fd00::1]:9", Advertise::Addr(ip("fd00::1"), Some(9))),
            ("fd00::1", Advertise::Addr(ip("fd00::1"), None)),
            ("eth0", Advertise::Interface("eth0".to_owned(), None)),
            ("eth0:9", Advertise::Interface("eth0".to_owned(), Some(9))),
            ("10.0.0.0/8", Advertise::Network("10.0.0.0/8".parse().unwrap(), None)),
            ("fd00::/8:9", Advertise::Network("fd00::/8".parse().unwrap(), Some(9))),
        ] {
            assert_eq!(advertise(text), Ok(expected), "{text}");
        }
        for text in
            ["0.0.0.0", "10.0.0.300", "10.0.0.1:0", "eth0:http", "10.0.0.0/40", "db1.example.com.", "a b", ""]
        {
            assert!(advertise(text).is_err(), "{text}");
        }
    }

    #[test]
    fn http_takes_tcp_and_unix() {
        let tcp = |text: &str| HttpAddr::Tcp(text.parse().unwrap());
        assert_eq!(http("127.0.0.1:7947"), Ok(tcp("127.0.0.1:7947")));
        assert_eq!(http("http://localhost:1/"), Ok(tcp("127.0.0.1:1")));
        assert_eq!(http("[::1]:1"), Ok(tcp("[::1]:1")));
        assert_eq!(http("unix:/run/a.sock"), Ok(HttpAddr::Unix("/run/a.sock".into())));
        assert!(
            http("unix:").is_err() && http("7947").is_err() && http("unix:/".to_owned().as_str()).is_ok()
        );
    }

    #[test]
    fn endpoints_have_a_name_and_a_port_and_perhaps_a_host() {
        for (text, host, port) in [
            ("raft=:5001", None, 5001),
            ("raft=5001", None, 5001),
            ("kafka=db1.example.com:9092", Some("db1.example.com"), 9092),
            ("kafka=10.0.0.1:9092", Some("10.0.0.1"), 9092),
            ("raft=[fd00::1]:5001", Some("[fd00::1]"), 5001),
        ] {
            let endpoint = endpoint(text).unwrap();
            assert_eq!((endpoint.host.as_deref(), endpoint.port), (host, port), "{text}");
        }
        assert_eq!(
            endpoint("raft=fd00::1:5001").unwrap_err(),
            "has an IPv6 address without brackets: write [fd00::1]:5001"
        );
        for text in ["raft", "raft=", "raft=:0", "raft=:x", "two words=:1", "raft=a b:1"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tags_are_pairs() {
        assert_eq!(tag("note=a=b"), Ok(("note".parse().unwrap(), "a=b".to_owned())));
        assert_eq!(tag("zone="), Ok(("zone".parse().unwrap(), String::new())));
        assert!(tag("zone").is_err() && tag("a b=c").is_err() && tag("a=b\nc").is_err());
    }

    #[test]
    fn a_mistyped_level_is_no_module() {
        for text in ["info,chronik_agent=debug", " Info, chronik_agent=debug"] {
            let levels = log_level(text).unwrap();
            assert!(levels.would_enable("chronik_agent::agent", &Level::DEBUG), "{text}");
            assert!(levels.would_enable("hickory_net", &Level::INFO), "{text}");
            assert!(!levels.would_enable("hickory_net", &Level::DEBUG), "{text}");
        }
        assert!(log_level("inof").is_err() && log_level("chronik_agent=loud").is_err());
    }
}
