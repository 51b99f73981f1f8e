//! Hostile peers: each decoder by itself, and a whole machine among peers that are of its cluster and know how to write
//! anything. Nothing here is part of the agent.

#![expect(clippy::unwrap_in_result, reason = "what cannot happen should stop the fuzzer")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arbitrary::{Result, Unstructured};
use bytes::BufMut as _;
use foca::{Codec as _, Header, Member, Message, State};
use rand::{SeedableRng as _, rngs::StdRng};
use zeroize::Zeroizing;

use super::{
    ExchangeId, Gossip, NoAnswer, Peer, Settings, Timing,
    challenge::Challenge,
    codec::{CodecError, SwimCodec, put_item, restore, shorten},
    frame::{self, FrameError},
    leaving,
    metadata::{MAX_METADATA, decode as decode_metadata, encode as encode_metadata},
    own::Own,
    parts::Phase,
    peer::put_life,
    record::{Goodbye, Reader, Record, Stamp},
    rumours::{self, Accusation, Evidence, Rumour},
    state::{Enclosed, EncodedState, Majority, Reply, Request, SharedState, Standing},
};
use crate::{
    membership::{FoundingNews, Metadata},
    node::{ClusterName, Endpoints, Epoch, NodeId, NodeName, Role, Tags},
    signing::{KEY_LEN, NodeKey, fixture::key},
    wire::{self, Kind},
};

/// Upper bound on packets and events that follow one input: a goodbye goes to 128, and each of a datagram's 40 members
/// causes at most an answer and a dial.
const MOST_SENT: usize = 512;
/// Bytes of the shortest mention of a node.
const MENTION: usize = NodeId::LEN;

/// Messages of the engine and their members: each that reads is written to the same bytes, and a destination that was
/// shortened for this node is restored.
pub(crate) fn swim(data: &[u8]) {
    let mut rest = data;
    if let Ok(header) = SwimCodec.decode_header(&mut rest) {
        let mut written = Vec::new();
        assert_eq!(SwimCodec.encode_header(&header, &mut written), Ok::<(), CodecError>(()));
        assert_eq!(written, data[..data.len() - rest.len()]);
    }
    let mut rest = data;
    let mut written = Vec::new();
    while let Ok(member) = SwimCodec.decode_member(&mut rest) {
        SwimCodec.encode_member(&member, &mut written).expect("a vector has room");
    }
    assert!(data.starts_with(&written));
    if let Some(whole) = restore(data, &me()).filter(|whole| !whole.is_empty() && matches!(whole[24], 4 | 6))
    {
        assert_eq!(shorten(&whole), data);
    }
}

/// Rumours: each that reads is written to bytes that mean the same.
pub(crate) fn rumour(data: &[u8]) {
    let Ok(rumour) = rumours::read(data, &me(), &reader()) else { return };
    let written = rumour.encode();
    let again = rumours::read(&written, &me(), &reader()).expect("it was written here");
    assert_eq!(again.encode(), written);
}

/// Metadata: each that reads is written to bytes that mean the same.
pub(crate) fn metadata(data: &[u8]) {
    let Ok(metadata) = decode_metadata(data) else { return };
    match encode_metadata(&metadata) {
        Ok(bytes) => assert_eq!(decode_metadata(&bytes), Ok(metadata)),
        // Fields that were left out are written.
        Err(_) => assert!(data.len() > MAX_METADATA - 64),
    }
}

/// Frames on streams: each that reads is written to bytes that mean the same.
pub(crate) fn frame(data: &[u8]) {
    if let Ok(request) = frame::read::<Request>(data) {
        rewrite(&request);
        if let Request::Exchange(state) | Request::Trade(state, _) = request {
            restate(state);
        }
    }
    if let Ok(reply) = frame::read::<Reply>(data) {
        rewrite(&reply);
        if let Reply::State(state) = reply {
            restate(state);
        }
    }
    if let Ok(state) = state(&mut Unstructured::new(data)) {
        let (members, left) = (state.members.len(), state.left.len());
        let state = decode(state.encode()).expect("it was written here");
        assert_eq!((state.members.len(), state.left.len()), (members, left));
    }
}

fn rewrite<T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>>(value: &T) {
    let bytes = frame::write(value);
    let again: T = frame::read(&bytes).expect("it was written here");
    assert_eq!(frame::write(&again), bytes);
}

fn decode(encoded: EncodedState) -> Result<SharedState, FrameError> {
    SharedState::decode(encoded, |_| true, |_| true, &reader())
}

fn restate(encoded: EncodedState) {
    let Ok(state) = decode(encoded) else { return };
    let bytes = frame::write(&state.encode());
    let again = frame::read(&bytes).ok().and_then(|encoded| decode(encoded).ok());
    assert_eq!(again.map(|state| frame::write(&state.encode())), Some(bytes));
}

/// This node.
fn me() -> Peer {
    Peer::new(id(1), addr(1), Epoch(1_700_000_000_000), 0)
}

fn id(number: u8) -> NodeId {
    key(number).id()
}

/// Reader of what the nodes sign.
fn reader() -> Reader {
    Reader::new(cluster(), Record::read)
}

/// The key of a node among the few.
fn key_of(id: NodeId) -> NodeKey {
    (1..=6).map(key).find(|key| key.id() == id).unwrap_or_else(|| key(1))
}

/// The goodbye of a life, signed by its node.
fn goodbye(u: &mut Unstructured<'_>) -> Result<Goodbye> {
    let life = peer(u)?;
    Ok(Goodbye::say(&key_of(life.id), &cluster(), life))
}

fn addr(number: u8) -> SocketAddr {
    ([127, 0, 0, number], 7946).into()
}

fn cluster() -> ClusterName {
    "chronik".parse().expect("it is a name")
}

fn own_metadata() -> Metadata {
    Metadata {
        name: NodeName::try_from("me".to_owned()).expect("it is a name"),
        role: Role::Server,
        expect: None,
        endpoints: Endpoints::new(),
        tags: Tags::new(),
        founding: FoundingNews::default(),
    }
}

/// One of a few nodes, this one among them, in any of its lives, at any of a few addresses.
fn peer(u: &mut Unstructured<'_>) -> Result<Peer> {
    let number = u.int_in_range(1..=6)?;
    let at = if u.ratio(7, 8)? { number } else { u.int_in_range(1..=6)? };
    let now = me().epoch().0;
    let epoch = *u.choose(&[now, now, now, now, now + 1, now - 1, 0, Epoch::LAST.0 - 1, Epoch::LAST.0])?;
    let bump = *u.choose(&[0, 0, 0, 0, 0, 1, 2, u16::MAX - 1, u16::MAX])?;
    Ok(Peer::new(id(number), addr(at), Epoch(epoch), bump))
}

fn member(u: &mut Unstructured<'_>) -> Result<Member<Peer>> {
    let incarnation = *u.choose(&[0, 0, 0, 1, 2, u16::MAX - 1, u16::MAX])?;
    let state = *u.choose(&[State::Alive, State::Suspect, State::Down])?;
    Ok(Member::new(peer(u)?, incarnation, state))
}

fn some<T>(
    u: &mut Unstructured<'_>,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=most)?).map(|_| one(u)).collect()
}

/// The next bytes of the input, as they are.
fn raw(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = u.int_in_range(0..=255_usize)?.min(u.len());
    u.bytes(length).map(<[u8]>::to_vec)
}

fn record(u: &mut Unstructured<'_>) -> Result<Arc<Record>> {
    let life = peer(u)?;
    let metadata = Metadata {
        role: if u.arbitrary()? { Role::Server } else { Role::Observer },
        // Too much for a rumour, now and then.
        tags: (0..u.int_in_range(0..=2)?)
            .filter_map(|n: u8| Some((format!("t{n}").parse().ok()?, "x".repeat(400))))
            .collect(),
        ..own_metadata()
    };
    let stamp = Stamp { epoch: life.epoch(), version: *u.choose(&[1, 2, u32::MAX])? };
    let written = (life.addr(), stamp, u.int_in_range(0..=1)?);
    let record = Record::write(&key_of(life.id), &cluster(), written, metadata);
    record.map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn state(u: &mut Unstructured<'_>) -> Result<SharedState> {
    Ok(SharedState {
        sender: peer(u)?,
        members: some(u, 8, member)?,
        left: some(u, 4, goodbye)?,
        records: some(u, 3, record)?,
        standing: Standing {
            majority: *u.choose(&[Majority::No, Majority::Perhaps, Majority::Certain])?,
            heard: u.arbitrary()?,
        },
        is_partial: false,
    })
}

fn item(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let rumour = match u.int_in_range(0..=8)? {
        0 => {
            let record = record(u)?;
            let owner = if u.ratio(7, 8)? { record.life().peer() } else { peer(u)? };
            Rumour::Metadata(owner, record)
        }
        1 => Rumour::Left(goodbye(u)?.into()),
        2 => Rumour::Accused(Accusation {
            from: peer(u)?.id,
            accused: peer(u)?,
            incarnation: u.arbitrary()?,
            evidence: evidence(u)?,
        }),
        3 => Rumour::Healed { who: peer(u)?, there: peer(u)? },
        4 => Rumour::Check { asker: me(), accused: peer(u)?, incarnation: u.arbitrary()? },
        5 => Rumour::Nack(u.arbitrary()?),
        6 => {
            let record = record(u)?;
            Rumour::Announced(record.life().peer(), (*record.life()).into())
        }
        7 => return Ok([&[8], &u.arbitrary::<[u8; 12]>()?[..]].concat()),
        _ => return raw(u),
    };
    Ok(rumour.encode())
}

fn evidence(u: &mut Unstructured<'_>) -> Result<Evidence> {
    Ok(if u.arbitrary()? { Evidence::Refused } else { Evidence::Silent })
}

/// A message of the engine for `to`, with updates and rumours.
fn message(u: &mut Unstructured<'_>, to: Peer) -> Result<Vec<u8>> {
    let probe_number = u.arbitrary()?;
    let message = match u.int_in_range(1..=11)? {
        1 => Message::Ping(probe_number),
        2 => Message::Ack(probe_number),
        3 => Message::PingReq { target: peer(u)?, probe_number },
        4 => Message::IndirectPing { origin: peer(u)?, probe_number },
        5 => Message::IndirectAck { target: peer(u)?, probe_number },
        6 => Message::ForwardedAck { origin: peer(u)?, probe_number },
        7 => Message::Announce,
        8 => Message::Feed,
        9 => Message::Gossip,
        10 => Message::Broadcast,
        _ => Message::TurnUndead,
    };
    let dst = if u.ratio(15, 16)? { to } else { peer(u)? };
    let header = Header { src: peer(u)?, src_incarnation: u.arbitrary()?, dst, message };
    let mut out = Vec::new();
    SwimCodec.encode_header(&header, &mut out).expect("a vector has room");
    let updates = some(u, 6, member)?;
    // A count that is wrong, now and then.
    let count = if u.ratio(31, 32)? { u16::try_from(updates.len()).unwrap_or(0) } else { u.arbitrary()? };
    out.put_u16(count);
    for update in updates {
        SwimCodec.encode_member(&update, &mut out).expect("a vector has room");
    }
    for item in some(u, 3, item)? {
        out.put_u16(u16::try_from(item.len()).unwrap_or(0));
        out.extend(item);
    }
    Ok(out)
}

/// A challenge that a copy of the victim, or anybody, sends.
fn challenge(u: &mut Unstructured<'_>) -> Result<Challenge> {
    let mut own = Own::new(key(1), cluster(), u.arbitrary()?, None);
    let mut rng = StdRng::seed_from_u64(u.arbitrary()?);
    own.challenge(addr(u.int_in_range(1..=9)?), peer(u)?, &mut rng).ok_or(arbitrary::Error::IncorrectFormat)
}

/// A machine, and its dials that are not yet answered.
struct Victim {
    gossip: Gossip,
    now: Instant,
    dials: Vec<ExchangeId>,
}

/// Plays an input against a machine. It must not panic, must send what others can read and no more than a
/// little for each input, know no more nodes than were mentioned to it, keep its own word about itself, and in the end
/// still answer a stranger.
pub(crate) fn hostile_peers(data: &[u8], now: Instant) {
    let settings = Settings {
        cluster: cluster(),
        timing: Timing::LAN,
        key: key(1),
        addr: addr(1),
        epoch: me().epoch(),
        former: None,
        metadata: own_metadata(),
        cached: Vec::new(),
        encryption: None,
        read_record: Record::read,
        seed: 1,
    };
    let gossip = Gossip::new(settings, now).expect("its metadata is small");
    let mut victim = Victim { gossip, now, dials: Vec::new() };
    victim.drain();
    let mut u = Unstructured::new(data);
    // Ends where the input does; a structured input may mention a node with less than its id's bytes.
    while !u.is_empty() && victim.turn(&mut u).is_ok() {
        victim.drain();
        let known = victim.gossip.membership().members.len();
        assert!(known <= 8 + data.len() / MENTION, "{known} members of {} bytes", data.len());
    }
    victim.drain();
    victim.still_answers(data);
}

impl Victim {
    fn turn(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let from = addr(u.int_in_range(1..=8)?);
        match u.int_in_range(0..=15_u8)? {
            0..=4 => {
                let message = shorten(&message(u, *self.gossip.me())?);
                self.datagram(from, Kind::Swim, &message);
            }
            5 => {
                let goodbye = leaving::payload(&goodbye(u)?);
                self.datagram(from, Kind::Goodbye, &goodbye);
            }
            6 => {
                let kind = *u.choose(&[Kind::Swim, Kind::Goodbye, Kind::Request, Kind::Reply])?;
                let payload = raw(u)?;
                self.datagram(from, kind, &payload);
            }
            7 | 8 => {
                let request = self.request(u)?;
                let frame = wire::seal(&cluster(), Kind::Request, &request);
                self.gossip.handle_request(from, &frame, self.now);
            }
            9 | 10 => self.reply(u)?,
            11..=13 => {
                let wait = *u.choose(&[0, 1, 50, 100, 300, 1_000, 5_000, 70_000, 86_400_000])?;
                self.wait(Duration::from_millis(wait));
            }
            14 => match u.int_in_range(0..=15_u8)? {
                0 => self.gossip.leave(self.now),
                1..=5 => {
                    self.gossip.join([addr(u.int_in_range(1..=8)?)], self.now);
                }
                6..=10 => self.gossip.set_seeds(some(u, 4, |u| u.int_in_range(1..=8).map(addr))?, self.now),
                _ => {
                    self.gossip
                        .set_voters(some(u, 6, |u| Ok(id(u.int_in_range(1..=6)?)))?, u.int_in_range(0..=6)?);
                    self.gossip.send_founding(id(u.int_in_range(1..=6)?), raw(u)?, self.now);
                }
            },
            _ => {
                let packet = raw(u)?;
                self.gossip.handle_datagram(from, &packet, self.now);
            }
        }
        Ok(())
    }

    fn datagram(&mut self, from: SocketAddr, kind: Kind, payload: &[u8]) {
        let packet = wire::seal(&cluster(), kind, payload);
        self.gossip.handle_datagram(from, &packet, self.now);
    }

    fn request(&self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        Ok(match u.int_in_range(0..=6)? {
            0 => frame::write(&Request::Exchange(state(u)?.encode())),
            1 => frame::write(&Request::Compare(u.arbitrary()?)),
            2 => {
                let (from, message) = (peer(u)?.id, raw(u)?);
                let seal = Own::new(key_of(from), cluster(), 0, None).seal_message(id(1), &message);
                frame::write(&Request::Founding(seal, message.into()))
            }
            3 => frame::write(&Request::Swim(message(u, *self.gossip.me())?.into())),
            4 => frame::write(&Request::Trade(state(u)?.encode(), raw(u)?.into())),
            5 => frame::write(&Request::Challenge(challenge(u)?)),
            _ => raw(u)?,
        })
    }

    fn reply(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.dials.is_empty() {
            return Ok(());
        }
        let exchange = self.dials.swap_remove(u.choose_index(self.dials.len())?);
        let payload = match u.int_in_range(0..=10_u8)? {
            0..=2 => frame::write(&Reply::State(state(u)?.encode())),
            3 => frame::write(u.choose(&[Reply::Same, Reply::Silent, Reply::Taken])?),
            4 => {
                let answers = some(u, 3, |u| {
                    let message = shorten(&message(u, *self.gossip.me())?);
                    Ok(wire::seal(&cluster(), Kind::Swim, &message).to_vec().into())
                })?;
                frame::write(&Reply::Swim(Enclosed(answers)))
            }
            5 => raw(u)?,
            6 => frame::write(&Reply::Differ(raw(u)?.into())),
            7 => {
                let (challenge, life) = (challenge(u)?, peer(u)?);
                let own = Own::new(key_of(life.id), cluster(), u.arbitrary()?, None);
                frame::write(&Reply::Proof(own.prove(&challenge, life, u.arbitrary()?)))
            }
            failure => {
                self.gossip.handle_reply(exchange, Err(no_answer(failure)), self.now);
                return Ok(());
            }
        };
        let frame = wire::seal(&cluster(), Kind::Reply, &payload);
        self.gossip.handle_reply(exchange, Ok(&frame), self.now);
        Ok(())
    }

    /// Time passes, with a look at whatever is due on the way, or in one jump.
    fn wait(&mut self, wait: Duration) {
        let until = self.now + wait;
        for _ in 0..64 {
            match self.gossip.poll_timeout() {
                Some(due) if due <= until => {
                    self.now = self.now.max(due);
                    self.gossip.handle_timeout(self.now);
                    self.drain();
                }
                _ => break,
            }
        }
        self.now = until;
        self.gossip.handle_timeout(until);
    }

    /// Takes out and checks its output.
    fn drain(&mut self) {
        let mut sent = 0;
        while let Some(transmit) = self.gossip.poll_transmit() {
            sendable(transmit.to);
            assert!(transmit.payload.len() <= wire::MAX_DATAGRAM, "{} bytes", transmit.payload.len());
            let (kind, payload) = wire::open(&cluster(), &transmit.payload).expect("it was sealed here");
            if kind == Kind::Swim {
                assert!(payload.len() > 24 && matches!(payload[24], 4 | 6));
            }
            sent += 1;
        }
        while let Some(dial) = self.gossip.poll_dial() {
            sendable(dial.to);
            let opened = wire::open(&cluster(), &dial.frame).map(|(kind, _)| kind);
            assert_eq!((opened, dial.frame.len() <= wire::MAX_FRAME), (Ok(Kind::Request), true));
            self.dials.push(dial.exchange);
            sent += 1;
        }
        while self.gossip.poll_event().is_some() {
            sent += 1;
        }
        assert!(sent <= MOST_SENT, "{sent} packets and events after one input");
        let me = *self.gossip.me();
        assert_eq!((me.id, me.addr()), (id(1), addr(1)));
        assert!(me.epoch().0 <= Epoch::LAST.0, "{} does not travel", me.epoch());
        assert_eq!(self.gossip.own_metadata(), &own_metadata());
        assert!(self.gossip.membership().members.contains_key(&id(1)));
    }

    /// A node that nobody has heard of yet asks it, by a stream and by a datagram.
    fn still_answers(&mut self, data: &[u8]) {
        if self.gossip.parts.phase != Phase::Running {
            return;
        }
        let mut secret = Zeroizing::new([0xEE; KEY_LEN]);
        secret[..4].copy_from_slice(&crc32fast::hash(data).to_be_bytes());
        let own = Own::new(NodeKey::new(&secret), cluster(), 0, None);
        let stamp = Stamp { epoch: me().epoch(), version: 1 };
        let record = own.record(addr(200), stamp, own_metadata()).expect("it is small");
        let stranger = record.life().peer();
        let request = frame::write(&Request::Compare(0));
        let request = wire::seal(&cluster(), Kind::Request, &request);
        let reply = self.gossip.handle_request(stranger.addr(), &request, self.now).expect("an answer");
        let (kind, payload) = wire::open(&cluster(), &reply).expect("it was sealed here");
        assert!(kind == Kind::Reply && frame::read::<Reply>(payload).is_ok());
        let me = *self.gossip.me();
        let header = Header { src: stranger, src_incarnation: 0, dst: me, message: Message::Ping(7) };
        let mut ping = Vec::new();
        SwimCodec.encode_header(&header, &mut ping).expect("a vector has room");
        ping.put_u16(0);
        put_item(&Rumour::Metadata(stranger, record).encode(), &mut ping);
        self.datagram(stranger.addr(), Kind::Swim, &shorten(&ping));
        let mut mine = Vec::new();
        put_life(&me, &mut mine);
        let answered = std::iter::from_fn(|| self.gossip.poll_transmit()).any(|transmit| {
            let opened = wire::open(&cluster(), &transmit.payload);
            let from_me = |(_, payload): (Kind, &[u8])| payload.starts_with(&mine);
            transmit.to == stranger.addr() && opened.is_ok_and(from_me)
        });
        assert!(answered, "a ping is not answered any more");
    }
}

/// Failure of a dial by the number that an input draws for it: each kind, so that each is fuzzed.
fn no_answer(failure: u8) -> NoAnswer {
    match failure {
        8 => NoAnswer::Refused,
        9 => NoAnswer::Closed,
        _ => NoAnswer::Failed("no route".to_owned()),
    }
}

fn sendable(to: SocketAddr) {
    assert!(to.port() != 0 && !to.ip().is_unspecified() && !to.ip().is_multicast(), "sent to {to}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failure that no number stands for is never fuzzed, which happened to refusals.
    #[test]
    fn every_failure_of_a_dial_is_drawn() {
        let drawn = [8, 9, 10].map(no_answer);
        assert!(matches!(drawn, [NoAnswer::Refused, NoAnswer::Closed, NoAnswer::Failed(_)]));
    }
}
