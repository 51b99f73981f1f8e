//! A configuration in the making.

use std::{net::SocketAddr, num::NonZeroU16, path::PathBuf};

use chronik_providers::Spec;
use tracing_subscriber::filter::Targets;

use super::{
    address::{Advertise, DEFAULT_GOSSIP_PORT, DEFAULT_HTTP_PORT, EndpointFlag, HttpAddr},
    choices::{LogFormat, Profile},
    replacement::ReplaceFailed,
    value,
};
use crate::{
    admission::VoterCount,
    bootstrap::{ClusterId, NamedFounders, SeedGate},
    node::{ClusterName, NodeName, Role, Tags},
    servers::{ServerFlag, TlsFiles},
};

/// The values of all flags, one field each. Every value is valid by itself; `Config::new` checks that they go together.
///
/// ```
/// use chronik_agent::config::{Config, Draft, Host};
///
/// let draft = Draft { join: vec!["10.0.0.1:7946".parse()?], ..Draft::default() };
/// let config = Config::new(draft, &Host::here())?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Draft {
    /// `--retry-join`, in the order given.
    pub retry_join: Vec<Spec>,
    /// `--join`.
    pub join: Vec<SocketAddr>,
    /// `--bootstrap-expect`.
    pub bootstrap_expect: Option<NonZeroU16>,
    /// `--founders`: exactly these bootstrap the cluster.
    pub founders: Option<NamedFounders>,
    /// `--cluster-id`.
    pub cluster_id: Option<ClusterId>,
    /// `--join-only`.
    pub join_only: bool,
    /// `--seed-gate`.
    pub seed_gate: SeedGate,
    /// `--role`.
    pub role: Role,
    /// `--cluster`.
    pub cluster: ClusterName,
    /// `--node-name`; `None` takes the host's name.
    pub node_name: Option<NodeName>,
    /// `--endpoint NAME=[HOST]:PORT`; without a host the advertised one is published.
    pub endpoints: Vec<EndpointFlag>,
    /// `--server`: the server beside this agent, which it asks itself.
    pub server: Option<ServerFlag>,
    /// `--server-ca-file`, `--server-cert-file` and `--server-key-file`.
    pub server_tls: TlsFiles,
    /// `--voters`; `None` keeps all, or as many as bootstrap.
    pub voters: Option<VoterCount>,
    /// `--replace-failed`.
    pub replace_failed: ReplaceFailed,
    /// `--tag`.
    pub tags: Tags,
    /// `--bind`.
    pub bind: SocketAddr,
    /// `--advertise`; `None` has the address worked out.
    pub advertise: Option<Advertise>,
    /// `--http`.
    pub http: Vec<HttpAddr>,
    /// `--http-allow-host`, in lower case.
    pub http_allow_hosts: Vec<String>,
    /// `--http-token-file`.
    pub http_token_file: Option<PathBuf>,
    /// `--state-dir`; `None` takes the usual place on this host.
    pub state_dir: Option<PathBuf>,
    /// `--encrypt-key-file`.
    pub encrypt_key_file: Option<PathBuf>,
    /// `--require-encryption`.
    pub require_encryption: bool,
    /// `--profile`.
    pub profile: Profile,
    /// `--log-format`.
    pub log_format: LogFormat,
    /// `--log-level`.
    pub log_level: Targets,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            retry_join: Vec::new(),
            join: Vec::new(),
            bootstrap_expect: None,
            founders: None,
            cluster_id: None,
            join_only: false,
            seed_gate: SeedGate::Patient,
            role: Role::Server,
            cluster: "chronik".parse().expect("the name keeps the rule, as a test shows"),
            node_name: None,
            endpoints: Vec::new(),
            server: None,
            server_tls: TlsFiles::default(),
            voters: None,
            replace_failed: ReplaceFailed::default(),
            tags: Tags::new(),
            bind: SocketAddr::from(([0, 0, 0, 0], DEFAULT_GOSSIP_PORT)),
            advertise: None,
            http: vec![HttpAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], DEFAULT_HTTP_PORT)))],
            http_allow_hosts: Vec::new(),
            http_token_file: None,
            state_dir: None,
            encrypt_key_file: None,
            require_encryption: false,
            profile: Profile::Lan,
            log_format: LogFormat::Text,
            log_level: value::usual_log_level(),
        }
    }
}
