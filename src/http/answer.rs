//! What all `GET` answers share: an index, an entity tag, and a wait for the next change.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Api, INDEX_HEADER, LONG_POLLS_MAX,
    problem::Problem,
    query::{Poll, Query},
    server::told_to_stop,
};
use crate::{
    api::Time,
    snapshot::{About, Snapshot},
};

/// The time of day of a moment that the core counted on the monotonic clock.
pub(super) fn time(about: &About, at: std::time::Instant) -> Time {
    // Only a wall clock set to before year -9999 or after 9999 has no such time; the epoch shows that well enough.
    Time(about.started.wall_at(at).try_into().unwrap_or_default())
}

/// A line of JSON.
pub(super) fn json(answer: &impl Serialize) -> Bytes {
    let mut text =
        serde_json::to_vec(answer).expect("the answers have text keys only and serialise infallibly");
    text.push(b'\n');
    text.into()
}

/// A good answer, before the client's own copy is taken into account.
#[derive(Debug)]
pub(super) struct Answer {
    /// Grows with every change.
    pub(super) index: u64,
    /// What tells this state from every other one of this resource.
    pub(super) tag: String,
    /// The JSON.
    pub(super) body: Bytes,
}

impl Answer {
    /// An answer that changes when its index does, apart from details such as ages.
    pub(super) fn new(snapshot: &Snapshot, index: u64, body: Bytes) -> Self {
        // The epoch tells indexes of one start from those of the next.
        let tag = format!("{}-{index}", snapshot.about.epoch);
        Self { index, tag, body }
    }

    /// The response: 304 where the client has this state already.
    pub(super) fn to_client(&self, request: &HeaderMap) -> Response {
        let etag = format!("W/\"{}\"", self.tag);
        let known = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || weak(tag) == weak(&etag));
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

/// The part of an entity tag that a weak comparison looks at.
fn weak(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}

impl Api {
    /// The latest snapshot, or, for a long poll, the first one in which `index` is another than the client's. An index
    /// from the future is that of an earlier start, and is another.
    pub(super) async fn snapshot(
        &self,
        query: &Query,
        index: impl Fn(&Snapshot) -> u64,
    ) -> Result<Arc<Snapshot>, Problem> {
        let now = self.handle.snapshot();
        match query.poll()? {
            Some(poll) if index(&now) == poll.index => self.changed(&now, poll, index).await,
            Some(_) | None => Ok(now),
        }
    }

    /// A place among those who wait for a change.
    pub(super) fn place_to_wait(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.shared.polls.clone().try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "{} requests wait for a change already: ask again later, or without `index`",
                    LONG_POLLS_MAX.min(self.shared.connections / 2)
                ),
            )
        })
    }

    async fn changed(
        &self,
        now: &Snapshot,
        poll: Poll,
        index: impl Fn(&Snapshot) -> u64,
    ) -> Result<Arc<Snapshot>, Problem> {
        let _place = self.place_to_wait()?;
        let mut stopping = self.shared.stopping.clone();
        let another = |next: &Snapshot| {
            index(next) != poll.index || next.joined != now.joined || next.leaving != now.leaving
        };
        tokio::select! {
            changed = self.handle.wait_for(another) => Ok(changed?),
            () = tokio::time::sleep(poll.wait) => Ok(self.handle.snapshot()),
            () = told_to_stop(&mut stopping) => Ok(self.handle.snapshot()),
        }
    }
}

/// The age of a moment when the snapshot was taken.
pub(super) fn age(snapshot: &Snapshot, at: std::time::Instant) -> Duration {
    snapshot.taken.saturating_duration_since(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::sample;

    fn index(snapshot: &Snapshot) -> u64 {
        snapshot.membership.index
    }

    fn query(text: &str) -> Query {
        Query::of(&format!("/?{text}").parse().unwrap(), &[]).unwrap()
    }

    #[tokio::test]
    async fn a_long_poll_wakes_at_the_change() {
        let (api, snapshots, _stop) = sample::api();
        let query = query("index=7&wait=10m");
        let polled = api.snapshot(&query, index);
        let changed = async {
            while api.shared.polls.available_permits() == LONG_POLLS_MAX {
                tokio::task::yield_now().await;
            }
            snapshots.send_replace(Arc::new(sample::snapshot(7)));
            snapshots.send_replace(Arc::new(sample::snapshot(8)));
        };
        let (polled, ()) = tokio::join!(polled, changed);
        assert_eq!(polled.unwrap().membership.index, 8);
        assert_eq!(api.shared.polls.available_permits(), LONG_POLLS_MAX);
    }

    #[tokio::test]
    async fn an_index_that_is_not_the_present_one_is_answered_at_once() {
        let (api, _snapshots, _stop) = sample::api();
        for text in ["index=6&wait=10m", "index=900&wait=10m", ""] {
            assert_eq!(api.snapshot(&query(text), index).await.unwrap().membership.index, 7, "{text}");
        }
    }

    #[tokio::test]
    async fn a_long_poll_ends_with_its_time_and_with_the_server() {
        let (api, _snapshots, stop) = sample::api();
        let waited = api.snapshot(&query("index=7&wait=1ms"), index).await;
        assert_eq!(waited.unwrap().membership.index, 7);
        stop.send_replace(true);
        let ended = api.snapshot(&query("index=7&wait=10m"), index).await;
        assert_eq!(ended.unwrap().membership.index, 7);
    }

    #[tokio::test]
    async fn the_number_of_long_polls_is_bounded() {
        let (api, _snapshots, _stop) = sample::api();
        let taken = api.shared.polls.try_acquire_many(u32::try_from(LONG_POLLS_MAX).unwrap());
        let refused = api.snapshot(&query("index=7&wait=10m"), index).await.unwrap_err();
        let detail = "512 requests wait for a change already: ask again later, or without `index`";
        assert_eq!(refused, Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        drop(taken);
    }

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
