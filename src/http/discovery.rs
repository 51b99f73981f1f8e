//! `GET /v1/discovery`: the last answer of each provider.

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{
    answer::{Answer, time},
    json::json,
    problem::Problem,
    query::Query,
    state::Api,
};
use crate::{
    api,
    snapshot::{ProviderReport, Snapshot},
};

pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &[])?;
    let index = |snapshot: &Snapshot| snapshot.discovery.index;
    let snapshot = api.snapshot(&query, index).await?;
    let providers = snapshot.discovery.providers.iter();
    let body = json(&api::Discovery {
        index: index(&snapshot),
        providers: providers.map(|report| provider(&snapshot, report)).collect(),
    });
    Ok(Answer::new(&snapshot, index(&snapshot), body).to_client(&headers))
}

fn provider(snapshot: &Snapshot, report: &ProviderReport) -> api::Provider {
    let at = |at| time(&snapshot.about, at);
    api::Provider {
        provider: report.provider.to_owned(),
        spec: report.spec.clone(),
        addrs: report.addrs.clone(),
        answered: report.answered.map(at),
        took_s: report.took.map(api::seconds),
        warnings: report.warnings.clone(),
        error: report.error.clone(),
        failures: report.failures,
        polls: report.polls,
        next: report.next.map(at),
    }
}
