//! Name servers of every behaviour, alone and in each other's company.

use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use futures_util::future::join_all;
use hickory_resolver::proto::{
    op::MessageType,
    rr::{
        RData, Record,
        rdata::{A, SOA},
    },
};

use super::*;

/// The behaviour of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Play {
    Good,
    /// Good, after this many thousandths of a second.
    Slow(u64),
    /// Good from the second question on; the first is lost.
    Second,
    Code(ResponseCode),
    NoData,
    /// No answer, no error, no authority and no recursion.
    Lame,
    Silent,
    Closed,
    /// Cuts its answer short, and refuses TCP.
    Cut,
    /// Answers that are cut short by UDP, and whole by TCP.
    CutUdp,
    /// Good, but this is its answer to EDNS.
    EdnsCode(ResponseCode),
    /// Good, but silent to EDNS.
    EdnsSilent,
}

struct Played {
    plays: Vec<Play>,
    asked: Vec<AtomicUsize>,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most behaviours have their turn elsewhere")]
fn answer(question: &Question, play: Play, transport: Transport) -> Message {
    let mut message = Message::from_vec(&question.bytes).unwrap();
    let name = message.queries[0].name().clone();
    let has_edns = message.edns.take().is_some();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = play != Play::Lame;
    match play {
        Play::Code(code) => message.metadata.response_code = code,
        Play::EdnsCode(code) if has_edns => message.metadata.response_code = code,
        Play::Cut | Play::CutUdp if transport == Transport::Udp => message.metadata.truncation = true,
        Play::NoData => {
            let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, 5);
            message.authorities.push(Record::from_rdata(name, 1, RData::SOA(soa)));
        }
        Play::Lame => {}
        _ => {
            message.answers.push(Record::from_rdata(name, 7, RData::A(A::new(10, 0, 0, 1))));
        }
    }
    message
}

#[async_trait]
#[expect(clippy::wildcard_enum_match_arm, reason = "most behaviours are in the answer")]
impl Network for Played {
    async fn exchange(
        &self,
        server: SocketAddr,
        transport: Transport,
        question: &Question,
    ) -> io::Result<Message> {
        let position = usize::from(server.port()) - 1;
        let number = self.asked[position].fetch_add(1, Ordering::Relaxed);
        let play = self.plays[position];
        let has_edns = Message::from_vec(&question.bytes).unwrap().edns.is_some();
        match play {
            Play::Silent => std::future::pending().await,
            Play::Second if number == 0 => std::future::pending().await,
            Play::EdnsSilent if has_edns => std::future::pending().await,
            Play::Closed => return Err(io::ErrorKind::ConnectionRefused.into()),
            Play::Cut if transport == Transport::Tcp => {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Play::Slow(ms) => sleep(Duration::from_millis(ms)).await,
            _ => {}
        }
        Ok(answer(question, play, transport))
    }
}

impl Played {
    /// Number of questions to each server.
    fn asked(&self) -> Vec<usize> {
        self.asked.iter().map(|asked| asked.load(Ordering::Relaxed)).collect()
    }
}

/// Servers of these behaviours, five times as fast as name servers are asked.
fn servers(plays: &[Play]) -> (Servers, Arc<Played>) {
    let asked = plays.iter().map(|_| AtomicUsize::new(0)).collect();
    let network = Arc::new(Played { plays: plays.to_vec(), asked });
    let pace = Pace {
        patience: Duration::from_millis(200),
        respect: Duration::from_millis(600),
        question: Duration::from_millis(1_000),
    };
    let addrs = (1..).take(plays.len()).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    (Servers::new(network.clone(), Transport::Udp, pace, addrs), network)
}

async fn ask(plays: &[Play]) -> (Result<Answer, String>, Vec<usize>) {
    let (servers, network) = servers(plays);
    let answer = servers.ask(&Name::from_ascii("m.test.").unwrap(), RecordType::A).await;
    (answer, network.asked())
}

/// A table in which the C library finds the name, or finds it later: resolv.conf(5), several name servers.
#[tokio::test]
async fn a_good_server_is_found_behind_and_before_bad_ones() {
    use Play::{Closed, Code, Cut, CutUdp, EdnsCode, EdnsSilent, Good, Lame, NoData, Second, Silent, Slow};
    use ResponseCode::{BADVERS, FormErr, NXDomain, NotImp, Refused, ServFail};
    let fail = Code(ServFail);
    let rows: &[&[Play]] = &[
        &[Good],
        &[fail, Good],
        &[Code(Refused), Good],
        &[Code(NotImp), Good],
        &[Code(FormErr), Good],
        &[Lame, Good],
        &[Closed, Good],
        &[Cut, Good],
        &[CutUdp],
        &[Silent, Good],
        &[Silent, Silent, Good],
        &[fail, fail, Good],
        &[Silent, fail, Good],
        &[Closed, Code(Refused), Good],
        &[Good, fail],
        &[Good, Code(NXDomain)],
        &[Slow(2), fail],
        &[Slow(2), Code(NXDomain)],
        &[Slow(60), Code(NXDomain)],
        &[Slow(60), NoData],
        // Slower than the patience with it: the next server is asked, and its word does not stand over the first's.
        &[Slow(300), Code(NXDomain)],
        &[Slow(300), fail],
        &[Slow(300)],
        &[Slow(900)],
        &[Second],
        &[Second, Code(NXDomain)],
        &[EdnsCode(FormErr)],
        &[EdnsCode(NotImp)],
        &[EdnsCode(BADVERS)],
        &[EdnsSilent],
    ];
    for (plays, (answer, asked)) in rows.iter().zip(join_all(rows.iter().map(|plays| ask(plays))).await) {
        assert!(matches!(answer, Ok(Answer::Records(_))), "{plays:?}: {answer:?}, asked {asked:?}");
    }
}

#[tokio::test]
async fn servers_are_asked_in_their_order_and_no_more_than_needed() {
    use Play::{Code, EdnsCode, Good, NoData, Silent};
    use ResponseCode::{FormErr, NXDomain, ServFail};
    let rows = [
        (vec![Good, Good], vec![1, 0]),
        (vec![Code(ServFail), Good, Good], vec![1, 1, 0]),
        (vec![Code(NXDomain), Good], vec![1, 0]),
        (vec![NoData, Good], vec![1, 0]),
        (vec![Code(ServFail), Code(NXDomain)], vec![1, 1]),
        (vec![Code(ServFail); 2], vec![2, 2]),
        (vec![EdnsCode(FormErr)], vec![2]),
        (vec![Silent, Code(NXDomain)], vec![2, 1]),
    ];
    let asked = join_all(rows.iter().map(|(plays, _)| ask(plays))).await;
    for ((plays, times), (answer, asked)) in rows.into_iter().zip(asked) {
        assert_eq!(asked, times, "{plays:?}: {answer:?}");
    }
}

/// A poll asks many questions: the first shows who is silent, and the others do not wait for it.
#[tokio::test]
async fn a_silent_server_is_asked_last_from_then_on() {
    let (servers, network) = servers(&[Play::Silent, Play::Good]);
    let name = Name::from_ascii("m.test.").unwrap();
    for _ in 0..20 {
        assert!(matches!(servers.ask(&name, RecordType::A).await, Ok(Answer::Records(_))));
    }
    assert_eq!(network.asked(), [1, 20]);
}

#[tokio::test]
async fn when_nobody_has_records() {
    use Play::{Closed, Code, Cut, Lame, NoData, Silent};
    use ResponseCode::{BADVERS, NXDomain, Refused, ServFail};
    let absent = |absence| Ok(Answer::Absent(absence));
    let nobody = |said: &str| Err(format!("no name server answers for m.test.: {said}"));
    let rows = [
        (vec![Code(ServFail), Code(NXDomain)], absent(Absence::Name)),
        (vec![Silent, Code(NXDomain)], absent(Absence::Name)),
        (vec![Lame, NoData], absent(Absence::Records)),
        (vec![Lame, Lame], absent(Absence::Records)),
        (vec![Lame, Silent], nobody("127.0.0.1:1 has nothing to say, 127.0.0.1:2 is silent")),
        (
            vec![Code(Refused), Closed, Silent],
            nobody(
                "127.0.0.1:1 says REFUSED, 127.0.0.1:2 is no name server: the port is closed, 127.0.0.1:3 is silent",
            ),
        ),
        (vec![Code(BADVERS)], nobody("127.0.0.1:1 says BADVERS")),
        (vec![Cut], nobody("127.0.0.1:1 cuts its answer short and gives none by TCP (connection refused)")),
    ];
    let asked = join_all(rows.iter().map(|(plays, _)| ask(plays))).await;
    for ((plays, outcome), (answer, asked)) in rows.into_iter().zip(asked) {
        assert_eq!(answer, outcome, "{plays:?}, asked {asked:?}");
    }
}
