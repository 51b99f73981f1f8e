//! The name servers of a poll, asked as the C library asks them, and sooner: in their order, the next one on an error or an
//! empty answer, and on silence before the first has been given up.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RecordType},
};
use tokio::time::{sleep, timeout};

use super::{
    answer::{Absence, Answer, Verdict, weigh},
    exchange::{Extension, Network, Question, Transport},
    resolv_conf::DNS_PORT,
};

/// Times of a question. A name server in the same network answers in milliseconds, one that has to ask others in tens or
/// hundreds of them; the C library waits 5 s for each (resolv.conf(5), `timeout`) before it asks the next.
pub(crate) const PACE: Pace = Pace {
    patience: Duration::from_secs(1),
    respect: Duration::from_secs(3),
    question: Duration::from_secs(5),
};

/// Number of times that each server is asked: a packet may be lost, a server may fail once (resolv.conf(5), `attempts`).
const ROUNDS: usize = 2;

/// Times of a question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Silence after which the next server is asked as well, while the first may still answer.
    pub(crate) patience: Duration,
    /// Time for which a server that says that there is nothing waits for those before it, which are silent and may know
    /// better.
    pub(crate) respect: Duration,
    /// Time for the question, over all servers.
    pub(crate) question: Duration,
}

/// The servers, and what is known of them.
pub(crate) struct Servers {
    network: Arc<dyn Network>,
    transport: Transport,
    pace: Pace,
    servers: Vec<Server>,
}

/// A name server.
struct Server {
    addr: SocketAddr,
    /// Set once it has answered a plain question after one with EDNS that it did not understand, or did not hear.
    is_plain: AtomicBool,
    /// Set while it has not answered in time, so that other questions go to the others first.
    is_silent: AtomicBool,
}

/// One question to one server.
struct Asked {
    /// Position of the server in the order of the question.
    position: usize,
    /// Its word, or the complaint about it.
    outcome: Result<Verdict, String>,
}

/// The course of one question over all servers.
///
/// Servers stand for their position in the order of the question.
#[derive(Default)]
struct Course {
    /// The first server that says that there is nothing, and its word.
    absent: Option<(usize, Absence)>,
    /// Set once a server had nothing to say.
    any_empty: bool,
    /// The last complaint about each server.
    complaints: BTreeMap<usize, String>,
    /// Servers whose answers are awaited, each as often as it was asked.
    awaited: Vec<usize>,
}

impl Servers {
    /// Makes the list of servers, none of which has been asked yet.
    pub(crate) fn new(
        network: Arc<dyn Network>,
        transport: Transport,
        pace: Pace,
        addrs: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let servers = addrs.into_iter().map(|addr| Server {
            addr,
            is_plain: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        });
        Self { network, transport, pace, servers: servers.collect() }
    }

    /// Asks for the records of a name until a server has an answer.
    ///
    /// # Errors
    /// A sentence that names each server and its fault.
    pub(crate) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, String> {
        let mut order: Vec<&Server> = self.servers.iter().collect();
        order.sort_by_key(|server| server.is_silent.load(Ordering::Relaxed));
        let mut course = Course::default();
        let race = self.race(&order, name, kind, &mut course);
        let in_time = timeout(self.pace.question, race).await.ok().flatten();
        if let Some(answer) = in_time.or_else(|| course.answer()) {
            return Ok(answer);
        }
        let said = order.iter().enumerate().map(|(position, server)| {
            let complaint = course.complaints.get(&position).map_or("is silent", String::as_str);
            format!("{} {complaint}", shown(server.addr))
        });
        Err(format!("no name server answers for {name}: {}", said.collect::<Vec<_>>().join(", ")))
    }

    /// Asks server after server; `None` when none has records.
    async fn race(
        &self,
        order: &[&Server],
        name: &Name,
        kind: RecordType,
        course: &mut Course,
    ) -> Option<Answer> {
        let turns = (0..ROUNDS).flat_map(|round| (0..order.len()).map(move |position| (round, position)));
        let mut turns = turns.fuse();
        let mut under_way = FuturesUnordered::new();
        let mut respect = pin!(sleep(self.pace.respect));
        while !course.is_settled() {
            // Behind a server that says that there is nothing, nobody is asked.
            let next = turns.find(|(_, position)| course.absent.is_none_or(|(first, _)| *position < first));
            if let Some((round, position)) = next {
                course.awaited.push(position);
                under_way.push(self.ask_one(order[position], position, round, name, kind));
            }
            let is_last = next.is_none();
            if is_last && under_way.is_empty() {
                break;
            }
            tokio::select! {
                Some(asked) = under_way.next() => {
                    order[asked.position].is_silent.store(false, Ordering::Relaxed);
                    if let Some(answer) = course.note(asked) {
                        return Some(answer);
                    }
                }
                () = sleep(self.pace.patience), if !is_last => {
                    course.awaited.iter().for_each(|position| order[*position].is_silent.store(true, Ordering::Relaxed));
                }
                () = &mut respect, if course.absent.is_some() => break,
            }
        }
        None
    }

    async fn ask_one(
        &self,
        server: &Server,
        position: usize,
        round: usize,
        name: &Name,
        kind: RecordType,
    ) -> Asked {
        let outcome = self.exchange(server, round, name, kind).await;
        Asked { position, outcome: outcome.map(|message| weigh(&message, name, kind)) }
    }

    /// Asks one server: with EDNS in the first round, plainly if it does not understand that, or is silent; and by TCP if its
    /// answer does not fit into a datagram.
    async fn exchange(
        &self,
        server: &Server,
        round: usize,
        name: &Name,
        kind: RecordType,
    ) -> Result<Message, String> {
        let Server { addr, is_plain, .. } = server;
        let ask = async |transport, extension| {
            self.network.exchange(*addr, transport, &Question::new(name, kind, extension)?).await
        };
        let knows_plain_only = is_plain.load(Ordering::Relaxed);
        let mut extension = if round == 0 && !knows_plain_only { Extension::Edns } else { Extension::Plain };
        let mut message = ask(self.transport, extension).await.map_err(|e| complaint(&e))?;
        if extension == Extension::Edns && is_lost_on(&message) {
            extension = Extension::Plain;
            message = ask(self.transport, extension).await.map_err(|e| complaint(&e))?;
        }
        if extension == Extension::Plain && !is_lost_on(&message) {
            is_plain.store(true, Ordering::Relaxed);
        }
        if message.metadata.truncation && self.transport == Transport::Udp {
            let whole = ask(Transport::Tcp, extension).await;
            return whole.map_err(|e| format!("cuts its answer short and gives none by TCP ({e})"));
        }
        Ok(message)
    }
}

impl Course {
    /// Takes in what a server said; gives its answer if that settles the question.
    fn note(&mut self, Asked { position: server, outcome }: Asked) -> Option<Answer> {
        if let Some(position) = self.awaited.iter().position(|awaited| *awaited == server) {
            self.awaited.swap_remove(position);
        }
        let complaint = match outcome {
            Ok(Verdict::Answer(Answer::Absent(absence))) => {
                if self.absent.is_none_or(|(position, _)| server < position) {
                    self.absent = Some((server, absence));
                }
                return None;
            }
            Ok(Verdict::Answer(answer)) => return Some(answer),
            Ok(Verdict::Empty) => {
                self.any_empty = true;
                "has nothing to say".to_owned()
            }
            Ok(Verdict::Refusal(code)) => format!("says {}", code_name(code)),
            Err(complaint) => complaint,
        };
        self.complaints.insert(server, complaint);
        None
    }

    /// Tests whether a server said that there is nothing, and no server before it can still say otherwise.
    fn is_settled(&self) -> bool {
        self.absent.is_some_and(|(position, _)| self.awaited.iter().all(|server| *server >= position))
    }

    /// The answer when nobody has records. The servers may be silent or fail; one with nothing to say is believed only if
    /// all of them say nothing.
    fn answer(&self) -> Option<Answer> {
        if let Some((_, absence)) = self.absent {
            return Some(Answer::Absent(absence));
        }
        let only_empty = self.any_empty && self.awaited.is_empty();
        let only_empty = only_empty && self.complaints.values().all(|said| said == "has nothing to say");
        only_empty.then_some(Answer::Absent(Absence::Records))
    }
}

/// The fault of a server that could not be asked.
fn complaint(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return "is no name server: the port is closed".to_owned();
    }
    format!("cannot be asked: {error}")
}

/// Tests whether a server did not understand a question (RFC 6891, 7).
fn is_lost_on(message: &Message) -> bool {
    use ResponseCode::{BADSIG, BADVERS, FormErr, NotImp};
    matches!(message.metadata.response_code, FormErr | NotImp | BADVERS | BADSIG)
}

/// The name of a code, as name servers and their tools write it.
#[expect(clippy::wildcard_enum_match_arm, reason = "names that hickory spells as others do")]
fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("{other:?}").to_uppercase(),
    }
}

/// A server as its configuration names it: without the usual port.
fn shown(addr: SocketAddr) -> String {
    if addr.port() == DNS_PORT { addr.ip().to_string() } else { addr.to_string() }
}

#[cfg(test)]
mod tests;
