//! Another node's whole state, taken over; and what it says of this node.

use std::time::Instant;

use foca::{AccumulatingRuntime, Identity as _, Member, State};

use super::{
    Event, Gossip, Heard, Peer, Phase, Purpose,
    compare::MAX_MEMBERS,
    frame::FrameError,
    sync::{self, EncodedState, SharedState, Verdict},
    timers::Tick,
};
use crate::node::Epoch;

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
    /// Reads a state, of its metadata what is newer than what this node has.
    pub(super) fn read_state(&self, state: EncodedState) -> Result<SharedState, FrameError> {
        SharedState::decode(state, |owner, stamp| self.wants_record(owner, stamp), self.read_record)
    }

    /// Takes over another node's picture, by the rules of `sync::judge`.
    pub(super) fn apply(&mut self, state: SharedState, pass_on: bool, now: Instant) -> Told {
        let sender = state.sender;
        if sender.id == self.me.id {
            // An answer of our own may have been on its way while this node renewed itself.
            let myself = sender == self.me || sender.addr() == self.me.addr();
            return if myself { Told::Myself } else { self.meet_duplicate(&sender) };
        }
        // Said before the sender gave way or started again: it has learnt better since, or will from our answer.
        let outlived = |known: &Member<Peer>| known.id().win_addr_conflict(&sender);
        if self.foca.iter_membership_state().any(|known| known.id().id == sender.id && outlived(known)) {
            return Told::Peer;
        }
        if self.meets_other_half(&state, now) {
            return Told::Peer;
        }
        let SharedState { members, left, records, .. } = state;
        let direct = Heard { at: now, life: sender };
        self.heard.insert(sender.id, direct);
        self.news.of(sender.id);
        let me = self.me.id;
        for life in left.iter().filter(|life| life.id != me) {
            self.note_left(life, now);
        }
        let tells_of_itself = records.iter().any(|record| record.owner == sender.id);
        self.keep_all(records);
        if tells_of_itself && self.room_for_news() > 0 {
            self.tell_metadata(&sender);
        }
        let contact = Member::new(sender, 0, State::Alive);
        self.introduce(contact, now);
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
        let mut suspects = Vec::new();
        let mut unreached = Vec::new();
        self.take_in_news(now);
        let mut room = MAX_MEMBERS.saturating_sub(self.known.len());
        for member in theirs {
            let ours = self.known_member(member.id().id);
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
            match sync::judge(&member, ours.as_ref()) {
                Verdict::Apply(update) => {
                    self.news.of(update.id().id);
                    updates.push(update);
                }
                Verdict::Suspect(suspect) => suspects.push(suspect),
                Verdict::Reach => unreached.push(member.id().id),
                Verdict::Ignore => {}
            }
        }
        let room = if pass_on { self.room_for_news() } else { 0 };
        let quiet = updates.split_off(room.min(updates.len()));
        self.engine(now, |foca, runtime| foca.apply_many(updates.into_iter(), true, runtime));
        self.engine(now, |foca, runtime| foca.apply_many(quiet.into_iter(), false, runtime));
        // Of as many notifications as there are members, the room that they took would stay.
        self.runtime = AccumulatingRuntime::new();
        for suspect in suspects {
            self.doubt(suspect.id(), suspect.incarnation(), now);
        }
        for id in unreached.into_iter().take(MAX_REACHED) {
            let wait = self.spread(self.timing.gossip_period);
            self.after_exactly(now, wait, Tick::Reach(id));
        }
    }

    /// What another node believes about this one. A present life is defended by the engine; a later life than ours
    /// means that our state went back in time, or that somebody else lives under our id.
    fn answer_claim(&mut self, claim: &Member<Peer>, now: Instant) {
        let theirs = *claim.id();
        if theirs == self.me {
            let claim = claim.clone();
            self.engine(now, |foca, runtime| foca.apply_many([claim].into_iter(), true, runtime));
        } else if theirs.win_addr_conflict(&self.me) {
            self.outlive(theirs.epoch(), now);
        }
        let elsewhere = theirs.addr() != self.me.addr() && theirs.epoch() != self.me.epoch();
        if elsewhere && claim.state() != State::Down {
            // Our own former address, or a copy of us that runs there: it answers, or it does not.
            self.dial(theirs.addr(), Purpose::Exchange);
        }
    }

    /// Starts a later life than `epoch`, at once and not by one renewal after the other.
    fn outlive(&mut self, epoch: Epoch, now: Instant) {
        // There is no later life than the last: whoever claims that one for this node is not believed.
        if epoch >= Epoch::LAST {
            return;
        }
        let epoch = Epoch::next(Some(epoch), self.me.epoch().0);
        let me = self.me.reborn(epoch, 0);
        tracing::warn!(%epoch, "the cluster remembers a later start of this node; its epoch jumps past it");
        self.events.push_back(Event::Persist(epoch));
        self.engine(now, |foca, runtime| foca.change_identity(me, runtime));
        self.me = *self.foca.identity();
        self.news.of(self.me.id);
        // The same metadata, under the new epoch; it fitted before.
        let _fits = self.set_metadata(self.own_metadata().clone(), now);
    }

    /// Another process has this node's id. The one that started later stops, so that the one the cluster knows stays; of
    /// two that started in the same millisecond, the one with the greater address.
    fn meet_duplicate(&mut self, other: &Peer) -> Told {
        let stopped = (self.me.epoch(), self.me.addr()) > (other.epoch(), other.addr());
        if stopped {
            self.phase = Phase::Duplicate;
            self.timers.clear();
            self.suspicions.clear();
        }
        self.events.push_back(Event::DuplicateId { addr: other.addr(), stopped });
        Told::Duplicate
    }
}
