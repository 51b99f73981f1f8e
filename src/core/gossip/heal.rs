//! Two halves of a cluster that meet again. Each holds the other for failed, and for the engine that is final: every
//! node would have to renew itself, and be called failed on its own side while it does. So one half gives way: the
//! smaller side's nodes start their engine afresh, as a new life that knows both halves, and the larger side notices no
//! more than members that are back.

use std::{cmp::Reverse, collections::BTreeSet, time::Instant};

use foca::{Foca, Identity as _, Member, State};
use minicbor::{Decode, Encode};
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

/// What a node takes another's present life for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Failed.
    Down,
    /// The next life of one that failed.
    Reborn,
    /// Neither.
    Other,
}

impl Fate {
    /// What `members` say of `peer`.
    fn of<'a>(peer: &Peer, mut members: impl Iterator<Item = &'a Member<Peer>>) -> Self {
        let known = members.find(|member| member.id().id == peer.id && member.state() == State::Down);
        match known.map(Member::id) {
            Some(known) if known == peer => Self::Down,
            Some(known) if peer.win_addr_conflict(known) => Self::Reborn,
            Some(_) | None => Self::Other,
        }
    }
}

/// Of whom this node is sure, where it may be cut off from the others. Whoever it suspects does not count, nor for
/// certain whoever it has not heard for long: in the smaller side the verdicts fall one after the other, and until the
/// last has fallen it would seem as large as the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(super) struct Standing {
    #[n(0)]
    pub(super) majority: Majority,
    /// How many members it has heard of late, with itself.
    #[n(1)]
    pub(super) heard: u32,
}

/// Whether most voters of the founded cluster are on this side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum Majority {
    /// They are not, or nothing is founded.
    #[default]
    #[n(0)]
    No,
    /// Nothing speaks against it.
    #[n(1)]
    Perhaps,
    /// This node has heard them.
    #[n(2)]
    Certain,
}

/// What decides which of two sides stays; of two that are equal the one with the smallest id. Where two members alone call
/// each other failed, all others are on both sides, and the smaller of the two ids decides.
type Weight = (Standing, Reverse<NodeId>, Reverse<NodeId>);

fn weight(state: &SharedState) -> Weight {
    let alive = state.members.iter().filter(|member| member.state() == State::Alive);
    let sender = state.sender.id;
    let least = alive.map(|member| member.id().id).chain([sender]).min().unwrap_or(sender);
    (state.standing, Reverse(least), Reverse(sender))
}

impl Gossip {
    /// Says who votes in the founded cluster, of those that are known, and how many of them must be there; nobody where
    /// that cannot be said.
    pub fn set_voters(&mut self, voters: Vec<NodeId>, required: usize) {
        (self.voters, self.required_voters) = (voters, required);
    }

    /// Of whom this node is sure now.
    pub(super) fn standing(&self) -> Standing {
        let latest = self.heard.values().map(|heard| heard.at).max();
        let window = self.timing.deaf_after();
        let is_heard = |life: &Peer| {
            self.heard
                .get(&life.id)
                .is_some_and(|heard| Some(heard.at + window) >= latest && heard.life == *life)
        };
        let alive = self.foca.iter_members().filter(|member| member.state() == State::Alive);
        let alive: Vec<_> = alive.map(|member| *member.id()).chain([self.me]).collect();
        let is_certain = |life: &&Peer| **life == self.me || is_heard(life);
        let perhaps: BTreeSet<_> = alive.iter().map(|life| life.id).collect();
        let certain: BTreeSet<_> = alive.iter().filter(is_certain).map(|life| life.id).collect();
        let has_majority = |among: &BTreeSet<NodeId>| {
            let there = self.voters.iter().filter(|voter| among.contains(voter)).count();
            there > 0 && there >= self.required_voters
        };
        let majority = match (has_majority(&certain), has_majority(&perhaps)) {
            // It was cut off when it judged, and knows nothing of the others.
            _ if self.suspicions.judged_alone => Majority::No,
            (true, _) => Majority::Certain,
            (false, true) => Majority::Perhaps,
            (false, false) => Majority::No,
        };
        Standing { majority, heard: u32::try_from(certain.len()).unwrap_or(u32::MAX) }
    }

    /// Where this node and the sender of `theirs` are parted, at least in the eyes of one of them, one of the two begins
    /// anew; says whether that is so, and nothing else is to be taken from `theirs`.
    pub(super) fn meets_other_half(&mut self, theirs: &SharedState, now: Instant) -> bool {
        let ours = Fate::of(&theirs.sender, self.foca.iter_membership_state());
        let mine = Fate::of(&self.me, theirs.members.iter());
        let lighter = || weight(&self.shared_state()) < weight(theirs);
        let majority = |standing: Standing| standing.majority != Majority::No;
        let here = || majority(self.standing());
        let there = majority(theirs.standing);
        let yields = match (mine, ours) {
            // Each was cut off from the other, though one has heard what is said of it and begun a new life since.
            (Fate::Down, Fate::Down | Fate::Reborn) | (Fate::Reborn, Fate::Down) => lighter(),
            // Whoever alone is called failed was cut off or paused, and what he believes of the others is old; unless
            // he has the majority, and the other was cut off and has been taken for a new member since.
            (Fate::Down, Fate::Other) => there || !here(),
            (Fate::Other, Fate::Down) => there && !here(),
            (Fate::Reborn, Fate::Reborn | Fate::Other) | (Fate::Other, Fate::Reborn | Fate::Other) => false,
        };
        if yields {
            self.give_way(theirs, now);
        }
        mine == Fate::Down || ours == Fate::Down
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
        let (rumours, pending) = Rumours::new(self.read_record);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::tests::{acquainted, talk},
        *,
    };
    use crate::node::Epoch;

    /// Two members and a third that both know, which has the smallest id; all have a vote.
    fn three(now: Instant) -> (Gossip, Gossip) {
        let (mut a, mut b) = acquainted(now);
        let least = NodeId::try_from(1_u128.to_be_bytes()).unwrap();
        let third = Peer::new(least, ([127, 0, 0, 3], 7946).into(), Epoch(1), 0);
        let voters = vec![a.me.id, b.me.id, third.id];
        for node in [&mut a, &mut b] {
            call(node, Member::alive(third), now);
            node.set_voters(voters.clone(), 2);
        }
        (a, b)
    }

    fn call(node: &mut Gossip, what: Member<Peer>, now: Instant) {
        node.engine(now, |foca, runtime| foca.apply_many([what].into_iter(), false, runtime));
        // What it would say of this beside the exchange.
        while node.poll_transmit().is_some() {}
    }

    /// `a` dials `b`, and both are members to each other afterwards. Says how often each has renewed itself.
    fn meet(mut a: Gossip, mut b: Gossip, now: Instant) -> (u16, u16) {
        a.dial(b.me.addr(), Purpose::Exchange);
        talk(&mut a, &mut b, now + Duration::from_millis(1));
        assert!(a.is_member(&b.me) && b.is_member(&a.me), "{:?}, {:?}", a.me, b.me);
        (a.me.bump(), b.me.bump())
    }

    /// As a partition ended the verdict of each on the other fell, and none on the third.
    #[test]
    fn two_who_alone_call_each_other_failed_come_together_again() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, mut b) = three(now);
        call(&mut a, Member::down(b.me), now);
        call(&mut b, Member::down(a.me), now);
        assert_eq!(meet(a, b, now), (0, 1));
    }

    /// It takes the third, which it has not heard of for long, for alive, and would seem to have the majority.
    #[test]
    fn whoever_judged_while_it_heard_nobody_gives_way() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (a, mut b) = three(now);
        call(&mut b, Member::down(a.me), now);
        b.suspicions.judged_alone = true;
        assert_eq!(meet(a, b, now), (0, 1));
    }
}
