//! The state that every request can reach, and the wait for a change of it.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    bounds::{Capacity, UNTAKEN_MAX},
    problem::Problem,
    query::{Poll, Query},
    rendered::Rendered,
    settings::settings,
    stopping::Stopping,
};
use crate::{
    api,
    budget::Budget,
    config::Config,
    handle::Handle,
    node::Endpoints,
    servers::{Driver, TlsFiles},
    snapshot::Snapshot,
    token::Token,
};

/// A handle on the agent, and the part of the server that all requests share.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) handle: Handle,
    pub(super) shared: Arc<Shared>,
}

/// State of the server, the same for all requests.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: api::Settings,
    /// A driver of the server beside this agent, if it is of a known kind.
    pub(super) driver: Option<Box<dyn Driver>>,
    pub(super) allow_hosts: Vec<String>,
    pub(super) token: Option<Token>,
    pub(super) capacity: Capacity,
    /// One permit for each request that waits for a change.
    pub(super) polls: Arc<Semaphore>,
    pub(super) rendered: Rendered,
    /// Long answers that clients have not taken yet.
    pub(super) untaken: Arc<Budget>,
    pub(super) stopping: Stopping,
}

impl Shared {
    pub(super) fn new(config: &Config, token: Option<Token>, capacity: Capacity, stopping: Stopping) -> Self {
        Self {
            settings: settings(config),
            driver: config
                .server
                .as_ref()
                .map(|server| server.driver(&Endpoints::new(), &TlsFiles::default())),
            allow_hosts: config.http_allow_hosts.clone(),
            token,
            capacity,
            polls: Arc::new(Semaphore::new(capacity.long_polls)),
            rendered: Rendered::new(),
            untaken: Budget::new("api_bytes", UNTAKEN_MAX, UNTAKEN_MAX),
            stopping,
        }
    }
}

impl Api {
    /// The latest snapshot, or, for a long poll, the first one whose `index` differs from the client's. An index larger
    /// than the current one comes from a previous run of the agent and counts as changed.
    pub(super) async fn snapshot(
        &self,
        query: &Query,
        index: impl Fn(&Snapshot) -> u64,
    ) -> Result<Arc<Snapshot>, Problem> {
        let now = self.handle.snapshot();
        match query.poll()? {
            Some(poll) if index(&now) == poll.index => self.changed(&now, poll, index).await,
            Some(_) | None => Ok(now),
        }
    }

    /// A place among the requests that wait for a change.
    pub(super) fn place_to_wait(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.shared.polls.clone().try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "{} requests wait for a change already: ask again later, or without `index`",
                    self.shared.capacity.long_polls
                ),
            )
        })
    }

    async fn changed(
        &self,
        now: &Snapshot,
        poll: Poll,
        index: impl Fn(&Snapshot) -> u64,
    ) -> Result<Arc<Snapshot>, Problem> {
        let _place = self.place_to_wait()?;
        let another = |next: &Snapshot| {
            index(next) != poll.index || next.joined != now.joined || next.leaving != now.leaving
        };
        tokio::select! {
            changed = self.handle.wait_for(another) => Ok(changed?),
            () = tokio::time::sleep(poll.wait) => Ok(self.handle.snapshot()),
            () = self.shared.stopping.wait() => Ok(self.handle.snapshot()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::sample;

    fn index(snapshot: &Snapshot) -> u64 {
        snapshot.membership.index
    }

    fn query(text: &str) -> Query {
        Query::of(&format!("/?{text}").parse().unwrap(), &[]).unwrap()
    }

    #[tokio::test]
    async fn a_long_poll_wakes_at_the_change() {
        let (api, snapshots, _stop) = sample::api();
        let places = api.shared.capacity.long_polls;
        let query = query("index=7&wait=10m");
        let polled = api.snapshot(&query, index);
        let changed = async {
            while api.shared.polls.available_permits() == places {
                tokio::task::yield_now().await;
            }
            snapshots.send_replace(Arc::new(sample::snapshot(7)));
            snapshots.send_replace(Arc::new(sample::snapshot(8)));
        };
        let (polled, ()) = tokio::join!(polled, changed);
        assert_eq!(polled.unwrap().membership.index, 8);
        assert_eq!(api.shared.polls.available_permits(), places);
    }

    #[tokio::test]
    async fn an_index_that_is_not_the_present_one_is_answered_at_once() {
        let (api, _snapshots, _stop) = sample::api();
        for text in ["index=6&wait=10m", "index=900&wait=10m", ""] {
            assert_eq!(api.snapshot(&query(text), index).await.unwrap().membership.index, 7, "{text}");
        }
    }

    #[tokio::test]
    async fn a_long_poll_ends_with_its_time_and_with_the_server() {
        let (api, _snapshots, stop) = sample::api();
        let waited = api.snapshot(&query("index=7&wait=1ms"), index).await;
        assert_eq!(waited.unwrap().membership.index, 7);
        stop.send_replace(true);
        let ended = api.snapshot(&query("index=7&wait=10m"), index).await;
        assert_eq!(ended.unwrap().membership.index, 7);
    }

    #[tokio::test]
    async fn the_number_of_long_polls_is_bounded() {
        let (api, _snapshots, _stop) = sample::api();
        let places = api.shared.capacity.long_polls;
        let taken = api.shared.polls.try_acquire_many(u32::try_from(places).unwrap());
        let refused = api.snapshot(&query("index=7&wait=10m"), index).await.unwrap_err();
        let detail = "512 requests wait for a change already: ask again later, or without `index`";
        assert_eq!(refused, Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        drop(taken);
    }
}
