//! `/etc/resolv.conf`, read as the C library reads it (resolv.conf(5)): the name servers in their order, and the search list.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
};

use hickory_resolver::proto::rr::Name;

use super::exchange::Transport;

/// The file.
pub(crate) const PATH: &str = "/etc/resolv.conf";

/// The port of name servers (RFC 1035).
pub(crate) const DNS_PORT: u16 = 53;

/// Most name servers that are asked; the C library takes as many and leaves out others (`MAXNS`).
const MAX_SERVERS: usize = 3;

/// Most domains of the search list that are tried. Each may cost a question, and a poll has its time.
const MAX_SEARCH: usize = 8;

/// Highest number of dots that `ndots` may ask for; the C library takes no more.
const MAX_NDOTS: u8 = 15;

/// The content of the file. Lines and options that are not known are left out, as the C library does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    /// Name servers, in the order in which they are asked.
    pub(crate) servers: Vec<SocketAddr>,
    /// Domains that are tried behind a name, one after the other.
    pub(crate) search: Vec<Name>,
    /// Number of dots from which on a name is tried as it stands before the search list, and not behind it.
    pub(crate) ndots: u8,
    /// The way in which a question goes first.
    pub(crate) transport: Transport,
}

impl ResolvConf {
    /// Reads the file; one that is missing is taken for an empty one.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(crate) async fn read() -> Result<Self, String> {
        match tokio::fs::read(PATH).await {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::parse("")),
            Err(e) => Err(format!("{PATH} cannot be read: {e}; mend it, or add resolver=HOST:PORT")),
        }
    }

    /// Parses the text of the file.
    fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), search: Vec::new(), ndots: 1, transport: Transport::Udp };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                // Of several lines the last one counts.
                Some("search" | "domain") => {
                    conf.search = words.filter_map(domain).take(MAX_SEARCH).collect();
                }
                Some("options") => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        conf.servers.truncate(MAX_SERVERS);
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
        }
        conf
    }

    fn set(&mut self, option: &str) {
        if option == "use-vc" {
            self.transport = Transport::Tcp;
        }
        if let Some(ndots) = option.strip_prefix("ndots:").and_then(|text| text.parse::<u8>().ok()) {
            self.ndots = ndots.min(MAX_NDOTS);
        }
    }
}

/// Parses the address of a name server, which may have the zone of a link behind it: `fe80::53%eth0`, `fe80::53%2`.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((ip, zone)) = text.split_once('%') else {
        let ip: IpAddr = text.parse().ok()?;
        return Some(SocketAddr::new(ip, DNS_PORT));
    };
    Some(SocketAddrV6::new(ip.parse().ok()?, DNS_PORT, 0, zone_index(zone)?).into())
}

/// Number of a link: the kernel tells it below the link's name.
fn zone_index(zone: &str) -> Option<u32> {
    zone.parse().ok().or_else(|| {
        let is_name = !zone.contains('/') && !zone.starts_with('.');
        let path = is_name.then(|| format!("/sys/class/net/{zone}/ifindex"))?;
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    })
}

fn domain(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        ResolvConf::parse(text).servers.iter().map(ToString::to_string).collect()
    }

    fn search(text: &str) -> Vec<String> {
        ResolvConf::parse(text).search.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn name_servers_in_their_order_and_three_at_most() {
        let text = "# c\n; x\nnameserver\t10.0.0.2  # trailing\nnameserver not-an-ip\nnameserver ::1\nnameserver 10.0.0.1\nnameserver 10.0.0.9\n";
        assert_eq!(servers(text), ["10.0.0.2:53", "[::1]:53", "10.0.0.1:53"]);
        for none in ["", "# nothing\nsearch test\n", "nameserver\n", "nameserver x\n"] {
            assert_eq!(servers(none), ["127.0.0.1:53"], "{none:?}");
        }
    }

    #[test]
    fn a_name_server_on_a_link_has_the_number_of_the_link() {
        assert_eq!(servers("nameserver fe80::53%7"), ["[fe80::53%7]:53"]);
        assert_eq!(servers("nameserver fe80::53%lo"), ["[fe80::53%1]:53"]);
        for none in ["fe80::53%no-such-link", "fe80::53%../../etc", "10.0.0.1%lo"] {
            assert_eq!(servers(&format!("nameserver {none}")), ["127.0.0.1:53"], "{none}");
        }
    }

    #[test]
    fn the_last_search_list_counts() {
        assert_eq!(search("search a b.c\n"), ["a.", "b.c."]);
        assert_eq!(search("search a b\ndomain c.d.\n"), ["c.d."]);
        assert_eq!(search("search a\nsearch\n"), Vec::<String>::new());
        assert_eq!(search(&format!("search {}\n", "a ".repeat(20))).len(), MAX_SEARCH);
    }

    #[test]
    fn options() {
        let conf = |text: &str| {
            let conf = ResolvConf::parse(text);
            (conf.ndots, conf.transport)
        };
        assert_eq!(conf("options timeout:5 ndots:5 rotate gibberish\n"), (5, Transport::Udp));
        assert_eq!(conf("options ndots:99\noptions use-vc\n"), (15, Transport::Tcp));
        assert_eq!(conf("options ndots:x ndots:-1 ndots\n"), (1, Transport::Udp));
    }
}
