//! The settings of the core, as the configuration has them.

use std::{net::SocketAddr, num::NonZeroU16};

use crate::{
    bootstrap::{self, BallotTiming, Words},
    config::{Config, Profile},
    gossip::{Settings, Timing},
    machine::zone_of,
    membership::{FoundingNews, Metadata},
    node::Endpoints,
    reporter::Policy,
    servers::Driver,
};

pub(super) fn metadata(config: &Config, advertised: SocketAddr) -> Metadata {
    let endpoints = config.endpoints.iter().map(|endpoint| {
        let addr = match &endpoint.host {
            Some(host) => format!("{host}:{}", endpoint.port),
            None => SocketAddr::new(advertised.ip(), endpoint.port).to_string(),
        };
        (endpoint.name.clone(), addr)
    });
    Metadata {
        name: config.node_name.clone(),
        role: config.role,
        expect: config.terms().and_then(|terms| NonZeroU16::new(u16::try_from(terms.expect()).ok()?)),
        endpoints: endpoints.collect(),
        tags: config.tags.clone(),
        founding: FoundingNews::default(),
    }
}

pub(super) fn founding(
    config: &Config,
    settings: &Settings,
    driver: Option<&dyn Driver>,
) -> bootstrap::Config {
    bootstrap::Config {
        cluster_name: config.cluster.clone(),
        role: config.role,
        name: config.node_name.clone(),
        addr: settings.addr,
        endpoints: settings.metadata.endpoints.clone(),
        zone: zone_of(&config.tags),
        terms: config.terms(),
        admission: config.admission,
        is_admitted_first: driver.is_some_and(|driver| driver.ability().is_some()),
        seed_gate: config.seed_gate,
        words: if settings.encryption.is_some() { Words::Everywhere } else { Words::Here },
        timing: ballot_timing(config.profile),
    }
}

/// The driver of the server beside the agent, and the addresses of it that the agent announces.
pub(super) fn driver(config: &Config, settings: &Settings) -> Option<(Box<dyn Driver>, Endpoints)> {
    let own = &settings.metadata.endpoints;
    config.server.as_ref().map(|server| (server.driver(own, &config.server_tls), own.clone()))
}

/// The rules by which members of the server come and go.
pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        voters: config.voters,
        replace_failed: config.replace_failed.0,
        has_group_key: config.encrypt_key_file.is_some(),
    }
}

pub(super) fn timing(profile: Profile) -> Timing {
    match profile {
        Profile::Local => Timing::LOCAL,
        Profile::Lan => Timing::LAN,
        Profile::Wan => Timing::WAN,
    }
}

pub(super) fn ballot_timing(profile: Profile) -> BallotTiming {
    match profile {
        Profile::Local => BallotTiming::LOCAL,
        Profile::Lan => BallotTiming::LAN,
        Profile::Wan => BallotTiming::WAN,
    }
}
