//! A network without sockets, whose only name server gives the answers of a fuzzer.

#![expect(clippy::unwrap_in_result, reason = "a broken invariant should stop the fuzzer")]

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

use super::{answer, look_up, name_server, spec::Query, tune};
use crate::discovery::{DiscoverError, Seeds};

/// A network whose name server sends the next answer for each query.
#[derive(Clone)]
struct Network {
    answers: Arc<Vec<Vec<u8>>>,
    /// Number of answers sent.
    sent: Arc<AtomicUsize>,
    handle: TokioHandle,
}

/// A socket in that network.
struct Socket {
    network: Network,
    last: watch::Sender<Option<Sent>>,
}

/// A query as it was sent.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    to: SocketAddr,
}

/// Records that a fuzzer asks for.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// SRV records, and the addresses of their targets.
    Service,
    /// A and AAAA records.
    Host,
}

/// Polls a network of these answers, each a length (in fours of bytes) and as many bytes.
pub(crate) fn ask(asked: Asked, data: &[u8]) -> Result<Seeds, DiscoverError> {
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
    let query = match asked {
        Asked::Service => Query::Service(name("_a._udp.bad.test.")),
        Asked::Host => Query::Hosts(name("a.bad.test."), None),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without sockets").block_on(async move {
        let resolver = builder.build().map_err(|error| error.to_string());
        answer(match resolver {
            Ok(resolver) => look_up(&query, &resolver, 7946).await,
            Err(error) => Err(error),
        })
    })
}

/// Makes the reply to a query of an answer: flags, the number of records in each of three sections, and the records. An
/// answer that is too short for those makes none.
fn reply(query: &[u8], answer: &[u8]) -> Option<Vec<u8>> {
    let (flags, rest) = answer.split_first_chunk::<2>()?;
    let (counts, records) = rest.split_first_chunk::<3>()?;
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
        let last = self.last.borrow().clone();
        let number = self.network.sent.fetch_add(1, Ordering::Relaxed);
        let sent = last.zip(self.network.answers.get(number)).and_then(|(query, answer)| {
            let bytes = reply(&query.bytes, answer)?;
            let length = bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&bytes[..length]);
            Some((length, query.to))
        });
        // An error in place of silence, which would take a time-out for each query.
        Poll::Ready(sent.ok_or_else(|| io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_send_to(&self, _: &mut Context<'_>, query: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.last.send_replace(Some(Sent { bytes: query.to_vec(), to }));
        Poll::Ready(Ok(query.len()))
    }
}

/// A future of the traits that hickory asks for.
type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl RuntimeProvider for Network {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Socket;
    type Tcp = AsyncIoTokioAsStd<tokio::io::DuplexStream>;

    fn create_handle(&self) -> TokioHandle {
        self.handle.clone()
    }

    fn connect_tcp(&self, _: SocketAddr, _: Option<SocketAddr>, _: Option<Duration>) -> Pending<Self::Tcp> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn bind_udp(&self, _: SocketAddr, _: SocketAddr) -> Pending<Socket> {
        let socket = Socket { network: self.clone(), last: watch::Sender::new(None) };
        Box::pin(async { Ok(socket) })
    }
}
