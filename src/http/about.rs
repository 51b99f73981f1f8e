//! This agent itself: `GET /v1/self`, `GET /v1/info`, and the probes `/livez` and `/readyz`.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::{
    answer::{Answer, time},
    bounds::{BODY_MAX, HEAD_MAX, HEADERS_MAX, WAIT_MAX},
    founding,
    json::json,
    members::coordinate,
    problem::Problem,
    query::Query,
    state::Api,
};
use crate::{api, snapshot::Snapshot};

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
        driver: snapshot.server.as_deref().map(founding::driver),
    });
    let (joined, leaving) = (u8::from(snapshot.joined), u8::from(snapshot.leaving));
    let seen = snapshot.server.as_ref().map(|server| (server.index, server.applied)).unwrap_or_default();
    let (seen, applied) = (seen.0, seen.1.unwrap_or_default());
    let more = format!("{joined}-{leaving}-{}-{seen}-{applied}", snapshot.founding.index);
    Ok(Answer::new(&snapshot, index(&snapshot), body).tagged(&more).to_client(&headers))
}

pub(super) async fn info(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &[])?;
    let snapshot = api.snapshot(&query, index).await?;
    let compiled =
        [("dns", cfg!(feature = "dns")), ("aws", cfg!(feature = "aws")), ("tls", cfg!(feature = "tls"))];
    let features = compiled.iter().filter(|(_, there)| *there);
    let capacity = api.shared.capacity;
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
            connections: capacity.connections,
            long_polls: capacity.long_polls,
            wait_s: api::seconds(WAIT_MAX),
        },
        encryption: encryption(&snapshot),
        founding: founding::summary(&snapshot.founding),
        counters: snapshot.counters,
    });
    // The counters change without the index.
    Ok(Answer::by_content(index(&snapshot), body).to_client(&headers))
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

/// Liveness: the process runs.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Readiness: the API answers, the state is loaded, and the agent is not leaving. Quorum is no part of it: a probe on
/// quorum deadlocks a rollout.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    if api.handle.snapshot().leaving {
        let leaving = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is leaving");
        return leaving.into_response();
    }
    "ok\n".into_response()
}

#[cfg(test)]
mod tests {
    use crate::http::sample;

    #[test]
    fn counters_are_shown_by_name() {
        let shown = serde_json::to_string(&sample::counters()).unwrap();
        let expected = concat!(
            r#"{"datagrams_in":1,"datagrams_out":2,"bytes_in":3,"bytes_out":4,"exchanges_in":5,"exchanges_out":6,"#,
            r#""refused":7,"foreign":8,"undecryptable":9,"replayed":10,"challenged":11,"withheld":12,"renewals":13,"#,
            r#""stalls":14,"suspicions":15,"overlooked":16}"#
        );
        assert_eq!(shown, expected);
    }
}
