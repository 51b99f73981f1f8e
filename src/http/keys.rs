//! `GET /v1/keys` and `POST /v1/keys/{install,use,remove}`: the keyrings of all members. Keys are shown by their ids only.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::{
    body::read,
    json::{done, json},
    problem::Problem,
    state::Api,
};
use crate::{
    api::keys::{InstallRequest, KeyIdRequest, KeysAnswer, MemberKeyring},
    snapshot::Snapshot,
    wire::{Key, KeyChange, KeyId, KeyState, MemberKeys},
};

const INSTALL_SHAPE: &str = r#"send {"key":"…"} with a key as `chronik-agent keygen` prints it"#;
const ID_SHAPE: &str = r#"send {"id":"1a2b3c4d"} with an id as `chronik-agent keys list` shows it"#;
/// Time allowed for members to write their files.
const DONE_WITHIN: Duration = Duration::from_secs(5);
/// Interval at which members are asked meanwhile.
const ASKED_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn list(State(api): State<Api>) -> Result<Response, Problem> {
    let members = ask(&api, None).await?;
    Ok(done(json(&answer(&api, members, None))))
}

pub(super) async fn install(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: InstallRequest = read(&headers, body, INSTALL_SHAPE).await?;
    let text = Zeroizing::new(request.key);
    let key = Key::parse(text.trim())
        .ok_or_else(|| Problem::bad_request(format!("`key` is no key: {INSTALL_SHAPE}")))?;
    carry_out(&api, KeyChange::Install(key)).await
}

pub(super) async fn use_key(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    carry_out(&api, KeyChange::Use(read_id(&headers, body).await?)).await
}

pub(super) async fn remove(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    carry_out(&api, KeyChange::Remove(read_id(&headers, body).await?)).await
}

async fn read_id(headers: &HeaderMap, body: Body) -> Result<KeyId, Problem> {
    let request: KeyIdRequest = read(headers, body, ID_SHAPE).await?;
    request.id.parse().map_err(|error| Problem::bad_request(format!("`id`: {error}")))
}

/// Tells every member, then asks until each that answers has made the change or refused it.
async fn carry_out(api: &Api, change: KeyChange) -> Result<Response, Problem> {
    let mut members = ask(api, Some(change.clone())).await?;
    let settled = async {
        loop {
            sleep(ASKED_EVERY).await;
            members = ask(api, None).await?;
            let waits = |member: &MemberKeys| match &member.state {
                Ok(state) => state.trouble.is_none() && !change.is_done(&state.keys),
                Err(_) => false,
            };
            if !members.iter().any(waits) {
                return Ok::<_, Problem>(());
            }
        }
    };
    if let Ok(Err(problem)) = timeout(DONE_WITHIN, settled).await {
        return Err(problem);
    }
    Ok(done(json(&answer(api, members, Some(&change)))))
}

async fn ask(api: &Api, change: Option<KeyChange>) -> Result<Vec<MemberKeys>, Problem> {
    let members = api.handle.keys(change).await?;
    members.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "this agent was started without keys: give every agent --encrypt-key-file first",
        )
    })
}

fn answer(api: &Api, members: Vec<MemberKeys>, change: Option<&KeyChange>) -> KeysAnswer {
    let snapshot = api.handle.snapshot();
    let members: Vec<_> = members.into_iter().map(|member| row(&snapshot, member, change)).collect();
    let done = members.iter().all(|member| member.error.is_none());
    KeysAnswer { done, members }
}

fn row(snapshot: &Snapshot, member: MemberKeys, change: Option<&KeyChange>) -> MemberKeyring {
    let MemberKeys { id, addr, state } = member;
    let name = snapshot.membership.members.get(&id).map(|member| member.name.clone());
    let undone = |keys: &[KeyId]| {
        let late = change.is_some_and(|change| !change.is_done(keys));
        late.then(|| format!("not done within {} s: ask for the list again", DONE_WITHIN.as_secs()))
    };
    let (keys, error) = match state {
        Ok(KeyState { keys, trouble }) => {
            let error = trouble.or_else(|| undone(&keys));
            (keys, error)
        }
        Err(error) => (Vec::new(), Some(error)),
    };
    let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
    MemberKeyring { id, name, addr, sends: keys.first().cloned(), keys, error }
}
