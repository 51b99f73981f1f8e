//! The bodies of requests: JSON, bounded in size and time. A refusal names the shape that is wanted.

use axum::{
    body::{Body, to_bytes},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{
    bounds::{BODY_MAX, BODY_WITHIN},
    problem::Problem,
};

/// Reads a request; `shape` tells a client whose body does not read what to send instead.
pub(super) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    shape: &str,
) -> Result<T, Problem> {
    require_json(headers)?;
    let body = receive(headers, body, shape).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("cannot read the body: {error}; {shape}")))
}

/// Refuses a body that is not declared as JSON: a browser sends other content types across origins without asking the
/// server first.
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
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

async fn receive(headers: &HeaderMap, body: Body, shape: &str) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {BODY_MAX} bytes: {shape}"),
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
    // Two failures are left: a body without a declared length that grows too large, and a client that goes away.
    read.map_err(|_| too_large())
}
