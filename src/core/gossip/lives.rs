//! Lives: which of others are believed, and a new one of this node. That begins because others remember a later one, because they
//! called it failed, or because another process has had its id.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use foca::{Header, Identity as _, Member, Message, State};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    action::{Action, Draft, Purpose, Telling},
    challenge::{Asker, Challenge, Outcome, Proof},
    clock::{Tick, Wait},
    comparing::room_for_rumours,
    duplicates::{Meeting, Rivalry},
    facts::facts,
    frame,
    link::Content,
    output::Event,
    packet::Packet,
    partition,
    parts::{Parts, Phase},
    peer::Peer,
    record::{LifeProof, Record},
    rumours::{self, Rumour},
    state::{Reply, Request, SharedState},
};
use crate::{
    node::Epoch,
    signing::Seal,
    wire::{Kind, Opened},
};

/// Probe periods after which another process with this node's key that was seen to run is no more than remembered.
const QUIET_PERIODS: u32 = 10;

/// Sender of a state.
pub(super) enum Told {
    /// Another node.
    Peer,
    /// This node itself, under another address.
    Myself,
    /// Another process with this node's id.
    Duplicate,
}

impl Parts {
    /// Answers another node's belief about this one. A present life is defended by the engine; a later life than ours
    /// means that our state went back in time, or that another process lives under our id.
    pub(super) fn answer_claim(&mut self, claim: Member<Peer>, out: &mut Vec<Action>, now: Instant) {
        let (theirs, state) = (*claim.id(), claim.state());
        if !self.horizon.reaches(theirs.epoch(), now) {
            return self.link.count_refused();
        }
        let me = self.engine.me();
        if theirs == me {
            self.engine.apply(claim, Telling::Aloud);
        } else if theirs.epoch() == me.epoch() && theirs.win_addr_conflict(&me) {
            self.outlive(theirs.epoch());
        }
        if theirs.addr() != me.addr() && theirs.epoch() != me.epoch() && state != State::Down {
            // Our own former address, or a copy of us that runs there: it answers, or it does not.
            out.push(Action::Challenge(theirs.addr()));
        }
    }

    /// Takes in that another process has signed this life with this node's key: a former one of this node, one of which its record
    /// does not know because it went back in time, or a copy of it.
    pub(super) fn note_other(&mut self, proof: &LifeProof, out: &mut Vec<Action>, now: Instant) {
        let (life, me) = (proof.peer(), self.engine.me());
        if !self.horizon.reaches(life.epoch(), now) {
            return self.link.count_refused();
        }
        let is_foreign = self.own.note_foreign(proof);
        if is_foreign {
            out.push(Action::Emit(Event::ForeignLife(false)));
        }
        let is_later = life.win_addr_conflict(&me);
        if is_later {
            let (instance, quiet) = (proof.claimed().instance, self.timing.probe_period * QUIET_PERIODS);
            match self.own.duplicates.weigh(instance, life.epoch(), quiet, now) {
                Rivalry::Outlive => self.outlive(life.epoch()),
                Rivalry::Grows(true) => out.push(Action::Emit(Event::ForeignLife(true))),
                Rivalry::Grows(false) => {}
            }
        }
        if (is_later || is_foreign) && life.addr() != me.addr() {
            out.push(Action::Challenge(life.addr()));
        }
    }

    /// Starts a later life than `epoch`, at once and not by one renewal after the other.
    pub(super) fn outlive(&mut self, epoch: Epoch) {
        // There is no later life than the last: a node that claims that one for this node is not believed.
        if epoch >= Epoch::LAST {
            return;
        }
        let epoch = Epoch::next(Some(epoch), self.engine.me().epoch().0);
        tracing::warn!(%epoch, "the cluster remembers a later start of this node; its epoch jumps past it");
        self.events.push_back(Event::SaveEpoch(epoch));
        self.engine.change_identity(self.engine.me().reborn(epoch, 0));
        // Metadata that fitted before fits under the new epoch, too.
        let _fits = self.write_metadata(self.own_metadata().clone());
    }

    /// Starts the engine afresh as `me`, with this side's active members and those of the other side. Members that this
    /// side called failed are forgotten: it was parted from them when it did.
    pub(super) fn renew(&mut self, me: Peer, there: Vec<Member<Peer>>, out: &mut Vec<Action>, now: Instant) {
        let rng = StdRng::seed_from_u64(self.clock.rng().random());
        // Another's state says who is there, and each node itself that it leads a life.
        let may = |member: &Member<Peer>| {
            self.roster.is_proven(member.id()) && !self.roster.is_forgotten(member.id())
        };
        let there = there.into_iter().filter(may).collect();
        self.clock.forget_engine();
        self.engine.restart(me, there, &self.timing, rng);
        self.detector.forget_suspicions();
        self.partition.note_renewal(now);
        out.extend([Action::TellMetadata(me), Action::Gossip, Action::CompareSoon]);
    }

    /// Challenges the process at an address that a stranger names, if there were not too many of late.
    pub(super) fn challenge_claimed(&mut self, to: SocketAddr, now: Instant) {
        if !self.link.is_asking(to, Purpose::Duplicate) && self.link.dials().try_favour(now) {
            self.challenge(to);
        }
    }

    /// Asks the process at `to` to prove whether it has this node's key, also if this node has stopped because of it.
    pub(super) fn challenge(&mut self, to: SocketAddr) {
        if !self.link.is_asking(to, Purpose::Duplicate)
            && let Some(challenge) = self.own.challenge(to, self.engine.me(), self.clock.rng())
        {
            let request = Request::Challenge(challenge);
            self.link.ask(to, Purpose::Duplicate, Content::Payload(frame::write(&request)));
        }
    }

    /// The proof that this process has the key of whoever asks, also while it takes part no more; it asks back if it did not know of
    /// another one.
    pub(super) fn answer_challenge(&mut self, challenge: &Challenge) -> Option<Proof> {
        match self.own.asker(challenge)? {
            Asker::Myself => {}
            Asker::Twin(_) if self.own.duplicates.addr().is_some() => {}
            Asker::Twin(life) => self.challenge(life.addr()),
        }
        Some(self.own.prove(challenge, self.engine.me(), self.phase != Phase::Running))
    }

    /// Takes in the answer to a challenge, or none. Of two processes the one that started later stops, so that the one the cluster
    /// knows stays; of two that started in the same millisecond, the one with the greater address. Once it has, the other one
    /// begins a life after all of it, which the cluster may remember.
    pub(super) fn take_proof(&mut self, to: SocketAddr, answer: Option<&Opened<'_>>, now: Instant) {
        let reply = answer.filter(|opened| opened.kind == Kind::Reply);
        let proof = match reply.and_then(|opened| frame::read(&opened.payload).ok()) {
            Some(Reply::Proof(proof)) => Some(proof),
            _ => None,
        };
        let outcome = self.own.end_challenge(to, proof);
        if outcome == Outcome::Myself {
            self.joining.mark_own(to);
        }
        let (me, mut out) = (self.engine.me(), Vec::new());
        match self.own.duplicates.note_outcome(to, outcome) {
            Meeting::Met(twin, is_news) => {
                let stops =
                    self.phase == Phase::Running && self.own.is_later_than(&me, &twin) && !twin.has_stopped;
                if stops {
                    self.phase = Phase::Duplicate;
                    self.clock.clear();
                    self.detector.forget_suspicions();
                }
                if twin.has_stopped && self.phase == Phase::Running && twin.life.epoch() >= me.epoch() {
                    self.outlive(twin.life.epoch());
                }
                if is_news || stops {
                    self.clock.schedule_after(now, Wait::Exactly(self.timing.probe_period), Tick::Duplicate);
                    out.push(Action::Emit(Event::DuplicateId { addr: to, stopped: stops }));
                }
            }
            Meeting::Gone => {
                out.push(Action::Emit(Event::DuplicateGone));
                if self.phase == Phase::Duplicate {
                    self.phase = Phase::Running;
                    self.outlive(me.epoch());
                    self.renew(self.engine.me(), vec![], &mut out, now);
                    self.begin(now);
                }
            }
            Meeting::Nothing => {}
        }
        self.agenda.put_first(out);
        self.pump(now);
        self.settle(now);
    }

    /// True if the nodes that a message names beside its sender are members, at the addresses that they give themselves: this node
    /// sends to them at the sender's word.
    pub(super) fn are_known(&self, header: &Header<Peer>) -> bool {
        match &header.message {
            Message::PingReq { target: peer, .. }
            | Message::IndirectAck { target: peer, .. }
            | Message::ForwardedAck { origin: peer, .. } => self.roster.is_proven(peer),
            // The answer goes to the sender alone.
            Message::IndirectPing { .. }
            | Message::Ping(_)
            | Message::Ack(_)
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => true,
            // No agent announces itself that way, and the answer to it is large.
            Message::Announce | Message::Feed => false,
        }
    }

    /// Takes out a life of another node that an operator has forgotten. One that is a member in a later life stays.
    pub(super) fn forget(&mut self, life: &Peer) {
        if life.id == self.engine.me().id {
            return;
        }
        self.roster.note_forgotten(life);
        if let Some(known) = self.roster.peer(&life.id).filter(|known| self.roster.is_forgotten(known)) {
            self.engine.forget(known);
        }
    }

    /// The answer to a life that is forgotten and speaks: it was taken for gone, so that it renews itself.
    pub(super) fn answer_forgotten(&self, life: Peer) -> Option<Action> {
        let answer = || Action::Send(life, Draft::update(Member::down(life)));
        self.roster.is_forgotten(&life).then(answer)
    }

    /// The part of another node's state that is believed: epochs that may have begun, and no life that is forgotten. `None` if
    /// that of its sender is not.
    pub(super) fn believe(&mut self, state: SharedState, now: Instant) -> Option<SharedState> {
        let mut state = state.believed(|epoch| self.horizon.reaches(epoch, now))?;
        if let Some(told) = self.answer_forgotten(state.sender) {
            self.agenda.put_first([told]);
            return None;
        }
        state.members.retain(|member| !self.roster.is_forgotten(member.id()));
        Some(state)
    }

    /// Takes in a goodbye that was said to this node itself.
    pub(super) fn take_goodbye(&mut self, life: Peer, seal: Seal, now: Instant) {
        if self.roster.has_left(&life) {
            return;
        }
        match self.engine.reader().goodbye(life, seal) {
            Some(goodbye) => self.take_rumour(Rumour::Left(goodbye.into()), now),
            None => self.link.count_refused(),
        }
        self.pump(now);
    }

    /// Everything that this node knows once it has done what there is to do, for a node of which it knew this record `before`: by a
    /// former life that node sees whether its own record has gone back in time.
    pub(super) fn state_for(&mut self, before: Option<Arc<Record>>, now: Instant) -> SharedState {
        self.pump(now);
        let mut state = self.shared_state();
        let is_former = |before: &Arc<Record>| {
            let now = self.roster.record(&before.owner());
            now.is_some_and(|now| now.stamp().epoch != before.stamp().epoch)
        };
        state.records.extend(before.filter(is_former));
        state
    }

    /// Keeps records; those of this node itself are another process's.
    pub(super) fn keep_records(&mut self, records: Vec<Arc<Record>>) {
        let me = self.engine.me().id;
        let (own, others): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.owner() == me);
        self.roster.keep(others);
        self.agenda.put_first(own.iter().map(|record| Action::NoteOther(*record.life())));
    }

    /// Takes in the accounts of themselves that nodes give in a message, before what else it says of them.
    pub(super) fn take_records(&mut self, packet: &Packet<'_>, now: Instant) {
        let (src, me) = (packet.header.src, self.engine.me().id);
        for item in packet.items() {
            let is_news = |(owner, stamp): (Peer, _)| owner.id != me && self.wants_record(owner.id, stamp);
            if rumours::proof_in(item).is_some_and(is_news)
                && let Ok(rumour) = rumours::read(item, &src, self.engine.reader())
            {
                self.take_rumour(rumour, now);
            }
        }
    }

    /// Takes over another node's state. The caller pumps.
    pub(super) fn take_state(&mut self, state: SharedState, telling: Telling, now: Instant) -> Told {
        let (me, sender) = (self.engine.me(), state.sender);
        if sender.id == me.id {
            // An answer of our own may have been on its way while this node renewed itself.
            let myself = sender == me || sender.addr() == me.addr();
            if myself {
                return Told::Myself;
            }
            // Anybody can say so: it counts once the process at that address proves it.
            self.challenge_claimed(sender.addr(), now);
            return Told::Duplicate;
        }
        // It was said before the sender gave way or started again: it has learnt better since, or will from our answer.
        if self.roster.peer(&sender.id).is_some_and(|known| known.win_addr_conflict(&sender)) {
            return Told::Peer;
        }
        let Some(mut state) = self.believe(state, now) else { return Told::Peer };
        let tells_of_itself = state.records.iter().any(|record| record.owner() == sender.id);
        self.keep_records(std::mem::take(&mut state.records));
        if !self.roster.is_proven(&sender) {
            self.link.count_refused();
            return Told::Peer;
        }
        let mut out = Vec::new();
        if self.partition.meet(&state, &facts!(self, now), &mut out) == partition::Meeting::Parted {
            self.agenda.put_first(out);
            return Told::Peer;
        }
        let SharedState { members, left, .. } = state;
        self.roster.note_heard(sender, now);
        out.extend(left.into_iter().filter(|left| left.life().id != me.id).map(Action::NoteLeft));
        if tells_of_itself && room_for_rumours(self.engine.backlog()) > 0 {
            out.push(Action::TellMetadata(sender));
        }
        out.push(Action::Introduce(Member::new(sender, 0, State::Alive)));
        let (mine, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.id().id == me.id);
        let others = others.into_iter().filter(|member| self.roster.is_proven(member.id())).collect();
        out.push(Action::TakeOver(others, telling));
        out.extend(mine.into_iter().take(1).map(Action::AnswerClaim));
        self.agenda.put_first(out);
        Told::Peer
    }
}
