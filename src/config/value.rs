//! Parsers of the texts of flags. Each error is one line: what is wrong and what to write instead.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
    str::FromStr,
};

use chronik_providers::{Address, Host, nearest, parse_port};
use ipnet::IpNet;
use tracing::Level;
use tracing_subscriber::filter::Targets;

use super::{
    address::{Advertise, DEFAULT_GOSSIP_PORT, EndpointFlag, HttpAddr},
    replacement::ReplaceFailed,
};
use crate::{
    admission::{InvalidVoterCount, VoterCount},
    bootstrap::SeedGate,
    choice::Choice,
    node::{InvalidName, TagKey, check_endpoint, check_tag_value},
    servers::ServerFlag,
};

/// Parses `ADDR[:PORT]`, in which an IPv6 address with a port stands in brackets. The port may be 0.
fn addr_and_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    match text.parse() {
        Ok(Address { host: Host::Ip(ip), port }) => Some((ip, port.map(NonZeroU16::get))),
        Ok(Address { host: Host::Name(_), .. }) => None,
        // No address that others dial has port 0, but `--bind` takes it for any free port.
        Err(_) => {
            let addr = text.parse().ok().filter(|addr: &SocketAddr| addr.port() == 0)?;
            Some((addr.ip(), Some(0)))
        }
    }
}

/// Parses an address that others can dial, with the gossip port if it has none.
pub(crate) fn gossip_addr(text: &str) -> Option<SocketAddr> {
    let address: Address = text.parse().ok()?;
    match address.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, address.port_or(DEFAULT_GOSSIP_PORT))),
        Host::Name(_) => None,
    }
}

pub(super) fn bind(text: &str) -> Result<SocketAddr, String> {
    let (ip, port) = addr_and_port(text).ok_or_else(|| {
        "is no address; write ADDR or ADDR:PORT, such as 0.0.0.0:7946 or [::]:7946 (--advertise takes interface \
         names)"
            .to_owned()
    })?;
    Ok(SocketAddr::new(ip, port.unwrap_or(DEFAULT_GOSSIP_PORT)))
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

/// The kind of the server beside the agent, and where it is asked.
/// Most voters, an odd number.
pub(super) fn voters(text: &str) -> Result<VoterCount, String> {
    let count = text.parse::<u16>().map_err(|_| {
        "is no number of voters: write an odd one, such as 3 or 5, or leave the flag out".to_owned()
    })?;
    count.try_into().map_err(|error: InvalidVoterCount| error.advice())
}

pub(super) fn replace_failed(text: &str) -> Result<ReplaceFailed, String> {
    text.parse()
}

pub(super) fn server(text: &str) -> Result<ServerFlag, String> {
    text.parse()
}

pub(super) fn endpoint(text: &str) -> Result<EndpointFlag, String> {
    let shape =
        || "is not NAME=[HOST]:PORT, such as raft=:5001, kafka=db1:9092 or raft=[fd00::1]:5001".to_owned();
    let (name, addr) = text.split_once('=').ok_or_else(shape)?;
    let name = name.parse().map_err(|error| format!("is not NAME=[HOST]:PORT: {error}"))?;
    let (host, port) = addr.rsplit_once(':').unwrap_or(("", addr));
    let port =
        parse_port(port).map_err(|_| format!("has no valid port: `{port}` is not one of 1 to 65535"))?.get();
    let host = match host {
        "" => None,
        host => Some(endpoint_host(host, port)?),
    };
    Ok(EndpointFlag { name, host, port })
}

fn endpoint_host(text: &str, port: u16) -> Result<String, String> {
    match text.parse() {
        Ok(Host::Ip(IpAddr::V6(_))) if !text.starts_with('[') => {
            Err(format!("has an IPv6 address without brackets: write [{text}]:{port}"))
        }
        Ok(Host::Ip(_) | Host::Name(_)) => {
            let checked = check_endpoint(&format!("{text}:{port}"));
            checked.map(|()| text.to_owned()).map_err(|error| format!("has no valid host: {error}"))
        }
        Err(fault) => Err(format!("has no valid host: `{text}` {fault}")),
    }
}

/// Parses a host as it stands in a URL: a name, or an IPv4 address.
pub(super) fn web_host(text: &str) -> Result<String, String> {
    match text.parse() {
        Ok(Host::Name(_) | Host::Ip(IpAddr::V4(_))) => Ok(text.to_lowercase()),
        Ok(Host::Ip(IpAddr::V6(_))) | Err(_) => {
            Err("is no host name; write it without scheme and port, such as node-1.example.com".to_owned())
        }
    }
}

pub(super) fn tag(text: &str) -> Result<(TagKey, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "is not KEY=VALUE, such as zone=a".to_owned())?;
    let key = key.parse().map_err(|error| format!("is not KEY=VALUE: {error}"))?;
    check_tag_value(value).map_err(|error| format!("has a value that is none: {}", error.rule))?;
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
    fn port_0_is_any_free_port_to_bind_and_none_to_dial() {
        assert_eq!(bind("127.0.0.1:0"), Ok("127.0.0.1:0".parse().unwrap()));
        assert_eq!(bind("[::1]:0"), Ok("[::1]:0".parse().unwrap()));
        assert_eq!(gossip_addr("10.0.0.1:0"), None);
        assert_eq!(gossip_addr("10.0.0.1"), Some("10.0.0.1:7946".parse().unwrap()));
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
        for text in ["raft", "raft=", "raft=:0", "raft=:x", "raft=:+1", "two words=:1"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_whose_host_nobody_could_reach_is_refused() {
        let name = "is no host name: labels of 1 to 63 letters, digits, `-` and `_` with dots between them, 253 characters \
                    at most (international names in their xn-- form)";
        for (host, sentence) in [
            ("10.0.0.256", "is no IPv4 address: write four numbers from 0 to 255 with dots between them"),
            ("10.0.0", "is no IPv4 address: write four numbers from 0 to 255 with dots between them"),
            ("-x", name),
            ("a b", name),
            ("db1..example.com", name),
            ("[10.0.0.1]", "has no IPv6 address between its brackets: write [IPv6]:PORT"),
        ] {
            let error = endpoint(&format!("raft={host}:5001")).unwrap_err();
            assert_eq!(error, format!("has no valid host: `{host}` {sentence}"));
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
            assert!(levels.would_enable("hyper", &Level::INFO), "{text}");
            assert!(!levels.would_enable("hyper", &Level::DEBUG), "{text}");
        }
        assert!(log_level("inof").is_err() && log_level("chronik_agent=loud").is_err());
    }
}
