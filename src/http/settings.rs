//! The configuration as `GET /v1/info` shows it: secrets masked.

use std::path::PathBuf;

use crate::{
    api,
    bootstrap::{Admission, SeedGate},
    choice::Choice as _,
    config::Config,
};

/// The configuration, each field as the flag of that name was given.
pub(super) fn settings(config: &Config) -> api::Settings {
    api::Settings {
        retry_join: config.seed_specs(),
        bootstrap_expect: config.bootstrap_expect.map(Into::into),
        founders: config.founders.as_ref().map(|founders| founders.ids().iter().copied().collect()),
        cluster_id: match config.admission {
            Admission::Only(id) => Some(id),
            Admission::Found | Admission::JoinOnly => None,
        },
        join_only: config.join_only,
        seed_gate: match config.seed_gate {
            SeedGate::Patient => "patient".to_owned(),
            SeedGate::Strict => "strict".to_owned(),
        },
        role: config.role,
        cluster: config.cluster.clone(),
        node_name: config.node_name.clone(),
        endpoint: config.endpoints.iter().map(ToString::to_string).collect(),
        server: config.server.as_ref().map(ToString::to_string),
        server_ca_file: shown(config.server_tls.ca.as_ref()),
        server_cert_file: shown(config.server_tls.cert.as_ref()),
        server_key_file: shown(config.server_tls.key.as_ref()),
        voters: config.voters.map(|voters| u16::try_from(voters.get()).unwrap_or(u16::MAX)),
        replace_failed: config.replace_failed.to_string(),
        tag: config.tags.clone(),
        bind: config.bind,
        advertise: config.advertise.as_ref().map(ToString::to_string),
        http: config.http.iter().map(ToString::to_string).collect(),
        encrypt_key_file: shown(config.encrypt_key_file.as_ref()),
        require_encryption: config.require_encryption,
        http_allow_host: config.http_allow_hosts.clone(),
        http_token_file: shown(config.http_token_file.as_ref()),
        state_dir: config.state_dir.display().to_string(),
        profile: config.profile.word().to_owned(),
        log_format: config.log_format.word().to_owned(),
        log_level: config.log_level.to_string(),
    }
}

fn shown(path: Option<&PathBuf>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Options};

    #[test]
    fn each_setting_is_the_flag_of_its_name() {
        let id = "62561a31-11e1-d629-f1b5-a5b7a7bc0a3b";
        for (flags, cluster_id, join_only) in [
            (vec![], None, false),
            (vec![("join-only", "true")], None, true),
            (vec![("cluster-id", id)], Some(id), false),
            (vec![("cluster-id", id), ("join-only", "true")], Some(id), true),
        ] {
            let host = Host { name: "box".to_owned(), is_root: true, ..Host::default() };
            let settings = settings(&Config::resolve(&Options::from_flags(flags), &host).unwrap());
            let shown = settings.cluster_id.map(|id| id.to_string());
            assert_eq!((shown.as_deref(), settings.join_only), (cluster_id, join_only));
        }
    }
}
