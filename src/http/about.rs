//! This agent itself: `GET /v1/self`, `GET /v1/info`, and the probes `/livez` and `/readyz`.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::{
    Api, BODY_MAX, HEAD_MAX, HEADERS_MAX, LONG_POLLS_MAX, WAIT_MAX,
    answer::{Answer, json, time},
    founding,
    members::coordinate,
    problem::Problem,
    query::Query,
};
use crate::{
    api,
    bootstrap::{Admission, SeedGate},
    choice::Choice as _,
    config::Config,
    snapshot::Snapshot,
};

fn index(snapshot: &Snapshot) -> u64 {
    snapshot.membership.index
}

pub(super) async fn myself(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(&uri, &[])?;
    let snapshot = api.snapshot(&query, index).await?;
    let about = &snapshot.about;
    let settings = &api.shared.settings;
    let member = snapshot.myself();
    let body = json(&api::Myself {
        index: index(&snapshot),
        cluster: about.cluster.clone(),
        id: about.id,
        name: member.map_or(&settings.node_name, |member| &member.name).clone(),
        role: settings.role,
        status: member.map(|member| member.status),
        addr: about.advertised,
        addr_because: about.advertised_because.clone(),
        bound: about.bound,
        tags: settings.tag.clone(),
        endpoints: member.map(|member| member.endpoints.clone()).unwrap_or_default(),
        epoch: about.epoch,
        started: time(about, about.started.instant),
        joined: snapshot.joined,
        leaving: snapshot.leaving,
        coordinate: member.and_then(|member| member.coordinate.as_ref()).map(coordinate),
        server: snapshot.founding.server.as_ref().map(founding::attested),
    });
    let mut answer = Answer::new(&snapshot, index(&snapshot), body);
    let (joined, leaving) = (u8::from(snapshot.joined), u8::from(snapshot.leaving));
    answer.tag = format!("{}-{joined}-{leaving}-{}", answer.tag, snapshot.founding.index);
    Ok(answer.to_client(&headers))
}

pub(super) async fn info(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &[])?;
    let snapshot = api.snapshot(&query, index).await?;
    let compiled = [("dns", cfg!(feature = "dns")), ("aws", cfg!(feature = "aws"))];
    let features = compiled.iter().filter(|(_, there)| *there);
    let body = json(&api::Info {
        index: index(&snapshot),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: features.map(|(name, _)| (*name).to_owned()).collect(),
        id: snapshot.about.id,
        started: time(&snapshot.about, snapshot.about.started.instant),
        config: api.shared.settings.clone(),
        limits: api::Limits {
            body_bytes: BODY_MAX,
            head_bytes: HEAD_MAX,
            headers: HEADERS_MAX,
            connections: api.shared.connections,
            long_polls: LONG_POLLS_MAX.min(api.shared.connections / 2),
            wait_s: api::seconds(WAIT_MAX),
        },
        encryption: encryption(&snapshot),
        founding: founding::summary(&snapshot.founding),
        counters: snapshot.counters,
    });
    let mut answer = Answer::new(&snapshot, index(&snapshot), body);
    // The counters change without the index, and a client that asks for them wants the new ones.
    let mut hasher = DefaultHasher::new();
    answer.body.hash(&mut hasher);
    answer.tag = format!("{:016x}", hasher.finish());
    Ok(answer.to_client(&headers))
}

/// The configuration for everybody to see: secrets masked.
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
        tag: config.tags.clone(),
        bind: config.bind,
        advertise: config.advertise.as_ref().map(ToString::to_string),
        http: config.http.iter().map(ToString::to_string).collect(),
        encrypt_key_file: config.encrypt_key_file.as_ref().map(|path| path.display().to_string()),
        require_encryption: config.require_encryption,
        http_allow_host: config.http_allow_hosts.clone(),
        http_token_file: config.http_token_file.as_ref().map(|path| path.display().to_string()),
        state_dir: config.state_dir.display().to_string(),
        profile: config.profile.word().to_owned(),
        log_format: config.log_format.word().to_owned(),
        log_level: config.log_level.to_string(),
    }
}

fn encryption(snapshot: &Snapshot) -> api::keys::Encryption {
    let keys: Vec<String> = snapshot.encryption.keys.iter().map(ToString::to_string).collect();
    let stranger = snapshot.encryption.stranger.as_ref();
    api::keys::Encryption {
        enabled: !keys.is_empty(),
        sends: keys.first().cloned(),
        keys,
        trouble: snapshot.encryption.trouble.clone(),
        last_undecryptable: stranger.map(|stranger| api::keys::Undecryptable {
            from: stranger.from,
            error: stranger.why.to_string(),
            at: time(&snapshot.about, stranger.at),
        }),
    }
}

/// The process runs.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The API answers, the state is loaded, and the agent is not on its way out. Never "quorum": a probe on quorum
/// deadlocks a rollout.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    if api.handle.snapshot().leaving {
        let leaving = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is leaving");
        return leaving.into_response();
    }
    "ok\n".into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Host, Options},
        http::sample,
    };

    #[test]
    fn each_setting_is_the_flag_of_its_name() {
        let id = "62561a31-11e1-d629-f1b5-a5b7a7bc0a3b";
        for (flags, cluster_id, join_only) in [
            (vec![], None, false),
            (vec![("join-only", "true")], None, true),
            (vec![("cluster-id", id)], Some(id), false),
            (vec![("cluster-id", id), ("join-only", "true")], Some(id), true),
        ] {
            let host = Host { name: "box".to_owned(), is_root: true, xdg_state_home: None, home: None };
            let settings = settings(&Config::resolve(&Options::from_flags(flags), &host).unwrap());
            let shown = settings.cluster_id.map(|id| id.to_string());
            assert_eq!((shown.as_deref(), settings.join_only), (cluster_id, join_only));
        }
    }

    #[test]
    fn counters_are_shown_by_name() {
        let shown = serde_json::to_string(&sample::counters()).unwrap();
        let expected = concat!(
            r#"{"datagrams_in":1,"datagrams_out":2,"bytes_in":3,"bytes_out":4,"exchanges_in":5,"exchanges_out":6,"#,
            r#""refused":7,"foreign":8,"undecryptable":9,"replayed":10,"challenged":11,"renewals":12,"stalls":13,"#,
            r#""suspicions":14,"overlooked":15}"#
        );
        assert_eq!(shown, expected);
    }
}
