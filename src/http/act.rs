//! Requests that act on the agent itself and its view: `POST /v1/join`, `POST /v1/leave` and `DELETE /v1/members/{id}`.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    body::read,
    bounds::JOIN_ADDRS_MAX,
    json::{done, json},
    problem::Problem,
    state::Api,
};
use crate::{
    api,
    bootstrap::ForgetRefused,
    config::value::gossip_addr,
    handle::{JoinOutcome, NotDone},
    node::NodeId,
};

const JOIN_SHAPE: &str = r#"send {"addrs":["10.0.0.1:7946"]}"#;

pub(super) async fn join(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: api::JoinRequest = read(&headers, body, JOIN_SHAPE).await?;
    let outcomes = api.handle.join(addrs(&request)?).await?;
    let results = outcomes.into_iter().map(|JoinOutcome { addr, error }| api::JoinResult { addr, error });
    let results: Vec<_> = results.collect();
    let joined = results.iter().filter(|result| result.error.is_none()).count();
    Ok(done(json(&api::JoinAnswer { joined, results })))
}

pub(super) async fn leave(State(api): State<Api>) -> Result<Response, Problem> {
    api.handle.leave().await?;
    Ok(done(json(&api::LeaveAnswer { left: true })))
}

/// Forgets a failed or left member; a living one is refused.
pub(super) async fn forget(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, Problem> {
    let forgotten: NodeId = id
        .parse()
        .map_err(|error| Problem::bad_request(format!("{error}; `chronik-agent members` lists the ids")))?;
    match api.handle.forget(forgotten).await {
        Ok(counts) => Ok(done(json(&api::ForgetAnswer { forgotten, counts }))),
        Err(NotDone::Refused(refused @ ForgetRefused::Unknown(_))) => {
            Err(Problem::new(StatusCode::NOT_FOUND, refused.to_string()))
        }
        Err(not_done) => Err(not_done.into()),
    }
}

fn addrs(request: &api::JoinRequest) -> Result<Vec<SocketAddr>, Problem> {
    if request.addrs.is_empty() {
        return Err(Problem::bad_request(format!("`addrs` is empty: {JOIN_SHAPE}")));
    }
    if request.addrs.len() > JOIN_ADDRS_MAX {
        return Err(Problem::bad_request(format!(
            "`addrs` has {} addresses: send at most {JOIN_ADDRS_MAX}; one that works is enough",
            request.addrs.len()
        )));
    }
    let parse = |text: &String| {
        gossip_addr(text).ok_or_else(|| {
            Problem::bad_request(format!(
                "{text:?} is no address: send ADDR or ADDR:PORT; names are not looked up here, --retry-join does that"
            ))
        })
    };
    request.addrs.iter().map(parse).collect()
}
