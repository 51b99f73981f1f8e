//! One ballot as its proposer sees it. It lives in memory only: after a restart there is a new ballot or none.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    acceptor::fits,
    ballot::Ballot,
    founding::{Founder, Founding},
    message::{Accept, AcceptedBefore, Prepare, Promise},
    terms::Terms,
};
use crate::node::{ClusterName, NodeId};

/// The promises that count, by who made them.
pub(super) type Promises = BTreeMap<NodeId, Promise>;

/// One ballot of this node.
///
/// *Strict*, a founding needs all its founders in both phases, so that two foundings can never share a member,
/// however many servers there are. *Relaxed*, any quorum will do, which is safe while any two quorums share a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Campaign {
    pub(super) ballot: Ballot,
    pub(super) relaxed: bool,
    pub(super) phase: Phase,
}

/// How far a ballot has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Phase {
    /// Gathering promises.
    Preparing(Promises),
    /// The founding is fixed, and for this ballot for ever; gathering accepts.
    Accepting {
        /// The founding.
        founding: Founding,
        /// Who accepted it.
        accepted: BTreeSet<NodeId>,
    },
}

impl Campaign {
    pub(super) fn new(ballot: Ballot) -> Self {
        Self { ballot, relaxed: false, phase: Phase::Preparing(Promises::new()) }
    }

    /// What to ask of those who have not answered.
    pub(super) fn prepare(&self, terms: &Terms) -> Prepare {
        Prepare { ballot: self.ballot, terms: terms.clone() }
    }

    /// What to ask in the second phase.
    pub(super) fn accept(&self, terms: &Terms) -> Option<Accept> {
        match &self.phase {
            Phase::Preparing(_) => None,
            Phase::Accepting { founding, .. } => {
                Some(Accept { ballot: self.ballot, terms: terms.clone(), founding: founding.clone() })
            }
        }
    }

    /// Counts a promise of this ballot; one that comes after the founding was fixed changes nothing.
    pub(super) fn add_promise(&mut self, from: NodeId, promise: Promise, terms: &Terms) {
        if let Phase::Preparing(promises) = &mut self.phase
            && promise.ballot == self.ballot
            && promise.founder.id == from
            && terms.counts(from)
        {
            promises.insert(from, promise);
        }
    }

    /// Counts an accept of this ballot.
    pub(super) fn add_accepted(&mut self, from: NodeId, ballot: Ballot, terms: &Terms) {
        if let Phase::Accepting { accepted, .. } = &mut self.phase
            && ballot == self.ballot
            && terms.counts(from)
        {
            accepted.insert(from);
        }
    }

    /// Whether this server has answered in the phase that the ballot is in.
    pub(super) fn has_answered(&self, id: NodeId) -> bool {
        match &self.phase {
            Phase::Preparing(promises) => promises.contains_key(&id),
            Phase::Accepting { accepted, .. } => accepted.contains(&id),
        }
    }

    /// The founders without whom the ballot goes on only relaxed. None before a quorum has promised: without one it
    /// goes on in no way.
    pub(super) fn missing_founders(&self, terms: &Terms) -> BTreeSet<NodeId> {
        let needed: BTreeSet<NodeId> = match &self.phase {
            Phase::Preparing(promises) if promises.len() < terms.quorum() => BTreeSet::new(),
            Phase::Preparing(promises) => match (latest(promises), terms) {
                (Some(accepted), _) => accepted.founding.ids().collect(),
                (None, Terms::Named(named)) => named.ids().clone(),
                (None, Terms::Count(_)) => BTreeSet::new(),
            },
            Phase::Accepting { founding, .. } => founding.ids().collect(),
        };
        needed.into_iter().filter(|id| !self.has_answered(*id)).collect()
    }

    /// Fixes the founding, if the promises suffice, and says so.
    ///
    /// It is the accepted one of the highest ballot among **all** promises that came. Only if there is none,
    /// `choose` composes a new one from those who promised.
    pub(super) fn propose(
        &mut self,
        cluster_name: &ClusterName,
        terms: &Terms,
        choose: impl FnOnce(&Promises) -> Option<Vec<Founder>>,
    ) -> bool {
        let Phase::Preparing(promises) = &self.phase else {
            return false;
        };
        if promises.len() < terms.quorum() {
            return false;
        }
        let founding = match latest(promises) {
            Some(accepted) => Some(accepted.founding.clone()),
            None => choose(promises).map(|founders| Founding::new(cluster_name, self.ballot, founders, None)),
        };
        let Some(founding) = founding else { return false };
        let all_promised = founding.ids().all(|id| promises.contains_key(&id));
        if !(self.relaxed || all_promised) || !fits(&founding, terms) {
            return false;
        }
        self.phase = Phase::Accepting { founding, accepted: BTreeSet::new() };
        true
    }

    /// Whether `id` is to be asked to accept: strict, only founders are.
    pub(super) fn asks_to_accept(&self, id: NodeId) -> bool {
        match &self.phase {
            Phase::Preparing(_) => false,
            Phase::Accepting { founding, .. } => self.relaxed || founding.founder(id).is_some(),
        }
    }

    /// The founding, once enough have accepted it.
    pub(super) fn chosen(&self, terms: &Terms) -> Option<&Founding> {
        let Phase::Accepting { founding, accepted } = &self.phase else {
            return None;
        };
        let all = founding.ids().all(|id| accepted.contains(&id));
        let quorum = self.relaxed && accepted.len() >= terms.quorum();
        (all || quorum).then_some(founding)
    }
}

/// The accepted founding of the highest ballot.
fn latest(promises: &Promises) -> Option<&AcceptedBefore> {
    promises.values().filter_map(|promise| promise.accepted.as_ref()).max_by_key(|accepted| accepted.ballot)
}
