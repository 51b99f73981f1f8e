//! The whole configuration, checked once. Flags, environment and file become a `Config` here; nothing later can find
//! a mistake in them.

mod file;
pub mod flags;
mod host;
mod plan;
mod resolve;
pub(crate) mod value;

use std::{fmt, net::SocketAddr, num::NonZeroU16, path::PathBuf, time::Duration};

use chronik_providers::Spec;
use ipnet::IpNet;
use tracing_subscriber::filter::Targets;

pub use self::{flags::Options, host::Host, resolve::ConfigError};
use crate::{
    bootstrap::{Admission, NamedFounders, SeedGate, Terms},
    choice::Choice,
    node::{ClusterName, EndpointName, NodeName, Role, Tags},
};

/// Where the agent gossips unless told otherwise, UDP and TCP.
pub const DEFAULT_GOSSIP_PORT: u16 = 7946;
/// Where the local API listens unless told otherwise.
pub const DEFAULT_HTTP_PORT: u16 = 7947;

/// Everything the agent needs to know before it starts.
#[derive(Debug)]
pub struct Config {
    /// `--cluster`.
    pub cluster: ClusterName,
    /// `--node-name`, or the host's name.
    pub node_name: NodeName,
    /// `--role`.
    pub role: Role,
    /// `--bootstrap-expect`.
    pub bootstrap_expect: Option<NonZeroU16>,
    /// Whether this agent may found at all: `--join-only` and `--cluster-id` forbid it.
    pub admission: Admission,
    /// `--join-only` as given; `admission` is what follows from it and `--cluster-id`.
    pub join_only: bool,
    /// `--founders`: exactly these found the cluster.
    pub founders: Option<NamedFounders>,
    /// `--seed-gate`.
    pub seed_gate: SeedGate,
    /// `--endpoint NAME=[HOST]:PORT`; without a host the advertised one is published.
    pub endpoints: Vec<EndpointFlag>,
    /// `--tag`.
    pub tags: Tags,
    /// `--bind`.
    pub bind: SocketAddr,
    /// `--advertise`.
    pub advertise: Option<Advertise>,
    /// `--http`.
    pub http: Vec<HttpAddr>,
    /// `--http-token-file`.
    pub http_token_file: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `--profile`.
    pub profile: Profile,
    /// `--retry-join`, and `--join` as one more; in the order given.
    pub retry_join: Vec<Spec>,
    /// `--encrypt-key-file`.
    pub encrypt_key_file: Option<PathBuf>,
    /// `--require-encryption`.
    pub require_encryption: bool,
    /// `--http-allow-host`, in lower case.
    pub http_allow_hosts: Vec<String>,
    /// `--log-format`.
    pub log_format: LogFormat,
    /// `--log-level`.
    pub log_level: Targets,
}

/// One `--endpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFlag {
    /// Its name.
    pub name: EndpointName,
    /// The host, as written; the advertised address where left out.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

/// What `--advertise` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertise {
    /// An address, with the bound port where none is given.
    Addr(std::net::IpAddr, Option<u16>),
    /// The first address of an interface.
    Interface(String, Option<u16>),
    /// The first address of this host inside a network.
    Network(IpNet, Option<u16>),
}

/// Where the local API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAddr {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Config {
    /// On which terms this agent takes part in a founding; `None`: it never founds.
    pub fn terms(&self) -> Option<Terms> {
        let named = self.founders.clone().map(Terms::Named);
        named.or(self.bootstrap_expect.map(Terms::Count))
    }
}

impl HttpAddr {
    /// Whether others than this host reach it.
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

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Protocol timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// One host: loopback or containers side by side.
    Local,
    /// One data centre.
    Lan,
    /// Several.
    Wan,
}

impl Choice for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Text => "For people",
            Self::Json => "One object a line",
        }
    }
}

impl Choice for Profile {
    const ALL: &'static [Self] = &[Self::Local, Self::Lan, Self::Wan];

    fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Local => "One host: loopback or containers side by side",
            Self::Lan => "One data centre",
            Self::Wan => "Several",
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

/// How long a graceful stop may take in all.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(3);
