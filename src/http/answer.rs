//! The parts that all `GET` answers share: an index, an entity tag, and times computed from the snapshot.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use crate::{
    api::{INDEX_HEADER, Time},
    snapshot::{About, Snapshot},
};

/// The time of day of a moment on the core's monotonic clock.
pub(super) fn time(about: &About, at: Instant) -> Time {
    // Only a wall clock set to before year -9999 or after 9999 has no such time; the epoch shows that well enough.
    Time(about.started.wall_at(at).try_into().unwrap_or_default())
}

/// The age of a moment when the snapshot was taken.
pub(super) fn age(snapshot: &Snapshot, at: Instant) -> Duration {
    snapshot.taken.saturating_duration_since(at)
}

/// A good answer, before the client's own copy is taken into account.
#[derive(Debug)]
pub(super) struct Answer {
    /// Grows with every change.
    index: u64,
    /// Entity tag: differs between any two states of this resource.
    tag: String,
    /// The JSON.
    body: Bytes,
}

impl Answer {
    /// An answer that changes when its index does, apart from details such as ages.
    pub(super) fn new(snapshot: &Snapshot, index: u64, body: Bytes) -> Self {
        // The epoch tells indexes of one start from those of the next.
        let tag = format!("{}-{index}", snapshot.about.epoch);
        Self { index, tag, body }
    }

    /// An answer whose details change without its index, and whose clients want the new ones.
    pub(super) fn by_content(index: u64, body: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Self { index, tag: format!("{:016x}", hasher.finish()), body }
    }

    /// This answer, for a resource that also changes with `more`.
    pub(super) fn tagged(mut self, more: &str) -> Self {
        self.tag = format!("{}-{more}", self.tag);
        self
    }

    /// The response: 304 if the client has this state already.
    pub(super) fn to_client(&self, request: &HeaderMap) -> Response {
        let etag = format!("W/\"{}\"", self.tag);
        let known = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(&etag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(self.body.clone()));
            let kind = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        };
        let headers = response.headers_mut();
        headers.insert(INDEX_HEADER, self.index.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(ETAG, etag);
        }
        response
    }
}

/// The part of an entity tag that a weak comparison looks at (RFC 9110, 8.8.3.2).
fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::sample;

    #[test]
    fn a_client_that_has_the_state_gets_304() {
        let snapshot = sample::snapshot(7);
        let answer = Answer::new(&snapshot, 7, Bytes::from_static(b"{}"));
        for (sent, status) in [
            (r#"W/"5-7""#, StatusCode::NOT_MODIFIED),
            (r#""1-1", "5-7""#, StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            (r#"W/"5-6""#, StatusCode::OK),
            (r#"W/"4-7""#, StatusCode::OK),
        ] {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, HeaderValue::try_from(sent).unwrap());
            let response = answer.to_client(&request);
            assert_eq!(response.status(), status, "{sent}");
            assert_eq!(response.headers().get(ETAG).unwrap(), r#"W/"5-7""#);
            assert_eq!(response.headers().get(INDEX_HEADER).unwrap(), "7");
        }
    }
}
