//! Comparisons with others over streams: they make good what rumours missed, and where so many nodes join at once that
//! there would be more rumours than the network can carry, they do most of the work.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Instant};

use foca::{Member, State};
use rand::seq::IteratorRandom as _;

use super::{
    Gossip, Peer, Purpose,
    sync::{self, EntryHash, Reply, Request, SharedState},
    timers::Tick,
};
use crate::node::NodeId;

/// So many rumours may wait to be passed on; introductions beyond that are left to the comparisons. Each goes out a
/// dozen to two dozen times, and the thirty datagrams a second of `lan` hold six with metadata: a queue of 128 lasts ten
/// seconds. A join of fewer at once is told by rumour alone; of 10,000, each node would pass the others' introductions
/// on for twenty minutes, and everybody would hear each of them two dozen times.
const CROWDED: usize = 128;
/// Most members, this node among them. Ten times the largest cluster that this is made for would take 40 MB; a hostile
/// member may not make a node hold more.
pub(super) const MAX_MEMBERS: usize = 16_384;

impl Gossip {
    /// Compares the state with one random member's: soon after this node has joined or a difference was found, then
    /// ever more rarely, down to once a period.
    pub(super) fn compare(&mut self, now: Instant) {
        // Whatever has gone by unnoticed here is made good first, and counted.
        self.refresh_view(now);
        let overlooked = self.look_over(now);
        if overlooked > 0 {
            self.counters.overlooked += overlooked as u64;
            tracing::warn!(
                overlooked,
                "members were shown wrongly; this is a defect of the agent, please report it"
            );
        }
        let wait = self.compare_after;
        self.compare_after = (wait * 2).min(self.timing.compare_period);
        self.after(now, wait, Tick::Compare(self.compare_chain));
        let chosen = self.foca.iter_members().map(|member| member.id().addr()).choose(&mut self.rng);
        if let Some(addr) = chosen {
            self.dial(addr, Purpose::Compare);
        }
    }

    /// Begins a new chain of comparisons, the first of them soon.
    pub(super) fn compare_soon(&mut self, now: Instant) {
        self.compare_chain += 1;
        self.compare_after = self.timing.compare_period / 20;
        self.after(now, self.timing.compare_period / 40, Tick::Compare(self.compare_chain));
    }

    /// Answers another node's comparison.
    pub(super) fn compared(&mut self, theirs: u64, now: Instant) -> Reply {
        self.refresh_view(now);
        if theirs == self.digest {
            return Reply::Same;
        }
        Reply::Differ(sync::put_hashes(self.hashes().map(|(_, hash)| hash)))
    }

    /// A comparison has found a difference: gives the other the entries it lacks, and asks for those that it has.
    pub(super) fn offer(&mut self, to: SocketAddr, theirs: &BTreeSet<EntryHash>, now: Instant) {
        self.refresh_view(now);
        let mut wanted = theirs.clone();
        let lacking = self.hashes().filter(|(_, hash)| !wanted.remove(hash)).map(|(id, _)| id).collect();
        let offer = self.part_of_state(&lacking).encode();
        let wanted = sync::put_hashes(wanted.into_iter());
        self.request(to, Purpose::Trade, &Request::Trade(offer, wanted));
        self.compare_soon(now);
    }

    /// Takes over what another node offers, and gives what it wants. Whoever is called failed here gets everything, for
    /// two sides of a partition have met, and which of them gives way depends on all that each knows.
    pub(super) fn trade(
        &mut self,
        offered: SharedState,
        wanted: &BTreeSet<EntryHash>,
        now: Instant,
    ) -> SharedState {
        let is_down = |member: &Member<Peer>| *member.id() == offered.sender && member.state() == State::Down;
        if self.foca.iter_membership_state().any(is_down) {
            return self.shared_state();
        }
        let ids = self.hashes().filter(|(_, hash)| wanted.contains(hash)).map(|(id, _)| id).collect();
        let given = self.part_of_state(&ids);
        self.apply(offered, true, now);
        given
    }

    /// All that this node knows.
    pub(super) fn shared_state(&self) -> SharedState {
        self.state_of(|_| true)
    }

    fn part_of_state(&self, of: &BTreeSet<NodeId>) -> SharedState {
        self.state_of(|id| of.contains(id))
    }

    fn state_of(&self, is_told: impl Fn(&NodeId) -> bool) -> SharedState {
        let left = self.left.iter().filter(|(id, _)| is_told(id));
        let left = left.map(|(id, (epoch, bump))| Peer::new(*id, self.me.addr(), *epoch, *bump));
        let members = self.foca.iter_membership_state().filter(|member| is_told(&member.id().id));
        let records = self.records.iter().filter(|(owner, _)| is_told(owner));
        SharedState {
            sender: self.me,
            members: members.cloned().collect(),
            left: left.collect(),
            records: records.map(|(_, record)| Arc::clone(record)).collect(),
            standing: self.standing(),
        }
    }

    /// Whether no further member may be taken in.
    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= MAX_MEMBERS
    }

    /// Whether this member may be taken in; one that is known always.
    pub(super) fn has_room_for(&self, id: NodeId) -> bool {
        !self.is_full() || self.known.contains_key(&id)
    }

    /// Rumours that wait to be passed on: of the engine's own, and beside them.
    pub fn backlog(&self) -> (usize, usize) {
        (self.foca.updates_backlog(), self.foca.custom_broadcast_backlog())
    }

    /// How many more introductions may be passed on.
    pub(super) fn room_for_news(&self) -> usize {
        let (updates, beside) = self.backlog();
        CROWDED.saturating_sub(updates.max(beside))
    }

    /// Takes a member in, and tells the others of it if there is room.
    pub(super) fn introduce(&mut self, member: Member<Peer>, now: Instant) {
        if !self.has_room_for(member.id().id) {
            return;
        }
        let pass_on = self.room_for_news() > 0;
        self.engine(now, |foca, runtime| foca.apply_many([member].into_iter(), pass_on, runtime));
    }

    /// After each call of the engine: where its queues are full, introductions are not queued any more, and comparisons
    /// begin.
    pub(super) fn note_crowd(&mut self, now: Instant) {
        let crowded = self.room_for_news() == 0;
        if crowded != std::mem::replace(&mut self.crowded, crowded) && crowded {
            self.compare_soon(now);
        }
    }
}
