//! The sockets: UDP and TCP on one port. Datagrams go in and out as they are; a stream carries one frame each way, its
//! length in four bytes before it.

use std::{
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
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::{
    accepting::AcceptFailures,
    budget::{Budget, Held, Use},
    descriptors,
    gossip::{Dial, ExchangeId, NoAnswer},
    wire::MAX_FRAME,
};

/// Time to make a connection: three round trips and a lost packet between continents.
const CONNECT_WITHIN: Duration = Duration::from_millis(1_500);
/// Time for a whole exchange; the state of 10,000 members is below 10 MB.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);
/// Number of streams that others may have open at once; more wait to be accepted.
const MAX_ACCEPTED: usize = 256;
/// Number of these that may come from one host. Members need one or two at a time; all that is behind one address, a
/// translated network too, is so held to a quarter and cannot keep the others waiting.
const MAX_OF_ONE: usize = 64;
/// Divisor of the limit of file descriptors: a quarter may be such streams, because the API and the state directory need
/// theirs.
const STREAM_SHARE: u64 = 4;
/// Bytes of datagrams that the kernel is asked to hold until they are taken in; it allows twice as much, for its own
/// records. That is 1,365 small ones. By default it holds 277, which is 3 ms of a flood of 100,000 a second, and a process
/// waits longer than that for a busy processor. A much larger buffer would make answers to probes late while a flood fills
/// it.
const RECEIVE_BUFFER: usize = 512 << 10;
/// Bytes of memory for all frames that come in, of strangers and in answer, beyond the first of each: three that are as long as may
/// be, and far less than a host that runs a server can spare. One source may have a third.
const FRAMES: usize = 3 * MAX_FRAME;
/// Bytes of memory for all answers that others have not taken yet; one source may have half.
const ANSWERS: usize = 2 * MAX_FRAME;
/// First bytes of a frame, which are free: nearly all frames are smaller.
const FREE: usize = 4 << 10;
/// Size of the pieces in which the rest is read and written.
const PIECE: usize = 64 << 10;
/// Time for one piece: whoever is slower than 64 KB a second gives back what it holds.
const PIECE_WITHIN: Duration = Duration::from_secs(1);

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

/// The two sockets that share a port.
#[derive(Debug)]
pub struct Sockets {
    /// For datagrams.
    pub datagrams: Datagrams,
    /// For streams.
    pub tcp: TcpListener,
    /// The address they share.
    pub addr: SocketAddr,
}

/// Binds both sockets to `addr`. If its port is 0, the system chooses one that is free for both.
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

/// A socket for datagrams. Unlike the runtime's own it is watched for reading only: watching for writing would wake the
/// task once more for each datagram sent.
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
            // An error means that the runtime is being shut down.
            pending().await
        }
    }

    /// Takes in the next datagram: its length, and its sender.
    ///
    /// # Errors
    /// `WouldBlock` if none waits; else the fate of one that was sent earlier.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_io(Interest::READABLE, |socket| socket.recv_from(buffer))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// The system's; `WouldBlock` if its buffer is full.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.get_ref().send_to(datagram, to)
    }
}

/// Enlarges the kernel's buffer of the socket, as far as it allows.
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

/// A frame as it came, in pieces: many long ones wait in pieces of one size, which leave no holes in memory, and one at a time is
/// put together.
#[derive(Debug, Default)]
pub struct Frame(Vec<Vec<u8>>);

impl Frame {
    /// The whole of it.
    pub fn whole(mut self) -> Vec<u8> {
        if self.0.len() == 1 { self.0.pop().unwrap_or_default() } else { self.0.concat() }
    }
}

/// A frame that came over a stream of another agent, and the way back for its answer.
#[derive(Debug)]
pub struct Request {
    /// The other end of the stream.
    pub from: SocketAddr,
    /// The frame.
    pub frame: Frame,
    /// Takes the answer; dropped if there is none.
    pub reply: oneshot::Sender<Answer>,
    /// Memory that the frame takes until it is handled.
    pub(crate) held: Option<Held>,
}

/// An answer, and the memory that it takes until it is written.
#[derive(Debug)]
pub struct Answer {
    frame: Bytes,
    _held: Held,
}

/// The answer to a dial, and the memory that it takes until it is handled.
#[derive(Debug)]
pub struct Dialled {
    /// The dial.
    pub exchange: ExchangeId,
    /// The frame, or the reason for which there is none.
    pub answer: Result<Frame, NoAnswer>,
    /// Memory that the frame takes until it is handled.
    pub(crate) held: Option<Held>,
}

/// Accounts of what others may have of the streams.
#[derive(Debug, Clone)]
pub struct Budgets {
    frames: Arc<Budget>,
    answers: Arc<Budget>,
    streams: Arc<Budget>,
}

impl Default for Budgets {
    fn default() -> Self {
        let share = usize::try_from(descriptors::allowed() / STREAM_SHARE).unwrap_or(MAX_ACCEPTED);
        Self {
            frames: Budget::new("frames_bytes", FRAMES, MAX_FRAME),
            answers: Budget::new("answers_bytes", ANSWERS, MAX_FRAME),
            streams: Budget::new("streams", share.min(MAX_ACCEPTED), MAX_OF_ONE),
        }
    }
}

impl Budgets {
    /// An answer to a source, if that has not left too many untaken.
    pub(crate) fn answer(&self, to: IpAddr, frame: Bytes) -> Option<Answer> {
        let held = self.answers.take(to, frame.len().saturating_sub(FREE)).ok()?;
        Some(Answer { frame, _held: held })
    }

    /// State of each.
    pub fn use_now(&self) -> [Use; 3] {
        [&self.frames, &self.answers, &self.streams].map(|budget| budget.use_now())
    }
}

/// Accepts streams and hands their frames on, for ever.
pub async fn accept(listener: TcpListener, requests: mpsc::Sender<Request>, budgets: Budgets) {
    let places = Arc::new(Semaphore::new(budgets.streams.use_now().limit));
    let mut failures = AcceptFailures::default();
    let mut streams = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        while streams.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                let Ok(counted) = budgets.streams.take(from.ip(), 1) else { continue };
                let (requests, budgets) = (requests.clone(), budgets.clone());
                streams.spawn(async move {
                    let _place = (place, counted);
                    if let Err(error) =
                        timeout(EXCHANGE_WITHIN, answer(stream, from, requests, &budgets)).await
                    {
                        tracing::debug!(%from, %error, "stream given up");
                    }
                });
            }
            Err(error) => {
                failures.pause("a stream", &error).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, from: SocketAddr, requests: mpsc::Sender<Request>, budgets: &Budgets) {
    let length = match stream.read_u32().await {
        Ok(length) => length as usize,
        // The caller only looked if the port is open.
        Err(error) => return tracing::debug!(%from, %error, "no frame"),
    };
    let (frame, held) = match read_frame(&mut stream, length, from.ip(), &budgets.frames).await {
        Ok(read) => read,
        Err(error) => {
            tracing::debug!(%from, %error, "no frame");
            // An empty frame is refused, and counted with all that is not ours.
            (Frame::default(), None)
        }
    };
    let (reply, answered) = oneshot::channel();
    if requests.send(Request { from, frame, reply, held }).await.is_err() {
        return;
    }
    let Ok(answer) = answered.await else { return };
    if let Err(error) = write_frame(&mut stream, &answer.frame).await {
        tracing::debug!(%from, %error, "answer not sent");
    }
}

/// Opens a stream, from `source` unless that is unspecified, writes the frame and reads the answer.
pub async fn dial(dial: Dial, source: IpAddr, budgets: Budgets) -> Dialled {
    let exchange = async {
        let connected = timeout(CONNECT_WITHIN, connect(dial.to, source)).await;
        let mut stream = connected
            .map_err(|_| failed(format!("no connection within {CONNECT_WITHIN:?}")))?
            .map_err(reason)?;
        stream.set_nodelay(true).map_err(reason)?;
        write_frame(&mut stream, &dial.frame).await.map_err(reason)?;
        let length = stream.read_u32().await.map_err(reason)? as usize;
        read_frame(&mut stream, length, dial.to.ip(), &budgets.frames).await.map_err(reason)
    };
    let answer = timeout(EXCHANGE_WITHIN, exchange).await;
    let answer = answer.unwrap_or_else(|_| Err(failed(format!("no answer within {EXCHANGE_WITHIN:?}"))));
    let (answer, held) = match answer {
        Ok((frame, held)) => (Ok(frame), held),
        Err(error) => (Err(error), None),
    };
    Dialled { exchange: dial.exchange, answer, held }
}

/// Connects from the address that datagrams come from, so that firewalls and other members see one host.
async fn connect(to: SocketAddr, source: IpAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !source.is_unspecified() && source.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(to).await
}

/// The system's error, in words that help.
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
    let (first, rest) = frame.split_at(frame.len().min(FREE));
    // In one piece, so that a short frame is one packet.
    stream.write_all(&[&length.to_be_bytes(), first].concat()).await?;
    for piece in rest.chunks(PIECE) {
        timeout(PIECE_WITHIN, stream.write_all(piece)).await??;
    }
    Ok(())
}

/// Reads a frame of `length` bytes. Its memory grows as bytes arrive, so that a claim of a length reserves nothing; beyond the
/// first, each piece is taken from the account of its source.
async fn read_frame(
    stream: &mut TcpStream,
    length: usize,
    from: IpAddr,
    budget: &Arc<Budget>,
) -> io::Result<(Frame, Option<Held>)> {
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    let mut held: Option<Held> = None;
    let (mut pieces, mut left) = (Vec::new(), length);
    while left > 0 {
        let size = if pieces.is_empty() { FREE } else { PIECE }.min(left);
        if !pieces.is_empty() {
            let taken = match &mut held {
                Some(held) => held.grow(from, size),
                None => budget.take(from, size).map(|taken| held = Some(taken)),
            };
            taken.map_err(|short| io::Error::other(format!("no memory for it: {short:?}")))?;
        }
        let mut piece = vec![0; size];
        let read = stream.read_exact(&mut piece);
        if held.is_some() {
            timeout(PIECE_WITHIN, read).await??
        } else {
            read.await?
        };
        pieces.push(piece);
        left -= size;
    }
    Ok((Frame(pieces), held))
}
