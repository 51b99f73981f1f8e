//! `GET /v1/quorum`: the quorum as this agent sees it.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use bytes::Bytes;

use super::{
    answer::{Answer, time},
    json::json,
    problem::Problem,
    query::Query,
    rendered::Rendered,
    state::Api,
};
use crate::{api, snapshot::Snapshot};

pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &[])?;
    let index = |snapshot: &Snapshot| snapshot.quorum.index;
    let snapshot = api.snapshot(&query, index).await?;
    let body = rendered(&api.shared.rendered, &snapshot);
    Ok(Answer::new(&snapshot, index(&snapshot), body).to_client(&headers))
}

/// The whole answer, rendered at most once a snapshot.
pub(super) fn rendered(cache: &Rendered, snapshot: &Arc<Snapshot>) -> Bytes {
    cache.of(snapshot).quorum.get_or_init(|| json(&quorum(snapshot))).clone()
}

fn quorum(snapshot: &Snapshot) -> api::Quorum {
    let quorum = &snapshot.quorum;
    let missing = quorum.missing.iter().map(|missing| api::Missing {
        id: missing.id,
        name: missing.name.clone(),
        status: missing.status,
        since: missing.since.map(|since| time(&snapshot.about, since)),
    });
    api::Quorum {
        index: quorum.index,
        status: quorum.status,
        has_quorum: quorum.has_quorum(),
        voters: quorum.voters,
        voters_alive: quorum.voters_alive,
        required: quorum.required,
        expect: quorum.expect.map(Into::into),
        expect_met: quorum.expect_met,
        basis: quorum.basis,
        missing: missing.collect(),
        stale: quorum.stale,
        reasons: quorum.reasons.clone(),
    }
}
