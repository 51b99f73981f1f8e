//! The parts, and the one loop over them: it carries out actions and takes in what the engine produces. Nothing but
//! this file and `course` calls two parts.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use foca::{Identity as _, Member, OwnedNotification, State, Timer};

use super::{
    action::{Action, Agenda, Purpose, Question, Source, Suspect, Telling},
    clock::{Clock, Tick, Wait},
    comparing::{Comparing, Scheduled, room_for_rumours},
    coordinates::Coordinates,
    detector::{self, Detector},
    engine::{Engine, Output, Stage},
    facts::facts,
    frame::{self, FrameError},
    horizon::Horizon,
    joining::{DialEnd, Joining},
    keyrings::Keyrings,
    leaving,
    link::{Content, Link},
    merging,
    metadata::MetadataTooLarge,
    output::{Dial, Event},
    own::Own,
    packet::Fate,
    partition::Partition,
    peer::Peer,
    record::{Claimed, Goodbye, Stamp},
    roster::{Refreshed, Roster},
    rumours::{Evidence, Rumour},
    state::{EncodedState, MAX_MEMBERS, Request, SharedState},
    timing::Timing,
};
use crate::{
    membership::{MemberStatus, Metadata},
    node::NodeId,
    wire::{Kind, MemberKeys},
};

/// Time within which announced metadata is asked for, so that its owner is not asked by everybody at once.
const ANNOUNCED_ASKED_WITHIN: Duration = Duration::from_secs(1);
/// Reason for which nothing is asked.
const UNSENT: &str = "this agent is leaving, or has stopped over a duplicate node id";

/// The parts of the machine. Each owns its state; here they meet.
pub(super) struct Parts {
    /// The SWIM engine.
    pub(super) engine: Engine,
    /// Members, in which life and status.
    pub(super) roster: Roster,
    /// Suspicions.
    pub(super) detector: Detector,
    /// This side of a cluster that may be parted.
    pub(super) partition: Partition,
    /// Addresses worth dialling.
    pub(super) joining: Joining,
    /// Schedule of comparisons.
    pub(super) comparing: Comparing,
    /// Packets and streams.
    pub(super) link: Link,
    /// Questions about keyrings.
    pub(super) keyrings: Keyrings,
    /// Timers and dice.
    pub(super) clock: Clock,
    /// Positions in the network.
    pub(super) coordinates: Coordinates,
    /// This node's key, and other processes that have it.
    pub(super) own: Own,
    /// Latest epoch that is believed.
    pub(super) horizon: Horizon,
    /// Actions to carry out; empty between two inputs.
    pub(super) agenda: Agenda,
    pub(super) timing: Timing,
    pub(super) phase: Phase,
    /// Events for the caller.
    pub(super) events: VecDeque<Event>,
}

/// Phase of this node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes part.
    Running,
    /// It has said goodbye; nothing it hears may bring it back.
    Leaving,
    /// Another, older process uses the same node id. This one has stopped.
    Duplicate,
}

impl Parts {
    /// Plans what a node does by itself for as long as it runs.
    pub(super) fn begin(&mut self, now: Instant) {
        self.clock.schedule(now, Tick::JoinRound);
        self.clock.schedule_after(now, Wait::Around(self.timing.heal_period), Tick::Heal);
        let first = self.comparing.next(&self.timing);
        self.clock.schedule_after(now, Wait::Around(first.after), Tick::Compare(first.chain));
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
                if self.link.is_free(sent.to.addr()) {
                    self.coordinates.append_to(&mut sent);
                }
                self.link.send_swim(sent.to.addr(), &sent.bytes);
            }
            Output::Notice(OwnedNotification::Idle) => self.joining.plan_now(&facts!(self, now), out),
            Output::Notice(OwnedNotification::Rejoin(me)) => {
                tracing::info!(bump = me.bump(), "others took this node for failed; it has renewed itself");
                // It was cut off or paused when it last judged the others.
                self.agenda.put_after_rumours(Action::Renew { me, there: vec![] });
            }
            Output::Notice(OwnedNotification::MemberUp(peer) | OwnedNotification::Rename(_, peer)) => {
                if self.roster.record(&peer.id).is_none() {
                    self.comparing.note_missing(out);
                }
            }
            Output::Notice(
                OwnedNotification::MemberDown(_) | OwnedNotification::Active | OwnedNotification::Defunct,
            ) => {}
        }
    }

    /// Tells the other parts of changes in the view.
    pub(super) fn follow(&mut self, refreshed: &Refreshed, now: Instant) {
        for change in &refreshed.changes {
            let confirmed = self.timing.suspicion(self.roster.len());
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
            Action::TakeOver(members, telling) => merging::take_over(members, telling, &facts, &mut out),
            Action::Doubt(member) => detector::doubt(member.id(), member.incarnation(), &facts, &mut out),
            Action::AnswerClaim(claim) => self.answer_claim(claim, &mut out, now),
            Action::NoteOther(life) => self.note_other(&life, &mut out, now),
            Action::Challenge(to) => self.challenge_claimed(to, now),
            Action::NoteLeft(left) => self.note_left(left),
            Action::Forget(life) => self.forget(&life),
            Action::RunTimer(timer) => self.engine.run_timer(timer),
            Action::Gossip => self.engine.gossip(),
            Action::Leave => self.engine.leave(),
            Action::Renew { me, there } => self.renew(me, there, &mut out, now),
            Action::Tell(rumour) => self.engine.tell(&rumour.encode()),
            Action::TellMetadata(owner) => {
                if let Some(record) = self.roster.record(&owner.id) {
                    self.engine.tell(&Rumour::Metadata(owner, Arc::clone(record)).encode());
                }
            }
            Action::SayGoodbye(listeners) => {
                let payload = leaving::payload(&self.own.goodbye(facts.me()));
                listeners.into_iter().for_each(|to| self.link.send(to, Kind::Goodbye, &payload));
            }
            Action::Send(to, draft) => self.link.send_own(to.addr(), &self.engine.write(&to, &draft)),
            Action::Ask { to, question, purpose } => self.ask(to, question, purpose, &mut out, now),
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
                let at =
                    |tick: &Tick| if let Tick::Swim(timer) = tick { self.engine.stage(timer) } else { None };
                let is_indirect = |tick: &Tick| matches!(at(tick), Some(Stage::Indirect(_)));
                self.clock.join(is_indirect, |tick| at(tick) == Some(Stage::Next));
                self.coordinates.measure(with.id, round_trip);
            }
            Action::Emit(event) => self.events.push_back(event),
        }
        self.agenda.put_first(out);
    }

    /// Opens a stream, or ends the request of whoever waits for an answer if this node asks nothing any more.
    fn ask(
        &mut self,
        to: SocketAddr,
        question: Question,
        purpose: Purpose,
        out: &mut Vec<Action>,
        now: Instant,
    ) {
        let is_filled_here = matches!(question, Question::State | Question::Digest);
        if is_filled_here && self.link.is_asking(to, purpose) {
            return self.skip(purpose);
        }
        if self.phase != Phase::Running {
            return self.end_unsent(to, purpose, out);
        }
        let ready = |request: &Request| Content::Payload(frame::write(request));
        let content = match question {
            Question::State => Content::State,
            Question::Digest => Content::Digest,
            Question::Swim(peer, draft) => ready(&Request::Swim(self.engine.write(&peer, &draft).into())),
            Question::Repeated(message) => ready(&Request::Swim(message.into())),
            Question::Ready(request) => ready(&request),
        };
        self.link.ask(to, purpose, content);
        if self.link.dials().has_dropped() {
            self.clock.schedule(now, Tick::GivenUp);
        }
    }

    /// Opens the next stream whose turn has come.
    pub(super) fn poll_dial(&mut self) -> Option<Dial> {
        let (waiting, content) = self.link.next_dial()?;
        let payload = match content {
            Content::State => frame::write(&Request::Exchange(self.shared_state().encode())),
            Content::Digest => frame::write(&Request::Compare(self.roster.digest())),
            Content::Payload(payload) => payload,
            Content::Again(again) => return Some(self.link.open_again(&waiting, again)),
        };
        Some(self.link.open_stream(&waiting, payload))
    }

    /// Takes note that a dial is left out.
    fn skip(&mut self, purpose: Purpose) {
        if purpose == Purpose::Round {
            self.joining.note_ended(DialEnd::Failed);
        }
    }

    fn end_unsent(&mut self, to: SocketAddr, purpose: Purpose, out: &mut Vec<Action>) {
        self.skip(purpose);
        if let Purpose::Asked(join) = purpose {
            self.joining.end_asked(join, to, Err(UNSENT.to_owned()), out);
        } else if let Purpose::Keys(question, id) = purpose {
            let answer = MemberKeys { id, addr: to, state: Err(UNSENT.to_owned()) };
            self.keyrings.end(question, answer, self.link.keyring(), &self.engine.me(), out);
        }
    }

    /// Takes in a rumour that was heard for the first time.
    pub(super) fn take_rumour(&mut self, rumour: Rumour, now: Instant) {
        if !self.horizon.reaches(rumour.epoch(), now) {
            return self.link.count_refused();
        }
        if self.is_worth_passing_on(&rumour) {
            self.engine.tell(&rumour.encode());
        }
        let mut out = Vec::new();
        let facts = facts!(self, now);
        let me = facts.me();
        match rumour {
            Rumour::Metadata(owner, record) => {
                if self.own.is_of_another(&record.life().claimed()) {
                    out.push(Action::NoteOther(*record.life()));
                } else if self.wants_record(owner.id, record.stamp()) {
                    self.roster.keep(vec![record]);
                }
                out.extend(self.meet(&owner));
            }
            Rumour::Announced(owner, life) => {
                let stamp = life.stamp();
                if self.own.is_of_another(&life.claimed()) {
                    out.push(Action::NoteOther(*life));
                }
                self.roster.note_proof(*life);
                out.extend(self.meet(&owner));
                if self.wants_record(owner.id, stamp) {
                    out.push(Action::After(Wait::Within(ANNOUNCED_ASKED_WITHIN), Tick::Reach(owner.addr())));
                }
            }
            Rumour::Left(goodbye) => {
                out.extend((goodbye.life().id != me.id).then_some(Action::NoteLeft(*goodbye)));
            }
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

    /// Fate of one update in a message: those about this node are for the engine to answer.
    pub(super) fn fate(&self, update: &Member<Peer>, now: Instant) -> Fate {
        let (life, me) = (update.id(), self.engine.identity());
        if !self.horizon.reaches(life.epoch(), now) {
            Fate::Drop
        } else if life.id == me.id {
            if life.epoch() == me.epoch() { Fate::Keep } else { Fate::Drop }
        } else if self.roster.is_forgotten(life) {
            Fate::Drop
        } else if self.roster.is_proven(life) {
            self.roster.fate(update)
        } else {
            Fate::Unproven
        }
    }

    /// True if a rumour is to be passed on, which it is as long as not too much waits. Metadata is passed on only if it is
    /// news here: if thousands join at once most of it comes by stream, and each would pass on for half a minute what all
    /// have. Accusers of one life are passed on as long as they are few; of all else as many as there may be members,
    /// because a hostile one can invent goodbyes and accusations without end.
    fn is_worth_passing_on(&self, rumour: &Rumour) -> bool {
        let backlog = self.engine.backlog();
        let is_news = |owner, stamp| self.wants_record(owner, stamp) && room_for_rumours(backlog) > 0;
        let has_room = backlog.items < MAX_MEMBERS;
        match rumour {
            Rumour::Metadata(owner, record) => is_news(owner.id, record.stamp()),
            Rumour::Announced(owner, life) => is_news(owner.id, life.stamp()),
            Rumour::Left(_) | Rumour::Healed { .. } => has_room,
            Rumour::Accused(said) => has_room && !self.detector.has_enough(said),
            Rumour::Check { .. } | Rumour::Nack(_) | Rumour::Coordinate(..) => false,
        }
    }

    pub(super) fn wants_record(&self, owner: NodeId, stamp: Stamp) -> bool {
        self.roster.wants(self.engine.me().id, owner, stamp)
    }

    /// Introduces a life of which others speak, and which its node has said that it leads; the probes will tell whether it does.
    pub(super) fn meet(&self, peer: &Peer) -> Option<Action> {
        let known = self.roster.peer(&peer.id);
        let is_news = known.is_none_or(|known| peer.win_addr_conflict(&known));
        let is_other = peer.id != self.engine.me().id;
        let is_over = self.roster.has_left(peer) || self.roster.is_forgotten(peer);
        let may = is_other && is_news && self.roster.is_proven(peer) && !is_over;
        may.then(|| Action::Introduce(Member::new(*peer, 0, State::Alive)))
    }

    fn introduce(&mut self, member: Member<Peer>) {
        if self.roster.has_room_for(&member.id().id) {
            let room = room_for_rumours(self.engine.backlog());
            self.engine.apply(member, if room > 0 { Telling::Aloud } else { Telling::Quiet });
        }
    }

    /// Remembers that a life said goodbye, and takes it out at once.
    fn note_left(&mut self, left: Goodbye) {
        self.roster.note_left(left);
        if self.roster.state(left.life()).is_active()
            && let Some(peer) = self.roster.peer(&left.life().id)
        {
            self.engine.apply(Member::down(peer), Telling::Aloud);
        }
    }

    /// Replaces this node's metadata and tells everybody.
    pub(super) fn write_metadata(&mut self, metadata: Metadata) -> Result<(), MetadataTooLarge> {
        let me = self.engine.me();
        let version = self.roster.record(&me.id).map_or(1, |record| record.stamp().version + 1);
        let stamp = Stamp { epoch: me.epoch(), version };
        let record = self.own.record(me.addr(), stamp, metadata)?;
        self.roster.keep_own(Arc::clone(&record));
        self.engine.tell(&Rumour::Metadata(me, record).encode());
        Ok(())
    }

    /// Metadata of this node.
    pub(super) fn own_metadata(&self) -> &Metadata {
        let record = self.roster.record(&self.engine.identity().id);
        record.expect("a node has its own metadata from the start").metadata()
    }

    /// Everything this node knows.
    pub(super) fn shared_state(&self) -> SharedState {
        self.state_of(|_| true)
    }

    pub(super) fn state_of(&self, is_told: impl Fn(&NodeId) -> bool) -> SharedState {
        let me = self.engine.me();
        let left = self.roster.left().filter(|goodbye| is_told(&goodbye.life().id));
        let members = self.engine.states().filter(|member| is_told(&member.id().id));
        let records = self.roster.records().filter(|(owner, _)| is_told(owner));
        SharedState {
            sender: me,
            members: members.cloned().collect(),
            left: left.copied().collect(),
            records: records.map(|(_, record)| Arc::clone(record)).collect(),
            standing: self.partition.standing(&me, &self.roster, self.timing.deaf_after()),
            is_partial: false,
        }
    }

    /// This node's own status.
    pub(super) fn own_status(&self) -> MemberStatus {
        match self.phase {
            Phase::Leaving => MemberStatus::Left,
            Phase::Running | Phase::Duplicate => MemberStatus::Alive,
        }
    }

    /// Reads a state, and the metadata in it that is newer than what this node has.
    pub(super) fn read_state(&self, state: EncodedState) -> Result<SharedState, FrameError> {
        let Self { own, roster, engine, .. } = self;
        let is_wanted = |record: &Claimed| {
            own.is_of_another(record) || roster.wants(engine.me().id, record.owner, record.stamp)
        };
        SharedState::decode(state, is_wanted, |life| !roster.has_left(life), engine.reader())
    }
}
