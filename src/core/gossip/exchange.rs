//! Exchanges over streams: requests, replies, and another node's whole state taken over.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use bytes::Bytes;
use foca::Codec as _;

use super::{
    Event, ExchangeId, Gossip, JoinId, KeysId, NoAnswer, Peer, Phase,
    codec::SwimCodec,
    frame,
    keys::read_keys,
    sending::Again,
    sync::{self, Reply, Request},
    takeover::Told,
};
use crate::{
    node::NodeId,
    wire::{Admitted, Kind, Opened, Origin, PacketId, WireError},
};

/// Why an agent tells nothing.
pub(super) const SILENT: &str = "the agent there is leaving, or has stopped over a duplicate node id";

/// Why a stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A round of the join loop.
    Round,
    /// An operator asked.
    Asked(JoinId),
    /// A member is missing, or its metadata is, or its picture differs from ours.
    Exchange,
    /// Digest first.
    Compare,
    /// What a comparison found.
    Trade,
    /// A message about the founding.
    Founding,
    /// A question about this member's keyring.
    Keys(KeysId, NodeId),
    /// A ping that was not answered by datagram.
    Ping(Peer),
    /// Another node suspects this member.
    Check(Peer),
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) to: SocketAddr,
    pub(super) purpose: Purpose,
    /// What the answer is bound to, where there are keys.
    pub(super) stamp: Option<PacketId>,
    /// How to ask once more, where there are keys.
    pub(super) again: Option<Again>,
}

/// An operator's request to contact some addresses.
#[derive(Debug, Default)]
pub(super) struct Join {
    pub(super) outstanding: usize,
    pub(super) ended: Vec<(SocketAddr, Option<String>)>,
}

impl Gossip {
    /// Takes in a frame that somebody sent over a stream he opened, and says what to answer; nothing to a stranger.
    pub fn handle_request(&mut self, from: SocketAddr, frame: &[u8], now: Instant) -> Option<Bytes> {
        self.counters.exchanges_in += 1;
        let opened = match self.wire.open(frame) {
            Ok(opened) if opened.kind == Kind::Request => opened,
            Ok(_) => {
                self.counters.refused += 1;
                return None;
            }
            Err(error) => {
                self.refuse(from, &error, now);
                let known = matches!(error, WireError::OtherCluster(_));
                return known.then(|| self.wire.seal_reply(Kind::Refusal, &[], None));
            }
        };
        let Admitted::New(payload) = self.wire.admit_request(&opened) else {
            self.counters.challenged += 1;
            return Some(self.wire.seal_reply(Kind::Challenge, &[], opened.origin));
        };
        let reply = self.answer(from, payload, opened.origin, now)?;
        self.refresh_view(now);
        Some(self.wire.seal_reply(Kind::Reply, &frame::write(&reply), opened.origin))
    }

    fn answer(
        &mut self,
        from: SocketAddr,
        payload: &[u8],
        origin: Option<Origin>,
        now: Instant,
    ) -> Option<Reply> {
        if self.phase != Phase::Running {
            return Some(Reply::Silent);
        }
        match frame::read(payload) {
            Ok(Request::Compare(digest)) => Some(self.compared(digest, now)),
            Ok(Request::Trade(state, wanted)) => {
                let state = self.read_state(state).ok()?;
                Some(Reply::State(self.trade(state, &sync::get_hashes(&wanted), now).encode()))
            }
            Ok(Request::Exchange(state)) => {
                let state = self.read_state(state).ok()?;
                self.wire.note_key(state.sender.addr(), origin);
                self.apply(state, true, now);
                Some(Reply::State(self.shared_state().encode()))
            }
            Ok(Request::Founding(sender, message)) => {
                let sender = NodeId::try_from(*sender).ok().filter(|sender| *sender != self.me.id)?;
                self.events.push_back(Event::Founding(sender, message.into()));
                Some(Reply::Taken)
            }
            Ok(Request::Keys(request)) => self.asked_keys(&request).map(Reply::Keys),
            Ok(Request::Swim(message)) => Some(self.answer_swim(from, &message, now)),
            Err(error) => {
                tracing::debug!(%error, "request refused");
                self.counters.refused += 1;
                None
            }
        }
    }

    /// Has the engine answer over the stream by which it was asked.
    fn answer_swim(&mut self, from: SocketAddr, message: &[u8], now: Instant) -> Reply {
        let waiting = self.transmits.split_off(0);
        self.handle_swim(from, message, true, now);
        let asker = SwimCodec.decode_header(message).map(|header| header.src.addr()).ok();
        let (answers, others): (VecDeque<_>, VecDeque<_>) =
            self.transmits.drain(..).partition(|transmit| Some(transmit.to) == asker);
        self.transmits = waiting;
        self.transmits.extend(others);
        Reply::Swim(answers.into_iter().map(|answer| answer.payload.to_vec().into()).collect())
    }

    /// Takes in the answer to a dial, or why there is none.
    pub fn handle_reply(&mut self, exchange: ExchangeId, reply: Result<&[u8], NoAnswer>, now: Instant) {
        let Some(Exchange { to, purpose, stamp, again }) = self.exchanges.remove(&exchange) else {
            return;
        };
        let refused = reply == Err(NoAnswer::Refused);
        let mute = reply == Err(NoAnswer::Closed);
        let opened = self.open_reply(to, stamp, reply, now);
        let challenge = matches!(&opened, Ok(opened) if opened.kind == Kind::Challenge);
        if let Some(next) = again.and_then(|again| again.next(mute, challenge)) {
            return self.send_request(to, purpose, next);
        }
        if let Purpose::Keys(asked, member) = purpose {
            let state = opened.and_then(|opened| read_keys(&opened));
            return self.end_keys(asked, member, to, state);
        }
        let outcome = opened.and_then(|opened| self.take_reply(to, &opened, now));
        if let Err(error) = &outcome {
            tracing::debug!(%to, %error, ?purpose, "no contact");
        }
        match purpose {
            Purpose::Round => self.contacts.ended(outcome.is_ok()),
            Purpose::Asked(join) => self.end_asked(join, to, outcome),
            Purpose::Ping(_) | Purpose::Check(_) => self.end_ping(purpose, to, refused, now),
            Purpose::Exchange | Purpose::Compare | Purpose::Trade | Purpose::Founding | Purpose::Keys(..) => {
            }
        }
        self.refresh_view(now);
    }

    /// Unwraps an answer. One that opens was sent after the request it answers.
    fn open_reply<'a>(
        &mut self,
        to: SocketAddr,
        request: Option<PacketId>,
        reply: Result<&'a [u8], NoAnswer>,
        now: Instant,
    ) -> Result<Opened<'a>, String> {
        let frame = reply.map_err(|error| match error {
            NoAnswer::Closed if self.wire.keyring().is_some() => {
                "wrong key, or no chronik-agent there: it closed the connection without an answer, as an agent does \
                 that has no key in common with this one; compare `chronik-agent info` on both"
                    .to_owned()
            }
            NoAnswer::Closed | NoAnswer::Refused | NoAnswer::Failed(_) => error.to_string(),
        })?;
        let opened = self.wire.open_reply(frame, request).inspect_err(|error| self.refuse(to, error, now));
        let opened = opened.map_err(|error| error.to_string())?;
        self.wire.note_answer(to, opened.origin);
        Ok(opened)
    }

    fn take_reply(&mut self, to: SocketAddr, opened: &Opened<'_>, now: Instant) -> Result<(), String> {
        if opened.kind != Kind::Reply {
            return Err(WireError::Foreign.to_string());
        }
        let payload = &opened.payload;
        let reply: Reply = frame::read(payload).map_err(|error| error.to_string())?;
        if self.phase != Phase::Running {
            return Err("this agent is leaving".to_owned());
        }
        let state = match reply {
            Reply::Same | Reply::Taken => return Ok(()),
            Reply::Silent => return Err(SILENT.to_owned()),
            Reply::Keys(_) => return Err(WireError::Foreign.to_string()),
            Reply::Swim(messages) => {
                for message in messages {
                    // As new as the answer that brings it.
                    if let Ok(Opened { kind: Kind::Swim, payload, .. }) = self.wire.open(&message) {
                        self.handle_short_swim(to, &payload, true, now);
                    }
                }
                return Ok(());
            }
            Reply::Differ(theirs) => {
                self.offer(to, &sync::get_hashes(&theirs), now);
                return Ok(());
            }
            Reply::State(state) => self.read_state(state).map_err(|error| error.to_string())?,
        };
        // A node that joins learns of everybody at once; all of them know each other already.
        let joining = self.is_alone();
        let addr = state.sender.addr();
        match self.apply(state, !joining, now) {
            Told::Peer => {
                self.contacts.has_answer(to);
                if joining {
                    self.engine(now, |foca, runtime| foca.gossip(runtime));
                    self.compare_soon(now);
                }
                Ok(())
            }
            Told::Myself => {
                self.contacts.is_own(to);
                Err("this is the agent's own address".to_owned())
            }
            Told::Duplicate => Err(format!(
                "the agent at {addr} has this node's id: one state directory was copied; stop one of the two and delete its copy"
            )),
        }
    }

    /// The ids this node has heard from directly.
    pub fn heard_from(&self) -> impl Iterator<Item = NodeId> {
        self.heard.keys().copied()
    }
}
