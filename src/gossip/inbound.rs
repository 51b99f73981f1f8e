//! What others tell this node: datagrams, requests, replies, rumours, and whole states.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use foca::{Codec as _, Header, Member, Message, State, Timer};

use super::{
    Exchange, ExchangeId, Gossip, Heard, JoinId, Peer, Phase, Purpose,
    codec::SwimCodec,
    metadata::Record,
    peer::get_peer,
    rumours::{self, Rumour},
    sync::{self, Reply, Request, SharedState, Verdict},
    timers::Tick,
};
use crate::{
    node::NodeId,
    wire::{self, Kind, WireError},
};

/// Renewing once answers being taken for failed. Where that does not end it within this many, somebody knows a later
/// life of this node, and only an exchange of states tells which.
const MAX_RENEWALS: usize = 3;
/// The time in which those are counted.
const RENEWALS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Most members dialled because another node calls alive what this one calls failed.
const MAX_REACHED: usize = 16;

/// Who a state came from.
pub(super) enum Told {
    /// Another node.
    Peer,
    /// This node itself, under another address.
    Myself,
    /// Another process with this node's id.
    Duplicate,
}

impl Gossip {
    /// Takes in one datagram.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        let opened = if datagram.len() > wire::MAX_DATAGRAM {
            Err(WireError::Foreign)
        } else {
            wire::open(&self.cluster, datagram)
        };
        match opened {
            Ok((Kind::Swim, payload)) => self.handle_swim(from, payload, now),
            Ok((Kind::Goodbye, payload)) => self.handle_goodbye(payload, now),
            Ok((Kind::Request | Kind::Reply | Kind::Refusal, _)) => self.counters.refused += 1,
            Err(error) => self.refuse(from, &error),
        }
        self.refresh_view(now);
    }

    fn refuse(&mut self, from: SocketAddr, error: &WireError) {
        self.counters.refused += 1;
        if matches!(error, WireError::OtherCluster(_)) {
            self.counters.foreign += 1;
        }
        tracing::debug!(%from, %error, "packet refused");
    }

    fn handle_swim(&mut self, from: SocketAddr, payload: &[u8], now: Instant) {
        // After a goodbye the engine would rejoin when it hears of its own death.
        if self.phase != Phase::Running {
            return;
        }
        let mut rest = payload;
        let header = match SwimCodec.decode_header(&mut rest) {
            Ok(header) => header,
            Err(error) => {
                self.counters.refused += 1;
                tracing::debug!(%from, %error, "packet refused");
                return;
            }
        };
        if header.dst != self.me || header.src.id == self.me.id {
            return;
        }
        if header.message == Message::TurnUndead && self.renewing_does_not_help(now) {
            self.dial(header.src.addr, Purpose::Exchange);
            return;
        }
        self.note_heard(&header, now);
        // Two bytes count the updates that follow the header; without any a known sender brings no news.
        self.dirty |= rest.len() >= 2 && rest[..2] != [0, 0];
        self.engine(now, |foca, runtime| foca.handle_data(payload, runtime));
    }

    fn note_heard(&mut self, header: &Header<Peer>, now: Instant) {
        let heard = Heard { at: now, life: header.src, incarnation: header.src_incarnation };
        let before = self.heard.insert(header.src.id, heard);
        let news = |before: Heard| before.life != heard.life || before.incarnation != heard.incarnation;
        self.dirty |= before.is_none_or(news);
    }

    fn renewing_does_not_help(&mut self, now: Instant) -> bool {
        while self.renewals.front().is_some_and(|at| now.duration_since(*at) > RENEWALS_WITHIN) {
            self.renewals.pop_front();
        }
        self.renewals.len() >= MAX_RENEWALS
    }

    fn handle_goodbye(&mut self, mut payload: &[u8], now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        match get_peer(&mut payload) {
            Ok(peer) if peer.id != self.me.id => {
                self.tell(&rumours::left_rumour(&peer));
                self.note_left(&peer, now);
            }
            Ok(_) => {}
            Err(_) => self.counters.refused += 1,
        }
    }

    /// Remembers that a life said goodbye, and takes it out at once.
    fn note_left(&mut self, left: &Peer, now: Instant) {
        let life = (left.epoch, left.bump);
        let known = self.left.entry(left.id).or_insert(life);
        *known = life.max(*known);
        self.dirty = true;
        let member = self.foca.iter_members().find(|member| member.id() == left);
        if let Some(member) = member.map(|member| Member::down(*member.id())) {
            self.engine(now, |foca, runtime| foca.apply_many([member].into_iter(), true, runtime));
        }
    }

    /// Takes in what came beside the engine's own updates.
    pub(super) fn hear(&mut self, rumour: Rumour, now: Instant) {
        match rumour {
            Rumour::Metadata(owner, record) => {
                self.keep(record);
                self.meet(&owner, now);
            }
            Rumour::Announced(owner, stamp) => {
                self.meet(&owner, now);
                if owner.id != self.me.id
                    && self.records.get(&owner.id).is_none_or(|known| known.stamp < stamp)
                {
                    let wait = self.spread(std::time::Duration::from_secs(1));
                    self.after_exactly(now, wait, Tick::Reach(owner.id));
                }
            }
            Rumour::Left(peer) => {
                if peer.id != self.me.id {
                    self.note_left(&peer, now);
                }
            }
        }
    }

    /// Takes a stranger that others speak of for a member; the probes will tell whether it is one.
    fn meet(&mut self, peer: &Peer, now: Instant) {
        let known = |member: &Member<Peer>| member.id().id == peer.id;
        if peer.id != self.me.id && !self.has_left(peer) && !self.foca.iter_membership_state().any(known) {
            let member = Member::new(*peer, 0, State::Alive);
            self.engine(now, |foca, runtime| foca.apply_many([member].into_iter(), true, runtime));
        }
    }

    /// Keeps a record that is newer than the one we have; only we write our own.
    fn keep(&mut self, record: Record) -> bool {
        let newer = record.owner != self.me.id
            && self.records.get(&record.owner).is_none_or(|known| known.stamp < record.stamp);
        if newer {
            self.records.insert(record.owner, record);
            self.dirty = true;
        }
        newer
    }

    /// Takes in a frame that somebody sent over a stream he opened, and says what to answer; nothing to a stranger.
    pub fn handle_request(&mut self, from: SocketAddr, frame: &[u8], now: Instant) -> Option<Bytes> {
        self.counters.exchanges_in += 1;
        let payload = match wire::open(&self.cluster, frame) {
            Ok((Kind::Request, payload)) => payload,
            Ok((Kind::Swim | Kind::Goodbye | Kind::Reply | Kind::Refusal, _)) => {
                self.counters.refused += 1;
                return None;
            }
            Err(error) => {
                self.refuse(from, &error);
                let known = matches!(error, WireError::OtherCluster(_));
                return known.then(|| wire::seal(&self.cluster, Kind::Refusal, &[]));
            }
        };
        let reply = self.answer(payload, now)?;
        self.refresh_view(now);
        Some(wire::seal(&self.cluster, Kind::Reply, &sync::write(&reply)))
    }

    fn answer(&mut self, payload: &[u8], now: Instant) -> Option<Reply> {
        if self.phase != Phase::Running {
            return Some(Reply::Silent);
        }
        match sync::read(payload) {
            Ok(Request::Compare(digest)) if digest == self.digest() => Some(Reply::Same),
            Ok(Request::Compare(_)) => Some(Reply::State(self.shared_state().encode())),
            Ok(Request::Exchange(state)) => {
                let state = SharedState::decode(state).ok()?;
                self.apply(state, true, now);
                Some(Reply::State(self.shared_state().encode()))
            }
            Err(error) => {
                tracing::debug!(%error, "request refused");
                self.counters.refused += 1;
                None
            }
        }
    }

    /// Takes in the answer to a dial, or why there is none.
    pub fn handle_reply(&mut self, exchange: ExchangeId, reply: Result<&[u8], String>, now: Instant) {
        let Some(Exchange { to, purpose }) = self.exchanges.remove(&exchange) else {
            return;
        };
        let outcome = reply.and_then(|frame| self.take_reply(to, purpose, frame, now));
        if let Err(error) = &outcome {
            tracing::debug!(%to, %error, ?purpose, "no contact");
        }
        match purpose {
            Purpose::Round => self.contacts.ended(outcome.is_ok()),
            Purpose::Asked(join) => self.end_asked(join, to, outcome),
            Purpose::Exchange | Purpose::Compare => {}
        }
        self.refresh_view(now);
    }

    fn end_asked(&mut self, id: JoinId, to: SocketAddr, outcome: Result<(), String>) {
        if let Some(join) = self.joins.get_mut(&id) {
            join.outstanding -= 1;
            join.ended.push((to, outcome.err()));
        }
        self.finish_join(id);
    }

    fn take_reply(
        &mut self,
        to: SocketAddr,
        purpose: Purpose,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), String> {
        let payload = match wire::open(&self.cluster, frame) {
            Ok((Kind::Reply, payload)) => payload,
            Ok(_) => return Err(WireError::Foreign.to_string()),
            Err(error) => {
                self.refuse(to, &error);
                return Err(error.to_string());
            }
        };
        let reply: Reply = sync::read(payload).map_err(|error| error.to_string())?;
        if self.phase != Phase::Running {
            return Err("this agent is leaving".to_owned());
        }
        let state = match reply {
            Reply::Same => return Ok(()),
            Reply::Silent => {
                return Err("the agent there is leaving, or has stopped over a duplicate node id".to_owned());
            }
            Reply::State(state) => SharedState::decode(state).map_err(|error| error.to_string())?,
        };
        // A node that joins learns of everybody at once; all of them know each other already.
        let joining = self.is_alone();
        let addr = state.sender.addr;
        match self.apply(state, !joining, now) {
            Told::Peer => {
                if joining {
                    self.engine(now, |foca, runtime| foca.gossip(runtime));
                    self.compare_soon(now);
                }
                if purpose == Purpose::Compare {
                    self.dial(to, Purpose::Exchange);
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

    /// Takes over another node's picture, by the rules of `sync::judge`.
    fn apply(&mut self, state: SharedState, pass_on: bool, now: Instant) -> Told {
        let SharedState { sender, members, left, records } = state;
        if sender.id == self.me.id {
            return if sender == self.me { Told::Myself } else { self.meet_duplicate(&sender) };
        }
        let direct = Heard { at: now, life: sender, incarnation: 0 };
        self.heard.insert(sender.id, direct);
        self.dirty = true;
        let me = self.me.id;
        for life in left.iter().filter(|life| life.id != me) {
            self.note_left(life, now);
        }
        for record in records {
            let (owner, newer) = (record.owner, self.keep(record));
            if newer && owner == sender.id {
                self.tell_metadata(&sender);
            }
        }
        let contact = Member::new(sender, 0, State::Alive);
        self.engine(now, |foca, runtime| foca.apply_many([contact].into_iter(), true, runtime));
        let (mine, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.id().id == self.me.id);
        self.take_over(others, pass_on, now);
        for claim in mine {
            self.answer_claim(&claim, now);
        }
        Told::Peer
    }

    fn take_over(&mut self, theirs: Vec<Member<Peer>>, pass_on: bool, now: Instant) {
        let mut updates = Vec::new();
        let mut unreached = Vec::new();
        for member in theirs {
            let ours = self.foca.iter_membership_state().find(|ours| ours.id().id == member.id().id);
            match sync::judge(&member, ours) {
                Verdict::Apply(update) => updates.push(update),
                Verdict::Suspect(suspect) => {
                    self.start_suspicion(&suspect, now);
                    updates.push(suspect);
                }
                Verdict::Reach => unreached.push(member.id().id),
                Verdict::Ignore => {}
            }
        }
        self.engine(now, |foca, runtime| foca.apply_many(updates.into_iter(), pass_on, runtime));
        for id in unreached.into_iter().take(MAX_REACHED) {
            let wait = self.spread(self.timing.gossip_period);
            self.after_exactly(now, wait, Tick::Reach(id));
        }
    }

    /// The engine follows up only the suspicions of its own probes.
    fn start_suspicion(&mut self, suspect: &Member<Peer>, now: Instant) {
        let timer = Timer::ChangeSuspectToDown {
            member_id: *suspect.id(),
            incarnation: suspect.incarnation(),
            token: self.token,
        };
        let wait = self.timing.suspicion(self.foca.num_members() + 1);
        self.after_exactly(now, wait, Tick::Swim(timer));
    }

    /// The ids this node has heard from directly.
    pub fn heard_from(&self) -> impl Iterator<Item = NodeId> {
        self.heard.keys().copied()
    }
}
