//! Two halves of a cluster that meet again. Each holds the other for failed, and for the engine that is final: every
//! node would have to renew itself, and be called failed on its own side while it does. So one half gives way: the
//! smaller side's nodes start their engine afresh, as a new life that knows both halves, and the larger side notices no
//! more than members that are back.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use foca::{Identity as _, Member, State};
use rand::{RngExt as _, rngs::StdRng};

use super::{
    action::{Action, Judge},
    clock::{Tick, Wait},
    facts::Facts,
    peer::Peer,
    roster::Roster,
    rumours::Rumour,
    state::{Majority, SharedState, Standing},
};
use crate::node::NodeId;

/// Time for which a node that has given way does not pass on what its former side says of the other.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// Number of nodes on the other side up to which everybody who gives way turns to the same one of them.
const FEW: usize = 32;

/// This node's side of a cluster that may be parted.
#[derive(Debug, Default)]
pub(super) struct Partition {
    /// Members with a vote in the founded cluster; none if it is not known to have a quorum.
    voters: Vec<NodeId>,
    /// Number of voters that must be there.
    required: usize,
    /// Time at which this node last gave way to another half of the cluster.
    healed: Option<Instant>,
    /// Set once this node has called others failed while it heard nobody.
    judged_alone: bool,
    /// Number of times that this node has renewed itself because others took it for failed.
    renewals: u64,
}

/// One node's belief about the present life of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// It has failed.
    Down,
    /// It is the next life of one that failed.
    Reborn,
    /// Neither.
    Other,
}

impl Belief {
    /// Belief about `peer` of a node that knows `known` of the same id.
    fn of(peer: &Peer, known: Option<&Member<Peer>>) -> Self {
        match known.filter(|member| member.state() == State::Down).map(Member::id) {
            Some(known) if known == peer => Self::Down,
            Some(known) if peer.win_addr_conflict(known) => Self::Reborn,
            Some(_) | None => Self::Other,
        }
    }
}

/// Result of a meeting of two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meeting {
    /// The two are of one side.
    SameSide,
    /// One of them gives way, and nothing else is to be taken from the other's state.
    Parted,
}

/// Weight of a side; the lighter one gives way. Of two that are equal the one with the smallest id stays. If two members
/// alone call each other failed, all others are on both sides, and the smaller of the two ids decides.
type Weight = (Standing, Reverse<NodeId>, Reverse<NodeId>);

fn weight(standing: Standing, alive: impl Iterator<Item = NodeId>, sender: NodeId) -> Weight {
    let least = alive.chain([sender]).min().unwrap_or(sender);
    (standing, Reverse(least), Reverse(sender))
}

impl Partition {
    /// Takes note of the members that vote in the founded cluster, and of how many of them must be there.
    pub(super) fn set_voters(&mut self, voters: Vec<NodeId>, required: usize) {
        (self.voters, self.required) = (voters, required);
    }

    /// Takes note that this node has called a member failed.
    pub(super) fn note_verdict(&mut self, judge: Judge) {
        self.judged_alone |= judge == Judge::CutOff;
    }

    /// Takes note that this node begins a new life, with which its verdicts are forgotten.
    pub(super) fn note_renewal(&mut self, now: Instant) {
        self.healed = Some(now);
        self.judged_alone = false;
        self.renewals += 1;
    }

    /// Number of times that this node has renewed itself because others took it for failed.
    pub(super) fn renewals(&self) -> u64 {
        self.renewals
    }

    /// True if this node has given way a moment ago, and its former side may still be wrong about the other.
    pub(super) fn is_settling(&self, now: Instant) -> bool {
        self.healed.is_some_and(|at| now.duration_since(at) < SETTLES_WITHIN)
    }

    /// Standing of this node: the members of which it is sure. Suspects do not count, nor, for certain, members that it
    /// has not heard for long: in the smaller side the verdicts fall one after the other, and until the last has fallen it
    /// would seem as large as the other.
    pub(super) fn standing(&self, me: &Peer, roster: &Roster, window: Duration) -> Standing {
        let latest = roster.last_contact();
        let is_heard = |life: &Peer| {
            let heard = roster.heard(&life.id);
            heard.is_some_and(|heard| Some(heard.at + window) >= latest && heard.life == *life)
        };
        let alive: Vec<_> = roster.alive().filter(|life| life.id != me.id).chain([*me]).collect();
        let is_certain = |life: &&Peer| *life == me || is_heard(life);
        let perhaps: BTreeSet<_> = alive.iter().map(|life| life.id).collect();
        let certain: BTreeSet<_> = alive.iter().filter(is_certain).map(|life| life.id).collect();
        let has_majority = |among: &BTreeSet<NodeId>| {
            let there = self.voters.iter().filter(|voter| among.contains(voter)).count();
            there > 0 && there >= self.required
        };
        let majority = match (has_majority(&certain), has_majority(&perhaps)) {
            // It was cut off when it judged, and knows nothing of the others.
            _ if self.judged_alone => Majority::No,
            (true, _) => Majority::Certain,
            (false, true) => Majority::Perhaps,
            (false, false) => Majority::No,
        };
        // Nor does it speak for those that it has heard of since: they are of the other side.
        let heard = if self.judged_alone { 1 } else { certain.len() };
        Standing { majority, heard: u32::try_from(heard).unwrap_or(u32::MAX) }
    }

    /// Resolves a healed partition: if this node or the sender of `theirs` holds the other for failed, the lighter side
    /// renews itself.
    pub(super) fn meet(&self, theirs: &SharedState, facts: &Facts<'_>, out: &mut Vec<Action>) -> Meeting {
        let me = facts.me();
        let ours = Belief::of(&theirs.sender, facts.roster.member_state(&theirs.sender.id).as_ref());
        let is_me = |member: &&Member<Peer>| member.id().id == me.id && member.state() == State::Down;
        let mine = Belief::of(&me, theirs.members.iter().find(is_me));
        let standing = || self.standing(&me, facts.roster, facts.timing.deaf_after());
        let lighter = || {
            let there = theirs.members.iter().filter(|member| member.state() == State::Alive);
            let there = weight(theirs.standing, there.map(|member| member.id().id), theirs.sender.id);
            let here = facts.engine.active_states().filter(|member| member.state() == State::Alive);
            weight(standing(), here.map(|member| member.id().id), me.id) < there
        };
        let here = || standing().majority != Majority::No;
        let there = theirs.standing.majority != Majority::No;
        let yields = match (mine, ours) {
            // Each was cut off from the other, though one has heard what is said of it and begun a new life since.
            (Belief::Down, Belief::Down | Belief::Reborn) | (Belief::Reborn, Belief::Down) => lighter(),
            // A node that alone is called failed was cut off or paused, and its belief about the others is old; unless it
            // has the majority, and the other was cut off and has been taken for a new member since.
            (Belief::Down, Belief::Other) => there || !here(),
            (Belief::Other, Belief::Down) => there && !here(),
            (Belief::Reborn, Belief::Reborn | Belief::Other)
            | (Belief::Other, Belief::Reborn | Belief::Other) => false,
        };
        if yields {
            give_way(&me, theirs, out);
        }
        if mine == Belief::Down || ours == Belief::Down { Meeting::Parted } else { Meeting::SameSide }
    }

    /// Takes note that another node of this side has given way to `there`: so does this node, if it is parted from it.
    pub(super) fn hear_healed(
        &self,
        there: &Peer,
        facts: &Facts<'_>,
        rng: &mut StdRng,
        out: &mut Vec<Action>,
    ) {
        let failed: Vec<_> = facts.roster.failed(facts.me().id).collect();
        if !failed.contains(there) {
            return;
        }
        let chosen = if failed.len() <= FEW { *there } else { failed[rng.random_range(0..failed.len())] };
        let wait = Wait::Within(facts.timing.gossip_period);
        out.push(Action::After(wait, Tick::Reach(chosen.addr())));
    }

    /// Takes note of contact with a member. If this node has called others failed while it heard nobody, it was cut off:
    /// the others may be there as well, and are learnt anew.
    pub(super) fn note_contact(&self, with: &Peer, facts: &Facts<'_>, out: &mut Vec<Action>) {
        if self.judged_alone
            && facts.roster.state(with).is_active()
            && let Some(me) = facts.me().renew()
        {
            tracing::info!(
                "others are heard from again; this node forgets whom it took for failed, and rejoins"
            );
            out.push(Action::Renew { me, there: vec![] });
        }
    }
}

/// Begins a new life that knows both halves, and has this side's others do the same.
fn give_way(me: &Peer, theirs: &SharedState, out: &mut Vec<Action>) {
    let Some(me) = me.renew() else { return };
    tracing::info!(with = %theirs.sender.addr(), "the others took this node for failed; it rejoins");
    let there = theirs.members.iter().cloned().chain([Member::alive(theirs.sender)]).collect();
    out.push(Action::Renew { me, there });
    out.push(Action::Tell(Rumour::Healed { who: me, there: theirs.sender }));
    out.push(Action::exchange(theirs.sender.addr()));
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use rand::SeedableRng as _;

    use crate::gossip::{
        Gossip, Timing,
        fixture::{View, peer},
        tests::{acquainted, start, talk},
    };
    use crate::{gossip::action::Telling, node::Epoch};

    /// Two members and a third that both know, which has the smallest id; all have a vote.
    fn three(now: Instant) -> (Gossip, Gossip) {
        let (mut a, mut b) = acquainted(now);
        let least = NodeId::try_from(1_u128.to_be_bytes()).unwrap();
        let third = Peer::new(least, ([127, 0, 0, 3], 7946).into(), Epoch(1), 0);
        let voters = vec![a.me().id, b.me().id, third.id];
        for node in [&mut a, &mut b] {
            apply(node, Member::alive(third), now);
            node.set_voters(voters.clone(), 2);
        }
        (a, b)
    }

    /// Has a node believe something, of which it tells nobody.
    fn apply(node: &mut Gossip, belief: Member<Peer>, now: Instant) {
        node.parts.agenda.put_first([Action::Apply(vec![belief], Telling::Quiet)]);
        node.parts.pump(now);
        while node.poll_transmit().is_some() {}
    }

    /// Has `a` dial `b`; both are members to each other afterwards. Returns how often each has renewed itself.
    fn meet(mut a: Gossip, mut b: Gossip, now: Instant) -> (u16, u16) {
        a.parts.agenda.put_first([Action::exchange(b.me().addr())]);
        a.parts.pump(now);
        talk(&mut a, &mut b, now + Duration::from_millis(1));
        assert!(a.parts.roster.state(b.me()).is_active() && b.parts.roster.state(a.me()).is_active());
        (a.me().bump(), b.me().bump())
    }

    /// As a partition ended the verdict of each on the other fell, and none on the third.
    #[test]
    fn two_that_alone_call_each_other_failed_come_together_again() {
        let now = start();
        let (mut a, mut b) = three(now);
        let (us, them) = (*a.me(), *b.me());
        apply(&mut a, Member::down(them), now);
        apply(&mut b, Member::down(us), now);
        assert_eq!(meet(a, b, now), (0, 1));
    }

    /// It takes the third, which it has not heard of for long, for alive, and would seem to have the majority.
    #[test]
    fn a_node_that_judged_while_it_heard_nobody_gives_way() {
        let now = start();
        let (a, mut b) = three(now);
        apply(&mut b, Member::down(*a.me()), now);
        b.parts.partition.note_verdict(Judge::CutOff);
        let heard = b.parts.partition.standing(b.me(), &b.parts.roster, Timing::LAN.deaf_after()).heard;
        assert_eq!(heard, 1, "the third that it has heard is of the other side");
        assert_eq!(meet(a, b, now), (0, 1));
    }

    #[test]
    fn a_belief_counts_only_about_a_life_that_failed_or_the_next() {
        let id = NodeId::try_from([7; 16]).unwrap();
        let peer = Peer::new(id, ([127, 0, 0, 7], 7946).into(), Epoch(1), 0);
        let next = peer.reborn(Epoch(1), 1);
        assert_eq!(Belief::of(&peer, Some(&Member::down(peer))), Belief::Down);
        assert_eq!(Belief::of(&next, Some(&Member::down(peer))), Belief::Reborn);
        assert_eq!(Belief::of(&peer, Some(&Member::down(next))), Belief::Other);
        assert_eq!(Belief::of(&peer, Some(&Member::alive(peer))), Belief::Other);
        assert_eq!(Belief::of(&peer, None), Belief::Other);
    }

    #[test]
    fn a_node_follows_its_side_only_if_it_is_parted_from_the_other() {
        let mut view = View::of([2, 3]);
        let partition = Partition::default();
        let hear = |view: &View| {
            let mut out = vec![];
            partition.hear_healed(&peer(2), &view.facts(), &mut StdRng::seed_from_u64(1), &mut out);
            out
        };
        assert!(hear(&view).is_empty(), "it is a member here");
        view.apply(Member::down(peer(2)));
        let reached = hear(&view);
        assert!(matches!(&reached[..], [Action::After(_, Tick::Reach(to))] if *to == peer(2).addr()));
    }

    #[test]
    fn verdicts_of_a_node_that_heard_nobody_are_forgotten_at_the_first_contact() {
        let view = View::of([2]);
        let mut partition = Partition::default();
        let contact = |partition: &Partition| {
            let mut out = vec![];
            partition.note_contact(&peer(2), &view.facts(), &mut out);
            out
        };
        partition.note_verdict(Judge::Connected);
        assert!(contact(&partition).is_empty());
        partition.note_verdict(Judge::CutOff);
        let out = contact(&partition);
        let [Action::Renew { me, there }] = &out[..] else { panic!("{out:?}") };
        assert_eq!((me.bump(), there.len()), (1, 0));
        partition.note_renewal(view.now);
        assert!(contact(&partition).is_empty() && partition.is_settling(view.now));
    }

    #[test]
    fn a_majority_is_certain_if_it_was_heard_and_none_if_this_node_judged_alone() {
        let mut view = View::of([2, 3]);
        let mut partition = Partition::default();
        let majority = |partition: &Partition, view: &View| {
            partition.standing(&peer(1), &view.roster, Duration::from_secs(2)).majority
        };
        assert_eq!(majority(&partition, &view), Majority::No, "nothing is founded");
        partition.set_voters([1, 2, 3].map(|number| peer(number).id).into(), 2);
        assert_eq!(majority(&partition, &view), Majority::Perhaps);
        view.hear(2);
        assert_eq!(majority(&partition, &view), Majority::Certain);
        view.suspect(2, 0);
        assert_eq!(majority(&partition, &view), Majority::Perhaps, "a suspect does not count");
        partition.note_verdict(Judge::CutOff);
        assert_eq!(majority(&partition, &view), Majority::No);
    }
}
