//! One question to one name server: the bytes that go out, and the message that comes back.

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use hickory_resolver::proto::{
    op::{Edns, Message, MessageType, Query, ResponseCode},
    rr::{Name, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

/// Longest answer in a datagram that a question with EDNS asks for: what no path fragments (DNS flag day 2020).
const MAX_DATAGRAM: u16 = 1232;

/// Bytes read of a datagram: a server may send more than it was asked for.
const BUFFER: usize = 4096;

/// The way of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A datagram.
    Udp,
    /// A stream, which holds an answer of any length.
    Tcp,
}

/// The kind of a question: with or without a word on how long an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    /// It does (RFC 6891).
    Edns,
    /// It is as plain as in RFC 1035, so that 512 bytes are the most.
    Plain,
}

/// A question as it is sent, and what its answer must repeat.
pub(crate) struct Question {
    id: u16,
    query: Query,
    /// The message.
    pub(crate) bytes: Vec<u8>,
}

impl Question {
    /// Makes a question, with a random id; fails on a name that is too long for a message.
    pub(crate) fn new(name: &Name, kind: RecordType, extension: Extension) -> io::Result<Self> {
        let query = Query::query(name.clone(), kind);
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        if extension == Extension::Edns {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_DATAGRAM);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().map_err(io::Error::other)?;
        Ok(Self { id: message.metadata.id, query, bytes })
    }

    /// Reads a message, if it answers this question: the same id, and the same question in it. A server that refuses may
    /// leave the question out, as those do that cannot read it.
    pub(crate) fn read(&self, bytes: &[u8]) -> Option<Message> {
        // The id first: what comes from elsewhere is not worth decoding.
        (*bytes.first_chunk::<2>()? == self.id.to_be_bytes()).then_some(())?;
        let message = Message::from_vec(bytes).ok()?;
        let metadata = &message.metadata;
        let is_refusal = !matches!(metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        let repeats = match message.queries.as_slice() {
            [query] => *query == self.query,
            [] => is_refusal,
            _ => false,
        };
        (metadata.message_type == MessageType::Response && repeats).then_some(message)
    }
}

/// A way to name servers.
#[async_trait]
pub(crate) trait Network: Send + Sync {
    /// Sends a question and waits, for as long as it takes, for its answer.
    async fn exchange(
        &self,
        server: SocketAddr,
        transport: Transport,
        question: &Question,
    ) -> io::Result<Message>;
}

/// The network of the host.
pub(crate) struct Host;

#[async_trait]
impl Network for Host {
    async fn exchange(
        &self,
        server: SocketAddr,
        transport: Transport,
        question: &Question,
    ) -> io::Result<Message> {
        match transport {
            Transport::Udp => exchange_datagrams(server, question).await,
            Transport::Tcp => exchange_on_stream(server, question).await,
        }
    }
}

/// Asks from a port of its own. The socket is connected, so that no other server's datagrams arrive and a closed port is
/// noticed at once.
async fn exchange_datagrams(server: SocketAddr, question: &Question) -> io::Result<Message> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&question.bytes).await?;
    let mut buffer = [0; BUFFER];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(message) = question.read(&buffer[..length]) {
            return Ok(message);
        }
    }
}

async fn exchange_on_stream(server: SocketAddr, question: &Question) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question.bytes.as_slice()].concat()).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    let stray = || io::Error::new(io::ErrorKind::InvalidData, "the answer belongs to another question");
    question.read(&bytes).ok_or_else(stray)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question::new(&Name::from_ascii("a.test.").unwrap(), RecordType::A, Extension::Edns).unwrap()
    }

    /// The answer to a question, with this code, changed by `change`.
    fn answer(question: &Question, code: ResponseCode, change: fn(&mut Message)) -> Vec<u8> {
        let mut message = Message::from_vec(&question.bytes).unwrap();
        message.metadata.message_type = MessageType::Response;
        message.metadata.response_code = code;
        change(&mut message);
        message.to_vec().unwrap()
    }

    #[test]
    fn an_answer_repeats_id_and_question() {
        let question = question();
        let reads = |code, change| question.read(&answer(&question, code, change)).is_some();
        assert!(reads(ResponseCode::NoError, |_| ()));
        assert!(reads(ResponseCode::NoError, |m| {
            m.queries[0].set_name(Name::from_ascii("A.TEST.").unwrap());
        }));
        assert!(!reads(ResponseCode::NoError, |m| m.metadata.id ^= 1));
        assert!(!reads(ResponseCode::NoError, |m| m.metadata.message_type = MessageType::Query));
        assert!(!reads(ResponseCode::NoError, |m| {
            m.queries[0].set_query_type(RecordType::AAAA);
        }));
        assert!(!reads(ResponseCode::NoError, |m| m.queries.clear()));
        assert!(!reads(ResponseCode::NXDomain, |m| m.queries.clear()));
        assert!(reads(ResponseCode::Refused, |m| m.queries.clear()), "unbound refuses so");
        assert!(question.read(&question.bytes[..11]).is_none() && question.read(&[]).is_none());
    }
}
