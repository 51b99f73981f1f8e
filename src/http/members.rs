//! `GET /v1/members`: the members, all or filtered.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use bytes::Bytes;

use super::{
    answer::{Answer, age, time},
    json::json,
    problem::Problem,
    query::Query,
    rendered::Rendered,
    state::Api,
};
use crate::{
    api::{self, founding::ServerState},
    membership::{Coordinate, Member, MemberStatus},
    node::{Role, TagKey},
    snapshot::Snapshot,
};

pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["status", "role", "tag"])?;
    let filter = Filter::of(&query)?;
    let index = |snapshot: &Snapshot| snapshot.membership.index;
    let snapshot = api.snapshot(&query, index).await?;
    let body = if filter.is_empty() {
        rendered(&api.shared.rendered, &snapshot)
    } else {
        json(&members(&snapshot, &filter))
    };
    Ok(Answer::new(&snapshot, index(&snapshot), body).to_client(&headers))
}

/// The whole answer, rendered at most once a snapshot.
pub(super) fn rendered(cache: &Rendered, snapshot: &Arc<Snapshot>) -> Bytes {
    let render = || json(&members(snapshot, &Filter::default()));
    cache.of(snapshot).members.get_or_init(render).clone()
}

/// The given members of a snapshot, each in the API's shape.
pub(super) fn each<'a>(
    snapshot: &'a Snapshot,
    members: impl Iterator<Item = &'a Member> + 'a,
) -> impl Iterator<Item = api::Member> + 'a {
    let sources = sources(snapshot);
    members.map(move |member| shape(snapshot, member, &sources))
}

/// The client's conditions on a member; all of them must hold.
#[derive(Debug, Default)]
struct Filter {
    /// Wanted statuses; any if empty.
    statuses: Vec<MemberStatus>,
    /// Wanted roles; any if empty.
    roles: Vec<Role>,
    /// Tags that a member must have, with these values.
    tags: Vec<Wanted>,
}

/// A tag with the value that the client wants.
#[derive(Debug)]
struct Wanted {
    key: TagKey,
    value: String,
}

impl Filter {
    fn of(query: &Query) -> Result<Self, Problem> {
        let tag = |text: &str| {
            let wanted = text
                .split_once('=')
                .and_then(|(key, value)| Some(Wanted { key: key.parse().ok()?, value: value.to_owned() }));
            wanted.ok_or_else(|| {
                Problem::bad_request(format!("`tag={text}` is not KEY=VALUE: write tag=zone=a"))
            })
        };
        Ok(Self {
            statuses: query.choices("status")?,
            roles: query.choices("role")?,
            tags: query.all("tag").map(tag).collect::<Result<_, _>>()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.roles.is_empty() && self.tags.is_empty()
    }

    fn shows(&self, member: &Member) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&member.status))
            && (self.roles.is_empty() || self.roles.contains(&member.role))
            && self.tags.iter().all(|tag| member.tags.get(&tag.key) == Some(&tag.value))
    }
}

/// The provider that lists an address; the first, if several do.
fn sources(snapshot: &Snapshot) -> BTreeMap<SocketAddr, &'static str> {
    let providers = snapshot.discovery.providers.iter().rev();
    providers.flat_map(|provider| provider.addrs.iter().map(|addr| (*addr, provider.provider))).collect()
}

fn members(snapshot: &Snapshot, filter: &Filter) -> api::Members {
    let shown = snapshot.membership.members.values().filter(|member| filter.shows(member));
    api::Members {
        cluster: snapshot.about.cluster.clone(),
        myself: snapshot.about.id,
        index: snapshot.membership.index,
        members: each(snapshot, shown).collect(),
    }
}

fn shape(snapshot: &Snapshot, member: &Member, sources: &BTreeMap<SocketAddr, &'static str>) -> api::Member {
    let myself = member.id == snapshot.about.id;
    let heard = member.last_heard.map(|at| api::seconds(age(snapshot, at)));
    let unlisted = if myself { "self" } else { "gossip" };
    api::Member {
        id: member.id,
        name: member.name.clone(),
        addr: member.addr,
        status: member.status,
        role: member.role,
        myself,
        tags: member.tags.clone(),
        endpoints: member.endpoints.clone(),
        epoch: member.epoch,
        server: member.founding.server_up.map(ServerState::of),
        since: time(&snapshot.about, member.since),
        last_heard_s: if myself { Some(0.0) } else { heard },
        degraded: member.degraded,
        rtt_s: member.rtt.map(|rtt| rtt.as_secs_f64()),
        reach: member.reach,
        coordinate: member.coordinate.as_ref().map(coordinate),
        source: (*sources.get(&member.addr).unwrap_or(&unlisted)).to_owned(),
    }
}

/// A network coordinate in the API's shape, in seconds.
pub(super) fn coordinate(coordinate: &Coordinate) -> api::Coordinate {
    api::Coordinate {
        position_s: coordinate.position(),
        height_s: coordinate.height(),
        error: api::share(coordinate.error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::sample;

    #[test]
    fn a_member_is_told_whole() {
        let shown = serde_json::to_value(members(&sample::snapshot(7), &Filter::default())).unwrap();
        let expected = serde_json::json!({
            "cluster": "chronik", "self": sample::id(1), "index": 7,
            "members": [
                {"id": sample::id(1), "name": "node-1", "addr": "10.0.0.1:7946", "status": "alive", "role": "server",
                 "self": true, "tags": {"zone": "a"}, "endpoints": {"raft": "10.0.0.1:5001"}, "epoch": 5,
                 "server": null, "since": "2026-11-22T18:00:00.000Z", "last_heard_s": 0.0,
                 "degraded": false, "rtt_s": null, "reach": null, "coordinate": null, "source": "self"},
                {"id": sample::id(2), "name": "node-2", "addr": "10.0.0.2:7946", "status": "failed",
                 "role": "observer", "self": false, "tags": {}, "endpoints": {}, "epoch": 5,
                 "server": null, "since": "2026-11-22T18:00:01.500Z", "last_heard_s": 0.25,
                 "degraded": false, "rtt_s": 0.001, "reach": "datagram",
                 "coordinate": {"position_s": [0.003, -0.004, 0.0], "height_s": 0.001, "error": 0.2}, "source": "dns"},
                {"id": sample::id(3), "name": "node-3", "addr": "10.0.0.3:7946", "status": "suspect",
                 "role": "server", "self": false, "tags": {"zone": "b"}, "endpoints": {}, "epoch": 5,
                 "server": null, "since": "2026-11-22T17:59:59.000Z", "last_heard_s": null,
                 "degraded": false, "rtt_s": null, "reach": null, "coordinate": null, "source": "gossip"},
            ],
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_condition_must_hold() {
        let snapshot = sample::snapshot(7);
        for (query, expected) in [
            ("status=alive,failed", vec!["node-1", "node-2"]),
            ("role=server", vec!["node-1", "node-3"]),
            ("role=server&tag=zone=b", vec!["node-3"]),
            ("tag=zone=a&tag=zone=b", vec![]),
            ("tag=none=", vec![]),
        ] {
            let query =
                Query::of(&format!("/?{query}").parse().unwrap(), &["status", "role", "tag"]).unwrap();
            let shown = members(&snapshot, &Filter::of(&query).unwrap());
            let names: Vec<&str> = shown.members.iter().map(|member| member.name.as_str()).collect();
            assert_eq!(names, expected);
        }
    }
}
