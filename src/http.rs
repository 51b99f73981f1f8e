//! The local HTTP API: it reads snapshots and sends requests through a `Handle`, and knows nothing else of the agent.

mod about;
mod act;
mod answer;
mod body;
mod discovery;
mod events;
mod founding;
mod host_check;
mod keys;
mod listener;
mod members;
mod metrics;
mod problem;
mod query;
mod quorum;
mod rtt;
#[cfg(test)]
mod sample;
mod server;
mod token_check;
mod ui;

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    middleware,
    response::Redirect,
    routing::{get, post, put},
};
use chronik_providers::nearest;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

pub use self::listener::{BindError, Listener, bind};
use self::problem::Problem;
use crate::{api, config::Config, descriptors, handle::Handle, token::Token};

/// Carries the index of an answer, for the next long poll.
pub const INDEX_HEADER: &str = "x-chronik-index";

/// Bytes in the body of a request: the longest list of addresses to join takes about 4 KiB.
const BODY_MAX: usize = 64 * 1024;
/// How long that body may take, as long as the head of a request.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Addresses in one join.
const JOIN_ADDRS_MAX: usize = 64;
/// Bytes in the head of a request: a long query and a token take about 2 KiB, the cookies that a browser has for
/// `localhost` some more.
const HEAD_MAX: usize = 16 * 1024;
/// Headers in it.
const HEADERS_MAX: usize = 64;
/// Open connections over all listeners of one kind, for this host and for others; more wait in the system's queue. Two
/// kinds, so that others never shut out the server beside the agent.
const CONNECTIONS_MAX: usize = 1024;
/// One in so many file descriptors may be a connection of one kind: gossip and the state directory need theirs.
const CONNECTION_SHARE: u64 = 4;
/// Requests that wait for a change: half of the connections, so that waiting never shuts out asking.
const LONG_POLLS_MAX: usize = 512;
/// The longest wait for a change, as in Consul's blocking queries.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// The wait where only an index is given: shorter than the idle time-outs of common proxies (60 s).
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// What every request can reach.
#[derive(Debug, Clone)]
struct Api {
    handle: Handle,
    shared: Arc<Shared>,
}

/// What does not change while the server runs.
#[derive(Debug)]
struct Shared {
    settings: api::Settings,
    allow_hosts: Vec<String>,
    token: Option<Token>,
    connections: usize,
    polls: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// Answers on all `listeners`, where some things need the `token`, until `shutdown` completes, then ends long polls, lets answers in flight finish, and
/// removes socket files. Returns early only where a listener's task fails.
pub async fn serve(
    listeners: Vec<Listener>,
    handle: Handle,
    config: &Config,
    token: Option<Token>,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let connections = connections_max(descriptors::allowed());
    let shared = Arc::new(Shared {
        settings: about::settings(config),
        allow_hosts: config.http_allow_hosts.clone(),
        token,
        connections,
        polls: Arc::new(Semaphore::new(LONG_POLLS_MAX.min(connections / 2))),
        stopping: stopping.clone(),
    });
    let router = router(Api { handle, shared });
    let places = || Arc::new(Semaphore::new(connections));
    let (ours, others) = (places(), places());
    let mut loops = JoinSet::new();
    for listener in listeners {
        tracing::info!(at = %listener.addr(), "the API listens");
        let places = if listener.is_exposed() { &others } else { &ours };
        loops.spawn(server::accept(listener, router.clone(), places.clone(), stopping.clone()));
    }
    tokio::select! {
        () = shutdown => {}
        Some(ended) = loops.join_next() => tracing::error!(?ended, "a listener ended"),
    }
    stop.send_replace(true);
    while loops.join_next().await.is_some() {}
}

fn connections_max(descriptors: u64) -> usize {
    usize::try_from(descriptors / CONNECTION_SHARE).unwrap_or(CONNECTIONS_MAX).min(CONNECTIONS_MAX)
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/members", get(members::get))
        .route("/v1/rtt", get(rtt::get))
        .route("/v1/self", get(about::myself))
        .route("/v1/quorum", get(quorum::get))
        .route("/v1/bootstrap", get(founding::get))
        .route("/v1/bootstrap/established", put(founding::established))
        .route("/v1/bootstrap/override", post(founding::override_founders))
        .route("/v1/bootstrap/reset", post(founding::reset))
        .route("/v1/server", put(founding::server))
        .route("/v1/discovery", get(discovery::get))
        .route("/v1/events", get(events::get))
        .route("/v1/info", get(about::info))
        .route("/v1/join", post(act::join))
        .route("/v1/leave", post(act::leave))
        .route("/v1/keys", get(keys::list))
        .route("/v1/keys/install", post(keys::install))
        .route("/v1/keys/use", post(keys::send_with))
        .route("/v1/keys/remove", post(keys::remove))
        .route("/livez", get(about::livez))
        .route("/readyz", get(about::readyz))
        .route("/metrics", get(metrics::get))
        .route("/ui", get(ui::get))
        .route("/", get(|| async { Redirect::temporary("/ui") }))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), token_check::check))
        .layer(middleware::from_fn_with_state(api.clone(), host_check::check))
        .with_state(api)
}

/// For the remedy of a mistyped path.
const PATHS: [&str; 18] = [
    "/v1/members",
    "/v1/rtt",
    "/v1/self",
    "/v1/quorum",
    "/v1/bootstrap",
    "/v1/bootstrap/established",
    "/v1/bootstrap/override",
    "/v1/bootstrap/reset",
    "/v1/server",
    "/v1/discovery",
    "/v1/events",
    "/v1/info",
    "/v1/join",
    "/v1/leave",
    "/livez",
    "/readyz",
    "/metrics",
    "/ui",
];

async fn unknown_path(uri: Uri) -> Problem {
    let path = uri.path();
    let remedy = nearest(path, PATHS)
        .map_or_else(|| format!("there are {}", PATHS.join(", ")), |near| format!("did you mean {near}?"));
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}: {remedy}"))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path = uri.path();
    let detail = format!("{path} does not take {method}: the `Allow` header says what it takes");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
