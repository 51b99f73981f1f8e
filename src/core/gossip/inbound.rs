//! What others tell this node by datagram: messages of the engine, goodbyes, rumours.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Instant};

use bytes::Buf as _;
use foca::{Codec as _, Header, Member, Message, State};

use super::{
    Gossip, Heard, Peer, Phase, Purpose,
    codec::{SwimCodec, restore},
    compare::MAX_MEMBERS,
    metadata::{Record, Stamp},
    peer::get_peer,
    rumours::{self, Rumour},
    timers::Tick,
    view::insert_all,
};
use crate::{
    node::NodeId,
    wire::{self, Freshness, Kind, Opened, WireError},
};

/// The updates that follow a header, counted by two bytes. The engine stops at the first that does not read, too.
fn updates_in(mut bytes: &[u8]) -> impl Iterator<Item = Member<Peer>> {
    let count = bytes.try_get_u16().unwrap_or(0);
    (0..count).map_while(move |_| SwimCodec.decode_member(&mut bytes).ok())
}

impl Gossip {
    /// Takes in one datagram.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        let opened = if datagram.len() > wire::MAX_DATAGRAM {
            Err(WireError::Foreign)
        } else {
            self.wire.open(datagram)
        };
        match opened {
            Ok(opened) => self.take_datagram(from, &opened, now),
            Err(error) => self.refuse(from, &error, now),
        }
        self.refresh_view(now);
    }

    fn take_datagram(&mut self, from: SocketAddr, opened: &Opened<'_>, now: Instant) {
        match self.wire.check_and_mark(opened.origin) {
            Freshness::New => {}
            // Its numbers are followed from this one on.
            Freshness::Stranger if self.is_vouched_for(opened) => self.wire.admit(opened.origin),
            Freshness::Stranger | Freshness::Replayed => {
                self.counters.replayed += 1;
                tracing::debug!(%from, "datagram refused: it may be an old one");
                return;
            }
        }
        self.wire.note_key(from, opened.origin);
        match opened.kind {
            Kind::Swim => self.handle_short_swim(from, &opened.payload, false, now),
            Kind::Goodbye => self.handle_goodbye(&opened.payload, now),
            Kind::Request | Kind::Reply | Kind::Refusal | Kind::Challenge => self.counters.refused += 1,
        }
    }

    /// Whether a datagram from an unknown process is of a life that is an active member here: of that this node has
    /// heard from those it knows.
    fn is_vouched_for(&self, opened: &Opened<'_>) -> bool {
        let life = match opened.kind {
            Kind::Swim => restore(&opened.payload, &self.me)
                .and_then(|message| SwimCodec.decode_header(message.as_slice()).ok())
                .map(|header| header.src),
            Kind::Goodbye => get_peer(&mut &*opened.payload).ok(),
            Kind::Request | Kind::Reply | Kind::Refusal | Kind::Challenge => None,
        };
        life.is_some_and(|life| self.is_member(&life))
    }

    /// Takes in a message of the engine as it travels; one that is not for this life of this node goes unheard.
    pub(super) fn handle_short_swim(
        &mut self,
        from: SocketAddr,
        payload: &[u8],
        over_stream: bool,
        now: Instant,
    ) {
        match restore(payload, &self.me) {
            Some(message) if message.is_empty() => {}
            Some(message) => self.handle_swim(from, &message, over_stream, now),
            None => self.counters.refused += 1,
        }
    }

    /// Takes in a message of the engine; a ping and its answer may come over a stream.
    pub(super) fn handle_swim(&mut self, from: SocketAddr, payload: &[u8], over_stream: bool, now: Instant) {
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
        // Whoever calls this node failed may be on the other side of a partition that has healed, and which of the two
        // sides renews itself shows when they compare. Where this node alone was wrong about itself it learns that, too.
        if header.message == Message::TurnUndead {
            self.dial(header.src.addr(), Purpose::Exchange);
            return;
        }
        self.note_heard(&header, now);
        let round_trip = self.probing.note_answer(&header, over_stream, now);
        self.promise_nack(&header, now);
        let (head, rest) = payload.split_at(payload.len() - rest.len());
        let (news, verdicts) = self.sift(rest);
        let mut news = news.map_or(Cow::Borrowed(rest), Cow::Owned);
        if !self.has_room_for(header.src.id) {
            self.counters.refused += 1;
            return;
        }
        if self.is_full() && !self.strangers(&news).is_empty() {
            news = Cow::Borrowed(&[]);
        }
        if self.room_for_news() == 0 {
            // The engine would queue what it takes from a message to pass it on.
            let strangers = self.strangers(&news);
            self.engine(now, |foca, runtime| foca.apply_many(strangers.into_iter(), false, runtime));
        }
        let payload = [head, &news].concat();
        self.engine(now, |foca, runtime| foca.handle_data(&payload, runtime));
        // A goodbye may have come beside them, and explained them.
        if !verdicts.is_empty() && self.is_member(&header.src) {
            verdicts.iter().for_each(|verdict| self.hear_verdict(verdict, now));
        }
        self.remind(&header.src, now);
        self.forget_lonely_verdicts(&header.src, now);
        // The answer may have told where it comes from.
        if let Some(round_trip) = round_trip {
            self.spare_indirect_stage();
            self.coordinates.measure(header.src.id, round_trip);
        }
    }

    /// Whether this life of a node is an active member.
    pub(super) fn is_member(&self, life: &Peer) -> bool {
        self.foca.iter_members().any(|member| member.id() == life)
    }

    /// The members that the updates behind a header introduce.
    fn strangers(&self, updates: &[u8]) -> Vec<Member<Peer>> {
        let introduces = |member: &Member<Peer>| {
            let id = member.id().id;
            member.state() == State::Alive && id != self.me.id && !self.known.contains_key(&id)
        };
        updates_in(updates).filter(introduces).collect()
    }

    /// What follows a header, without the updates that repeat what is known and without verdicts, which come beside it;
    /// nothing where all is to be read, or where one does not read, so that the engine refuses all. Whom the others are
    /// about may have to be shown differently.
    fn sift(&mut self, updates: &[u8]) -> (Option<Vec<u8>>, Vec<Member<Peer>>) {
        let mut rest = updates;
        let mut news = 0_u16.to_be_bytes().to_vec();
        let (mut kept, mut verdicts) = (0_u16, Vec::new());
        let count = rest.try_get_u16().unwrap_or(0);
        for _ in 0..count {
            let before = rest;
            let Ok(member) = SwimCodec.decode_member(&mut rest) else { return (None, vec![]) };
            let is_mine = member.id().id == self.me.id;
            if !is_mine && self.is_verdict(&member) {
                verdicts.push(member);
            } else if is_mine || !self.repeats(&member) {
                self.news.of(member.id().id);
                news.extend_from_slice(&before[..before.len() - rest.len()]);
                kept += 1;
            }
        }
        news[..2].copy_from_slice(&kept.to_be_bytes());
        news.extend_from_slice(rest);
        ((kept < count).then_some(news), verdicts)
    }

    fn note_heard(&mut self, header: &Header<Peer>, now: Instant) {
        self.heard.insert(header.src.id, Heard { at: now, life: header.src });
        if !self.shows_well(&header.src, header.src_incarnation) {
            self.news.of(header.src.id);
        }
    }

    fn handle_goodbye(&mut self, mut payload: &[u8], now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        match get_peer(&mut payload) {
            Ok(peer) if peer.id != self.me.id => {
                self.hear(Rumour::Left(peer), now);
            }
            Ok(_) => {}
            Err(_) => self.counters.refused += 1,
        }
    }

    /// Remembers that a life said goodbye, and takes it out at once.
    pub(super) fn note_left(&mut self, left: &Peer, now: Instant) {
        let life = (left.epoch(), left.bump());
        let known = self.left.entry(left.id).or_insert(life);
        *known = life.max(*known);
        self.bound_hearsay();
        self.news.of(left.id);
        let member = self.foca.iter_members().find(|member| member.id() == left);
        if let Some(member) = member.map(|member| Member::down(*member.id())) {
            self.engine(now, |foca, runtime| foca.apply_many([member].into_iter(), true, runtime));
        }
    }

    /// Takes in what came beside the engine's own updates.
    pub(super) fn hear(&mut self, rumour: Rumour, now: Instant) {
        self.pass_on(&rumour);
        match rumour {
            Rumour::Metadata(owner, record) => {
                self.keep(record);
                self.meet(&owner, now);
            }
            Rumour::Announced(owner, stamp) => {
                self.meet(&owner, now);
                if self.wants_record(owner.id, stamp) {
                    let wait = self.spread(std::time::Duration::from_secs(1));
                    self.after_exactly(now, wait, Tick::Reach(owner.id));
                }
            }
            Rumour::Left(peer) => {
                if peer.id != self.me.id {
                    self.note_left(&peer, now);
                }
            }
            Rumour::Accused(said) => self.hear_accusation(said, now),
            Rumour::Check(asker, accused, incarnation) => self.check(asker, accused, incarnation, now),
            Rumour::Healed(_, there) => self.hear_healed(&there, now),
            Rumour::Nack(number) => self.probing.note_nack(number),
            Rumour::Coordinate(peer, coordinate) => self.coordinates.note(peer.id, coordinate),
        }
    }

    /// Takes a stranger that others speak of for a member; the probes will tell whether it is one.
    pub(super) fn meet(&mut self, peer: &Peer, now: Instant) {
        if peer.id != self.me.id && !self.has_left(peer) && !self.known.contains_key(&peer.id) {
            self.introduce(Member::new(*peer, 0, State::Alive), now);
        }
    }

    /// Whether a record is newer than the one we have; only we write our own.
    pub(super) fn wants_record(&self, owner: NodeId, stamp: Stamp) -> bool {
        owner != self.me.id && self.records.get(&owner).is_none_or(|known| known.stamp < stamp)
    }

    /// Passes on what was heard, as long as not too much waits to be. Of metadata only what is news here: where thousands
    /// join at once most of it comes by stream, and each would pass on for half a minute what all have. Of those who accuse
    /// one life as many as confirm it. Of all else as many as there may be members: a hostile one can invent goodbyes and
    /// accusations without end.
    fn pass_on(&mut self, rumour: &Rumour) {
        let is_news = |owner: &Peer, stamp| self.wants_record(owner.id, stamp) && self.room_for_news() > 0;
        let has_room = self.backlog().1 < MAX_MEMBERS;
        let told = match rumour {
            Rumour::Metadata(owner, record) => {
                is_news(owner, record.stamp).then(|| rumours::metadata_rumour(owner, record))
            }
            Rumour::Announced(owner, stamp) => {
                is_news(owner, *stamp).then(|| rumours::announced_rumour(owner, *stamp))
            }
            Rumour::Left(peer) => has_room.then(|| rumours::left_rumour(peer)),
            Rumour::Accused(said) => (has_room && !self.suspicions.accusers.are_enough(said))
                .then(|| rumours::accusation_rumour(said)),
            Rumour::Healed(who, there) => has_room.then(|| rumours::healed_rumour(who, there)),
            Rumour::Check(..) | Rumour::Nack(_) | Rumour::Coordinate(..) => None,
        };
        if let Some(told) = told {
            self.tell(&told);
        }
    }

    /// Keeps a record that is newer than the one we have.
    fn keep(&mut self, record: Arc<Record>) {
        if self.wants_record(record.owner, record.stamp) {
            self.keep_all(vec![record]);
            self.bound_hearsay();
        }
    }

    /// Keeps records, all of them newer than those we have. Their owners may be about to become members.
    pub(super) fn keep_all(&mut self, mut records: Vec<Arc<Record>>) {
        // Of two writings of one owner the newer is the last, and stays.
        records.sort_unstable_by_key(|record| (record.owner, record.stamp));
        let owners: Vec<_> = records.iter().map(|record| record.owner).collect();
        insert_all(&mut self.records, records.into_iter().map(|record| (record.owner, record)));
        for owner in owners {
            if self.known.contains_key(&owner) {
                self.changed(owner);
            }
        }
    }

    /// Keeps what this node says of itself.
    pub(super) fn keep_own(&mut self, record: Record) {
        self.records.insert(self.me.id, record.into());
        self.changed(self.me.id);
    }
}
