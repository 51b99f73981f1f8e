//! `GET /v1/rtt`: the round trip between two members, measured or estimated.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use chronik_providers::nearest;

use super::{answer::Answer, json::json, problem::Problem, query::Query, state::Api};
use crate::{
    api::{
        self,
        rtt::{Rtt, RttBasis, RttEnd},
    },
    membership::Member,
    snapshot::Snapshot,
};

pub(super) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["from", "to"])?;
    let index = |snapshot: &Snapshot| snapshot.membership.index;
    let snapshot = api.snapshot(&query, index).await?;
    let body = json(&rtt(&snapshot, query.one("from")?, query.one("to")?)?);
    // Round trips change without the index.
    Ok(Answer::by_content(index(&snapshot), body).to_client(&headers))
}

fn rtt(snapshot: &Snapshot, from: Option<&str>, to: Option<&str>) -> Result<Rtt, Problem> {
    let to =
        to.ok_or_else(|| Problem::bad_request("`to` is missing: send /v1/rtt?to=NAME, or from= and to="))?;
    let from = match from {
        Some(from) => find(snapshot, "from", from)?,
        None => snapshot.myself().ok_or_else(|| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this agent does not see itself yet: ask again")
        })?,
    };
    let to = find(snapshot, "to", to)?;
    if from.id == to.id {
        let detail = format!("`from` and `to` are both {}: name two members", from.id);
        return Err(Problem::bad_request(detail));
    }
    let end = |member: &Member| RttEnd { id: member.id, name: member.name.clone() };
    let mut answer = Rtt { from: end(from), to: end(to), rtt_s: None, basis: None, relative_error: None };
    let myself = snapshot.about.id;
    let measured = [(from, to), (to, from)].into_iter().find(|(one, _)| one.id == myself);
    if let Some(rtt) = measured.and_then(|(_, other)| other.rtt) {
        (answer.rtt_s, answer.basis) = (Some(rtt.as_secs_f64()), Some(RttBasis::Measured));
    } else if let (Some(one), Some(other)) = (from.coordinate, to.coordinate) {
        answer.rtt_s = Some(one.round_trip(&other).as_secs_f64());
        answer.basis = Some(RttBasis::Estimated);
        answer.relative_error = Some(api::share(one.error().max(other.error())));
    }
    Ok(answer)
}

/// The one member with this id or name; `key` is the query key that names it.
fn find<'a>(snapshot: &'a Snapshot, key: &str, text: &str) -> Result<&'a Member, Problem> {
    let members = &snapshot.membership.members;
    if let Some(member) = text.parse().ok().and_then(|id| members.get(&id)) {
        return Ok(member);
    }
    let mut named = members.values().filter(|member| member.name.as_str() == text);
    match (named.next(), named.next()) {
        (Some(member), None) => Ok(member),
        (Some(first), Some(second)) => {
            let ids: Vec<_> =
                [first, second].into_iter().chain(named).map(|member| member.id.to_string()).collect();
            let detail = format!(
                "`{key}={text}` is the name of {} members: send one of their ids, {}",
                ids.len(),
                ids.join(", ")
            );
            Err(Problem::new(StatusCode::CONFLICT, detail))
        }
        (None, _) => {
            let remedy = nearest(text, members.values().map(|member| member.name.as_str())).map_or_else(
                || "/v1/members lists names and ids".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let detail = format!("`{key}={text}` is no member's name or id: {remedy}");
            Err(Problem::new(StatusCode::NOT_FOUND, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{http::sample, membership::Coordinate};

    #[test]
    fn what_was_measured_comes_before_what_is_estimated() {
        let (mut snapshot, third) = (sample::snapshot(7), sample::id(3).to_string());
        let asked = |snapshot: &Snapshot, from, to| {
            serde_json::to_value(rtt(snapshot, from, Some(to)).unwrap()).unwrap()
        };
        let end = |number| serde_json::json!({"id": sample::id(number), "name": format!("node-{number}")});
        let measured = serde_json::json!({
            "from": end(1), "to": end(2), "rtt_s": 0.001, "basis": "measured", "relative_error": null,
        });
        assert_eq!(asked(&snapshot, None, "node-2"), measured);
        assert_eq!(asked(&snapshot, Some("node-2"), "node-1")["basis"], "measured");
        let unknown = serde_json::json!({
            "from": end(2), "to": end(3), "rtt_s": null, "basis": null, "relative_error": null,
        });
        assert_eq!(asked(&snapshot, Some("node-2"), &third), unknown);
        let members = &mut Arc::make_mut(&mut snapshot.membership).members;
        // Sample member 2 is 5 ms from the origin and 1 ms high.
        members.get_mut(&sample::id(3)).unwrap().coordinate = Coordinate::new([0.0; 3], 0.002, 0.4).ok();
        let estimated = serde_json::json!({
            "from": end(2), "to": end(3), "rtt_s": 0.008, "basis": "estimated", "relative_error": 0.4,
        });
        assert_eq!(asked(&snapshot, Some("node-2"), "node-3"), estimated);
    }

    #[test]
    fn a_member_that_cannot_be_meant_is_refused() {
        let mut snapshot = sample::snapshot(7);
        let members = &mut Arc::make_mut(&mut snapshot.membership).members;
        Arc::make_mut(&mut members.get_mut(&sample::id(3)).unwrap().metadata).name =
            "node-2".parse().unwrap();
        let (two, three) = (sample::id(2), sample::id(3));
        let conflict = format!("`to=node-2` is the name of 2 members: send one of their ids, {two}, {three}");
        let refused = |from, to| rtt(&snapshot, from, to).unwrap_err();
        assert_eq!(refused(None, Some("node-2")), Problem::new(StatusCode::CONFLICT, conflict));
        let unknown = "`from=node1` is no member's name or id: did you mean `node-1`?";
        assert_eq!(refused(Some("node1"), Some("x")), Problem::new(StatusCode::NOT_FOUND, unknown));
        let unknown = "`to=x` is no member's name or id: /v1/members lists names and ids";
        assert_eq!(refused(None, Some("x")), Problem::new(StatusCode::NOT_FOUND, unknown));
        let same = format!("`from` and `to` are both {}: name two members", sample::id(1));
        assert_eq!(refused(None, Some("node-1")), Problem::bad_request(same));
        let missing = "`to` is missing: send /v1/rtt?to=NAME, or from= and to=";
        assert_eq!(refused(None, None), Problem::bad_request(missing));
    }
}
