//! What others believe about this node itself, and what it does where that is not so.

use std::time::Instant;

use foca::{Member, State};

use super::{Event, Gossip, Peer, Phase, Purpose, inbound::Told};
use crate::node::Epoch;

impl Gossip {
    /// What another node believes about this one. A present life is defended by the engine; a later life than ours
    /// means that our state went back in time, or that somebody else lives under our id.
    pub(super) fn answer_claim(&mut self, claim: &Member<Peer>, now: Instant) {
        let theirs = *claim.id();
        if theirs == self.me {
            let claim = claim.clone();
            self.engine(now, |foca, runtime| foca.apply_many([claim].into_iter(), true, runtime));
        } else if foca::Identity::win_addr_conflict(&theirs, &self.me) {
            self.outlive(theirs.epoch, now);
        }
        let elsewhere = theirs.addr != self.me.addr && theirs.epoch != self.me.epoch;
        if elsewhere && claim.state() != State::Down {
            // Our own former address, or a copy of us that runs there: it answers, or it does not.
            self.dial(theirs.addr, Purpose::Exchange);
        }
    }

    /// Starts a later life than `epoch`, at once and not by one renewal after the other.
    fn outlive(&mut self, epoch: Epoch, now: Instant) {
        let epoch = Epoch::next(Some(epoch), self.me.epoch.0);
        let me = Peer { epoch, bump: 0, ..self.me };
        tracing::warn!(%epoch, "the cluster remembers a later start of this node; its epoch jumps past it");
        self.events.push_back(Event::Persist(epoch));
        self.engine(now, |foca, runtime| foca.change_identity(me, runtime));
        self.me = *self.foca.identity();
        self.renewals.clear();
        if let Some(own) = self.records.get(&self.me.id).map(|record| record.metadata.clone()) {
            // The same metadata, under the new epoch; it fitted before.
            let _fits = self.set_metadata(own, now);
        }
    }

    /// Another process has this node's id. The one that started later stops, so that the one the cluster knows stays.
    pub(super) fn meet_duplicate(&mut self, other: &Peer) -> Told {
        let stopped = self.me.epoch > other.epoch;
        if stopped {
            self.phase = Phase::Duplicate;
            self.timers.clear();
        }
        self.dirty = true;
        self.events.push_back(Event::DuplicateId { addr: other.addr, stopped });
        Told::Duplicate
    }
}
