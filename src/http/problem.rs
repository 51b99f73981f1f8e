//! Errors of the API: RFC 9457 problem documents.

use std::fmt::Display;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use super::json::json;
use crate::{
    api,
    handle::{NotDone, Stopped, Unwritten},
};

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The problem of a request that contradicts the state of the agent or its cluster.
    pub(super) fn conflict(refused: &impl Display) -> Self {
        Self::new(StatusCode::CONFLICT, refused.to_string())
    }
}

impl From<Stopped> for Problem {
    fn from(_: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping")
    }
}

impl From<Unwritten> for Problem {
    fn from(unwritten: Unwritten) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, unwritten.to_string())
    }
}

impl<R: Display> From<NotDone<R>> for Problem {
    fn from(not_done: NotDone<R>) -> Self {
        match not_done {
            NotDone::Stopped(stopped) => stopped.into(),
            NotDone::Unwritten(unwritten) => unwritten.into(),
            NotDone::Refused(refused) => Self::conflict(&refused),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = api::Problem {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = Response::new(Body::from(json(&document)));
        *response.status_mut() = self.status;
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}
