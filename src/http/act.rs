//! The requests that change something: `POST /v1/join` and `POST /v1/leave`.

use std::net::SocketAddr;

use axum::{
    body::{Body, to_bytes},
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{Api, BODY_MAX, BODY_WITHIN, JOIN_ADDRS_MAX, answer::json, problem::Problem};
use crate::{api, config::value::gossip_addr, handle::JoinOutcome};

const JOIN_SHAPE: &str = r#"send {"addrs":["10.0.0.1:7946"]}"#;

pub(super) async fn join(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    is_json(&headers)?;
    let body = read(&headers, body).await?;
    let request: api::JoinRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("cannot read the body: {error}; {JOIN_SHAPE}")))?;
    let outcomes = api.handle.join(addrs(&request)?).await?;
    let results = outcomes.into_iter().map(|JoinOutcome { addr, error }| api::JoinResult { addr, error });
    let results: Vec<_> = results.collect();
    let joined = results.iter().filter(|result| result.error.is_none()).count();
    Ok(good(json(&api::JoinAnswer { joined, results })))
}

pub(super) async fn leave(State(api): State<Api>) -> Result<Response, Problem> {
    api.handle.leave().await?;
    Ok(good(json(&api::LeaveAnswer { left: true })))
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

/// A browser sends other kinds across origins without asking first.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the body is declared as {kind:?}: send `Content-Type: application/json`"),
    ))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {BODY_MAX} bytes: {JOIN_SHAPE}"),
        )
    };
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > BODY_MAX) {
        return Err(too_large());
    }
    let slow = |_| {
        let detail = format!("the body did not arrive within {} s", BODY_WITHIN.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    };
    let read = tokio::time::timeout(BODY_WITHIN, to_bytes(body, BODY_MAX)).await.map_err(slow)?;
    // What is left to fail is a body without a declared length that grows too large, and a client that goes away.
    read.map_err(|_| too_large())
}

fn good(body: Bytes) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
