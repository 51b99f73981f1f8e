//! Answers that their clients have not taken yet: long ones are counted, so that clients which do not read cannot fill the memory.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::CONTENT_LENGTH},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;

use super::{bounds::UNCOUNTED_MAX, problem::Problem, state::Api};

/// Passes on an answer if there is room for it; clients on one host are one source.
pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(length) = response.body().size_hint().exact().filter(|length| *length > UNCOUNTED_MAX) else {
        return response;
    };
    let amount = usize::try_from(length).unwrap_or(usize::MAX);
    let Ok(held) = api.shared.untaken.take(IpAddr::V4(Ipv4Addr::LOCALHOST), amount) else {
        let detail = "clients have not taken many long answers yet: ask again, or for fewer members (`?status=`, `?tag=`)";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    };
    let (mut parts, body) = response.into_parts();
    parts.headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    let counted = body.map_frame(move |frame| {
        // Given back with the body.
        let _held = &held;
        frame
    });
    Response::from_parts(parts, Body::new(counted))
}
