//! JSON as the API sends it.

use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

/// One line of JSON.
pub(super) fn json(answer: &impl Serialize) -> Bytes {
    let mut text =
        serde_json::to_vec(answer).expect("the answers have text keys only and serialise infallibly");
    text.push(b'\n');
    text.into()
}

/// The response to a request that was carried out.
pub(super) fn done(line: Bytes) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], line).into_response()
}
