//! Who accuses whom, as this node has heard it: enough to confirm suspicions, and no more.

use std::collections::BTreeMap;

use super::{
    super::{Peer, rumours::Accusation},
    CONFIRMATIONS, Evidence,
};
use crate::node::NodeId;

/// Of those who accuse one life of a member so many are passed on: what confirms a suspicion, and one more, for whoever
/// suspects has no use for its own word.
const PASSED_ON: usize = CONFIRMATIONS + 1;
/// So many are remembered, however many a hostile member invents: as many who had no answer as were refused.
const REMEMBERED: usize = 2 * PASSED_ON;

/// Those who accuse each member.
#[derive(Debug, Default)]
pub(in crate::gossip) struct Accusers {
    by_accused: BTreeMap<NodeId, BTreeMap<NodeId, Accusation>>,
}

impl Accusers {
    fn of(&self, accused: &Peer, incarnation: u16) -> impl Iterator<Item = &Accusation> {
        let all = self.by_accused.get(&accused.id).into_iter().flat_map(BTreeMap::values);
        all.filter(move |said| said.accused == *accused && said.incarnation >= incarnation)
    }

    /// What they found who suspect this life, at this incarnation or a later one.
    pub(super) fn found(&self, accused: &Peer, incarnation: u16) -> Vec<Evidence> {
        self.of(accused, incarnation).map(Accusation::evidence).collect()
    }

    /// Whether enough others say the same, or worse, so that nobody has use for one more.
    pub(in crate::gossip) fn are_enough(&self, said: &Accusation) -> bool {
        let as_bad = |known: &&Accusation| known.refused >= said.refused;
        self.of(&said.accused, said.incarnation).filter(as_bad).count() >= PASSED_ON
    }

    /// Remembers what was said of a member's present life, the newest and worst.
    pub(super) fn remember(&mut self, said: Accusation) {
        let weight = |said: &Accusation| (said.incarnation, said.refused);
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

    /// Forgets those of members that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.by_accused.retain(|id, _| known(id));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_accused.values().map(BTreeMap::len).sum()
    }
}
