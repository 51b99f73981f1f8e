//! The accept loops and the connections: bounded in number, in the time that a request's head may take, and at the end.

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;

use super::{
    HEAD_MAX, HEADERS_MAX,
    host_check::Arrived,
    listener::{Kind, Listener},
};
use crate::accepting::AcceptFailures;

/// How long a client may take to send the head of a request; whoever is slower only occupies a place.
const HEADER_READ_MAX: Duration = Duration::from_secs(10);
/// How long a client may leave an answer unread, which then is given up.
const WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// How long answers may take to finish at the end; with what follows it stays inside the 3 s of a graceful stop.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// An accepted connection.
enum Stream {
    Tcp(TcpStream, Option<IpAddr>),
    Unix(UnixStream),
}

/// Accepts until `stopping`, then lets the answers in flight finish.
pub(super) async fn accept(
    listener: Listener,
    router: Router,
    places: Arc<Semaphore>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let exposed = listener.is_exposed();
    let stop = stopping.clone();
    let mut failures = AcceptFailures::default();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (stream(&listener.0).await, place)
        };
        let (stream, place) = tokio::select! {
            () = told_to_stop(&mut stopping) => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
            next = next => next,
        };
        let (router, stop) = (router.clone(), stop.clone());
        match stream {
            Ok(Stream::Tcp(stream, local)) => connections.spawn(async move {
                let _place = place;
                converse(stream, Arrived { local, exposed }, router, stop).await;
            }),
            Ok(Stream::Unix(stream)) => connections.spawn(async move {
                let _place = place;
                converse(stream, Arrived { local: None, exposed }, router, stop).await;
            }),
            Err(error) => {
                failures.pause("a connection", &error).await;
                continue;
            }
        };
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        tracing::debug!("connections were cut at the end");
    }
}

async fn stream(listener: &Kind) -> io::Result<Stream> {
    match listener {
        Kind::Tcp(listener, _) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let local = stream.local_addr()?.ip();
            Ok(Stream::Tcp(stream, Some(local)))
        }
        Kind::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
    }
}

/// Serves one connection until it ends or the server stops.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    arrived: Arrived,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let routes = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(arrived);
        routes.call(request)
    });
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(WRITE_STALL_MAX));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_MAX)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection broke");
    }
}

/// Completes when the server stops, or is gone.
pub(super) async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    stopping.wait_for(|stopping| *stopping).await.ok();
}
