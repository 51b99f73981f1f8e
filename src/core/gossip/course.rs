//! The course of an input: what each `handle_*` does before the loop over the parts carries out what follows.

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use bytes::Bytes;
use foca::{Member, Message, State};
use rand::seq::IteratorRandom as _;

use super::{
    Gossip,
    action::{Action, Purpose, Question, Telling},
    clock::{Lateness, Tick, Wait},
    codec::restore,
    comparing::{self, Scheduled, room_for_rumours},
    detector::Transport,
    engine::Stage,
    facts::facts,
    frame,
    joining::DialEnd,
    keyrings, leaving,
    link::{Asked, Datagram},
    lives::Told,
    output::{Event, ExchangeId, NoAnswer},
    packet::Packet,
    parts::Phase,
    peer::Peer,
    roster::Life,
    rumours::{Evidence, Rumour},
    state::{self, Enclosed, Reply, Request, SILENT, SharedState},
};
use crate::wire::{Freshness, Kind, MAX_DATAGRAM, Opened, Origin, WireError};

/// Upper bound on a message about the founding. The words of operators are the most of the longest: 1,024 of 250 bytes each.
const MAX_FOUNDING: usize = 1 << 20;
/// Reason for which a stream was never opened.
const GIVEN_UP: &str = "not dialled: too many addresses were asked for at once; ask again for fewer";

impl Gossip {
    /// Takes in one datagram.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let bytes = datagram.len();
        if let Some(datagram) = self.parts.link.open_datagram(from, datagram, now) {
            self.parts.link.echoes().begin(from, bytes);
            self.take_datagram(from, &datagram, now);
            self.parts.link.echoes().end();
        }
        self.parts.settle(now);
    }

    fn take_datagram(&mut self, from: SocketAddr, datagram: &Datagram<'_>, now: Instant) {
        let Datagram { opened: Opened { kind, payload, origin }, freshness } = datagram;
        let message = if *kind == Kind::Swim { restore(payload, &self.parts.engine.me()) } else { None };
        let packet = message.as_deref().map(Packet::open);
        let goodbye = if *kind == Kind::Goodbye { leaving::read(payload) } else { None };
        if *freshness == Freshness::Stranger {
            // An unknown process is one of this cluster if the others have told of the life that it leads.
            let sender = match &packet {
                Some(Ok(Some(packet))) => Some(packet.header.src),
                _ => goodbye.map(|(life, _)| life),
            };
            if !sender.is_some_and(|life| self.parts.roster.state(&life).is_active()) {
                return self.parts.link.refuse_old(from);
            }
            self.parts.link.admit(*origin);
        }
        self.parts.link.note_key(from, *origin);
        match (kind, packet, goodbye) {
            // After a goodbye the engine would rejoin when it hears of its own death.
            (Kind::Swim | Kind::Goodbye, ..) if self.parts.phase != Phase::Running => {}
            (_, Some(Ok(Some(packet))), _) => self.take_packet(&packet, Transport::Datagram, now),
            (_, Some(Ok(None)), _) => {}
            (_, _, Some((life, seal))) => self.parts.take_goodbye(life, seal, now),
            _ => self.parts.link.count_refused(),
        }
    }

    /// Takes in a SWIM message.
    fn take_packet(&mut self, packet: &Packet<'_>, transport: Transport, now: Instant) {
        let (me, src) = (self.parts.engine.me(), packet.header.src);
        let is_believed = self.parts.horizon.reaches(src.epoch(), now);
        if self.parts.phase != Phase::Running || packet.header.dst != me || src.id == me.id || !is_believed {
            return;
        }
        self.parts.take_records(packet, now);
        if !self.parts.roster.is_proven(&src) {
            // Its own account of this life has not come: it is asked for that, and what it says is not heard until then.
            let mut out = Vec::new();
            self.parts.comparing.note_unproven(src.addr(), &mut out);
            return self.carry_out(out, now);
        }
        if !self.parts.are_known(&packet.header) {
            return self.parts.link.count_refused();
        }
        packet.items().for_each(|item| self.parts.link.echoes().take(src.addr(), item));
        // A node that calls this one failed may be on the other side of a partition that has healed, and which of the two
        // sides renews itself shows when they compare. If this node alone was wrong about itself it learns that, too.
        let undead = (packet.header.message == Message::TurnUndead).then(|| Action::exchange(src.addr()));
        if let Some(answer) = undead.or_else(|| self.parts.answer_forgotten(src)) {
            return self.carry_out([answer], now);
        }
        let is_shown_well = matches!(
            self.parts.roster.state(&src),
            Life::Alive { incarnation } if incarnation >= packet.header.src_incarnation
        );
        self.parts.roster.note_heard(src, now);
        let mut out = Vec::new();
        let facts = facts!(self.parts, now);
        let round_trip = self.parts.detector.note_received(&packet.header, transport, &facts, &mut out);
        self.parts.agenda.put_first(out);
        let is_mine = |update: &Member<Peer>| update.id().id == me.id;
        let fate = |update: &Member<Peer>| self.parts.fate(update, now);
        let (mut sifted, verdicts) = packet.sift(fate);
        if sifted.has_unproven {
            let mut out = Vec::new();
            self.parts.comparing.note_unproven(src.addr(), &mut out);
            self.parts.agenda.put_first(out);
        }
        if !self.parts.roster.has_room_for(&src.id) {
            self.parts.link.count_refused();
            return self.parts.pump(now);
        }
        let introduces = |update: &&Member<Peer>| {
            update.state() == State::Alive && !is_mine(update) && !self.parts.roster.knows(&update.id().id)
        };
        let mut strangers: Vec<_> = sifted.updates.iter().filter(introduces).cloned().collect();
        if self.parts.roster.is_full() && !strangers.is_empty() {
            (sifted, strangers) = (packet.header_only(), vec![]);
        }
        if !is_shown_well {
            sifted.about.push(src.id);
        }
        // The engine queues the members that it takes from a message, to pass them on.
        if room_for_rumours(self.parts.engine.backlog()) == 0 && !strangers.is_empty() {
            self.parts.engine.apply_all(strangers, Telling::Quiet);
        }
        self.parts.engine.receive(&sifted);
        if !verdicts.is_empty() {
            // A goodbye may come beside them, and explain them.
            self.parts.agenda.put_last([Action::HearVerdicts { from: src, verdicts }]);
        }
        self.parts.agenda.put_last([Action::NoteContact(src)]);
        // The message may tell the position of its sender, too.
        self.parts.agenda.put_last(round_trip.map(|round_trip| Action::NoteRoundTrip(src, round_trip)));
        self.parts.pump(now);
    }

    /// Takes in a frame that a node sent over a stream it opened, and says what to answer; strangers get no answer.
    pub fn handle_request(&mut self, from: SocketAddr, frame: &[u8], now: Instant) -> Option<Bytes> {
        let (request, origin) = match self.parts.link.open_request(from, frame, now) {
            Asked::Request(request, origin) => (request, origin),
            Asked::Answered(answer) => return answer,
        };
        let reply = if matches!(request, Some(Request::Challenge(_))) || self.parts.phase == Phase::Running {
            self.answer(from, request, origin, now)
        } else {
            Some(Reply::Silent)
        };
        self.parts.settle(now);
        Some(self.parts.link.seal_reply(&reply?, origin))
    }

    fn answer(
        &mut self,
        from: SocketAddr,
        request: Option<Request>,
        origin: Option<Origin>,
        now: Instant,
    ) -> Option<Reply> {
        match request {
            Some(Request::Compare(digest)) => Some(comparing::answer(digest, &self.parts.roster)),
            Some(Request::Trade(state, wanted)) => {
                let offered = self.parts.read_state(state).ok()?;
                self.parts.link.note_stream(from, offered.sender.addr());
                Some(Reply::State(self.trade(offered, &state::get_hashes(&wanted), now).encode()))
            }
            Some(Request::Exchange(state)) => {
                let state = self.parts.read_state(state).ok()?;
                self.parts.link.note_key(state.sender.addr(), origin);
                self.parts.link.note_stream(from, state.sender.addr());
                let before = self.parts.roster.record(&state.sender.id).cloned();
                self.parts.take_state(state, Telling::Aloud, now);
                Some(Reply::State(self.parts.state_for(before, now).encode()))
            }
            Some(Request::Founding(_, message)) if message.len() > MAX_FOUNDING => {
                self.parts.link.count_refused();
                None
            }
            Some(Request::Founding(seal, message)) => {
                let sender = self.parts.own.sender(seal, &message);
                let sender = sender.inspect_err(|_| self.parts.link.count_refused()).ok()?;
                self.parts.events.push_back(Event::Founding(sender, message.into()));
                Some(Reply::Taken)
            }
            Some(Request::Keys(request)) => {
                // Without keys nobody has shown that it may ask.
                let mut out = Vec::new();
                let reply = self.parts.keyrings.answer(&request, self.parts.link.keyring()?, &mut out);
                self.carry_out(out, now);
                reply.map(Reply::Keys)
            }
            Some(Request::Swim(message)) if message.len() <= MAX_DATAGRAM => {
                Some(self.answer_swim(&message, now))
            }
            Some(Request::Challenge(challenge)) => self.parts.answer_challenge(&challenge).map(Reply::Proof),
            Some(Request::Swim(_)) | None => {
                self.parts.link.count_refused();
                None
            }
        }
    }

    /// Has the engine answer over the stream by which it was asked.
    fn answer_swim(&mut self, message: &[u8], now: Instant) -> Reply {
        let Ok(packet) = Packet::decode(message) else {
            self.parts.link.count_refused();
            return Reply::Swim(Enclosed::default());
        };
        self.parts.link.begin_answer(packet.header.src.addr());
        self.take_packet(&packet, Transport::Stream, now);
        let datagrams = self.parts.link.end_answer().into_iter().map(|datagram| datagram.to_vec().into());
        Reply::Swim(Enclosed(datagrams.collect()))
    }

    /// Gives the entries that another node wants, and takes over those that it offers. A node that is called failed here
    /// gets everything, for two sides of a partition have met, and which of them gives way depends on all that each knows.
    fn trade(
        &mut self,
        offered: SharedState,
        wanted: &BTreeSet<state::EntryHash>,
        now: Instant,
    ) -> SharedState {
        if self.parts.roster.state(&offered.sender).is_over() {
            return self.parts.shared_state();
        }
        let hashes = self.parts.roster.hashes().filter(|(_, hash)| wanted.contains(hash));
        let ids: BTreeSet<_> = hashes.map(|(id, _)| id).collect();
        let given = self.parts.state_of(|id| ids.contains(id));
        self.parts.take_state(offered, Telling::Aloud, now);
        self.parts.pump(now);
        given
    }

    /// Takes in the answer to a dial, or the reason for which there is none.
    pub fn handle_reply(&mut self, exchange: ExchangeId, reply: Result<&[u8], NoAnswer>, now: Instant) {
        let Some(ended) = self.parts.link.end(exchange, reply, now) else { return };
        let (to, purpose) = (ended.to, ended.purpose);
        let mut out = Vec::new();
        if let Purpose::Keys(question, member) = purpose {
            let answer = keyrings::read_answer(member, to, ended.answer);
            let (own, me) = (self.parts.link.keyring(), self.parts.engine.me());
            self.parts.keyrings.end(question, answer, own, &me, &mut out);
            return self.carry_out(out, now);
        }
        if purpose == Purpose::Duplicate {
            return self.parts.take_proof(to, ended.answer.ok().as_ref(), now);
        }
        let outcome = ended.answer.and_then(|opened| self.take_reply(to, &opened, now));
        if let Err(error) = &outcome {
            tracing::debug!(%to, %error, ?purpose, "no contact");
        }
        let evidence = if ended.refused { Evidence::Refused } else { Evidence::Silent };
        let facts = facts!(self.parts, now);
        match purpose {
            Purpose::Round => {
                let end = if outcome.is_ok() { DialEnd::Reached } else { DialEnd::Failed };
                self.parts.joining.note_ended(end);
            }
            Purpose::Asked(join) => self.parts.joining.end_asked(join, to, outcome, &mut out),
            Purpose::Ping(target) if ended.refused => {
                self.parts.detector.note_refused_ping(target, to, &facts, &mut out);
            }
            Purpose::Check(accused) => {
                self.parts.detector.end_check_stream(&accused, evidence, &facts, &mut out);
            }
            Purpose::Trade => {
                if outcome.is_ok() && self.parts.comparing.take_more(to) {
                    out.push(Action::compare(to));
                }
            }
            Purpose::Ping(_)
            | Purpose::Exchange
            | Purpose::Compare
            | Purpose::Founding
            | Purpose::Duplicate
            | Purpose::Keys(..) => {}
        }
        self.carry_out(out, now);
        self.parts.settle(now);
    }

    fn take_reply(&mut self, to: SocketAddr, opened: &Opened<'_>, now: Instant) -> Result<(), String> {
        if opened.kind != Kind::Reply {
            return Err(WireError::Foreign.to_string());
        }
        let reply: Reply = frame::read(&opened.payload).map_err(|error| error.to_string())?;
        if self.parts.phase != Phase::Running {
            return Err("this agent is leaving".to_owned());
        }
        match reply {
            Reply::Same | Reply::Taken => Ok(()),
            Reply::Silent => Err(SILENT.to_owned()),
            Reply::Keys(_) | Reply::Proof(_) => Err(WireError::Foreign.to_string()),
            Reply::Swim(Enclosed(datagrams)) => {
                datagrams.iter().for_each(|datagram| self.take_enclosed(datagram, now));
                Ok(())
            }
            Reply::Differ(theirs) => {
                self.offer(to, &state::get_hashes(&theirs), now);
                Ok(())
            }
            Reply::State(state) => {
                let state = self.parts.read_state(state).map_err(|error| error.to_string())?;
                self.take_answered_state(to, state, now)
            }
        }
    }

    /// Takes in a SWIM message that came in an answer.
    fn take_enclosed(&mut self, datagram: &[u8], now: Instant) {
        let Some(opened) = self.parts.link.open_enclosed(datagram) else { return };
        match restore(&opened.payload, &self.parts.engine.me()).as_deref().map(Packet::open) {
            Some(Ok(Some(packet))) => self.take_packet(&packet, Transport::Stream, now),
            Some(Ok(None)) => {}
            Some(Err(_)) | None => self.parts.link.count_refused(),
        }
    }

    /// Takes in the state with which a node answered that was dialled at `to`.
    fn take_answered_state(
        &mut self,
        to: SocketAddr,
        state: SharedState,
        now: Instant,
    ) -> Result<(), String> {
        let (addr, is_partial) = (state.sender.addr(), state.is_partial);
        // A node that joins learns of everybody at once; all of them know each other already.
        let joins = self.parts.engine.is_alone();
        let told = self.parts.take_state(state, if joins { Telling::Quiet } else { Telling::Aloud }, now);
        self.parts.pump(now);
        match told {
            Told::Peer => {
                self.parts.joining.mark_answered(to, now);
                if is_partial {
                    self.carry_out([Action::compare(to)], now);
                }
                if joins {
                    self.carry_out([Action::Gossip, Action::CompareSoon], now);
                }
                Ok(())
            }
            Told::Myself => {
                self.parts.joining.mark_own(to);
                Err("this is the agent's own address".to_owned())
            }
            Told::Duplicate => {
                Err(format!("the agent at {addr} has this node's id: it is asked whether that is so"))
            }
        }
    }

    /// Offers the entries that the other node lacks, and asks for those that this one lacks: a comparison has found a
    /// difference.
    fn offer(&mut self, to: SocketAddr, theirs: &BTreeSet<state::EntryHash>, now: Instant) {
        let difference = comparing::difference(theirs, &self.parts.roster);
        self.parts.comparing.note_more(to, difference.has_more);
        let offer = self.parts.state_of(|id| difference.lacking.contains(id)).encode();
        let wanted = state::put_hashes(difference.wanted.into_iter());
        let question = Question::Ready(Request::Trade(offer, wanted));
        self.carry_out([Action::Ask { to, question, purpose: Purpose::Trade }, Action::CompareSoon], now);
    }

    /// Does what is due. Everything that waits on the sockets must have been taken in before.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.parts.clock.note_lateness(self.parts.timing.stall(), now) {
            Lateness::InTime => {}
            Lateness::Slow => self.parts.detector.note_slow(),
            Lateness::Paused(late) => {
                self.parts.detector.note_slow();
                tracing::warn!(
                    late_s = late.as_secs_f64(),
                    "this process was paused; suspicions are put off"
                );
                self.parts.detector.begin_all_again(now);
            }
        }
        while let Some(tick) = self.parts.clock.pop_due(now) {
            self.tick(tick, now);
            self.parts.pump(now);
        }
        self.parts.settle(now);
    }

    fn tick(&mut self, tick: Tick, now: Instant) {
        let mut out = Vec::new();
        let facts = facts!(self.parts, now);
        match tick {
            Tick::Swim(timer) => {
                match self.parts.engine.stage(&timer) {
                    Some(Stage::Indirect(probed)) => self.parts.detector.ask_again(&probed, &mut out),
                    Some(Stage::Next) => {
                        let answer = self.parts.detector.answer_of_speaker(&facts);
                        if let Some(header) = answer {
                            self.parts.engine.take_answer(&header);
                            let id = header.src.id;
                            self.parts.roster.set_degraded(id, self.parts.detector.is_degraded(id, now));
                        }
                        self.parts.detector.end_probe();
                    }
                    None => {}
                }
                out.push(Action::RunTimer(timer));
            }
            Tick::Goodbye(round) => leaving::repeat(round, &facts, self.parts.clock.rng(), &mut out),
            Tick::Duplicate if self.parts.phase != Phase::Leaving => {
                if let Some(other) = self.parts.own.duplicates.addr() {
                    let wait = Wait::Exactly(self.parts.timing.probe_period);
                    self.parts.clock.schedule_after(now, wait, Tick::Duplicate);
                    self.parts.challenge(other);
                }
            }
            Tick::Duplicate => {}
            Tick::GivenUp => {
                while let Some(exchange) = self.parts.link.dials().poll_dropped() {
                    self.handle_reply(exchange, Err(NoAnswer::Failed(GIVEN_UP.to_owned())), now);
                }
            }
            _ if self.parts.phase != Phase::Running => {}
            Tick::JoinRound => {
                self.parts.joining.note_due();
                if self.parts.engine.is_alone() {
                    self.parts.joining.begin_round(&facts, self.parts.clock.rng(), &mut out);
                }
            }
            Tick::Verdict(id) => self.parts.detector.review(id, &facts, self.parts.clock.rng(), &mut out),
            Tick::Sentence { accused, incarnation } => {
                self.parts.detector.carry_out(&accused, incarnation, &facts, &mut out);
            }
            Tick::CheckEnds(id) => self.parts.detector.end_check(&id, Evidence::Silent, &facts, &mut out),
            Tick::Nack { asker, target, number } => {
                self.parts.detector.tell_nack(asker, target, number, &mut out);
            }
            Tick::Refresh(id) => self.parts.roster.set_degraded(id, self.parts.detector.is_degraded(id, now)),
            Tick::Widen => self.parts.joining.widen(&self.parts.timing, &mut out),
            Tick::Heal => {
                self.parts.clock.schedule_after(now, Wait::Around(self.parts.timing.heal_period), Tick::Heal);
                self.parts.joining.heal(&facts, self.parts.clock.rng(), &mut out);
            }
            Tick::Compare(chain) => {
                if self.parts.comparing.is_current(chain) {
                    self.compare(now);
                }
            }
            Tick::AskRecords => {
                let chosen = self.parts.comparing.choose_asked(&facts, self.parts.clock.rng(), &mut out);
                if let Some(to) = chosen.filter(|_| !self.parts.link.is_comparing()) {
                    out.insert(0, Action::compare(to));
                }
            }
            Tick::Reach(to) => out.push(Action::exchange(to)),
        }
        self.parts.agenda.put_first(out);
    }

    /// Compares the view with the engine, and the state with one random member's.
    fn compare(&mut self, now: Instant) {
        let refreshed = self.parts.roster.audit(&self.parts.engine, self.parts.own_status(), now);
        self.parts.follow(&refreshed, now);
        let Scheduled { after, chain } = self.parts.comparing.next(&self.parts.timing);
        self.parts.clock.schedule_after(now, Wait::Around(after), Tick::Compare(chain));
        let chosen = self.parts.engine.members().map(Peer::addr).choose(self.parts.clock.rng());
        self.parts.agenda.put_first(chosen.map(Action::compare));
    }

    /// Says goodbye: to every member at once, then by rumour for a few rounds more; `Event::Left` when it is done. From
    /// here on nothing that is heard changes anything.
    pub fn leave(&mut self, now: Instant) {
        if self.parts.phase != Phase::Running {
            self.parts.events.push_back(Event::Left);
            return;
        }
        self.parts.phase = Phase::Leaving;
        // Streams that wait would bring it back.
        self.parts.link.dials().drop_all();
        self.parts.clock.schedule(now, Tick::GivenUp);
        let goodbye = self.parts.own.goodbye(self.parts.engine.me());
        self.parts.engine.tell(&Rumour::Left(goodbye.into()).encode());
        let mut out = Vec::new();
        let facts = facts!(self.parts, now);
        leaving::say(&facts, self.parts.clock.rng(), &mut out);
        out.extend([Action::Leave, leaving::next_after(0, &facts)]);
        self.carry_out(out, now);
        self.parts.settle(now);
    }
}
