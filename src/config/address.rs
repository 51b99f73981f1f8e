//! The addresses of a configuration: where the agent gossips, what it gives to others, and where its API listens.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;

use crate::node::EndpointName;

/// Gossip port unless another is given, UDP and TCP.
pub const DEFAULT_GOSSIP_PORT: u16 = 7946;
/// Port of the local API unless another is given.
pub const DEFAULT_HTTP_PORT: u16 = 7947;

/// One `--endpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFlag {
    /// Its name.
    pub name: EndpointName,
    /// The host, as written; the advertised address if left out.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

/// The value of `--advertise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertise {
    /// An address, with the bound port unless one is given.
    Addr(IpAddr, Option<u16>),
    /// The first address of an interface.
    Interface(String, Option<u16>),
    /// The first address of this host inside a network.
    Network(IpNet, Option<u16>),
}

/// A place where the local API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAddr {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl HttpAddr {
    /// True if other hosts can reach it.
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp(addr) => !addr.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }
}

impl fmt::Display for HttpAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "http://{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for EndpointFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, self.host.as_deref().unwrap_or(""), self.port)
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::Addr(ip, Some(port)) => return SocketAddr::new(*ip, *port).fmt(f),
            Self::Addr(ip, None) => return ip.fmt(f),
            Self::Interface(name, port) => {
                f.write_str(name)?;
                port
            }
            Self::Network(network, port) => {
                network.fmt(f)?;
                port
            }
        };
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
