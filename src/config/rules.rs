//! The rules by which values go together. Each message names the flags and the remedy.

use std::{net::SocketAddr, num::NonZeroU16};

use super::{address::HttpAddr, draft::Draft, error::ConfigError};
use crate::{
    node::Role,
    servers::{ServerFlag, TlsFiles},
};

/// Checks all rules.
pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    check_founders(draft)?;
    check_role(draft)?;
    check_single_server(draft)?;
    check_endpoints(draft)?;
    check_server(draft)?;
    check_encryption(draft)?;
    check_ports(draft)?;
    check_exposure(draft)
}

fn refused(message: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::Together(message.into()))
}

/// Founders that are named must not be told to join only, because the others would wait for their votes. A count beside
/// `--join-only` or `--cluster-id` is no mistake: it belongs to the cluster, and one configuration file may serve all
/// servers, also those that are to join.
fn check_founders(draft: &Draft) -> Result<(), ConfigError> {
    let Some(founders) = &draft.founders else { return Ok(()) };
    let named = founders.ids().len();
    if let Some(expect) = draft.bootstrap_expect.filter(|expect| usize::from(expect.get()) != named) {
        return refused(format!(
            "--founders names {named} servers, but --bootstrap-expect says {expect}: leave out --bootstrap-expect"
        ));
    }
    if let Some(id) = draft.cluster_id {
        return refused(format!(
            "--founders names who bootstraps the cluster, but --cluster-id {id} joins that one and bootstraps none: \
             leave out one of them"
        ));
    }
    if draft.join_only {
        return refused(
            "--founders names who bootstraps the cluster, but --join-only bootstraps none: leave out --join-only, \
             since an agent that is not named only joins anyway",
        );
    }
    Ok(())
}

fn check_role(draft: &Draft) -> Result<(), ConfigError> {
    let flag = match (&draft.founders, draft.bootstrap_expect) {
        (Some(_), _) => "--founders",
        (None, Some(_)) => "--bootstrap-expect",
        (None, None) => return Ok(()),
    };
    match draft.role {
        Role::Server => Ok(()),
        Role::Observer => refused(format!(
            "{flag} is for servers, but this agent is an observer: leave it out, or leave out --role observer"
        )),
    }
}

/// A cluster of one is bootstrapped at once, without a wait for any seed.
fn check_single_server(draft: &Draft) -> Result<(), ConfigError> {
    let joins = draft.join_only || draft.cluster_id.is_some();
    let has_seeds = !draft.retry_join.is_empty() || !draft.join.is_empty();
    if draft.bootstrap_expect == Some(NonZeroU16::MIN) && has_seeds && !joins {
        return refused(
            "--bootstrap-expect 1 bootstraps a cluster of one at once, but --join or --retry-join names others to \
             join: leave out the seeds, or say how many servers bootstrap the cluster (3, for instance)",
        );
    }
    Ok(())
}

fn check_endpoints(draft: &Draft) -> Result<(), ConfigError> {
    for (at, endpoint) in draft.endpoints.iter().enumerate() {
        if draft.endpoints.iter().take(at).any(|earlier| earlier.name == endpoint.name) {
            return refused(format!(
                "--endpoint {endpoint}: `{}` is given twice; give each endpoint one address",
                endpoint.name
            ));
        }
    }
    Ok(())
}

/// An observer stands beside no server whose members it could report.
fn check_server(draft: &Draft) -> Result<(), ConfigError> {
    let TlsFiles { ca, cert, key } = &draft.server_tls;
    let is_secure = draft.server.as_ref().is_some_and(ServerFlag::is_secure);
    match (&draft.server, draft.role) {
        (Some(server), Role::Observer) => refused(format!(
            "--server {server} is the server beside this agent, but an observer has none: leave it out, or leave out --role \
             observer"
        )),
        (Some(server), Role::Server) if is_secure && !cfg!(feature = "tls") => refused(format!(
            "--server {server} needs TLS, which this build does not have: build it with --features tls"
        )),
        (Some(server), Role::Server) if is_secure && ca.is_none() => refused(format!(
            "--server {server} needs --server-ca-file FILE with the certificates that prove that server"
        )),
        _ if cert.is_some() != key.is_some() => {
            refused("--server-cert-file and --server-key-file go together: give both, or none")
        }
        _ => Ok(()),
    }
}

fn check_encryption(draft: &Draft) -> Result<(), ConfigError> {
    if draft.require_encryption && draft.encrypt_key_file.is_none() {
        return refused(
            "--require-encryption needs --encrypt-key-file: make a key with `chronik-agent keygen`, or leave out \
             --require-encryption",
        );
    }
    Ok(())
}

/// Gossip listens on TCP too. Port 0 is any free one, and never the same.
fn check_ports(draft: &Draft) -> Result<(), ConfigError> {
    let bind = draft.bind;
    let overlaps = |addr: &SocketAddr| {
        addr.ip() == bind.ip() || addr.ip().is_unspecified() || bind.ip().is_unspecified()
    };
    for http in &draft.http {
        if let HttpAddr::Tcp(addr) = http
            && addr.port() == bind.port()
            && addr.port() != 0
            && overlaps(addr)
        {
            return refused(format!(
                "--http {addr} and --bind {bind} want the same port: give one of them another"
            ));
        }
    }
    Ok(())
}

/// An API that other hosts can reach must ask for a token.
fn check_exposure(draft: &Draft) -> Result<(), ConfigError> {
    let exposed = draft.http.iter().find(|http| http.is_exposed());
    match (exposed, &draft.http_token_file) {
        (Some(HttpAddr::Tcp(addr)), None) => refused(format!(
            "--http {addr} is no loopback address, and whoever reaches it could change things: give \
             --http-token-file FILE, or listen on 127.0.0.1:{} or unix:PATH",
            addr.port()
        )),
        _ => Ok(()),
    }
}
