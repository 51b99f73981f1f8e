//! The link to the network: what is sealed and opened, the streams under way, and the senders whose packets do not open.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    action::Purpose,
    codec::shorten,
    dials::{DialUse, Dials, Waiting},
    echoes::Echoes,
    frame,
    output::{Dial, ExchangeId, NoAnswer, Transmit},
    state::{Reply, Request},
};
use crate::{
    counters::Counters,
    wire::{
        Admitted, Freshness, KeyId, Keyring, Kind, MAX_DATAGRAM, Opened, Origin, PacketId, Stranger, Wire,
        WireError,
    },
};

/// Shortest time between two lines in the log about packets that do not open.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Error of a reply that comes without an answer from an agent, if there are keys.
const WRONG_KEY: &str = "wrong key, or no chronik-agent there: it closed the connection without an answer, as an agent \
                         does that has no key in common with this one; compare `chronik-agent info` on both";

/// The link to the network.
#[derive(Debug)]
pub(super) struct Link {
    wire: Wire,
    /// Streams under way.
    exchanges: BTreeMap<ExchangeId, Exchange>,
    next_exchange: u64,
    /// Datagrams to send.
    transmits: VecDeque<Transmit>,
    /// Streams to open, and their number under way.
    dials: Dials,
    /// Datagrams for one address that go back over the stream by which it asks, while it is answered.
    answering: Option<Answering>,
    /// Addresses that have shown that they are there; nobody counts without keys before.
    echoes: Echoes,
    /// The last sender that has no key in common with this node.
    stranger: Option<Stranger>,
    /// Time at which the log last told of such a sender.
    told: Option<Instant>,
    counters: Counters,
}

/// A stream under way.
#[derive(Debug)]
struct Exchange {
    to: SocketAddr,
    purpose: Purpose,
    /// Stamp of the request, to which the answer is bound if there are keys.
    stamp: Option<PacketId>,
    /// Request to send once more, if there are keys.
    again: Option<Again>,
    /// Request to send, until the stream is opened.
    content: Option<Content>,
}

/// Request of a stream that waits. The whole state is written when its turn comes: many copies of it never wait.
#[derive(Debug)]
pub(super) enum Content {
    /// This node's state.
    State,
    /// Its digest.
    Digest,
    /// Bytes that need nothing more.
    Payload(Vec<u8>),
    /// A request that is sent once more.
    Again(Again),
}

/// A request that may have to be sent once more: because the other wants a proof that it is of now, or because it may
/// have another of our keys.
#[derive(Debug)]
pub(super) struct Again {
    payload: Vec<u8>,
    /// Key under which it was sent.
    key: KeyId,
    /// Keys not tried yet, the likeliest last.
    untried: Vec<KeyId>,
    /// Set once it was asked for the proof.
    challenged: bool,
}

impl Again {
    /// The request to send after such an answer; `None` if that would not help.
    fn next(mut self, answer: Unanswered) -> Option<Self> {
        match answer {
            Unanswered::Challenged if !self.challenged => Some(Self { challenged: true, ..self }),
            Unanswered::Closed => Some(Self { key: self.untried.pop()?, ..self }),
            Unanswered::Challenged | Unanswered::Otherwise => None,
        }
    }
}

/// Kind of a reply that may be no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unanswered {
    /// The other closed the connection.
    Closed,
    /// The other wants a proof that the request is of now.
    Challenged,
    /// An answer, or a failure after which another try would not help.
    Otherwise,
}

/// Datagrams that are collected for an answer.
#[derive(Debug)]
struct Answering {
    to: SocketAddr,
    datagrams: Vec<Bytes>,
}

/// A datagram that opens.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    pub(super) opened: Opened<'a>,
    pub(super) freshness: Freshness,
}

/// A request that opens.
#[derive(Debug)]
pub(super) enum Asked {
    /// It asks this; the answer is sealed for its origin.
    Request(Option<Request>, Option<Origin>),
    /// It is answered with this frame, or not at all.
    Answered(Option<Bytes>),
}

/// End of a stream.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) to: SocketAddr,
    pub(super) purpose: Purpose,
    /// Answer of the other, or the reason for which there is none.
    pub(super) answer: Result<Opened<'a>, String>,
    /// True if the host answers that no process listens there.
    pub(super) refused: bool,
}

impl Link {
    /// A link of a cluster's member; `secret` is random.
    pub(super) fn new(wire: Wire, secret: u64) -> Self {
        let echoes = Echoes::new(secret, wire.plain_envelope());
        Self {
            wire,
            echoes,
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            transmits: VecDeque::new(),
            dials: Dials::default(),
            answering: None,
            stranger: None,
            told: None,
            counters: Counters::default(),
        }
    }

    /// Opens a datagram; `None` if it does not open, or was seen before.
    pub(super) fn open_datagram<'a>(
        &mut self,
        from: SocketAddr,
        datagram: &'a [u8],
        now: Instant,
    ) -> Option<Datagram<'a>> {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        let opened =
            if datagram.len() > MAX_DATAGRAM { Err(WireError::Foreign) } else { self.wire.open(datagram) };
        let opened = opened.inspect_err(|error| self.refuse(from, error, now)).ok()?;
        let freshness = self.wire.check_and_mark(opened.origin);
        if freshness == Freshness::Replayed {
            self.refuse_old(from);
            return None;
        }
        Some(Datagram { opened, freshness })
    }

    /// Counts a datagram that may be an old one.
    pub(super) fn refuse_old(&mut self, from: SocketAddr) {
        self.counters.replayed += 1;
        tracing::debug!(%from, "datagram refused: it may be an old one");
    }

    /// Follows the packet numbers of a sender that was a stranger until now.
    pub(super) fn admit(&mut self, origin: Option<Origin>) {
        self.wire.admit(origin);
    }

    /// Takes note of the key under which a peer speaks.
    pub(super) fn note_key(&mut self, from: SocketAddr, origin: Option<Origin>) {
        self.wire.note_key(from, origin);
    }

    /// Opens a request.
    pub(super) fn open_request(&mut self, from: SocketAddr, frame: &[u8], now: Instant) -> Asked {
        self.counters.exchanges_in += 1;
        let opened = match self.wire.open(frame) {
            Ok(opened) if opened.kind == Kind::Request => opened,
            Ok(_) => {
                self.count_refused();
                return Asked::Answered(None);
            }
            Err(error) => {
                self.refuse(from, &error, now);
                let known = matches!(error, WireError::OtherCluster(_));
                return Asked::Answered(known.then(|| self.wire.seal_reply(Kind::Refusal, &[], None)));
            }
        };
        let Admitted::New(payload) = self.wire.admit_request(&opened) else {
            self.counters.challenged += 1;
            return Asked::Answered(Some(self.wire.seal_reply(Kind::Challenge, &[], opened.origin)));
        };
        let request = frame::read(payload).inspect_err(|error| tracing::debug!(%error, "request refused"));
        Asked::Request(request.ok(), opened.origin)
    }

    /// Seals the reply to a request of that origin.
    pub(super) fn seal_reply(&mut self, reply: &Reply, origin: Option<Origin>) -> Bytes {
        self.wire.seal_reply(Kind::Reply, &frame::write(reply), origin)
    }

    /// Ends a stream; `None` if nobody waits for its answer, or if the request is sent once more.
    pub(super) fn end<'a>(
        &mut self,
        exchange: ExchangeId,
        reply: Result<&'a [u8], NoAnswer>,
        now: Instant,
    ) -> Option<Ended<'a>> {
        let Exchange { to, purpose, stamp, again, .. } = self.exchanges.remove(&exchange)?;
        self.dials.end(exchange);
        let refused = reply == Err(NoAnswer::Refused);
        let closed = reply == Err(NoAnswer::Closed);
        let answer = self.open_reply(to, stamp, reply, now);
        let unanswered = match &answer {
            Ok(opened) if opened.kind == Kind::Challenge => Unanswered::Challenged,
            _ if closed => Unanswered::Closed,
            Ok(_) | Err(_) => Unanswered::Otherwise,
        };
        if let Some(next) = again.and_then(|again| again.next(unanswered)) {
            self.ask_again(to, purpose, next);
            return None;
        }
        Some(Ended { to, purpose, answer, refused })
    }

    /// Opens an answer. One that opens was sent after the request it answers.
    fn open_reply<'a>(
        &mut self,
        to: SocketAddr,
        request: Option<PacketId>,
        reply: Result<&'a [u8], NoAnswer>,
        now: Instant,
    ) -> Result<Opened<'a>, String> {
        let frame = reply.map_err(|error| match error {
            NoAnswer::Closed if self.wire.keyring().is_some() => WRONG_KEY.to_owned(),
            NoAnswer::Closed | NoAnswer::Refused | NoAnswer::Failed(_) => error.to_string(),
        })?;
        let opened = self.wire.open_reply(frame, request).inspect_err(|error| self.refuse(to, error, now));
        let opened = opened.map_err(|error| error.to_string())?;
        self.wire.note_answer(to, opened.origin);
        self.echoes.note_there(to);
        Ok(opened)
    }

    /// Opens a datagram that came in an answer, and is as new as that.
    pub(super) fn open_enclosed<'a>(&self, datagram: &'a [u8]) -> Option<Opened<'a>> {
        self.wire.open(datagram).ok().filter(|opened| opened.kind == Kind::Swim)
    }

    /// Sends a SWIM message.
    pub(super) fn send_swim(&mut self, to: SocketAddr, message: &[u8]) {
        // Over a stream it goes back to whoever has opened that; and with keys all is said by members.
        if self.is_free(to) && (self.goes_back(to) || !self.echoes.owes(to)) {
            self.send(to, Kind::Swim, &shorten(message));
        } else if let Some(fitted) = self.echoes.fit(to, message) {
            self.send(to, Kind::Swim, &shorten(&fitted));
        }
    }

    /// True if messages to this address are an answer over a stream.
    fn goes_back(&self, to: SocketAddr) -> bool {
        self.answering.as_ref().is_some_and(|answering| answering.to == to)
    }

    /// True if messages go to this address as they are.
    pub(super) fn is_free(&self, to: SocketAddr) -> bool {
        self.goes_back(to) || self.wire.keyring().is_some() || self.echoes.is_there(to)
    }

    /// Takes note that a node at `addr` has opened a stream from `from`: a host that does so gets what is sent to it.
    pub(super) fn note_stream(&mut self, from: SocketAddr, addr: SocketAddr) {
        if from.ip().to_canonical() == addr.ip().to_canonical() {
            self.echoes.note_there(addr);
        }
    }

    /// Number of messages that were cut or not sent.
    pub(super) fn withheld(&self) -> u64 {
        self.echoes.withheld()
    }

    /// State of the dials.
    pub(super) fn dial_use(&self) -> DialUse {
        self.dials.use_now()
    }

    /// Sends a SWIM message of this node's own accord, also if a datagram was the occasion: it warns a suspect, or answers a question
    /// that is asked seldom.
    pub(super) fn send_own(&mut self, to: SocketAddr, message: &[u8]) {
        let answering = self.echoes.pause();
        self.send_swim(to, message);
        self.echoes.resume(answering);
    }

    /// The addresses that have shown that they are there.
    pub(super) fn echoes(&mut self) -> &mut Echoes {
        &mut self.echoes
    }

    /// Sends a datagram.
    pub(super) fn send(&mut self, to: SocketAddr, kind: Kind, payload: &[u8]) {
        let payload = self.wire.seal(to, kind, payload);
        self.counters.datagrams_out += 1;
        self.counters.bytes_out += payload.len() as u64;
        match &mut self.answering {
            Some(answering) if answering.to == to => answering.datagrams.push(payload),
            Some(_) | None => self.transmits.push_back(Transmit { to, payload }),
        }
    }

    /// Collects datagrams for `to` from here on, to go back over the stream by which it asks.
    pub(super) fn begin_answer(&mut self, to: SocketAddr) {
        self.answering = Some(Answering { to, datagrams: Vec::new() });
    }

    /// The datagrams that were collected; further ones are sent as such.
    pub(super) fn end_answer(&mut self) -> Vec<Bytes> {
        self.answering.take().map(|answering| answering.datagrams).unwrap_or_default()
    }

    /// Asks for a stream with a request.
    pub(super) fn ask(&mut self, to: SocketAddr, purpose: Purpose, content: Content) {
        let exchange = self.enter(to, purpose, content);
        self.dials.push(Waiting { exchange, to, purpose });
    }

    fn ask_again(&mut self, to: SocketAddr, purpose: Purpose, request: Again) {
        let exchange = self.enter(to, purpose, Content::Again(request));
        self.dials.push_first(Waiting { exchange, to, purpose });
    }

    fn enter(&mut self, to: SocketAddr, purpose: Purpose, content: Content) -> ExchangeId {
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        let entered = Exchange { to, purpose, stamp: None, again: None, content: Some(content) };
        self.exchanges.insert(exchange, entered);
        exchange
    }

    /// The next stream whose turn has come, and its request.
    pub(super) fn next_dial(&mut self) -> Option<(Waiting, Content)> {
        let waiting = self.dials.next()?;
        let content = self.exchanges.get_mut(&waiting.exchange)?.content.take()?;
        Some((waiting, content))
    }

    /// Opens a stream with this request.
    pub(super) fn open_stream(&mut self, waiting: &Waiting, payload: Vec<u8>) -> Dial {
        let mut untried = self.wire.keys_for(waiting.to);
        match untried.pop() {
            Some(key) => self.open_again(waiting, Again { payload, key, untried, challenged: false }),
            None => {
                let (frame, stamp) = self.wire.seal_request(waiting.to, None, &payload);
                self.note_opened(waiting, frame, stamp, None)
            }
        }
    }

    /// Opens a stream with a request that was sent before.
    pub(super) fn open_again(&mut self, waiting: &Waiting, again: Again) -> Dial {
        let (frame, stamp) = self.wire.seal_request(waiting.to, Some(again.key), &again.payload);
        self.note_opened(waiting, frame, stamp, Some(again))
    }

    fn note_opened(
        &mut self,
        waiting: &Waiting,
        frame: Bytes,
        stamp: Option<PacketId>,
        again: Option<Again>,
    ) -> Dial {
        let Waiting { exchange, to, .. } = *waiting;
        self.counters.exchanges_out += 1;
        self.dials.note_frame(exchange, frame.len());
        if let Some(opened) = self.exchanges.get_mut(&exchange) {
            (opened.stamp, opened.again) = (stamp, again);
        }
        Dial { exchange, to, frame }
    }

    /// The streams to open.
    pub(super) fn dials(&mut self) -> &mut Dials {
        &mut self.dials
    }

    /// True if a stream to `to` is open for the same purpose.
    pub(super) fn is_asking(&self, to: SocketAddr, purpose: Purpose) -> bool {
        self.exchanges.values().any(|exchange| exchange.to == to && exchange.purpose == purpose)
    }

    /// True if a comparison with any node is under way.
    pub(super) fn is_comparing(&self) -> bool {
        let comparing = |exchange: &Exchange| matches!(exchange.purpose, Purpose::Compare | Purpose::Trade);
        self.exchanges.values().any(comparing)
    }

    /// Counts a packet that opened, but does not read.
    pub(super) fn count_refused(&mut self) {
        self.counters.refused += 1;
    }

    /// Counts a packet that did not open. If it is for want of a common key, the log says so; the sender is told nothing.
    fn refuse(&mut self, from: SocketAddr, error: &WireError, now: Instant) {
        self.count_refused();
        let wants_key = match error {
            WireError::OtherCluster(_) => {
                self.counters.foreign += 1;
                false
            }
            WireError::Encrypted | WireError::Plain | WireError::UnknownKey(_) | WireError::Forged(_) => true,
            WireError::Foreign | WireError::Damaged | WireError::Version(_) => false,
        };
        if wants_key {
            self.counters.undecryptable += 1;
        }
        if wants_key && self.note_stranger(from, error, now) {
            tracing::warn!(%from, %error, "packet refused; told at most once a minute");
        } else {
            tracing::debug!(%from, %error, "packet refused");
        }
    }

    /// Takes note of a sender that has no key in common with this node. Returns whether it is time to tell of it.
    fn note_stranger(&mut self, from: SocketAddr, why: &WireError, now: Instant) -> bool {
        self.stranger = Some(Stranger { from, why: why.clone(), at: now });
        let is_due = self.told.is_none_or(|at| now.saturating_duration_since(at) >= TOLD_EVERY);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    /// The last sender that has no key in common with this node.
    pub(super) fn stranger(&self) -> Option<&Stranger> {
        self.stranger.as_ref()
    }

    /// Uses other keys from now on; nothing happens if this node had none at its start.
    pub(super) fn set_keyring(&mut self, keyring: Keyring) {
        self.wire.set_keyring(keyring);
    }

    /// The keys in use, if there are any.
    pub(super) fn keyring(&self) -> Option<&Keyring> {
        self.wire.keyring()
    }

    /// Wire by which this node speaks.
    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The next datagram to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Counts of packets and streams since the start.
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gossip::{
            fixture::{peer, start},
            state::Request,
        },
        wire::{Encryption, Key, Keyring},
    };

    /// The next stream to open, if its request needs nothing of other parts.
    fn poll_dial(link: &mut Link) -> Option<Dial> {
        let (waiting, content) = link.next_dial()?;
        Some(match content {
            Content::Payload(payload) => link.open_stream(&waiting, payload),
            Content::Again(again) => link.open_again(&waiting, again),
            Content::State | Content::Digest => panic!("{waiting:?}"),
        })
    }

    fn link_with(keys: Option<&[u8]>) -> Link {
        let line = |byte: &u8| Key::new(zeroize::Zeroizing::new([*byte; Key::LEN])).to_text();
        let encryption = keys.map(|keys| {
            let lines: Vec<String> = keys.iter().map(|byte| line(byte).to_string()).collect();
            Encryption { keyring: Keyring::parse(&lines.join("\n")).unwrap(), boot: [keys[0]; 16] }
        });
        Link::new(Wire::new("test".parse().unwrap(), encryption), 1)
    }

    #[test]
    fn datagrams_for_the_asker_go_back_over_its_stream_while_it_is_answered() {
        let mut link = link_with(None);
        let (asker, other) = (peer(2).addr(), peer(3).addr());
        link.begin_answer(asker);
        link.send(asker, Kind::Goodbye, b"a");
        link.send(other, Kind::Goodbye, b"b");
        assert_eq!(link.end_answer().len(), 1);
        link.send(asker, Kind::Goodbye, b"c");
        let sent: Vec<_> = std::iter::from_fn(|| link.poll_transmit()).map(|transmit| transmit.to).collect();
        assert_eq!(sent, [other, asker]);
        assert_eq!(link.counters().datagrams_out, 3);
    }

    #[test]
    fn a_request_is_asked_again_under_the_next_key_and_ends_when_there_is_none() {
        let mut link = link_with(Some(&[1, 2]));
        let (to, now) = (peer(2).addr(), start());
        link.ask(to, Purpose::Compare, Content::Payload(frame::write(&Request::Compare(7))));
        assert!(link.is_asking(to, Purpose::Compare) && link.is_comparing());
        let first = poll_dial(&mut link).unwrap();
        assert!(link.end(first.exchange, Err(NoAnswer::Closed), now).is_none(), "there is another key");
        let second = poll_dial(&mut link).unwrap();
        let ended = link.end(second.exchange, Err(NoAnswer::Closed), now).unwrap();
        assert_eq!((ended.to, ended.purpose, ended.refused), (to, Purpose::Compare, false));
        assert_eq!(ended.answer.unwrap_err(), WRONG_KEY);
        assert!(!link.is_comparing() && poll_dial(&mut link).is_none());
        link.ask(to, Purpose::Compare, Content::Payload(frame::write(&Request::Compare(7))));
        let refused = poll_dial(&mut link).unwrap();
        assert!(
            link.end(refused.exchange, Err(NoAnswer::Refused), now).unwrap().refused,
            "no key would help"
        );
    }

    #[test]
    fn packets_of_other_clusters_and_keys_are_counted_apart_and_told_once_a_minute() {
        let (mut link, now) = (link_with(None), start());
        let foreign = crate::wire::seal(&"other".parse().unwrap(), Kind::Swim, b"");
        assert!(link.open_datagram(peer(2).addr(), &foreign, now).is_none());
        let mut stranger = link_with(Some(&[1]));
        let sealed = stranger.wire.seal(peer(2).addr(), Kind::Swim, b"");
        assert!(link.open_datagram(peer(3).addr(), &sealed, now).is_none());
        let Counters { datagrams_in, refused, foreign, undecryptable, .. } = link.counters();
        assert_eq!([datagrams_in, refused, foreign, undecryptable], [2, 2, 1, 1]);
        assert_eq!(link.stranger().map(|stranger| stranger.from), Some(peer(3).addr()));
        let mut told = |after| link.note_stranger(peer(3).addr(), &WireError::Encrypted, now + after);
        assert_eq!([TOLD_EVERY / 2, TOLD_EVERY, TOLD_EVERY].map(&mut told), [false, true, false]);
    }
}
