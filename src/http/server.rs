//! The accept loops and their connections: bounded in number, in time, and at the end.

use std::{pin::pin, sync::Arc};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;

use super::{
    bounds::{DRAIN_MAX, HEAD_MAX, HEAD_WITHIN, HEADERS_MAX, WRITE_STALL_MAX},
    listener::{Arrival, Listener, Stream},
    stopping::Stopping,
};
use crate::accepting::AcceptFailures;

/// Accepts connections, each of which takes one of the `places`, until the server stops; then lets the answers in flight
/// finish.
pub(super) async fn accept(listener: Listener, router: Router, places: Arc<Semaphore>, stopping: Stopping) {
    let mut connections = JoinSet::new();
    let mut failures = AcceptFailures::default();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = stopping.wait() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
            next = next => next,
        };
        let (stream, arrival) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                failures.pause("a connection", &error).await;
                continue;
            }
        };
        let (router, stopping) = (router.clone(), stopping.clone());
        connections.spawn(async move {
            let _place = place;
            match stream {
                Stream::Tcp(stream) => converse(stream, arrival, router, stopping).await,
                Stream::Unix(stream) => converse(stream, arrival, router, stopping).await,
            }
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        tracing::debug!("connections were cut at the end");
    }
}

/// Serves one connection until it ends or the server stops.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    arrival: Arrival,
    router: Router,
    stopping: Stopping,
) {
    let routes = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(arrival);
        routes.call(request)
    });
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(WRITE_STALL_MAX));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection broke");
    }
}
