//! The bootstrap: `GET /v1/bootstrap`, the reports of the co-located server, and the requests of an operator.

use std::{collections::BTreeSet, fmt::Display, str::FromStr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use bytes::Bytes;

use super::{
    answer::Answer,
    body::read,
    group,
    json::{done, json},
    offers,
    problem::Problem,
    query::Query,
    rendered::Rendered,
    state::Api,
};
use crate::{
    api::{self, founding as shape},
    bootstrap::{
        Cluster, ClusterId, Conflict, DataLoss, Decision, EstablishedReport, Gone, Reason, ResetRefused,
        Server, ServerId, ServerReport, Status, VoterRef,
    },
    handle::{NotDone, Verdict},
    node::{Epoch, check_endpoint},
    servers::{Belonging, Identity, Leader, Seen},
    snapshot::Snapshot,
};

const SERVER_SHAPE: &str = r#"send {"server_id":"…","has_state":false,"cluster_id":null}"#;
const ESTABLISHED_SHAPE: &str = r#"send {"cluster_id":"…","config_index":7,"voters":[{"id":"…"},{"ordinal":2},{"endpoint":{"raft":"10.0.0.9:5001"}}]}"#;
const OVERRIDE_SHAPE: &str = r#"send {"founders":["…"]} with the ids that `chronik-agent members` lists"#;
const RESET_SHAPE: &str = r#"send {"i_will_lose_data":false}"#;
const RESOLVE_SHAPE: &str = r#"send {"keep":"…"} with the cluster that is meant"#;
const VOUCH_SHAPE: &str = r#"send {"gone":"…"} with the id or the address of an agent that is gone for good"#;

/// Time in which founders that are alive answer an operator's founding: a few messages, and a write to each disk.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(3);

fn index(snapshot: &Snapshot) -> u64 {
    snapshot.founding.index
}

/// The server's own question, which is noted, unless it says `look=true`.
pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["look", "server_id"])?;
    let looks = match query.one("look")? {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(other) => return Err(Problem::bad_request(format!("`look={other}` is neither true nor false"))),
    };
    let server_id = query.one("server_id")?.map(server_id).transpose()?;
    let mut snapshot = api.snapshot(&query, index).await?;
    let decision = snapshot.founding.decision_for(server_id.as_ref());
    let told = match (looks, &decision) {
        // It is told only what is on disk, and that it was told.
        (false, Decision::Bootstrap(_)) => Some(api.handle.ask_decision(server_id.clone()).await?),
        // That it waits is noted, so that founders who look see it; no answer depends on that.
        (false, Decision::Wait { .. }) => api.handle.ask_decision(server_id.clone()).await.ok(),
        _ => None,
    };
    if told.is_some() {
        snapshot = api.handle.snapshot();
    }
    let told = told.filter(|told| *told != snapshot.founding.decision);
    let body = match told {
        Some(decision) => json(&bootstrap(&Status { decision, ..Status::clone(&snapshot.founding) })),
        None => rendered_for(&api.shared.rendered, &snapshot, server_id.as_ref()),
    };
    Ok(Answer::new(&snapshot, index(&snapshot), body).to_client(&headers))
}

fn start(number: u64) -> Result<u64, Problem> {
    let last = Epoch::LAST.0;
    let too_large = || Problem::bad_request(format!("`starts`: {number} is too large: send at most {last}"));
    if number <= last { Ok(number) } else { Err(too_large()) }
}

fn server_id(text: &str) -> Result<ServerId, Problem> {
    text.to_owned().try_into().map_err(|error| wrong("server_id", &error))
}

/// The co-located server's report of itself; the answer is the decision that follows, or by which it is started.
pub(super) async fn server(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::ServerRequest = read(&headers, body, SERVER_SHAPE).await?;
    let named = request.cluster_id.as_deref().map(|id| parse("cluster_id", id)).transpose()?;
    let report = ServerReport {
        server_id: server_id(&request.server_id)?,
        has_state: request.has_state,
        cluster_id: named.or(request.group.and_then(|group| cluster_of(&api, group))),
        once: request.once,
        starts: request.starts.map(start).transpose()?,
    };
    let asker = report.server_id.clone();
    if request.begun {
        let decision = api.handle.begin(report).await?;
        let founding = Status { decision, ..Status::clone(&api.handle.snapshot().founding) };
        return Ok(done(json(&bootstrap(&founding))));
    }
    api.handle.attest(report).await?;
    Ok(done(rendered_for(&api.shared.rendered, &api.handle.snapshot(), Some(&asker))))
}

/// The cluster of a server of this group, as far as the group proves it.
fn cluster_of(api: &Api, group: String) -> Option<ClusterId> {
    let driver = api.shared.driver.as_deref()?;
    let identity = Identity { group, member: String::new() };
    let snapshot = api.handle.snapshot();
    Belonging::of(driver, &snapshot.about.cluster, &identity, snapshot.founding.cluster.as_ref()).proven()
}

/// The co-located server's report that its group exists; the answer is the decision that follows.
pub(super) async fn established(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::EstablishedRequest = read(&headers, body, ESTABLISHED_SHAPE).await?;
    let voters = request.voters.into_iter().enumerate();
    let report = EstablishedReport {
        cluster_id: parse("cluster_id", &request.cluster_id)?,
        config_index: request.config_index,
        voters: voters.map(|(at, voter)| voter_ref(at, voter)).collect::<Result<_, _>>()?,
        adopt: request.adopt,
    };
    api.handle.establish(report).await?;
    Ok(decision_now(&api))
}

/// The co-located server takes its report back; the answer is the decision that follows.
pub(super) async fn retract(State(api): State<Api>) -> Result<Response, Problem> {
    api.handle.retract().await?;
    Ok(decision_now(&api))
}

pub(super) async fn resolve(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::ResolveRequest = read(&headers, body, RESOLVE_SHAPE).await?;
    api.handle.resolve(parse("keep", &request.keep)?, Verdict::Keep).await?;
    Ok(decision_now(&api))
}

pub(super) async fn vouch(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::VouchRequest = read(&headers, body, VOUCH_SHAPE).await?;
    let addr = request.gone.parse().map(Gone::Addr).ok();
    let gone = addr.map_or_else(|| parse("gone", &request.gone).map(Gone::Id), Ok)?;
    api.handle.vouch(gone).await?;
    Ok(decision_now(&api))
}

pub(super) async fn override_founders(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::OverrideRequest = read(&headers, body, OVERRIDE_SHAPE).await?;
    if request.founders.is_empty() {
        return Err(Problem::bad_request(format!("`founders` is empty: {OVERRIDE_SHAPE}")));
    }
    let founders: BTreeSet<_> =
        request.founders.iter().map(|id| parse("founders", id)).collect::<Result<_, _>>()?;
    let consent = if request.i_will_lose_data { DataLoss::Allowed } else { DataLoss::Refused };
    let cluster_id = api.handle.override_founders(founders, consent).await?;
    let said = |snapshot: &Snapshot| {
        snapshot.founding.offers.iter().find(|offer| offer.founding.id() == cluster_id).cloned()
    };
    let is_answered =
        |snapshot: &Snapshot| said(snapshot).is_some_and(|offer| offer.missing.values().all(Option::is_some));
    let answered = tokio::time::timeout(ACCEPTED_WITHIN, api.handle.wait_for(is_answered)).await;
    let snapshot = answered.unwrap_or_else(|_| Ok(api.handle.snapshot()))?;
    let missing = said(&snapshot).map(|said| offers::shown(&said).missing).unwrap_or_default();
    Ok(done(json(&shape::OverrideAnswer { cluster_id, complete: missing.is_empty(), missing })))
}

pub(super) async fn reset(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::ResetRequest = read(&headers, body, RESET_SHAPE).await?;
    let consent = if request.i_will_lose_data { DataLoss::Allowed } else { DataLoss::Refused };
    if let Some(cluster_id) = &request.cluster_id {
        api.handle.resolve(parse("cluster_id", cluster_id)?, Verdict::Over).await?;
        return Ok(done(json(&shape::ResetAnswer { new_id: None })));
    }
    match api.handle.reset(consent).await {
        Ok(new_id) => Ok(done(json(&shape::ResetAnswer { new_id: Some(new_id) }))),
        // The remedy in the words of this API, not in those of the command line.
        Err(NotDone::Refused(ResetRefused(id))) => {
            let remedy = "forgetting it needs \"i_will_lose_data\":true";
            Err(Problem::conflict(&format!("cluster {id} is established: {remedy}")))
        }
        Err(not_done) => Err(not_done.into()),
    }
}

fn wrong(field: &str, error: &impl Display) -> Problem {
    Problem::bad_request(format!("`{field}`: {error}"))
}
fn parse<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| wrong(field, &error))
}

/// A voter, which must be named in exactly one way; `at` is its place in the list.
fn voter_ref(at: usize, voter: shape::VoterRequest) -> Result<VoterRef, Problem> {
    let field = |name: &str| format!("voters[{at}].{name}");
    let many = || {
        Problem::bad_request(format!(
            "`voters[{at}]` must name one of `id`, `ordinal` and `endpoint`: {ESTABLISHED_SHAPE}"
        ))
    };
    match (voter.id, voter.ordinal, voter.endpoint) {
        (Some(id), None, None) => parse(&field("id"), &id).map(VoterRef::Id),
        (None, Some(ordinal), None) => Ok(VoterRef::Ordinal(ordinal)),
        (None, None, Some(endpoint)) => {
            let mut pairs = endpoint.into_iter();
            match (pairs.next(), pairs.next()) {
                (Some((name, address)), None) => {
                    check_endpoint(&address)
                        .map_err(|error| Problem::bad_request(format!("`{}`: {error}", field("endpoint"))))?;
                    Ok(VoterRef::Endpoint(parse(&field("endpoint"), &name)?, address))
                }
                _ => Err(Problem::bad_request(format!(
                    "`voters[{at}].endpoint` must have one name and its address: {ESTABLISHED_SHAPE}"
                ))),
            }
        }
        _ => Err(many()),
    }
}

/// The whole answer, rendered at most once a snapshot.
pub(super) fn rendered(cache: &Rendered, snapshot: &Arc<Snapshot>) -> Bytes {
    cache.of(snapshot).bootstrap.get_or_init(|| json(&bootstrap(&snapshot.founding))).clone()
}

/// The decision that follows from what was just done.
fn decision_now(api: &Api) -> Response {
    done(rendered(&api.shared.rendered, &api.handle.snapshot()))
}

/// The whole answer to the server of this id.
fn rendered_for(cache: &Rendered, snapshot: &Arc<Snapshot>, asker: Option<&ServerId>) -> Bytes {
    let decision = snapshot.founding.decision_for(asker);
    if decision == snapshot.founding.decision {
        return rendered(cache, snapshot);
    }
    json(&bootstrap(&Status { decision, ..Status::clone(&snapshot.founding) }))
}

fn bootstrap(founding: &Status) -> shape::Bootstrap {
    let facts = summary(founding);
    let mut answer = shape::Bootstrap {
        index: founding.index,
        decision: facts.decision,
        cluster_id: facts.cluster_id,
        established: facts.established,
        config_index: facts.config_index,
        me: None,
        founders: None,
        voters: None,
        recover: false,
        members: None,
        voting: None,
        certificate: founding.certificate.as_deref().cloned(),
        clusters: None,
        overrides: founding.offers.iter().map(offers::shown).collect(),
        vouched: founding.vouched.iter().map(offers::vouched).collect(),
        reasons: reasons(founding),
    };
    match &founding.decision {
        Decision::Wait { .. } => {}
        Decision::Bootstrap(group) | Decision::Resume(group) | Decision::Join(group) => {
            answer.me = Some(group::me(group));
            answer.founders = Some(group::founders(group));
            answer.voters = Some(group.voters.iter().map(group::voter).collect());
            answer.recover = group.recovers;
            let is_admitted = matches!(founding.decision, Decision::Join(_)) && !group.members.is_empty();
            answer.voting = is_admitted.then_some(group.me.voter);
            answer.members = is_admitted.then(|| group.members.iter().map(group::voter).collect());
        }
        Decision::Conflict(Conflict { clusters, .. }) => answer.clusters = Some(clusters.clone()),
    }
    answer
}

/// The bootstrap in short.
pub(super) fn summary(founding: &Status) -> api::Founding {
    let cluster = founding.cluster.as_ref();
    api::Founding {
        decision: match &founding.decision {
            Decision::Wait { .. } => shape::DecisionName::Wait,
            Decision::Bootstrap(_) => shape::DecisionName::Bootstrap,
            Decision::Resume(_) => shape::DecisionName::Resume,
            Decision::Join(_) => shape::DecisionName::Join,
            Decision::Conflict(_) => shape::DecisionName::Conflict,
        },
        cluster_id: cluster.map(|cluster: &Cluster| cluster.id),
        established: cluster.is_some_and(|cluster| cluster.established),
        config_index: cluster.map_or(0, |cluster| cluster.config_index),
    }
}

/// The codes of the reasons, each once.
pub(super) fn codes(founding: &Status) -> BTreeSet<&'static str> {
    let mut codes: BTreeSet<_> = match &founding.decision {
        Decision::Wait { reasons } => reasons.iter().map(|reason| reason.code()).collect(),
        Decision::Conflict(conflict) => conflict.reasons.iter().map(Reason::code).collect(),
        Decision::Bootstrap(_) | Decision::Resume(_) | Decision::Join(_) => {
            founding.remarks.iter().map(Reason::code).collect()
        }
    };
    codes.extend(founding.fault.as_ref().map(Reason::code));
    codes
}

/// The co-located server in the API's shape.
pub(super) fn attested(server: &Server) -> shape::Server {
    shape::Server {
        server_id: server.report.server_id.to_string(),
        has_state: server.report.has_state,
        cluster_id: server.report.cluster_id,
        up: server.up,
    }
}

/// The co-located server in the API's shape, as its driver saw it last.
pub(super) fn driver(seen: &Seen) -> shape::Driver {
    let leader = |leader: &Leader| shape::Leader {
        member: leader.member.clone(),
        id: leader.id,
        name: leader.name.clone(),
    };
    shape::Driver {
        server: seen.server.clone(),
        answers: seen.answers,
        version: seen.version.clone(),
        group: seen.group.clone(),
        leader: seen.leader.as_ref().map(leader),
        voters: seen.voters,
        applied_index: seen.applied,
        troubles: seen.troubles.clone(),
    }
}

/// The reasons of the decision, or things to see to beside it. A fault is added to any decision: it is a reason to act even if
/// none to wait.
fn reasons(founding: &Status) -> Vec<shape::Reason> {
    let reason = |why: &Reason| shape::Reason { code: why.code().to_owned(), message: why.to_string() };
    let mut reasons: Vec<_> = match &founding.decision {
        Decision::Wait { reasons } => reasons.iter().map(reason).collect(),
        Decision::Conflict(conflict) => conflict.reasons.iter().map(reason).collect(),
        Decision::Bootstrap(_) | Decision::Resume(_) | Decision::Join(_) => {
            founding.remarks.iter().map(reason).collect()
        }
    };
    if let Some(fault) = &founding.fault
        && reasons.iter().all(|reason| reason.code != fault.code())
    {
        reasons.push(reason(fault));
    }
    reasons
}
