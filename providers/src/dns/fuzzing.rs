//! A network without sockets, whose only name server gives the answers of a fuzzer.

#![expect(clippy::unwrap_in_result, reason = "a broken invariant should stop the fuzzer")]

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use hickory_resolver::proto::{op::Message, rr::Name};

use super::{
    exchange::{Network, Question, Transport},
    look_up, seeds_of,
    servers::{PACE, Servers},
    spec::Query,
};
use crate::discovery::{DiscoverError, Seeds};

/// A network whose name server sends the next answer for each query.
struct Answers {
    answers: Vec<Vec<u8>>,
    /// Number of answers sent.
    sent: AtomicUsize,
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
    let mut answers = Vec::new();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let (answer, after) = after.split_at(after.len().min(usize::from(*length) * 4));
        answers.push(answer.to_vec());
        rest = after;
    }
    let network = Answers { answers, sent: AtomicUsize::new(0) };
    let server = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53);
    let servers = Servers::new(Arc::new(network), Transport::Udp, PACE, [server]);
    let name = |text| Name::from_ascii(text).expect("it is a name");
    let query = match asked {
        Asked::Service => Query::Service(name("_a._udp.bad.test.")),
        Asked::Host => Query::Hosts(name("a.bad.test."), None),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let found = runtime.expect("a runtime without sockets").block_on(look_up(&query, &servers, 7946));
    seeds_of(found.map_err(|miss| miss.sentence().to_owned()))
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

#[async_trait]
impl Network for Answers {
    /// An error in place of silence, which would take a time-out for each query.
    async fn exchange(&self, _: SocketAddr, _: Transport, question: &Question) -> io::Result<Message> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let bytes = self.answers.get(number).and_then(|answer| reply(&question.bytes, answer));
        bytes.and_then(|bytes| question.read(&bytes)).ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}
