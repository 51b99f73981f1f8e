//! The founding: `GET /v1/bootstrap`, what the co-located server reports, and what an operator may do.

use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use bytes::Bytes;

use super::{
    Api,
    answer::{Answer, json},
    body::{good, read},
    problem::Problem,
    query::Query,
};
use crate::{
    api::{self, founding as shape},
    bootstrap::{
        Cluster, Conflict, Decision, EstablishedReport, Group, Reason, Server, ServerReport, Status, Voter,
        VoterRef,
    },
    handle::Forgotten,
    snapshot::Snapshot,
};

const SERVER_SHAPE: &str = r#"send {"server_id":"…","has_state":false,"cluster_id":null}"#;
const ESTABLISHED_SHAPE: &str = r#"send {"cluster_id":"…","config_index":7,"voters":[{"id":"…"},{"ordinal":2},{"endpoint":{"raft":"10.0.0.9:5001"}}]}"#;
const OVERRIDE_SHAPE: &str = r#"send {"founders":["…"]} with the ids that `chronik-agent members` lists"#;
const RESET_SHAPE: &str = r#"send {"i_will_lose_data":false}"#;

fn index(snapshot: &Snapshot) -> u64 {
    snapshot.founding.index
}

pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &[])?;
    let snapshot = api.snapshot(&query, index).await?;
    Ok(Answer::new(&snapshot, index(&snapshot), rendered(&snapshot)).to_client(&headers))
}

/// The co-located server says who it is; the answer is the decision that follows.
pub(super) async fn server(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::ServerRequest = read(&headers, body, SERVER_SHAPE).await?;
    let report = ServerReport {
        server_id: request.server_id.try_into().map_err(|error| wrong("server_id", &error))?,
        has_state: request.has_state,
        cluster_id: request.cluster_id.as_deref().map(|id| parse("cluster_id", id)).transpose()?,
        once: request.once,
    };
    api.handle.attest(report).await?;
    Ok(good(rendered(&api.handle.snapshot())))
}

/// The co-located server reports that its group exists; the answer is the decision that follows.
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
    };
    api.handle.establish(report).await?.map_err(|refused| conflict(&refused))?;
    Ok(good(rendered(&api.handle.snapshot())))
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
    let cluster_id = api.handle.override_founders(founders).await?.map_err(|refused| conflict(&refused))?;
    Ok(good(json(&shape::OverrideAnswer { cluster_id })))
}

pub(super) async fn reset(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: shape::ResetRequest = read(&headers, body, RESET_SHAPE).await?;
    let forgotten = api.handle.reset(request.i_will_lose_data).await?.map_err(|refused| {
        Problem::new(
            StatusCode::CONFLICT,
            format!("cluster {} is established: forgetting it needs \"i_will_lose_data\":true", refused.0),
        )
    })?;
    let answer = match forgotten {
        Forgotten::Rival => shape::ResetAnswer { forgotten: shape::Forgotten::Rival, new_id: None },
        Forgotten::Everything { new_id } => {
            shape::ResetAnswer { forgotten: shape::Forgotten::Everything, new_id: Some(new_id) }
        }
    };
    Ok(good(json(&answer)))
}

fn conflict(refused: &impl Display) -> Problem {
    Problem::new(StatusCode::CONFLICT, refused.to_string())
}

fn wrong(field: &str, error: &impl Display) -> Problem {
    Problem::bad_request(format!("`{field}`: {error}"))
}

fn parse<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| wrong(field, &error))
}

/// A voter that is named in exactly one way; `at` is its place in the list.
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

/// The answer, rendered at most once a snapshot.
pub(super) fn rendered(snapshot: &Snapshot) -> Bytes {
    snapshot.rendered.founding.get_or_init(|| json(&bootstrap(&snapshot.founding))).clone()
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
        clusters: None,
        reasons: reasons(founding),
    };
    match &founding.decision {
        Decision::Wait { .. } => {}
        Decision::Bootstrap(group) | Decision::Resume(group) | Decision::Join(group) => {
            answer.me = Some(me(group));
            answer.founders = Some(founders(group));
            answer.voters = Some(group.voters.iter().map(voter).collect());
        }
        Decision::Conflict(Conflict { clusters, .. }) => answer.clusters = Some(clusters.clone()),
    }
    answer
}

/// The founding in short.
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
        Decision::Conflict(conflict) => conflict.reasons().iter().map(Reason::code).collect(),
        Decision::Bootstrap(_) | Decision::Resume(_) | Decision::Join(_) => BTreeSet::new(),
    };
    codes.extend(founding.fault.as_ref().map(Reason::code));
    codes
}

/// What the server said of itself.
pub(super) fn attested(server: &Server) -> shape::Server {
    shape::Server {
        server_id: server.report.server_id.to_string(),
        has_state: server.report.has_state,
        cluster_id: server.report.cluster_id,
        up: server.up,
    }
}

/// Of the decision; and a fault with any, for it is a reason to act though not to wait.
fn reasons(founding: &Status) -> Vec<shape::Reason> {
    let reason = |why: &Reason| shape::Reason { code: why.code().to_owned(), message: why.to_string() };
    let mut reasons: Vec<_> = match &founding.decision {
        Decision::Wait { reasons } => reasons.iter().map(reason).collect(),
        Decision::Conflict(conflict) => conflict.reasons().iter().map(reason).collect(),
        Decision::Bootstrap(_) | Decision::Resume(_) | Decision::Join(_) => Vec::new(),
    };
    if let Some(fault) = &founding.fault
        && reasons.iter().all(|reason| reason.code != fault.code())
    {
        reasons.push(reason(fault));
    }
    reasons
}

fn me(group: &Group) -> shape::Me {
    shape::Me { founder: group.me.founder, voter: group.me.voter, ordinal: group.me.ordinal }
}

fn founders(group: &Group) -> Vec<shape::Founder> {
    let founders = (1..).zip(&group.founders).map(|(ordinal, founder)| shape::Founder {
        ordinal,
        id: founder.id,
        name: founder.name.clone(),
        addr: founder.addr,
        endpoints: founder.endpoints.clone(),
    });
    founders.collect()
}

fn voter(voter: &Voter) -> shape::Voter {
    shape::Voter {
        ordinal: voter.ordinal,
        id: voter.id,
        name: voter.name.as_ref().map(|name| name.0.clone()),
        endpoints: voter.endpoints.clone(),
    }
}
