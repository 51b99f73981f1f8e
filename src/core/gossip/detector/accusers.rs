//! Accusers of each member, as far as this node has heard of them: enough to confirm suspicions, and no more.

use std::collections::BTreeMap;

use super::case::CONFIRMATIONS;
use crate::{
    gossip::{
        peer::Peer,
        rumours::{Accusation, Evidence},
    },
    node::NodeId,
};

/// Number of accusers of one member that are gossiped on: `CONFIRMATIONS`, plus one because a suspecting node does not count
/// itself.
const PASSED_ON: usize = CONFIRMATIONS + 1;
/// Upper bound on accusers kept per member, so that a hostile member cannot grow the table: `PASSED_ON` for each kind of
/// evidence.
const REMEMBERED: usize = 2 * PASSED_ON;

/// Accusations by the accused and the accuser.
#[derive(Debug, Default)]
pub(super) struct Accusers {
    by_accused: BTreeMap<NodeId, BTreeMap<NodeId, Accusation>>,
}

impl Accusers {
    fn of(&self, accused: &Peer, incarnation: u16) -> impl Iterator<Item = &Accusation> {
        let all = self.by_accused.get(&accused.id).into_iter().flat_map(BTreeMap::values);
        all.filter(move |said| said.accused == *accused && said.incarnation >= incarnation)
    }

    /// Evidence of each accuser of this life, at this incarnation or a later one.
    pub(super) fn evidence(&self, accused: &Peer, incarnation: u16) -> Vec<Evidence> {
        self.of(accused, incarnation).map(|said| said.evidence).collect()
    }

    /// True if enough others say the same, or worse, so that one more is of no use.
    pub(super) fn are_enough(&self, said: &Accusation) -> bool {
        let as_bad = |known: &&Accusation| known.evidence >= said.evidence;
        self.of(&said.accused, said.incarnation).filter(as_bad).count() >= PASSED_ON
    }

    /// Remembers an accusation of a member's present life; of each accuser the newest and worst.
    pub(super) fn remember(&mut self, said: Accusation) {
        let weight = |said: &Accusation| (said.incarnation, said.evidence);
        let accusers = self.by_accused.entry(said.accused.id).or_default();
        accusers.retain(|_, known| known.accused == said.accused);
        let known = accusers.entry(said.from).or_insert(said);
        if weight(known) < weight(&said) {
            *known = said;
        }
        if accusers.len() > REMEMBERED
            && let Some(least) = accusers.values().min_by_key(|said| weight(said)).map(|said| said.from)
        {
            accusers.remove(&least);
        }
    }

    /// Forgets the accusers of members that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.by_accused.retain(|id, _| known(id));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_accused.values().map(BTreeMap::len).sum()
    }
}
