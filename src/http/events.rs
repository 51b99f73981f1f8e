//! `GET /v1/events`: changes as Server-Sent Events. There is no history: the present state is compared with the one that
//! the client was told last. A client that reads slowly gets fewer events later, and never out of order.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    founding, json::json, members, problem::Problem, query::Query, quorum, rendered::Rendered, state::Api,
};
use crate::{
    api::Gone,
    membership::{Member, Membership},
    snapshot::Snapshot,
};

/// Interval of comments while nothing changes, so that both ends notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    if Query::of(&uri, &[])?.poll()?.is_some() {
        let detail = "`/v1/events` tells all that follows: send `Last-Event-ID` instead of `index`";
        return Err(Problem::bad_request(detail.to_owned()));
    }
    let place = api.place_to_wait()?;
    let told = Told::of(&headers, &api.handle.snapshot());
    let listener = Listener { api, told, pending: VecDeque::new(), _place: place };
    let events = stream::unfold(listener, async |mut listener: Listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// A client that listens, with the events that it has not read yet.
struct Listener {
    api: Api,
    told: Told,
    pending: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event; `None` once the server stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let told = &self.told;
            let snapshot = tokio::select! {
                changed = self.api.handle.wait_for(|next| told.lacks(next)) => changed.ok()?,
                () = self.api.shared.stopping.wait() => return None,
            };
            self.pending = self.told.news(&self.api.shared.rendered, &snapshot);
        }
    }
}

/// The state as a client was told it: the members themselves, and the indexes of quorum and decision. `None` is told in
/// whole.
#[derive(Debug, Default)]
struct Told {
    members: Option<Arc<Membership>>,
    quorum: Option<u64>,
    founding: Option<u64>,
}

impl Told {
    /// The state as told to a client that comes back with `Last-Event-ID`. A client of an earlier start of the agent is
    /// told everything again.
    fn of(headers: &HeaderMap, now: &Snapshot) -> Self {
        let id = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let mut parts = id.split('-').map(str::parse::<u64>);
        let mut next = || parts.next()?.ok();
        if next() != Some(now.about.epoch.0) {
            return Self::default();
        }
        // Members of an earlier index are not kept.
        let is_present = next() == Some(now.membership.index);
        let members = is_present.then(|| now.membership.clone());
        Self { members, quorum: next(), founding: next() }
    }

    fn membership(&self) -> Option<u64> {
        self.members.as_ref().map(|members| members.index)
    }

    fn id(&self, now: &Snapshot) -> String {
        let [membership, quorum, founding] =
            [self.membership(), self.quorum, self.founding].map(Option::unwrap_or_default);
        format!("{}-{membership}-{quorum}-{founding}", now.about.epoch)
    }

    fn lacks(&self, now: &Snapshot) -> bool {
        self.membership() != Some(now.membership.index)
            || self.quorum != Some(now.quorum.index)
            || self.founding != Some(now.founding.index)
    }

    /// The events that bring a client from the state it was told to this one.
    fn news(&mut self, cache: &Rendered, now: &Arc<Snapshot>) -> VecDeque<Event> {
        let mut events = VecDeque::new();
        if self.membership() != Some(now.membership.index) {
            let before = self.members.replace(now.membership.clone());
            let all = || vec![event("members", &members::rendered(cache, now))];
            let mut told = before.map_or_else(all, |before| changes(&before, now));
            // Only the last carries the id: a client that is cut off before it is told everything again.
            if let Some(last) = told.pop() {
                told.push(last.id(self.id(now)));
            }
            events.extend(told);
        }
        if self.quorum.replace(now.quorum.index) != Some(now.quorum.index) {
            events.push_back(event("quorum", &quorum::rendered(cache, now)).id(self.id(now)));
        }
        if self.founding.replace(now.founding.index) != Some(now.founding.index) {
            events.push_back(event("bootstrap", &founding::rendered(cache, now)).id(self.id(now)));
        }
        events
    }
}

/// One event for each member that differs from before, and for each that is forgotten.
fn changes(before: &Membership, now: &Snapshot) -> Vec<Event> {
    let is_other = |member: &&Member| {
        before.members.get(&member.id).is_none_or(|before| !shows_the_same(before, member))
    };
    let changed = members::each(now, now.membership.members.values().filter(is_other));
    let gone = before.members.values().filter(|member| !now.membership.members.contains_key(&member.id));
    let gone = gone.map(|member| Gone { id: member.id, name: member.name.clone() });
    let changed = changed.map(|member| event("member", &json(&member)));
    changed.chain(gone.map(|member| event("gone", &json(&member)))).collect()
}

/// Compares two states of a member. Measurements are left out: they change all the time and are no event.
fn shows_the_same(one: &Member, other: &Member) -> bool {
    let facts = |member: &Member| (member.addr, member.status, member.epoch, member.since, member.degraded);
    facts(one) == facts(other) && one.metadata == other.metadata
}

fn event(name: &str, line: &Bytes) -> Event {
    let text = std::str::from_utf8(line).expect("JSON is UTF-8");
    Event::default().event(name).data(text.trim_end())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::HeaderName};
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{http::sample, membership::MemberStatus};

    async fn listen(api: &Api, last: Option<&str>) -> Body {
        let id = last.map(|last| (HeaderName::from_static("last-event-id"), last.parse().unwrap()));
        let headers = id.into_iter().collect();
        get(State(api.clone()), "/v1/events".parse().unwrap(), headers).await.unwrap().into_body()
    }

    /// The next `count` events: name, id and data of each.
    async fn hear(body: &mut Body, count: usize) -> Vec<[String; 3]> {
        let mut text = String::new();
        while text.matches("\n\n").count() < count {
            let frame = body.frame().await.unwrap().unwrap();
            text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        }
        let field = |event: &str, name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        let fields = |event| ["event: ", "id: ", "data: "].map(|name| field(event, name));
        text.trim_end().split("\n\n").map(fields).collect()
    }

    fn names(events: &[[String; 3]]) -> Vec<[&str; 2]> {
        events.iter().map(|[name, id, _]| [name.as_str(), id.as_str()]).collect()
    }

    /// The cluster a change later, with node 2 back and node 3 forgotten.
    fn later(before: &Snapshot) -> Arc<Snapshot> {
        let mut membership = Membership::clone(&before.membership);
        membership.index += 1;
        membership.members.get_mut(&sample::id(2)).unwrap().status = MemberStatus::Alive;
        membership.members.remove(&sample::id(3));
        Snapshot { membership: membership.into(), ..sample::snapshot(0) }.into()
    }

    #[tokio::test]
    async fn a_client_is_told_the_state_and_then_each_change() {
        let (api, snapshots, stop) = sample::api();
        let (cache, same) = (&api.shared.rendered, api.handle.snapshot());
        let mut body = listen(&api, None).await;
        let state = hear(&mut body, 3).await;
        assert_eq!(names(&state), [["members", "5-7-0-0"], ["quorum", "5-7-0-0"], ["bootstrap", "5-7-0-1"]]);
        assert_eq!(state[0][2].as_bytes(), members::rendered(cache, &same).trim_ascii_end());
        assert_eq!(state[1][2].as_bytes(), quorum::rendered(cache, &same).trim_ascii_end());
        assert_eq!(state[2][2].as_bytes(), founding::rendered(cache, &same).trim_ascii_end());
        snapshots.send_replace(later(&api.handle.snapshot()));
        let changes = hear(&mut body, 2).await;
        assert_eq!(names(&changes), [["member", ""], ["gone", "5-8-0-1"]], "told whole, or again");
        assert!(
            changes[0][2].contains(r#""name":"node-2""#) && changes[0][2].contains(r#""status":"alive""#)
        );
        let gone = serde_json::json!({"id": sample::id(3), "name": "node-3"}).to_string();
        assert_eq!(changes[1][2], gone);
        stop.send_replace(true);
        assert!(body.frame().await.is_none(), "the server stops");
    }

    #[tokio::test]
    async fn a_client_that_was_here_is_told_what_it_missed() {
        let (api, snapshots, _stop) = sample::api();
        let mut body = listen(&api, Some("5-7-0-1")).await;
        snapshots.send_replace(later(&api.handle.snapshot()));
        assert_eq!(names(&hear(&mut body, 2).await), [["member", ""], ["gone", "5-8-0-1"]]);
        let mut body = listen(&api, Some("5-7-0-1")).await;
        assert_eq!(names(&hear(&mut body, 1).await), [["members", "5-8-0-1"]]);
        for foreign in ["4-8-0-1", "rubbish", "5"] {
            let mut body = listen(&api, Some(foreign)).await;
            assert_eq!(hear(&mut body, 3).await.len(), 3, "{foreign}: of another start, and told all");
        }
    }

    #[tokio::test]
    async fn listeners_are_among_those_who_wait() {
        let (api, _snapshots, _stop) = sample::api();
        let places = api.shared.capacity.long_polls;
        let body = listen(&api, None).await;
        assert_eq!(api.shared.polls.available_permits(), places - 1);
        drop(body);
        assert_eq!(api.shared.polls.available_permits(), places);
    }
}
