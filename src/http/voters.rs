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
    api::voters::{Member, RecoverRequest, VerdictName, Voters, Wait, WishAnswer, WishRequest},
    bootstrap::{ClusterId, Voter},
    council::{Outcome, Verb, Verdict},
    node::{NodeId, NodeName},
    servers::Seen,
    snapshot::Snapshot,
};

const RECOVER_SHAPE: &str =
    r#"send {"keep":"…","i_will_lose_data":true} at the agent of the server that is kept"#;
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

/// A majority is lost: the server of this agent is the only voter from now on, and comes up alone.
pub(super) async fn recover(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: RecoverRequest = read(&headers, body, RECOVER_SHAPE).await?;
    let snapshot = api.handle.snapshot();
    let cluster_id = recoverable(&api, &snapshot, &request).map_err(|why| Problem::conflict(&why))?;
    api.handle.recover(cluster_id).await?;
    get_now(&api)
}

fn get_now(api: &Api) -> Result<Response, Problem> {
    Ok(done(json(&voters(seen(&api.handle.snapshot())?))))
}

/// The cluster, if its majority is lost as far as this agent can see, and its server is the one to keep.
fn recoverable(api: &Api, snapshot: &Snapshot, request: &RecoverRequest) -> Result<ClusterId, String> {
    let can_recover = api.shared.driver.as_deref().is_some_and(|driver| driver.can_recover());
    let seen = snapshot.server.as_deref().filter(|_| can_recover).ok_or_else(|| {
        "this agent knows no way to bring its server up alone: use the server's own tool".to_owned()
    })?;
    let me = snapshot.myself().ok_or("this agent is not ready: ask again")?;
    if request.keep != me.id.to_string() && request.keep != me.name.as_str() {
        return Err(format!("this is the agent of {}: say it at that of {}", me.name, request.keep));
    }
    let cluster = snapshot.founding.cluster.as_ref().filter(|cluster| cluster.established);
    let cluster = cluster.ok_or("no cluster is established here: see `chronik-agent bootstrap`")?;
    if let Some(leader) = &seen.leader {
        let leader = leader.name.as_ref().map_or(leader.member.as_str(), NodeName::as_str);
        return Err(format!(
            "{leader} leads, so that no majority is lost: give a dead voter's place to another with `chronik-agent voters replace`"
        ));
    }
    let runs = |voter: &&Voter| {
        let member = voter.id.and_then(|id| snapshot.membership.members.get(&id));
        member.is_some_and(|member| {
            member.id != me.id && member.status.is_active() && member.founding.server_up != Some(false)
        })
    };
    if let Some(other) = cluster.voters.iter().find(runs) {
        return Err(format!(
            "the agent of {other} lives and does not say that its server is silent: stop that server first, since it would go on with the \
             members of before"
        ));
    }
    if request.i_will_lose_data {
        return Ok(cluster.id);
    }
    Err(format!(
        "whatever the server of {} has not heard of is lost: say so with \"i_will_lose_data\":true",
        me.name
    ))
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
