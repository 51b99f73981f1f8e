//! The table of routes: the router, the remedy for an unknown path, and the table in README.md follow from it.

use std::future::ready;

use axum::{
    Router,
    handler::Handler,
    http::{Method, StatusCode, Uri},
    middleware,
    response::Redirect,
    routing::{self, MethodRouter},
};
use chronik_providers::nearest;

use super::{
    about, act, discovery, events, founding, host_check, keys, members, metrics, problem::Problem, quorum,
    rtt, state::Api, token_check, ui, untaken, voters,
};

/// One endpoint: a method on a path.
struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "for README.md, which a test compares"))]
    method: Method,
    path: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for README.md, which a test compares"))]
    meaning: &'static str,
    handler: MethodRouter<Api>,
}

/// A `GET` route, which answers `HEAD` as well.
fn get<T: 'static>(path: &'static str, meaning: &'static str, handler: impl Handler<T, Api>) -> Route {
    Route { method: Method::GET, path, meaning, handler: routing::get(handler) }
}

fn put<T: 'static>(path: &'static str, meaning: &'static str, handler: impl Handler<T, Api>) -> Route {
    Route { method: Method::PUT, path, meaning, handler: routing::put(handler) }
}

fn post<T: 'static>(path: &'static str, meaning: &'static str, handler: impl Handler<T, Api>) -> Route {
    Route { method: Method::POST, path, meaning, handler: routing::post(handler) }
}

fn delete<T: 'static>(path: &'static str, meaning: &'static str, handler: impl Handler<T, Api>) -> Route {
    Route { method: Method::DELETE, path, meaning, handler: routing::delete(handler) }
}

/// The routes about the agents and the founding.
fn members() -> Vec<Route> {
    vec![
        get("/v1/members", "the members: status, address, role, tags, endpoints, round trip", members::get),
        delete(
            "/v1/members/{id}",
            "an operator forgets a failed or left member: it is gone from every view until it shows that it lives",
            act::forget,
        ),
        get("/v1/rtt", "the round trip between two members", rtt::get),
        get("/v1/self", "this agent: its id, addresses and server", about::myself),
        get("/v1/quorum", "the quorum as this agent sees it", quorum::get),
        get("/v1/bootstrap", "the decision: what the server is to do", founding::get),
        put(
            "/v1/bootstrap/established",
            "the server reports that its group exists, and who votes in it; the highest index wins",
            founding::established,
        ),
        delete("/v1/bootstrap/established", "the server takes that report back", founding::retract),
        post(
            "/v1/bootstrap/override",
            "an operator names the founders, against what is known",
            founding::override_founders,
        ),
        post(
            "/v1/bootstrap/reset",
            "an operator has the agent start over as a new node, or says that a cluster is over",
            founding::reset,
        ),
        post("/v1/bootstrap/resolve", "an operator says which of two clusters is meant", founding::resolve),
        post("/v1/bootstrap/vouch", "an operator says that an agent is gone for good", founding::vouch),
    ]
}

/// The routes about the members of the servers' own group.
fn voters() -> Vec<Route> {
    vec![
        get(
            "/v1/voters",
            "the members of the servers' own group, where --server is set, and who waits to be one",
            voters::get,
        ),
        post(
            "/v1/voters/add",
            "an operator has a blank server admitted; the plan first, and each step with its ticket",
            voters::add,
        ),
        post(
            "/v1/voters/remove",
            "an operator has a member taken off the list, in the same way",
            voters::remove,
        ),
        post(
            "/v1/voters/replace",
            "an operator gives a voter's place to another, in the same way",
            voters::replace,
        ),
        post(
            "/v1/voters/recover",
            "a majority is lost: the server of this agent is the only voter from now on",
            voters::recover,
        ),
    ]
}

/// All routes, in the order in which README.md and the answer to an unknown path list them.
fn routes() -> Vec<Route> {
    let mut routes = members();
    routes.extend(voters());
    routes.extend(vec![
        put(
            "/v1/server",
            "the server reports who it is and whether it holds data; repeated every 10 s, it is its heartbeat",
            founding::server,
        ),
        get("/v1/discovery", "the last answer of each provider", discovery::get),
        get("/v1/events", "changes as Server-Sent Events", events::get),
        get("/v1/info", "version, configuration, limits, encryption and counters", about::info),
        post("/v1/join", "contact these addresses now, and keep them as seeds", act::join),
        post("/v1/leave", "say goodbye and stop", act::leave),
        get("/v1/keys", "the keys of every member, by their ids", keys::list),
        post(
            "/v1/keys/install",
            "every member gets one more key, which it understands and does not send with yet",
            keys::install,
        ),
        post("/v1/keys/use", "every member sends with this key, which all must have", keys::use_key),
        post("/v1/keys/remove", "every member forgets this key", keys::remove),
        get("/livez", "the process runs", about::livez),
        get(
            "/readyz",
            "the API answers and the agent is not leaving; never: there is a quorum",
            about::readyz,
        ),
        get("/metrics", "metrics for Prometheus", metrics::get),
        get("/ui", "a page to look at", ui::get),
    ]);
    routes
}

/// The router, with the checks of host and token before every answer.
pub(super) fn router(api: Api) -> Router {
    let routes = routes();
    let paths: Vec<_> = routes.iter().map(|route| route.path).collect();
    let router = routes
        .into_iter()
        .fold(Router::new(), |router, Route { path, handler, .. }| router.route(path, handler));
    router
        .route("/", routing::get(|| async { Redirect::temporary("/ui") }))
        .fallback(move |uri: Uri| ready(unknown_path(uri.path(), &paths)))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), untaken::check))
        .layer(middleware::from_fn_with_state(api.clone(), token_check::check))
        .layer(middleware::from_fn_with_state(api.clone(), host_check::check))
        .with_state(api)
}

fn unknown_path(path: &str, paths: &[&str]) -> Problem {
    let remedy = nearest(path, paths.iter().copied())
        .map_or_else(|| format!("there are {}", paths.join(", ")), |near| format!("did you mean {near}?"));
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}: {remedy}"))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path = uri.path();
    let detail = format!("{path} does not take {method}: the `Allow` header says what it takes");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of README's table of paths: method and path, and the meaning. An example of the body may follow the path.
    fn rows(readme: &str) -> Vec<(&str, &str)> {
        let (_, table) = readme.split_once("| path | answers |\n|---|---|\n").unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        rows.map(|line| {
            let (first, meaning) = line.trim_matches(['|', ' ']).split_once(" | ").unwrap();
            (first.split('`').nth(1).unwrap(), meaning)
        })
        .collect()
    }

    #[test]
    fn the_readme_lists_every_route() {
        let routes = routes();
        let expected: Vec<_> =
            routes.iter().map(|route| (format!("{} {}", route.method, route.path), route.meaning)).collect();
        let found = rows(include_str!("../../README.md"));
        let found: Vec<_> = found.into_iter().map(|(route, meaning)| (route.to_owned(), meaning)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_unknown_path_is_told_the_nearest_or_all() {
        let paths = ["/v1/keys", "/v1/keys/install"];
        for (path, detail) in [
            ("/v1/keyz", "there is nothing at /v1/keyz: did you mean /v1/keys?"),
            ("/x", "there is nothing at /x: there are /v1/keys, /v1/keys/install"),
        ] {
            assert_eq!(unknown_path(path, &paths), Problem::new(StatusCode::NOT_FOUND, detail));
        }
    }
}
