//! A network in which the only name server answers as it is told, without a socket.

#![expect(clippy::unwrap_in_result, reason = "what cannot happen should stop the fuzzer")]

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hickory_resolver::{
    Resolver,
    config::ResolverConfig,
    net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime, iocompat::AsyncIoTokioAsStd},
};
use tokio::sync::watch;

use super::{Seeds, answer, found, name_server, spec::Query, tune};
use crate::DiscoverError;

/// The answers, and how many have been sent.
#[derive(Clone)]
struct Network {
    answers: Arc<Vec<Vec<u8>>>,
    sent: Arc<AtomicUsize>,
    handle: TokioHandle,
}

/// A socket and what was last asked over it.
struct Socket {
    network: Network,
    asked: watch::Sender<Option<(Vec<u8>, SocketAddr)>>,
}

/// Asks for a service or a host in a network of these answers: each a length and as many bytes.
pub(crate) fn ask(service: bool, data: &[u8]) -> Result<Seeds, DiscoverError> {
    let mut answers = VecDeque::new();
    let mut rest = data;
    while let [length, more @ ..] = rest {
        let (answer, after) = more.split_at(more.len().min(usize::from(*length) * 4));
        answers.push_back(answer.to_vec());
        rest = after;
    }
    let network =
        Network { answers: Arc::new(answers.into()), sent: Arc::default(), handle: TokioHandle::default() };
    let server = name_server(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(config, network);
    tune(builder.options_mut());
    let name = |text| hickory_resolver::proto::rr::Name::from_ascii(text).expect("it is a name");
    let query = if service {
        Query::Service(name("_a._udp.bad.test."))
    } else {
        Query::Hosts(name("a.bad.test."), None)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without sockets").block_on(async move {
        let resolver = builder.build().map_err(|error| error.to_string());
        answer(match resolver {
            Ok(resolver) => found(&query, &resolver, 7946).await,
            Err(error) => Err(error),
        })
    })
}

/// An answer to `query`: the number of records in each part, then the records; a query that is cut short gets none.
fn reply(query: &[u8], told: &[u8]) -> Option<Vec<u8>> {
    let (flags, told) = told.split_first_chunk::<2>()?;
    let (counts, records) = told.split_first_chunk::<3>()?;
    let question = query.get(12..)?;
    let end = question.iter().position(|byte| *byte == 0)? + 5;
    let [answers, authorities, additionals] = *counts;
    let head = [query.first_chunk::<2>()?.as_slice(), flags].concat();
    let head = [&head[..], &[0, 1, 0, answers, 0, authorities, 0, additionals]].concat();
    Some([&head[..], question.get(..end)?, records].concat())
}

impl DnsUdpSocket for Socket {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let asked = self.asked.borrow().clone();
        let number = self.network.sent.fetch_add(1, Ordering::Relaxed);
        let sent = asked.zip(self.network.answers.get(number)).and_then(|((query, to), told)| {
            let bytes = reply(&query, told)?;
            let length = bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&bytes[..length]);
            Some((length, to))
        });
        // Instead of silence, for which nobody wants to wait.
        Poll::Ready(sent.ok_or_else(|| io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_send_to(&self, _: &mut Context<'_>, query: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.asked.send_replace(Some((query.to_vec(), to)));
        Poll::Ready(Ok(query.len()))
    }
}

type Made<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl RuntimeProvider for Network {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Socket;
    type Tcp = AsyncIoTokioAsStd<tokio::io::DuplexStream>;

    fn create_handle(&self) -> TokioHandle {
        self.handle.clone()
    }

    fn connect_tcp(&self, _: SocketAddr, _: Option<SocketAddr>, _: Option<Duration>) -> Made<Self::Tcp> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn bind_udp(&self, _: SocketAddr, _: SocketAddr) -> Made<Socket> {
        let socket = Socket { network: self.clone(), asked: watch::Sender::new(None) };
        Box::pin(async { Ok(socket) })
    }
}
