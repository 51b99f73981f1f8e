//! The course of an input through the parts: what each `handle_*` does, and the one loop that carries out actions.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foca::{Identity as _, Member, Message, OwnedNotification, State, Timer};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IteratorRandom as _};

use super::{
    Gossip, Phase,
    action::{Action, Purpose, Question, Source, Suspect, Telling},
    clock::{Lateness, Tick, Wait},
    codec::restore,
    comparing::{self, Scheduled, room_for_rumours},
    detector::{self, Transport},
    engine::{Output, Stage, without_suspicion},
    facts::Facts,
    frame::{self, FrameError},
    joining::DialEnd,
    keyrings,
    link::{Asked, Datagram},
    metadata::Stamp,
    output::{Event, ExchangeId, NoAnswer},
    packet::{Fate, Packet},
    peer::{LifeNumber, Peer, get_peer, put_peer},
    roster::{MAX_MEMBERS, Refreshed},
    rumours::{Evidence, Rumour},
    state::{self, Consequence, EncodedState, Reply, Request, SILENT, SharedState},
};
use crate::{
    membership::MemberStatus,
    node::{Epoch, NodeId},
    wire::{Freshness, Kind, MemberKeys, Opened, Origin, WireError},
};

/// Number of times that the goodbye is said: with three listeners a round, five rounds reach everyone of a dozen and start
/// the rumour in any larger cluster.
const GOODBYES: u8 = 5;
/// Round of the goodbye in which members are told directly once more.
const DIRECT_AGAIN: u8 = 2;
/// Upper bound on members that are told goodbye directly; the rumour tells the rest.
const DIRECT_GOODBYES: usize = 128;
/// Upper bound on members dialled because another node calls alive what this one calls failed.
const MAX_REACHED: usize = 16;
/// Time within which announced metadata is asked for, so that its owner is not asked by everybody at once.
const ANNOUNCED_ASKED_WITHIN: Duration = Duration::from_secs(1);
/// Reason for which nothing is asked.
const UNSENT: &str = "this agent is leaving, or has stopped over a duplicate node id";

/// Facts for a part that is borrowed at the same time: unlike a method this borrows only the parts that are read.
macro_rules! facts {
    ($gossip:ident, $now:ident) => {
        Facts {
            now: $now,
            timing: &$gossip.timing,
            engine: &$gossip.engine,
            roster: &$gossip.roster,
            is_settling: $gossip.partition.is_settling($now),
        }
    };
}

/// Sender of a state.
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
        if let Some(datagram) = self.link.open_datagram(from, datagram, now) {
            self.take_datagram(from, &datagram, now);
        }
        self.settle(now);
    }

    fn take_datagram(&mut self, from: SocketAddr, datagram: &Datagram<'_>, now: Instant) {
        let Datagram { opened: Opened { kind, payload, origin }, freshness } = datagram;
        let message = if *kind == Kind::Swim { restore(payload, &self.engine.me()) } else { None };
        let packet = message.as_deref().filter(|message| !message.is_empty()).map(Packet::decode);
        let goodbye = if *kind == Kind::Goodbye { get_peer(&mut &**payload).ok() } else { None };
        if *freshness == Freshness::Stranger {
            // An unknown process is one of this cluster if the others have told of the life that it leads.
            let life = packet.as_ref().and_then(|packet| Some(packet.as_ref().ok()?.header.src)).or(goodbye);
            if !life.is_some_and(|life| self.roster.state(&life).is_active()) {
                return self.link.refuse_old(from);
            }
            self.link.admit(*origin);
        }
        self.link.note_key(from, *origin);
        match (kind, packet, goodbye) {
            // After a goodbye the engine would rejoin when it hears of its own death.
            (Kind::Swim | Kind::Goodbye, ..) if self.phase != Phase::Running => {}
            (Kind::Swim, Some(Ok(packet)), _) => self.take_packet(&packet, Transport::Datagram, now),
            // It is for another life of this node.
            (Kind::Swim, None, _) if message.is_some() => {}
            (Kind::Goodbye, _, Some(peer)) => {
                self.take_rumour(Rumour::Left(peer), now);
                self.pump(now);
            }
            _ => self.link.count_refused(),
        }
    }

    /// Takes in a SWIM message.
    fn take_packet(&mut self, packet: &Packet<'_>, transport: Transport, now: Instant) {
        let (me, src) = (self.engine.me(), packet.header.src);
        if self.phase != Phase::Running || packet.header.dst != me || src.id == me.id {
            return;
        }
        // A node that calls this one failed may be on the other side of a partition that has healed, and which of the two
        // sides renews itself shows when they compare. If this node alone was wrong about itself it learns that, too.
        if packet.header.message == Message::TurnUndead {
            self.agenda.put_first([exchange_with(src.addr())]);
            return self.pump(now);
        }
        let is_shown_well = matches!(
            self.roster.state(&src),
            super::roster::Life::Alive { incarnation } if incarnation >= packet.header.src_incarnation
        );
        self.roster.note_heard(src, now);
        let mut out = Vec::new();
        let facts = facts!(self, now);
        let round_trip = self.detector.note_received(&packet.header, transport, &facts, &mut out);
        self.agenda.put_first(out);
        let is_mine = |update: &Member<Peer>| update.id().id == me.id;
        let fate =
            |update: &Member<Peer>| if is_mine(update) { Fate::Keep } else { self.roster.fate(update) };
        let (mut sifted, verdicts) = packet.sift(fate);
        if !self.roster.has_room_for(&src.id) {
            self.link.count_refused();
            return self.pump(now);
        }
        let introduces = |update: &&Member<Peer>| {
            update.state() == State::Alive && !is_mine(update) && !self.roster.knows(&update.id().id)
        };
        let mut strangers: Vec<_> = sifted.updates.iter().filter(introduces).cloned().collect();
        if self.roster.is_full() && !strangers.is_empty() {
            (sifted, strangers) = (packet.header_only(), vec![]);
        }
        if !is_shown_well {
            sifted.about.push(src.id);
        }
        // The engine queues the members that it takes from a message, to pass them on.
        if room_for_rumours(self.engine.backlog()) == 0 && !strangers.is_empty() {
            self.engine.apply_all(strangers, Telling::Quiet);
        }
        self.engine.receive(&sifted);
        if !verdicts.is_empty() {
            // A goodbye may come beside them, and explain them.
            self.agenda.put_last([Action::HearVerdicts { from: src, verdicts }]);
        }
        self.agenda.put_last([Action::NoteContact(src)]);
        // The message may tell the position of its sender, too.
        self.agenda.put_last(round_trip.map(|round_trip| Action::NoteRoundTrip(src, round_trip)));
        self.pump(now);
    }

    /// Takes in a frame that a node sent over a stream it opened, and says what to answer; strangers get no answer.
    pub fn handle_request(&mut self, from: SocketAddr, frame: &[u8], now: Instant) -> Option<Bytes> {
        let (request, origin) = match self.link.open_request(from, frame, now) {
            Asked::Request(request, origin) => (request, origin),
            Asked::Answered(answer) => return answer,
        };
        let reply = if self.phase == Phase::Running {
            self.answer(request, origin, now)
        } else {
            Some(Reply::Silent)
        };
        self.settle(now);
        Some(self.link.seal_reply(&reply?, origin))
    }

    fn answer(&mut self, request: Option<Request>, origin: Option<Origin>, now: Instant) -> Option<Reply> {
        match request {
            Some(Request::Compare(digest)) => Some(comparing::answer(digest, &self.roster)),
            Some(Request::Trade(state, wanted)) => {
                let offered = self.read_state(state).ok()?;
                Some(Reply::State(self.trade(offered, &state::get_hashes(&wanted), now).encode()))
            }
            Some(Request::Exchange(state)) => {
                let state = self.read_state(state).ok()?;
                self.link.note_key(state.sender.addr(), origin);
                self.take_state(state, Telling::Aloud, now);
                self.pump(now);
                Some(Reply::State(self.shared_state().encode()))
            }
            Some(Request::Founding(sender, message)) => {
                let sender =
                    NodeId::try_from(*sender).ok().filter(|sender| *sender != self.engine.me().id)?;
                self.events.push_back(Event::Founding(sender, message.into()));
                Some(Reply::Taken)
            }
            Some(Request::Keys(request)) => {
                // Without keys nobody has shown that it may ask.
                let mut out = Vec::new();
                let reply = self.keyrings.answer(&request, self.link.keyring()?, &mut out);
                self.agenda.put_first(out);
                self.pump(now);
                reply.map(Reply::Keys)
            }
            Some(Request::Swim(message)) => Some(self.answer_swim(&message, now)),
            None => {
                self.link.count_refused();
                None
            }
        }
    }

    /// Has the engine answer over the stream by which it was asked.
    fn answer_swim(&mut self, message: &[u8], now: Instant) -> Reply {
        let Ok(packet) = Packet::decode(message) else {
            self.link.count_refused();
            return Reply::Swim(vec![]);
        };
        self.link.begin_answer(packet.header.src.addr());
        self.take_packet(&packet, Transport::Stream, now);
        Reply::Swim(self.link.end_answer().into_iter().map(|datagram| datagram.to_vec().into()).collect())
    }

    /// Gives the entries that another node wants, and takes over those that it offers. A node that is called failed here
    /// gets everything, for two sides of a partition have met, and which of them gives way depends on all that each knows.
    fn trade(
        &mut self,
        offered: SharedState,
        wanted: &BTreeSet<state::EntryHash>,
        now: Instant,
    ) -> SharedState {
        if self.roster.state(&offered.sender).is_over() {
            return self.shared_state();
        }
        let hashes = self.roster.hashes().filter(|(_, hash)| wanted.contains(hash));
        let ids: BTreeSet<_> = hashes.map(|(id, _)| id).collect();
        let given = self.state_of(|id| ids.contains(id));
        self.take_state(offered, Telling::Aloud, now);
        self.pump(now);
        given
    }

    /// Takes in the answer to a dial, or the reason for which there is none.
    pub fn handle_reply(&mut self, exchange: ExchangeId, reply: Result<&[u8], NoAnswer>, now: Instant) {
        let Some(ended) = self.link.end(exchange, reply, now) else { return };
        let (to, purpose) = (ended.to, ended.purpose);
        let mut out = Vec::new();
        if let Purpose::Keys(question, member) = purpose {
            let answer = keyrings::read_answer(member, to, ended.answer);
            let (own, me) = (self.link.keyring(), self.engine.me());
            self.keyrings.end(question, answer, own, &me, &mut out);
            self.agenda.put_first(out);
            return self.pump(now);
        }
        let outcome = ended.answer.and_then(|opened| self.take_reply(to, &opened, now));
        if let Err(error) = &outcome {
            tracing::debug!(%to, %error, ?purpose, "no contact");
        }
        let evidence = if ended.refused { Evidence::Refused } else { Evidence::Silent };
        let facts = facts!(self, now);
        match purpose {
            Purpose::Round => {
                self.joining.note_ended(if outcome.is_ok() { DialEnd::Reached } else { DialEnd::Failed });
            }
            Purpose::Asked(join) => self.joining.end_asked(join, to, outcome, &mut out),
            Purpose::Ping(target) if ended.refused => {
                self.detector.note_refused_ping(target, to, &facts, &mut out);
            }
            Purpose::Check(accused) => {
                self.detector.end_check_stream(&accused, evidence, &facts, &mut out);
            }
            Purpose::Ping(_)
            | Purpose::Exchange
            | Purpose::Compare
            | Purpose::Trade
            | Purpose::Founding
            | Purpose::Keys(..) => {}
        }
        self.agenda.put_first(out);
        self.pump(now);
        self.settle(now);
    }

    fn take_reply(&mut self, to: SocketAddr, opened: &Opened<'_>, now: Instant) -> Result<(), String> {
        if opened.kind != Kind::Reply {
            return Err(WireError::Foreign.to_string());
        }
        let reply: Reply = frame::read(&opened.payload).map_err(|error| error.to_string())?;
        if self.phase != Phase::Running {
            return Err("this agent is leaving".to_owned());
        }
        match reply {
            Reply::Same | Reply::Taken => Ok(()),
            Reply::Silent => Err(SILENT.to_owned()),
            Reply::Keys(_) => Err(WireError::Foreign.to_string()),
            Reply::Swim(datagrams) => {
                datagrams.iter().for_each(|datagram| self.take_enclosed(datagram, now));
                Ok(())
            }
            Reply::Differ(theirs) => {
                self.offer(to, &state::get_hashes(&theirs), now);
                Ok(())
            }
            Reply::State(state) => {
                let state = self.read_state(state).map_err(|error| error.to_string())?;
                self.take_answered_state(to, state, now)
            }
        }
    }

    /// Takes in a SWIM message that came in an answer.
    fn take_enclosed(&mut self, datagram: &[u8], now: Instant) {
        let Some(opened) = self.link.open_enclosed(datagram) else { return };
        match restore(&opened.payload, &self.engine.me()).as_deref().map(Packet::decode) {
            Some(Ok(packet)) => self.take_packet(&packet, Transport::Stream, now),
            // An empty message is for another life of this node.
            Some(Err(_)) if restore(&opened.payload, &self.engine.me()).is_some_and(|it| it.is_empty()) => {}
            Some(Err(_)) | None => self.link.count_refused(),
        }
    }

    /// Takes in the state with which a node answered that was dialled at `to`.
    fn take_answered_state(
        &mut self,
        to: SocketAddr,
        state: SharedState,
        now: Instant,
    ) -> Result<(), String> {
        let addr = state.sender.addr();
        // A node that joins learns of everybody at once; all of them know each other already.
        let joins = self.engine.is_alone();
        let told = self.take_state(state, if joins { Telling::Quiet } else { Telling::Aloud }, now);
        self.pump(now);
        match told {
            Told::Peer => {
                self.joining.mark_answered(to);
                if joins {
                    self.agenda.put_first([Action::Gossip, Action::CompareSoon]);
                    self.pump(now);
                }
                Ok(())
            }
            Told::Myself => {
                self.joining.mark_own(to);
                Err("this is the agent's own address".to_owned())
            }
            Told::Duplicate => Err(format!(
                "the agent at {addr} has this node's id: one state directory was copied; stop one of the two and delete its copy"
            )),
        }
    }

    /// Offers the entries that the other node lacks, and asks for those that this one lacks: a comparison has found a
    /// difference.
    fn offer(&mut self, to: SocketAddr, theirs: &BTreeSet<state::EntryHash>, now: Instant) {
        let difference = comparing::difference(theirs, &self.roster);
        let offer = self.state_of(|id| difference.lacking.contains(id)).encode();
        let wanted = state::put_hashes(difference.wanted.into_iter());
        let question = Question::Ready(Request::Trade(offer, wanted));
        self.agenda.put_first([Action::Ask { to, question, purpose: Purpose::Trade }, Action::CompareSoon]);
        self.pump(now);
    }

    /// Does what is due. Everything that waits on the sockets must have been taken in before.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.clock.note_lateness(self.timing.stall(), now) {
            Lateness::InTime => {}
            Lateness::Slow => self.detector.note_slow(),
            Lateness::Paused(late) => {
                self.detector.note_slow();
                tracing::warn!(
                    late_s = late.as_secs_f64(),
                    "this process was paused; suspicions are put off"
                );
                self.detector.begin_all_again(now);
            }
        }
        while let Some(tick) = self.clock.pop_due(now) {
            self.tick(tick, now);
            self.pump(now);
        }
        self.settle(now);
    }

    fn tick(&mut self, tick: Tick, now: Instant) {
        let mut out = Vec::new();
        let facts = facts!(self, now);
        match tick {
            Tick::Swim(timer) => {
                match self.engine.stage(&timer) {
                    Some(Stage::Indirect(probed)) => self.detector.ask_again(&probed, &mut out),
                    Some(Stage::Next) => self.detector.end_probe(),
                    None => {}
                }
                out.push(Action::RunTimer(timer));
            }
            Tick::Goodbye(round) => return self.repeat_goodbye(round, now),
            _ if self.phase != Phase::Running => {}
            Tick::JoinRound => {
                self.joining.note_due();
                if self.engine.is_alone() {
                    self.joining.begin_round(&facts, self.clock.rng(), &mut out);
                }
            }
            Tick::Verdict(id) => self.detector.review(id, &facts, self.clock.rng(), &mut out),
            Tick::Sentence { accused, incarnation } => {
                self.detector.carry_out(&accused, incarnation, &facts, &mut out);
            }
            Tick::CheckEnds(id) => self.detector.end_check(&id, Evidence::Silent, &facts, &mut out),
            Tick::Nack { asker, target, number } => {
                self.detector.tell_nack(asker, target, number, &mut out);
            }
            Tick::Refresh(id) => self.roster.set_degraded(id, self.detector.is_degraded(id, now)),
            Tick::Widen => self.joining.widen(&self.timing, &mut out),
            Tick::Heal => {
                self.clock.schedule_after(now, Wait::Around(self.timing.heal_period), Tick::Heal);
                self.joining.heal(&facts, self.clock.rng(), &mut out);
            }
            Tick::Compare(chain) => {
                if self.comparing.is_current(chain) {
                    self.compare(now);
                }
            }
            Tick::AskMetadata => {
                let chosen = self.comparing.choose_lacking(&facts, self.clock.rng(), &mut out);
                if let Some(to) = chosen.filter(|_| !self.link.is_comparing()) {
                    out.insert(0, compare_with(to));
                }
            }
            Tick::Reach(id) => out.extend(self.roster.peer(&id).map(|peer| exchange_with(peer.addr()))),
        }
        self.agenda.put_first(out);
    }

    /// Compares the view with the engine, and the state with one random member's.
    fn compare(&mut self, now: Instant) {
        let refreshed = self.roster.audit(&self.engine, self.own_status(), now);
        self.follow(&refreshed, now);
        let Scheduled { after, chain } = self.comparing.next(&self.timing);
        self.clock.schedule_after(now, Wait::Around(after), Tick::Compare(chain));
        let chosen = self.engine.members().map(Peer::addr).choose(self.clock.rng());
        self.agenda.put_first(chosen.map(compare_with));
    }

    /// Says goodbye: to every member at once, then by rumour for a few rounds more; `Event::Left` when it is done. From
    /// here on nothing that is heard changes anything.
    pub fn leave(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            self.events.push_back(Event::Left);
            return;
        }
        self.phase = Phase::Leaving;
        self.engine.tell(&Rumour::Left(self.engine.me()).encode());
        self.say_goodbye();
        self.engine.leave();
        let next = Action::After(Wait::Exactly(self.timing.gossip_period), Tick::Goodbye(1));
        self.agenda.put_first([next]);
        self.pump(now);
        self.settle(now);
    }

    /// Tells members directly that this life ends.
    fn say_goodbye(&mut self) {
        let mut payload = Vec::new();
        put_peer(&self.engine.me(), &mut payload);
        let listeners = self.engine.members().map(Peer::addr).sample(self.clock.rng(), DIRECT_GOODBYES);
        for addr in listeners {
            self.link.send(addr, Kind::Goodbye, &payload);
        }
    }

    fn repeat_goodbye(&mut self, round: u8, now: Instant) {
        if round >= GOODBYES || self.engine.is_alone() {
            self.events.push_back(Event::Left);
            return;
        }
        if round == DIRECT_AGAIN {
            self.say_goodbye();
        }
        self.engine.gossip();
        let next = Action::After(Wait::Exactly(self.timing.gossip_period), Tick::Goodbye(round + 1));
        self.agenda.put_first([next]);
        self.pump(now);
    }

    /// Carries out actions, and takes in what the engine produces, until nothing is left. Of the two the engine's products
    /// come first, so that each action finds the view as the engine is; rumours come once the actions are done.
    pub(super) fn pump(&mut self, now: Instant) {
        loop {
            self.follow_engine(now);
            if let Some(action) = self.agenda.pop() {
                self.carry_out(action, now);
            } else if let Some(rumour) = self.engine.poll_rumour() {
                self.take_rumour(rumour, now);
            } else if !self.fit() {
                let Some(action) = self.agenda.pop_last() else { return };
                self.carry_out(action, now);
            }
        }
    }

    /// Fits what depends on the cluster's size and on how many rumours wait; says whether there is something to do.
    fn fit(&mut self) -> bool {
        self.engine.fit(&self.timing);
        let mut out = Vec::new();
        self.comparing.note_backlog(self.engine.backlog(), &mut out);
        let any = !out.is_empty();
        self.agenda.put_first(out);
        any
    }

    /// Takes in what the engine has produced, and brings the view up to date.
    fn follow_engine(&mut self, now: Instant) {
        let mut out = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            self.take_output(output, &mut out, now);
        }
        self.agenda.put_first(out);
        let touched = self.engine.take_touched();
        let refreshed = self.roster.refresh(touched, &self.engine, self.own_status(), now);
        self.follow(&refreshed, now);
    }

    fn take_output(&mut self, output: Output, out: &mut Vec<Action>, now: Instant) {
        match output {
            Output::Timer(Timer::ChangeSuspectToDown { member_id: accused, incarnation, .. }, _) => {
                let (evidence, source) = (Evidence::Silent, Source::Probe);
                out.push(Action::Suspect(Suspect { accused, incarnation, evidence, source }));
            }
            Output::Timer(timer, after) => {
                let wait = self.detector.pace(&timer, after, &self.timing);
                self.clock.schedule_after(now, wait, Tick::Swim(timer));
            }
            Output::Send(mut sent) => {
                self.detector.note_sent(&sent, now);
                self.coordinates.append_to(&mut sent);
                self.link.send_swim(sent.to.addr(), &sent.bytes);
            }
            Output::Notice(OwnedNotification::MemberUp(peer) | OwnedNotification::Rename(_, peer)) => {
                if self.roster.record(&peer.id).is_none() {
                    self.comparing.note_missing(out);
                }
            }
            Output::Notice(OwnedNotification::Idle) => self.joining.plan_now(&facts!(self, now), out),
            Output::Notice(OwnedNotification::Rejoin(me)) => {
                tracing::info!(bump = me.bump(), "others took this node for failed; it has renewed itself");
                // It was cut off or paused when it last judged the others.
                self.agenda.put_after_rumours(Action::Renew { me, there: vec![] });
            }
            Output::Notice(
                OwnedNotification::MemberDown(_) | OwnedNotification::Active | OwnedNotification::Defunct,
            ) => {}
        }
    }

    /// Tells the other parts of changes in the view.
    fn follow(&mut self, refreshed: &Refreshed, now: Instant) {
        let confirmed = self.timing.suspicion(self.roster.len());
        for change in &refreshed.changes {
            let id = change.after.peer.id;
            if let Some(until) = self.detector.note_change(change, confirmed, now) {
                self.clock.schedule(until, Tick::Refresh(id));
            }
            self.roster.set_degraded(id, self.detector.is_degraded(id, now));
        }
        if !refreshed.gone.is_empty() {
            self.detector.retain(|id| self.roster.knows(id));
            self.coordinates.retain(|id| self.roster.knows(id));
        }
    }

    /// Ends an input: sets the engine's gossip going if there is something to tell, and bounds what is kept of strangers.
    pub(super) fn settle(&mut self, now: Instant) {
        if let Some(timer) = self.engine.wake() {
            self.clock.schedule_after(now, Wait::Within(self.timing.gossip_period), Tick::Swim(timer));
        }
        self.roster.bound_hearsay();
    }

    fn carry_out(&mut self, action: Action, now: Instant) {
        let mut out = Vec::new();
        let facts = facts!(self, now);
        match action {
            Action::Apply(members, telling) => self.engine.apply_all(members, telling),
            Action::Introduce(member) => self.introduce(member),
            Action::TakeOver(members, telling) => self.take_over(members, telling, &mut out),
            Action::Doubt(member) => detector::doubt(member.id(), member.incarnation(), &facts, &mut out),
            Action::AnswerClaim(claim) => self.answer_claim(claim, &mut out),
            Action::NoteLeft(left) => self.note_left(&left),
            Action::RunTimer(timer) => self.engine.run_timer(timer),
            Action::Gossip => self.engine.gossip(),
            Action::Renew { me, there } => self.renew(me, there, &mut out, now),
            Action::Tell(rumour) => self.engine.tell(&rumour.encode()),
            Action::TellMetadata(owner) => self.tell_metadata(owner),
            Action::Send(to, draft) => self.link.send_swim(to.addr(), &self.engine.write(&to, &draft)),
            Action::Ask { to, question, purpose } => self.ask(to, question, purpose, &mut out),
            Action::After(wait, tick) => self.clock.schedule_after(now, wait, tick),
            Action::At(at, tick) => self.clock.schedule(at, tick),
            Action::CompareSoon => {
                let Scheduled { after, chain } = self.comparing.begin_chain(&self.timing);
                self.clock.schedule_after(now, Wait::Around(after), Tick::Compare(chain));
            }
            Action::Suspect(suspect) => {
                if !self.detector.add_evidence(&suspect, &facts, &mut out) {
                    let Suspect { accused, incarnation, .. } = suspect;
                    self.engine.apply(Member::new(accused, incarnation, State::Suspect), Telling::Aloud);
                    out.push(Action::OpenCase(suspect));
                }
            }
            Action::OpenCase(suspect) => {
                self.detector.open_case(&suspect, &facts, self.clock.rng(), &mut out);
            }
            Action::Condemn { accused, incarnation, judge } => {
                self.partition.note_verdict(judge);
                self.engine.condemn(accused, incarnation);
            }
            Action::HearVerdicts { from, mut verdicts } => {
                if self.roster.state(&from).is_active() && !verdicts.is_empty() {
                    self.detector.hear_verdict(&verdicts.remove(0), &facts, &mut out);
                    out.push(Action::HearVerdicts { from, verdicts });
                }
            }
            Action::NoteContact(with) => {
                self.detector.remind(&with, &facts, &mut out);
                self.partition.note_contact(&with, &facts, &mut out);
            }
            Action::NoteRoundTrip(with, round_trip) => {
                // The probe has its answer, so its indirect stage, which the engine insists on, may wait for the next.
                let is_at = |tick: &Tick, next: bool| match tick {
                    Tick::Swim(timer) => {
                        self.engine.stage(timer).is_some_and(|at| (at == Stage::Next) == next)
                    }
                    _ => false,
                };
                self.clock.join(|tick| is_at(tick, false), |tick| is_at(tick, true));
                self.coordinates.measure(with.id, round_trip);
            }
            Action::Emit(event) => self.events.push_back(event),
        }
        self.agenda.put_first(out);
    }

    /// Opens a stream, or ends the request of whoever waits for an answer if this node asks nothing any more.
    fn ask(&mut self, to: SocketAddr, question: Question, purpose: Purpose, out: &mut Vec<Action>) {
        let is_filled_here = matches!(question, Question::State | Question::Digest);
        if is_filled_here && self.link.is_asking(to, purpose) {
            return;
        }
        if self.phase != Phase::Running {
            return self.end_unsent(to, purpose, out);
        }
        let request = match question {
            Question::State => Request::Exchange(self.shared_state().encode()),
            Question::Digest => Request::Compare(self.roster.digest()),
            Question::Swim(peer, draft) => Request::Swim(self.engine.write(&peer, &draft).into()),
            Question::Repeated(message) => Request::Swim(message.into()),
            Question::Ready(request) => request,
        };
        self.link.ask(to, purpose, &request);
    }

    fn end_unsent(&mut self, to: SocketAddr, purpose: Purpose, out: &mut Vec<Action>) {
        if let Purpose::Asked(join) = purpose {
            self.joining.end_asked(join, to, Err(UNSENT.to_owned()), out);
        } else if let Purpose::Keys(question, id) = purpose {
            let answer = MemberKeys { id, addr: to, state: Err(UNSENT.to_owned()) };
            self.keyrings.end(question, answer, self.link.keyring(), &self.engine.me(), out);
        }
    }

    /// Takes in a rumour that was heard for the first time.
    pub(super) fn take_rumour(&mut self, rumour: Rumour, now: Instant) {
        if self.is_worth_passing_on(&rumour) {
            self.engine.tell(&rumour.encode());
        }
        let mut out = Vec::new();
        let facts = facts!(self, now);
        let me = facts.me();
        match rumour {
            Rumour::Metadata(owner, record) => {
                if self.wants_record(owner.id, record.stamp) {
                    self.roster.keep(vec![record]);
                }
                out.extend(self.meet(&owner));
            }
            Rumour::Announced(owner, stamp) => {
                out.extend(self.meet(&owner));
                if self.wants_record(owner.id, stamp) {
                    out.push(Action::After(Wait::Within(ANNOUNCED_ASKED_WITHIN), Tick::Reach(owner.id)));
                }
            }
            Rumour::Left(peer) => out.extend((peer.id != me.id).then_some(Action::NoteLeft(peer))),
            Rumour::Accused(said) => self.detector.hear_accusation(said, &facts, &mut out),
            Rumour::Check { asker, accused, incarnation } => {
                self.detector.check(asker, &accused, incarnation, &facts, &mut out);
            }
            Rumour::Healed { there, .. } => {
                self.partition.hear_healed(&there, &facts, self.clock.rng(), &mut out);
            }
            Rumour::Nack(number) => self.detector.note_nack(number),
            Rumour::Coordinate(peer, coordinate) => self.coordinates.note(peer.id, coordinate),
        }
        self.agenda.put_first(out);
    }

    /// Whether a rumour is to be passed on, which it is as long as not too much waits. Metadata is passed on only if it is
    /// news here: if thousands join at once most of it comes by stream, and each would pass on for half a minute what all
    /// have. Accusers of one life are passed on as long as they are few; of all else as many as there may be members,
    /// because a hostile one can invent goodbyes and accusations without end.
    fn is_worth_passing_on(&self, rumour: &Rumour) -> bool {
        let backlog = self.engine.backlog();
        let is_news = |owner, stamp| self.wants_record(owner, stamp) && room_for_rumours(backlog) > 0;
        let has_room = backlog.items < MAX_MEMBERS;
        match rumour {
            Rumour::Metadata(owner, record) => is_news(owner.id, record.stamp),
            Rumour::Announced(owner, stamp) => is_news(owner.id, *stamp),
            Rumour::Left(_) | Rumour::Healed { .. } => has_room,
            Rumour::Accused(said) => has_room && !self.detector.has_enough(said),
            Rumour::Check { .. } | Rumour::Nack(_) | Rumour::Coordinate(..) => false,
        }
    }

    fn wants_record(&self, owner: NodeId, stamp: Stamp) -> bool {
        self.roster.wants(self.engine.me().id, owner, stamp)
    }

    /// Introduces a stranger of which others speak; the probes will tell whether it is a member.
    pub(super) fn meet(&self, peer: &Peer) -> Option<Action> {
        let is_stranger = peer.id != self.engine.me().id && !self.roster.knows(&peer.id);
        let may = is_stranger && !self.roster.has_left(peer);
        may.then(|| Action::Introduce(Member::new(*peer, 0, State::Alive)))
    }

    fn introduce(&mut self, member: Member<Peer>) {
        if self.roster.has_room_for(&member.id().id) {
            let room = room_for_rumours(self.engine.backlog());
            self.engine.apply(member, if room > 0 { Telling::Aloud } else { Telling::Quiet });
        }
    }

    /// Remembers that a life said goodbye, and takes it out at once.
    fn note_left(&mut self, left: &Peer) {
        self.roster.note_left(left);
        if self.roster.state(left).is_active()
            && let Some(peer) = self.roster.peer(&left.id)
        {
            self.engine.apply(Member::down(peer), Telling::Aloud);
        }
    }

    fn tell_metadata(&mut self, owner: Peer) {
        if let Some(record) = self.roster.record(&owner.id) {
            let rumour = Rumour::Metadata(owner, Arc::clone(record));
            self.engine.tell(&rumour.encode());
        }
    }

    /// Takes over another node's state. The caller pumps.
    fn take_state(&mut self, state: SharedState, telling: Telling, now: Instant) -> Told {
        let (me, sender) = (self.engine.me(), state.sender);
        if sender.id == me.id {
            // An answer of our own may have been on its way while this node renewed itself.
            let myself = sender == me || sender.addr() == me.addr();
            return if myself { Told::Myself } else { self.meet_duplicate(&sender) };
        }
        // It was said before the sender gave way or started again: it has learnt better since, or will from our answer.
        if self.roster.peer(&sender.id).is_some_and(|known| known.win_addr_conflict(&sender)) {
            return Told::Peer;
        }
        let mut out = Vec::new();
        if self.partition.meet(&state, &facts!(self, now), &mut out) == super::partition::Meeting::Parted {
            self.agenda.put_first(out);
            return Told::Peer;
        }
        let SharedState { members, left, records, .. } = state;
        self.roster.note_heard(sender, now);
        out.extend(left.into_iter().filter(|life| life.id != me.id).map(Action::NoteLeft));
        let tells_of_itself = records.iter().any(|record| record.owner == sender.id);
        self.roster.keep(records);
        if tells_of_itself && room_for_rumours(self.engine.backlog()) > 0 {
            out.push(Action::TellMetadata(sender));
        }
        out.push(Action::Introduce(Member::new(sender, 0, State::Alive)));
        let (mine, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.id().id == me.id);
        out.push(Action::TakeOver(others, telling));
        out.extend(mine.into_iter().map(Action::AnswerClaim));
        self.agenda.put_first(out);
        Told::Peer
    }

    fn take_over(&mut self, theirs: Vec<Member<Peer>>, telling: Telling, out: &mut Vec<Action>) {
        let (mut updates, mut suspects, mut unreached) = (Vec::new(), Vec::new(), Vec::new());
        let mut room = self.roster.room();
        for member in theirs {
            let ours = self.roster.member_state(&member.id().id);
            if ours.is_none() {
                match room.checked_sub(1) {
                    Some(left) => room = left,
                    None => continue,
                }
            }
            // The engine would look through all members for each.
            if ours.as_ref() == Some(&member) {
                continue;
            }
            match state::weigh(&member, ours.as_ref()) {
                Consequence::Apply(update) => updates.push(update),
                Consequence::Suspect(suspect) => suspects.push(suspect),
                Consequence::Reach => unreached.push(member.id().id),
                Consequence::Ignore => {}
            }
        }
        let room = match telling {
            Telling::Aloud => room_for_rumours(self.engine.backlog()),
            Telling::Quiet => 0,
        };
        let quiet = updates.split_off(room.min(updates.len()));
        out.extend([Action::Apply(updates, Telling::Aloud), Action::Apply(quiet, Telling::Quiet)]);
        out.extend(suspects.into_iter().map(Action::Doubt));
        let reach = |id| Action::After(Wait::Within(self.timing.gossip_period), Tick::Reach(id));
        out.extend(unreached.into_iter().take(MAX_REACHED).map(reach));
    }

    /// Answers another node's belief about this one. A present life is defended by the engine; a later life than ours
    /// means that our state went back in time, or that another process lives under our id.
    fn answer_claim(&mut self, claim: Member<Peer>, out: &mut Vec<Action>) {
        let (theirs, state) = (*claim.id(), claim.state());
        if theirs == self.engine.me() {
            self.engine.apply(claim, Telling::Aloud);
        } else if theirs.win_addr_conflict(&self.engine.me()) {
            self.outlive(theirs.epoch());
        }
        let me = self.engine.me();
        if theirs.addr() != me.addr() && theirs.epoch() != me.epoch() && state != State::Down {
            // Our own former address, or a copy of us that runs there: it answers, or it does not.
            out.push(exchange_with(theirs.addr()));
        }
    }

    /// Starts a later life than `epoch`, at once and not by one renewal after the other.
    fn outlive(&mut self, epoch: Epoch) {
        // There is no later life than the last: a node that claims that one for this node is not believed.
        if epoch >= Epoch::LAST {
            return;
        }
        let epoch = Epoch::next(Some(epoch), self.engine.me().epoch().0);
        tracing::warn!(%epoch, "the cluster remembers a later start of this node; its epoch jumps past it");
        self.events.push_back(Event::Persist(epoch));
        self.engine.change_identity(self.engine.me().reborn(epoch, 0));
        // The same metadata, under the new epoch; it fitted before.
        let _fits = self.write_metadata(self.own_metadata().clone());
    }

    /// Meets another process that has this node's id. The one that started later stops, so that the one the cluster knows
    /// stays; of two that started in the same millisecond, the one with the greater address.
    fn meet_duplicate(&mut self, other: &Peer) -> Told {
        let me = self.engine.me();
        let stopped = (me.epoch(), me.addr()) > (other.epoch(), other.addr());
        if stopped {
            self.phase = Phase::Duplicate;
            self.clock.clear();
            self.detector.forget_suspicions();
        }
        self.events.push_back(Event::DuplicateId { addr: other.addr(), stopped });
        Told::Duplicate
    }

    /// Starts the engine afresh as `me`, with this side's active members and those of the other side. Members that this
    /// side called failed are forgotten: it was parted from them when it did.
    fn renew(&mut self, me: Peer, there: Vec<Member<Peer>>, out: &mut Vec<Action>, now: Instant) {
        let active: Vec<_> = self.engine.active_states().cloned().collect();
        // The engine lets an entry stand that says failed of a life that another calls active: active ones go first.
        let others = there.into_iter().filter(|member| member.id().id != me.id);
        let (up, down): (Vec<_>, Vec<_>) = others.partition(|member| member.state() != State::Down);
        let is_up = |id: &NodeId| active.iter().chain(&up).any(|member| member.id().id == *id);
        let down: Vec<_> = down.into_iter().filter(|member| !is_up(&member.id().id)).collect();
        let all = active.into_iter().chain(up).map(without_suspicion).chain(down).collect();
        let rng = StdRng::seed_from_u64(self.clock.rng().random());
        self.clock.forget_engine();
        self.engine.restart(me, &self.timing, rng, all);
        self.detector.forget_suspicions();
        self.partition.note_renewal(now);
        out.extend([Action::TellMetadata(me), Action::Gossip, Action::CompareSoon]);
    }

    /// Reads a state, and the metadata in it that is newer than what this node has.
    fn read_state(&self, state: EncodedState) -> Result<SharedState, FrameError> {
        let is_wanted = |owner, stamp| self.wants_record(owner, stamp);
        SharedState::decode(state, is_wanted, self.engine.read_record())
    }

    /// Everything this node knows.
    pub(super) fn shared_state(&self) -> SharedState {
        self.state_of(|_| true)
    }

    fn state_of(&self, is_told: impl Fn(&NodeId) -> bool) -> SharedState {
        let me = self.engine.me();
        let left = self.roster.left().filter(|(id, _)| is_told(id));
        let left = left.map(|(id, LifeNumber { epoch, bump })| Peer::new(*id, me.addr(), *epoch, *bump));
        let members = self.engine.states().filter(|member| is_told(&member.id().id));
        let records = self.roster.records().filter(|(owner, _)| is_told(owner));
        SharedState {
            sender: me,
            members: members.cloned().collect(),
            left: left.collect(),
            records: records.map(|(_, record)| Arc::clone(record)).collect(),
            standing: self.partition.standing(&me, &self.roster, self.timing.deaf_after()),
        }
    }

    /// This node's own status.
    fn own_status(&self) -> MemberStatus {
        match self.phase {
            Phase::Leaving => MemberStatus::Left,
            Phase::Running | Phase::Duplicate => MemberStatus::Alive,
        }
    }

    /// Begins a round of joining.
    pub(super) fn begin_round(&mut self, now: Instant) {
        let mut out = Vec::new();
        self.joining.begin_round(&facts!(self, now), self.clock.rng(), &mut out);
        self.agenda.put_first(out);
        self.pump(now);
    }

    /// Asks all members for their keyrings; `None` if this node has no keys.
    pub(super) fn begin_keys_question(
        &mut self,
        change: Option<crate::wire::KeyChange>,
        now: Instant,
    ) -> Option<super::KeysId> {
        let mut out = Vec::new();
        let id = self.keyrings.ask(change, self.link.keyring()?, &facts!(self, now), &mut out);
        self.agenda.put_first(out);
        self.pump(now);
        Some(id)
    }
}

/// An exchange of whole states with the node at `to`.
fn exchange_with(to: SocketAddr) -> Action {
    Action::Ask { to, question: Question::State, purpose: Purpose::Exchange }
}

/// A comparison of digests with the node at `to`.
fn compare_with(to: SocketAddr) -> Action {
    Action::Ask { to, question: Question::Digest, purpose: Purpose::Compare }
}
