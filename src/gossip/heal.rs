//! Two halves of a cluster that meet again. Each holds the other for failed, and for the engine that is final: every
//! node would have to renew itself, and be called failed on its own side while it does. So one half gives way: the
//! smaller side's nodes start their engine afresh, as a new life that knows both halves, and the larger side notices no
//! more than members that are back.

use std::{cmp::Reverse, time::Instant};

use foca::{Foca, Identity as _, Member, State};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    Gossip, Peer, Phase, Purpose,
    codec::SwimCodec,
    rumours::{self, Rumours},
    sync::SharedState,
    timers::Tick,
};
use crate::node::NodeId;

/// For so long after it has given way, a node does not pass on what its former side says of the other.
const SETTLES_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);
/// Up to so many on the other side, everybody who gives way turns to the same one of them.
const FEW: usize = 32;

/// What decides which of two sides stays: a quorum of voters, then the number of members, then the smallest id.
type Weight = (bool, usize, Reverse<NodeId>);

fn weight(state: &SharedState) -> Weight {
    let active = state.members.iter().filter(|member| member.state() != State::Down);
    let ids = || active.clone().map(|member| member.id().id).chain([state.sender.id]);
    (state.quorate, ids().count(), Reverse(ids().min().unwrap_or(state.sender.id)))
}

impl Gossip {
    /// Says whether most voters of the founded cluster are on this side.
    pub fn set_quorate(&mut self, quorate: bool) {
        self.quorate = quorate;
    }

    /// Where this node and the sender of `theirs` are parted, at least in the eyes of one of them, one of the two begins
    /// anew; says whether that is so, and nothing else is to be taken from `theirs`.
    pub(super) fn meets_other_half(&mut self, theirs: &SharedState, now: Instant) -> bool {
        let down = |member: &Member<Peer>, peer: &Peer| member.id() == peer && member.state() == State::Down;
        let they_are_down = self.foca.iter_membership_state().any(|member| down(member, &theirs.sender));
        let i_am_down = theirs.members.iter().any(|member| down(member, &self.me));
        // Whoever alone is called failed was cut off or paused, and what he believes of the others is old.
        let yields = i_am_down && (!they_are_down || weight(&self.shared_state()) < weight(theirs));
        if yields {
            self.give_way(theirs, now);
        }
        i_am_down || they_are_down
    }

    /// Begins a new life that knows both halves, and has this side's others do the same.
    fn give_way(&mut self, theirs: &SharedState, now: Instant) {
        let Some(me) = self.me.renew() else { return };
        tracing::info!(with = %theirs.sender.addr(), "the others took this node for failed; it rejoins");
        self.counters.renewals += 1;
        self.begin_anew(me, theirs.members.iter().cloned().chain([Member::alive(theirs.sender)]), now);
        self.tell(&rumours::healed_rumour(&self.me, &theirs.sender));
        self.dial(theirs.sender.addr(), Purpose::Exchange);
    }

    /// Starts the engine afresh as `me`, with this side's active members and what `there` says. Whom this side called
    /// failed is forgotten: it was parted from the others when it did.
    pub(super) fn begin_anew(&mut self, me: Peer, there: impl Iterator<Item = Member<Peer>>, now: Instant) {
        let active: Vec<_> = self.foca.iter_members().cloned().collect();
        let (rumours, pending) = Rumours::new(self.crowded.clone(), self.read_record);
        let rng = StdRng::seed_from_u64(self.rng.random());
        let config = self.timing.engine(self.configured_size);
        self.timers.forget_engine();
        self.foca = Foca::with_custom_broadcast(me, config, rng, SwimCodec, rumours);
        self.pending_rumours = pending;
        (self.me, self.incarnation, self.token, self.resting) = (me, (me, 0), 0, None);
        self.suspicions.clear();
        self.healed = Some(now);
        self.news.of_all();
        // The engine lets an entry stand that says failed of a life that another calls active: active ones go first.
        let (up, down): (Vec<_>, Vec<_>) =
            there.filter(|member| member.id().id != me.id).partition(|member| member.state() != State::Down);
        let is_up = |id: &NodeId| active.iter().chain(&up).any(|member| member.id().id == *id);
        let down: Vec<_> = down.into_iter().filter(|member| !is_up(&member.id().id)).collect();
        let all = active.into_iter().chain(up).map(without_doubt).chain(down);
        self.engine(now, |foca, runtime| foca.apply_many(all, false, runtime));
        self.tell_metadata(&self.me.clone());
        self.engine(now, |foca, runtime| foca.gossip(runtime));
        self.compare_soon(now);
    }

    /// Another of this side has given way to `there`: so does this node, if it is parted from it.
    pub(super) fn hear_healed(&mut self, there: &Peer, now: Instant) {
        let failed: Vec<_> = self.failed().copied().collect();
        if self.phase != Phase::Running || !failed.contains(there) {
            return;
        }
        let chosen =
            if failed.len() <= FEW { *there } else { failed[self.rng.random_range(0..failed.len())] };
        let wait = self.spread(self.timing.gossip_period);
        self.after_exactly(now, wait, Tick::Reach(chosen.id));
    }

    /// Whether this node has given way a moment ago, and its former side may still be wrong about the other.
    pub(super) fn is_settling(&self, now: Instant) -> bool {
        self.healed.is_some_and(|at| now.duration_since(at) < SETTLES_WITHIN)
    }
}

/// A suspicion is not taken over into a new life of the engine: nobody would follow it up.
fn without_doubt(member: Member<Peer>) -> Member<Peer> {
    Member::new(*member.id(), member.incarnation(), State::Alive)
}
