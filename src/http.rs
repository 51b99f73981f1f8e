//! The local HTTP API: it reads snapshots and sends requests through a `Handle`, and knows nothing else of the agent.

mod about;
mod act;
mod answer;
mod body;
mod bounds;
mod discovery;
mod events;
mod founding;
mod group;
mod host_check;
mod json;
mod keys;
mod listener;
mod members;
mod metrics;
mod offers;
mod problem;
mod query;
mod quorum;
mod rendered;
mod routes;
mod rtt;
#[cfg(test)]
mod sample;
mod server;
mod settings;
mod state;
mod stopping;
mod token_check;
mod ui;
mod untaken;
mod voters;

use std::{future::Future, sync::Arc};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

pub use self::listener::{BindError, Listener, bind};
use self::{
    bounds::Capacity,
    listener::Reach,
    state::{Api, Shared},
    stopping::Stopping,
};
use crate::{config::Config, descriptors, handle::Handle, token::Token};

/// Answers on all `listeners` until `shutdown` completes, then ends long polls, lets answers in flight finish, and
/// removes socket files. Clients need the `token`, if there is one, to change something and on exposed listeners.
/// Returns early only if a listener's task fails.
pub async fn serve(
    listeners: Vec<Listener>,
    handle: Handle,
    config: &Config,
    token: Option<Token>,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let stopping = Stopping::new(stopping);
    let capacity = Capacity::of(descriptors::allowed());
    let shared = Arc::new(Shared::new(config, token, capacity, stopping.clone()));
    let router = routes::router(Api { handle, shared });
    let places = || Arc::new(Semaphore::new(capacity.connections));
    let (local, exposed) = (places(), places());
    let mut loops = JoinSet::new();
    for listener in listeners {
        tracing::info!(at = %listener.addr(), "the API listens");
        let places = match listener.reach() {
            Reach::Local => &local,
            Reach::Exposed => &exposed,
        };
        loops.spawn(server::accept(listener, router.clone(), places.clone(), stopping.clone()));
    }
    tokio::select! {
        () = shutdown => {}
        Some(ended) = loops.join_next() => tracing::error!(?ended, "a listener ended"),
    }
    stop.send_replace(true);
    while loops.join_next().await.is_some() {}
}
