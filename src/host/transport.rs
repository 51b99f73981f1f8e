//! The sockets: UDP and TCP on one port. Datagrams go in and out as they are; a stream carries one frame each way, its
//! length in four bytes before it.

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest, unix::AsyncFd},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, SemaphorePermit, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::{
    accepting::AcceptFailures,
    descriptors,
    gossip::{Dial, ExchangeId, NoAnswer},
    wire::MAX_FRAME,
};

/// How long a connection may take to be made: three round trips and a lost packet between continents.
const CONNECT_WITHIN: Duration = Duration::from_millis(1_500);
/// How long a whole exchange may take; the state of 10,000 members is below 10 MB.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);
/// Streams that others may have open at once; more wait to be accepted.
const MAX_ACCEPTED: usize = 256;
/// Of these, from one host. Members need one or two at a time; what is behind one address, of translated networks too, is
/// so held to a quarter and can not keep all the others waiting.
const MAX_OF_ONE: usize = 64;
/// One in so many file descriptors may be such a stream: the API and the state directory need theirs.
const STREAM_SHARE: u64 = 4;
/// What the kernel is asked to hold of datagrams that are not taken in yet; it allows twice as much, for its own records.
/// That is 1,365 small ones. By itself it holds 277, which is 3 ms of a flood of 100,000 a second, and a process waits
/// longer than that for a busy processor. A much larger one would make answers to probes late where a flood fills it.
const RECEIVE_BUFFER: usize = 512 << 10;
/// What strangers' frames may take of the memory together, beyond the first piece of each: enough for four clusters of
/// 10,000, and far below what a host that runs a server can spare.
const FRAME_BUDGET: usize = 32 << 20;
/// Frames are read in pieces of this size. The first of each is free: nearly all frames are smaller.
const PIECE: usize = 64 << 10;

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "--bind {addr}: cannot listen on {protocol}: {error}; another agent may run here: choose another --bind"
)]
pub struct BindError {
    addr: SocketAddr,
    protocol: &'static str,
    error: io::Error,
}

/// The two sockets, on one port.
#[derive(Debug)]
pub struct Sockets {
    /// For datagrams.
    pub datagrams: Datagrams,
    /// For streams.
    pub tcp: TcpListener,
    /// The address they share.
    pub addr: SocketAddr,
}

/// Binds both sockets to `addr`. Where its port is 0, the system chooses one that is free for both.
///
/// # Errors
/// Names the address and the protocol.
pub async fn bind(addr: SocketAddr) -> Result<Sockets, BindError> {
    let failed = |protocol| move |error| BindError { addr, protocol, error };
    let tcp = TcpListener::bind(addr).await.map_err(failed("TCP"))?;
    let bound = tcp.local_addr().map_err(failed("TCP"))?;
    let datagrams = Datagrams::bind(bound).map_err(failed("UDP"))?;
    Ok(Sockets { datagrams, tcp, addr: bound })
}

/// A socket for datagrams. It is not watched for whether it can be written to, as one of the runtime's own is: that would
/// wake the task once more for each datagram sent.
#[derive(Debug)]
pub struct Datagrams(AsyncFd<UdpSocket>);

impl Datagrams {
    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        enlarge_buffer(&socket);
        descriptors::watch(socket).map(Self)
    }

    /// Completes once there may be a datagram.
    pub async fn readable(&self) {
        if self.0.readable().await.is_err() {
            // The runtime is being shut down.
            pending().await
        }
    }

    /// Takes in the next datagram: its length, and where it came from.
    ///
    /// # Errors
    /// `WouldBlock` where none waits; else what happened to one that was sent earlier.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_io(Interest::READABLE, |socket| socket.recv_from(buffer))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` where its buffer is full.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.get_ref().send_to(datagram, to)
    }
}

/// Has the kernel hold more datagrams, as far as it lets us.
fn enlarge_buffer(udp: &UdpSocket) {
    let asked = sockopt::set_socket_recv_buffer_size(udp, RECEIVE_BUFFER);
    match asked.and_then(|()| sockopt::socket_recv_buffer_size(udp)) {
        Ok(bytes) if bytes / 2 >= RECEIVE_BUFFER => {}
        Ok(bytes) => tracing::debug!(
            bytes = bytes / 2,
            wanted = RECEIVE_BUFFER,
            "the socket's buffer is small: raise net.core.rmem_max where datagrams are lost"
        ),
        Err(error) => tracing::debug!(%error, "the socket's buffer stays as it is"),
    }
}

/// A frame that somebody sent over a stream of his, and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// Who.
    pub from: SocketAddr,
    /// What.
    pub frame: Bytes,
    /// The answer; dropped where there is none.
    pub reply: oneshot::Sender<Bytes>,
}

/// Accepts streams and hands their frames on, for ever.
pub async fn accept(listener: TcpListener, requests: mpsc::Sender<Request>) {
    let share = usize::try_from(descriptors::allowed() / STREAM_SHARE).unwrap_or(MAX_ACCEPTED);
    let places = Arc::new(Semaphore::new(share.min(MAX_ACCEPTED)));
    let mut failures = AcceptFailures::default();
    let pieces = Arc::new(Semaphore::new(FRAME_BUDGET / PIECE));
    let mut hosts = Hosts::default();
    let mut streams = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                let host = from.ip();
                while let Some(Ok(host)) = streams.try_join_next() {
                    hosts.give_back(host);
                }
                if !hosts.take(host) {
                    tracing::debug!(%from, "stream closed: {MAX_OF_ONE} of that host are open");
                    continue;
                }
                let (requests, pieces) = (requests.clone(), pieces.clone());
                streams.spawn(async move {
                    let _place = place;
                    if let Err(error) =
                        timeout(EXCHANGE_WITHIN, answer(stream, from, requests, &pieces)).await
                    {
                        tracing::debug!(%from, %error, "stream given up");
                    }
                    host
                });
            }
            Err(error) => {
                failures.pause("a stream", &error).await;
            }
        }
    }
}

/// How many streams each host has open.
#[derive(Debug, Default)]
struct Hosts(BTreeMap<IpAddr, usize>);

impl Hosts {
    /// Takes one more place; false where the host has its share.
    fn take(&mut self, host: IpAddr) -> bool {
        let taken = self.0.entry(host).or_default();
        let free = *taken < MAX_OF_ONE;
        *taken += usize::from(free);
        free
    }

    /// Gives one back.
    fn give_back(&mut self, host: IpAddr) {
        if let Some(taken) = self.0.get_mut(&host) {
            *taken -= 1;
            if *taken == 0 {
                self.0.remove(&host);
            }
        }
    }
}

async fn answer(
    mut stream: TcpStream,
    from: SocketAddr,
    requests: mpsc::Sender<Request>,
    pieces: &Semaphore,
) {
    let length = match stream.read_u32().await {
        Ok(length) => length as usize,
        // Somebody looked whether the port is open.
        Err(error) => return tracing::debug!(%from, %error, "no frame"),
    };
    let mut held = Vec::new();
    let frame = match read_frame(&mut stream, length, Some((pieces, &mut held))).await {
        Ok(frame) => frame,
        Err(error) => {
            tracing::debug!(%from, %error, "no frame");
            // Refused and counted with everything else that is not ours.
            Bytes::new()
        }
    };
    let (reply, answered) = oneshot::channel();
    if requests.send(Request { from, frame, reply }).await.is_err() {
        return;
    }
    if let Ok(answer) = answered.await
        && let Err(error) = write_frame(&mut stream, &answer).await
    {
        tracing::debug!(%from, %error, "answer not sent");
    }
}

/// Opens a stream from `source`, where that is an address and not any, writes the frame and reads the answer.
pub async fn dial(dial: Dial, source: IpAddr) -> (ExchangeId, Result<Bytes, NoAnswer>) {
    let exchange = async {
        let connected = timeout(CONNECT_WITHIN, connect(dial.to, source)).await;
        let mut stream = connected
            .map_err(|_| failed(format!("no connection within {CONNECT_WITHIN:?}")))?
            .map_err(reason)?;
        stream.set_nodelay(true).map_err(reason)?;
        write_frame(&mut stream, &dial.frame).await.map_err(reason)?;
        let length = stream.read_u32().await.map_err(reason)? as usize;
        read_frame(&mut stream, length, None).await.map_err(reason)
    };
    let answer = timeout(EXCHANGE_WITHIN, exchange).await;
    (dial.exchange, answer.unwrap_or_else(|_| Err(failed(format!("no answer within {EXCHANGE_WITHIN:?}")))))
}

/// From the address that datagrams come from, so that firewalls and other members see one host.
async fn connect(to: SocketAddr, source: IpAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !source.is_unspecified() && source.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(to).await
}

/// What the system said, in words that help.
fn reason(error: io::Error) -> NoAnswer {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        NoAnswer::Refused
    } else if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
        NoAnswer::Closed
    } else if error.kind() == io::ErrorKind::InvalidData {
        failed("something else than gossip answers there: give the port of --bind, not that of --http")
    } else {
        failed(error.kind().to_string())
    }
}

fn failed(why: impl Into<String>) -> NoAnswer {
    NoAnswer::Failed(why.into())
}

async fn write_frame(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut bytes = Vec::with_capacity(4 + frame.len());
    bytes.extend(length.to_be_bytes());
    bytes.extend(frame);
    stream.write_all(&bytes).await
}

/// The memory that frames share, and what one of them holds of it.
type Share<'a, 'b> = Option<(&'a Semaphore, &'b mut Vec<SemaphorePermit<'a>>)>;

/// Reads a frame of `length` bytes. Its memory grows as bytes arrive, so that a stranger's claim of a length reserves
/// nothing, and waits for its share where there is one.
async fn read_frame(stream: &mut TcpStream, length: usize, mut share: Share<'_, '_>) -> io::Result<Bytes> {
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    let mut frame = Vec::new();
    while frame.len() < length {
        if let Some((pieces, held)) = &mut share
            && !frame.is_empty()
        {
            held.push(pieces.acquire().await.map_err(io::Error::other)?);
        }
        let piece = PIECE.min(length - frame.len());
        frame.reserve_exact(piece);
        let before = frame.len();
        (&mut *stream).take(piece as u64).read_to_end(&mut frame).await?;
        if frame.len() < before + piece {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.into())
}
