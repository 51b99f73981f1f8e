//! `GET /v1/voters` and `POST /v1/voters/{add,remove,replace}`: the members of the servers' own group.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use tokio::time::timeout;

use super::{
    answer::Answer,
    body::read,
    founding,
    json::{done, json},
    problem::Problem,
    query::Query,
    state::Api,
};
use crate::{
    api::voters::{Member, VerdictName, Voters, Wait, WishAnswer, WishRequest},
    council::{Outcome, Verb, Verdict},
    node::NodeId,
    servers::Seen,
    snapshot::Snapshot,
};

const SHAPE: &str = r#"send {"node":"…"} with an agent's or a member's id or name"#;
/// Time for an answer from the agent beside the leader: four seconds for its server's answer, three for its look, five for a change.
const ANSWERED_WITHIN: Duration = Duration::from_secs(13);

fn index(snapshot: &Snapshot) -> u64 {
    snapshot.server.as_ref().map_or(0, |server| server.index)
}

pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &[])?;
    let snapshot = api.snapshot(&query, index).await?;
    let body = json(&voters(seen(&snapshot)?));
    Ok(Answer::new(&snapshot, index(&snapshot), body).to_client(&headers))
}

pub(super) async fn add(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    wish(&api, Verb::Add, read(&headers, body, SHAPE).await?).await
}

pub(super) async fn remove(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    wish(&api, Verb::Remove, read(&headers, body, SHAPE).await?).await
}

pub(super) async fn replace(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    wish(&api, Verb::Replace, read(&headers, body, SHAPE).await?).await
}

/// Takes a wish to the agent beside the leader.
async fn wish(api: &Api, verb: Verb, request: WishRequest) -> Result<Response, Problem> {
    let (leader, name) = leader(&api.handle.snapshot())?;
    let asked = api.handle.wish(leader, (verb, request.node), request.ticket);
    let silent = |_| {
        let detail = format!(
            "{name}, beside the leader, gave no answer within {} s: ask again",
            ANSWERED_WITHIN.as_secs()
        );
        Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
    };
    let Outcome { verdict, text, ticket, newcomer, .. } =
        timeout(ANSWERED_WITHIN, asked).await.map_err(silent)??;
    let verdict = match verdict {
        Verdict::Done => VerdictName::Done,
        Verdict::Plan => VerdictName::Plan,
        Verdict::Made => VerdictName::Made,
        Verdict::Waits => VerdictName::Waits,
        Verdict::Refused => return Err(Problem::conflict(&text)),
    };
    Ok(done(json(&WishAnswer { verdict, text, ticket, newcomer })))
}

fn seen(snapshot: &Snapshot) -> Result<&Seen, Problem> {
    snapshot.server.as_deref().ok_or_else(|| {
        Problem::conflict(&"this agent asks no server: start it with --server, or ask one that has it")
    })
}

/// The agent beside the leader, with its name: by the server here, else by the word that it has said about it. Nobody knows one while
/// the servers elect another.
fn leader(snapshot: &Snapshot) -> Result<(NodeId, String), Problem> {
    let seen = seen(snapshot)?;
    let by_server = seen.leader.as_ref().and_then(|leader| leader.id);
    let leader = by_server.or(snapshot.founding.admits).map(|id| {
        let member = snapshot.membership.members.get(&id);
        (id, member.map_or_else(|| id.to_string(), |member| member.name.to_string()))
    });
    leader.ok_or_else(|| {
        let server = &seen.server;
        let detail = format!(
            "{server} names no leader that has an agent: start a majority of the voters, each with its agent"
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })
}

fn voters(seen: &Seen) -> Voters {
    let members = seen.members.iter().map(|member| Member {
        member: member.member.clone(),
        name: member.name.clone(),
        id: member.id,
        address: member.address.clone(),
        votes: member.votes,
        up: member.up,
    });
    let waits = seen.waits.iter().map(|wait| Wait {
        id: wait.id,
        name: wait.name.clone(),
        code: wait.code.to_owned(),
        message: wait.message.clone(),
    });
    Voters {
        index: seen.index,
        server: seen.server.clone(),
        answers: seen.answers,
        leader: founding::driver(seen).leader,
        members: members.collect(),
        waits: waits.collect(),
    }
}
