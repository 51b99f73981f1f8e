//! The address to give to the others, and the reason for it: a pure choice among the addresses of this host.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use crate::config::Advertise;

/// An address of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddr {
    /// The interface that has it.
    pub name: String,
    /// The address.
    pub ip: IpAddr,
}

/// The addresses of this host, as the system lists them.
///
/// # Errors
/// If the system does not tell.
pub fn interfaces() -> io::Result<Vec<InterfaceAddr>> {
    let interfaces = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| InterfaceAddr { ip: interface.ip(), name: interface.name });
    Ok(interfaces.collect())
}

/// The address to give to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The address.
    pub addr: SocketAddr,
    /// The reason for this one, in words that fit in brackets.
    pub because: String,
}

/// A host that has no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvertiseError {
    /// There is no such interface, or it has no address.
    #[error(
        "--advertise {name}: no interface of that name has a usable address here; there are {there}; name one of \
             these, a network or an address"
    )]
    NoInterface {
        /// The name.
        name: String,
        /// The interfaces that have an address.
        there: String,
    },
    /// No address lies in the network.
    #[error(
        "--advertise {network}: no address of this host lies in that network; there are {there}; name one of these"
    )]
    NotInNetwork {
        /// The network.
        network: String,
        /// The addresses of this host.
        there: String,
    },
    /// The bound socket cannot answer from it.
    #[error(
        "--advertise {asked}: --bind {bound} takes no packets of that family; bind [::] for both, or advertise an \
             address of the same family"
    )]
    OtherFamily {
        /// The address asked for.
        asked: IpAddr,
        /// The bound address.
        bound: SocketAddr,
    },
    /// The host has no usable address.
    #[error("no address to give to the others was found on this host; name one with --advertise")]
    Nothing,
}

/// Chooses the address to give to the others: the one asked for, else the bound one, else the host's first that is
/// likely to be reachable.
///
/// # Errors
/// If the host has no such address.
pub fn choose(
    asked: Option<&Advertise>,
    bound: SocketAddr,
    interfaces: &[InterfaceAddr],
) -> Result<Advertised, AdvertiseError> {
    let at = |ip: IpAddr, port: Option<u16>, because: String| {
        let addr = SocketAddr::new(ip, port.unwrap_or(bound.port()));
        Ok(Advertised { addr, because })
    };
    match asked {
        Some(Advertise::Addr(ip, _)) if !takes(bound, *ip) => {
            Err(AdvertiseError::OtherFamily { asked: *ip, bound })
        }
        Some(Advertise::Addr(ip, port)) => at(*ip, *port, "as --advertise says".to_owned()),
        Some(Advertise::Interface(name, port)) => {
            let own = candidates(interfaces, bound, |addr| addr.name == *name);
            let first = own.first().ok_or_else(|| AdvertiseError::NoInterface {
                name: name.clone(),
                there: listed(interfaces, |addr| addr.name.clone()),
            })?;
            at(first.ip, *port, format!("the address of {name}, as --advertise says"))
        }
        Some(Advertise::Network(network, port)) => {
            let inside = candidates(interfaces, bound, |addr| network.contains(&addr.ip));
            let first = inside.first().ok_or_else(|| AdvertiseError::NotInNetwork {
                network: network.to_string(),
                there: listed(interfaces, |addr| addr.ip.to_string()),
            })?;
            let because = format!("the address of {} in {network}, as --advertise says", first.name);
            at(first.ip, *port, because)
        }
        None if !bound.ip().is_unspecified() => {
            at(bound.ip(), None, "the address that --bind names".to_owned())
        }
        None => {
            let all = candidates(interfaces, bound, |_| true);
            let first = all.first().ok_or(AdvertiseError::Nothing)?;
            at(first.ip, None, reason(first, all.len()))
        }
    }
}

/// The address to bind instead of `asked`: on a host that has addresses of IPv6 alone, one that takes both families.
pub fn bound_for(asked: SocketAddr, interfaces: &[InterfaceAddr]) -> SocketAddr {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), asked.port());
    let reaches = |bound| !candidates(interfaces, bound, |addr| !addr.ip.is_loopback()).is_empty();
    let is_any = asked.is_ipv4() && asked.ip().is_unspecified();
    if is_any && !reaches(asked) && reaches(any) { any } else { asked }
}

/// The address that takes the place of `now`: because that is gone from this host, or because others could never reach it and can
/// reach another. `bound` is `--bind`. An address that is still there stays, and one that is gone stays until another comes: a
/// cable may only be out for a moment.
pub fn moved(
    asked: Option<&Advertise>,
    bound: SocketAddr,
    now: SocketAddr,
    interfaces: &[InterfaceAddr],
) -> Option<Advertised> {
    if matches!(asked, Some(Advertise::Addr(..))) || asked.is_none() && !bound.ip().is_unspecified() {
        return None;
    }
    let next = choose(asked, bound_for(bound, interfaces), interfaces).ok()?;
    let is_there = interfaces.iter().any(|addr| addr.ip == now.ip());
    let may =
        next.addr.ip() != now.ip() && !next.addr.ip().is_loopback() && (!is_there || now.ip().is_loopback());
    may.then(|| Advertised { addr: SocketAddr::new(next.addr.ip(), now.port()), ..next })
}

/// The addresses that `wanted` picks and the bound socket can answer from, the most reachable first.
fn candidates(
    interfaces: &[InterfaceAddr],
    bound: SocketAddr,
    wanted: impl Fn(&InterfaceAddr) -> bool,
) -> Vec<&InterfaceAddr> {
    let usable = |addr: &&InterfaceAddr| {
        !is_link_local(addr.ip) && !addr.ip.is_unspecified() && takes(bound, addr.ip) && wanted(addr)
    };
    let mut found: Vec<&InterfaceAddr> = interfaces.iter().filter(usable).collect();
    // The sort is stable: within a rank and the family of the socket the order of the system holds.
    found.sort_by_key(|addr| (rank(addr), addr.ip.is_ipv4() != bound.is_ipv4()));
    found
}

/// True if a socket bound to `bound` gets packets for `ip`: it takes its own family, and `[::]` takes both.
fn takes(bound: SocketAddr, ip: IpAddr) -> bool {
    ip.is_ipv4() == bound.is_ipv4() || bound.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// The chance that others reach an address; lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// RFC 1918 or RFC 4193.
    Private,
    /// Anything else that routers carry.
    Public,
    /// A network between this host and its containers or virtual machines.
    Bridge,
    /// This host only.
    Loopback,
}

fn rank(addr: &InterfaceAddr) -> Rank {
    let private = match addr.ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    match (addr.ip.is_loopback(), is_bridge(&addr.name), private) {
        (true, _, _) => Rank::Loopback,
        (false, true, _) => Rank::Bridge,
        (false, false, true) => Rank::Private,
        (false, false, false) => Rank::Public,
    }
}

/// True for the bridge names of Docker, libvirt, podman, LXC and the usual container networks; inside a container the
/// interface is `eth0`.
fn is_bridge(name: &str) -> bool {
    ["docker", "br-", "virbr", "veth", "podman", "cni", "lxc", "lxdbr", "flannel", "cali"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn reason(chosen: &InterfaceAddr, of: usize) -> String {
    let others = match of {
        1 => String::new(),
        of => format!(", preferred to {} more; --advertise picks another", of - 1),
    };
    let name = &chosen.name;
    match rank(chosen) {
        Rank::Private => format!("the private address of {name}{others}"),
        Rank::Public => format!("the address of {name}, as there is no private one{others}"),
        Rank::Bridge => {
            format!("the address of {name}, though that looks like a network of containers{others}")
        }
        Rank::Loopback => {
            "only this host can reach it: no other address was found; name one with --advertise".to_owned()
        }
    }
}

/// The distinct names of the addresses or interfaces, for messages.
fn listed(interfaces: &[InterfaceAddr], what: impl Fn(&InterfaceAddr) -> String) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in interfaces.iter().filter(|addr| !is_link_local(addr.ip)).map(what) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addrs: &[(&str, &str)]) -> Vec<InterfaceAddr> {
        let addr =
            |(name, ip): &(&str, &str)| InterfaceAddr { name: (*name).to_owned(), ip: ip.parse().unwrap() };
        addrs.iter().map(addr).collect()
    }

    fn usual() -> Vec<InterfaceAddr> {
        host(&[
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("lo", "::1"),
            ("eth0", "169.254.3.4"),
            ("eth1", "203.0.113.9"),
            ("eth0", "10.1.2.3"),
            ("eth0", "fe80::1"),
            ("eth0", "fd00::3"),
        ])
    }

    #[track_caller]
    fn chosen(asked: Option<Advertise>, bound: &str, interfaces: &[InterfaceAddr], expected: (&str, &str)) {
        let choice = choose(asked.as_ref(), bound.parse().unwrap(), interfaces);
        let expected = Advertised { addr: expected.0.parse().unwrap(), because: expected.1.to_owned() };
        assert_eq!(choice, Ok(expected));
    }

    #[test]
    fn what_is_asked_for_wins() {
        let ip = "198.51.100.7".parse().unwrap();
        let because = "as --advertise says";
        chosen(Some(Advertise::Addr(ip, None)), "0.0.0.0:7946", &usual(), ("198.51.100.7:7946", because));
        chosen(Some(Advertise::Addr(ip, Some(9))), "0.0.0.0:7946", &usual(), ("198.51.100.7:9", because));
        chosen(
            Some(Advertise::Interface("eth1".to_owned(), None)),
            "0.0.0.0:7946",
            &usual(),
            ("203.0.113.9:7946", "the address of eth1, as --advertise says"),
        );
        chosen(
            Some(Advertise::Network("172.16.0.0/12".parse().unwrap(), Some(1))),
            "0.0.0.0:7946",
            &usual(),
            ("172.17.0.1:1", "the address of docker0 in 172.16.0.0/12, as --advertise says"),
        );
    }

    #[test]
    fn an_address_of_a_family_that_the_socket_does_not_take_is_refused() {
        let asked = Advertise::Addr("198.51.100.7".parse().unwrap(), None);
        let error = choose(Some(&asked), "[::1]:7946".parse().unwrap(), &usual()).unwrap_err().to_string();
        assert!(error.starts_with("--advertise 198.51.100.7: --bind [::1]:7946 takes no packets"), "{error}");
        chosen(Some(asked), "[::]:7946", &usual(), ("198.51.100.7:7946", "as --advertise says"));
    }

    #[test]
    fn a_socket_for_both_families_may_have_addresses_of_one_only() {
        let interfaces = host(&[("lo", "127.0.0.1"), ("eth0", "10.1.2.3")]);
        let choice = choose(None, "[::]:7946".parse().unwrap(), &interfaces).unwrap();
        assert_eq!(choice.addr, "10.1.2.3:7946".parse().unwrap());
    }

    #[test]
    fn a_bound_address_is_advertised() {
        chosen(None, "127.0.0.1:7946", &usual(), ("127.0.0.1:7946", "the address that --bind names"));
    }

    #[test]
    fn otherwise_the_likeliest_address_of_the_family() {
        chosen(
            None,
            "0.0.0.0:7946",
            &usual(),
            ("10.1.2.3:7946", "the private address of eth0, preferred to 3 more; --advertise picks another"),
        );
        chosen(
            None,
            "[::]:7946",
            &usual(),
            ("[fd00::3]:7946", "the private address of eth0, preferred to 5 more; --advertise picks another"),
        );
        let public = host(&[("lo", "127.0.0.1"), ("eth0", "203.0.113.9")]);
        chosen(
            None,
            "0.0.0.0:1",
            &public,
            (
                "203.0.113.9:1",
                "the address of eth0, as there is no private one, preferred to 1 more; --advertise picks another",
            ),
        );
        chosen(
            None,
            "0.0.0.0:1",
            &host(&[("lo", "127.0.0.1")]),
            (
                "127.0.0.1:1",
                "only this host can reach it: no other address was found; name one with --advertise",
            ),
        );
    }

    #[test]
    fn a_host_of_ipv6_alone_is_bound_for_both_families() {
        let any = |text: &str| text.parse::<SocketAddr>().unwrap();
        let alone = host(&[("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "fe80::1"), ("eth0", "fd00::3")]);
        assert_eq!(bound_for(any("0.0.0.0:7946"), &alone), any("[::]:7946"));
        assert_eq!(bound_for(any("127.0.0.1:7946"), &alone), any("127.0.0.1:7946"), "as asked");
        for interfaces in [usual(), host(&[("lo", "127.0.0.1"), ("lo", "::1")]), vec![]] {
            assert_eq!(bound_for(any("0.0.0.0:7946"), &interfaces), any("0.0.0.0:7946"));
        }
    }

    #[test]
    fn an_address_is_taken_over_when_it_comes_and_when_the_one_before_is_gone() {
        let (bound, lo) = ("0.0.0.0:7946".parse().unwrap(), ("lo", "127.0.0.1"));
        let next = |asked: Option<&Advertise>, now: &str, interfaces: &[(&str, &str)]| {
            moved(asked, bound, now.parse().unwrap(), &host(interfaces)).map(|next| next.addr.to_string())
        };
        let (first, second) = (("eth0", "10.1.2.3"), ("eth1", "10.9.9.9"));
        let at = |addr: &str| Some(addr.to_owned());
        assert_eq!(next(None, "127.0.0.1:7946", &[lo]), None, "none has come");
        assert_eq!(next(None, "127.0.0.1:7946", &[lo, first]), at("10.1.2.3:7946"));
        assert_eq!(next(None, "127.0.0.1:7946", &[lo, ("eth0", "fd00::3")]), at("[fd00::3]:7946"));
        assert_eq!(next(None, "10.1.2.3:7946", &[lo, first, second]), None, "it is still there");
        assert_eq!(next(None, "10.1.2.3:7946", &[lo, second]), at("10.9.9.9:7946"));
        assert_eq!(next(None, "10.1.2.3:7946", &[lo]), None, "it may come again");
        let eth0 = Advertise::Interface("eth0".to_owned(), None);
        assert_eq!(next(Some(&eth0), "10.1.2.3:7946", &[lo, second]), None, "another interface is not meant");
        assert_eq!(
            next(Some(&eth0), "10.1.2.3:7946", &[lo, second, ("eth0", "10.1.2.4")]),
            at("10.1.2.4:7946")
        );
        let fixed = Advertise::Addr("10.1.2.3".parse().unwrap(), None);
        assert_eq!(next(Some(&fixed), "10.1.2.3:7946", &[lo, second]), None, "as --advertise says");
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_what_is() {
        let bound = "0.0.0.0:7946".parse().unwrap();
        let error = |asked| choose(Some(&asked), bound, &usual()).unwrap_err().to_string();
        assert_eq!(
            error(Advertise::Interface("wlan0".to_owned(), None)),
            "--advertise wlan0: no interface of that name has a usable address here; there are lo, docker0, eth1, eth0; \
             name one of these, a network or an address"
        );
        assert_eq!(
            error(Advertise::Network("192.168.0.0/16".parse().unwrap(), None)),
            "--advertise 192.168.0.0/16: no address of this host lies in that network; there are 127.0.0.1, \
             172.17.0.1, ::1, 203.0.113.9, 10.1.2.3, fd00::3; name one of these"
        );
        assert_eq!(choose(None, bound, &[]), Err(AdvertiseError::Nothing));
    }
}
