//! The output of `--check`: the configuration as it would be used.

use crate::{
    advertise::{AdvertiseError, Advertised},
    bootstrap::{Admission, SeedGate},
    choice::Choice as _,
    config::Config,
    key_file,
};

/// Describes what the agent would do, a line each; no secret is among them.
pub fn plan(config: &Config, advertised: &Result<Advertised, AdvertiseError>) -> String {
    let list = |items: Vec<String>| {
        if items.is_empty() { "none".to_owned() } else { items.join(", ") }
    };
    let advertised = match advertised {
        Ok(advertised) => format!("{} ({})", advertised.addr, advertised.because),
        Err(error) => error.to_string(),
    };
    let tags = config.tags.iter().map(|(key, value)| format!("{key}={value}"));
    let mut rows = vec![
        ("cluster", config.cluster.to_string()),
        ("node name", config.node_name.to_string()),
        ("role", config.role.to_string()),
        ("gossip", format!("{} over UDP and TCP", config.bind)),
        ("advertised", advertised),
        ("http", list(config.http.iter().map(ToString::to_string).collect())),
        ("http token", http_token(config)),
        ("state", config.state_dir.display().to_string()),
        ("encryption", encryption(config)),
        ("profile", config.profile.word().to_owned()),
        ("founding", founding(config)),
        ("endpoints", list(config.endpoints.iter().map(ToString::to_string).collect())),
        ("tags", list(tags.collect())),
    ];
    if let Some(server) = &config.server {
        rows.push(("server", format!("{}, asked at {}", server.kind().word(), server.place())));
    }
    if config.retry_join.is_empty() {
        rows.push(("seeds", "none: waits to be joined by others".to_owned()));
    }
    for spec in config.seed_specs() {
        rows.push(("seeds", spec));
    }
    for variable in &config.ignored_variables {
        rows.push(("ignored", format!("{variable} in the environment: no flag has that name")));
    }
    let rows = rows.into_iter().map(|(name, value)| format!("{name:<11} {value}\n"));
    rows.collect()
}

/// The file of the API's token, and the requests that need it.
fn http_token(config: &Config) -> String {
    match &config.http_token_file {
        Some(path) => format!("in {}: needed for changes, and from other hosts for all", path.display()),
        None => "none: everybody on this host may change things".to_owned(),
    }
}

/// The keys, or why they cannot be used.
fn encryption(config: &Config) -> String {
    match &config.encrypt_key_file {
        None => "none: everybody who reaches the gossip port can join".to_owned(),
        Some(path) => match key_file::read(path) {
            Ok(keyring) => {
                let ids: Vec<String> = keyring.ids().map(|id| id.to_string()).collect();
                format!("keys {} of {}; the first one sends", ids.join(", "), path.display())
            }
            Err(error) => error.to_string(),
        },
    }
}

/// The time at which this agent bootstraps a cluster, and its partners in that.
fn founding(config: &Config) -> String {
    let gate = match config.seed_gate {
        SeedGate::Patient => "",
        SeedGate::Strict => ", and every seed has answered",
    };
    let whatever = |expect| format!(", whatever --bootstrap-expect {expect} says");
    let overruled = config.bootstrap_expect.map(whatever).unwrap_or_default();
    match (config.admission, &config.founders, config.bootstrap_expect) {
        (Admission::Only(id), ..) => format!("never: joins cluster {id} or none{overruled}"),
        (Admission::JoinOnly, ..) => format!("never: joins a cluster that others bootstrap{overruled}"),
        (Admission::Found, Some(founders), _) => {
            let ids: Vec<String> = founders.ids().iter().map(ToString::to_string).collect();
            format!("once these servers are there{gate}: {}", ids.join(", "))
        }
        (Admission::Found, None, Some(expect)) => format!("once {expect} servers are there{gate}"),
        (Admission::Found, None, None) => "never: --bootstrap-expect is not set".to_owned(),
    }
}
