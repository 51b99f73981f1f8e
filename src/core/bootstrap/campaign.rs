//! One ballot as its proposer sees it. It lives in memory only: after a restart there is a new ballot or none.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ballot::Ballot,
    certificate::{Acceptance, Certificate},
    counted::Counted,
    founding::{Founder, Founding},
    message::{Accept, AcceptedBefore, Body, Prepare, Promise},
    terms::Terms,
};
use crate::{
    node::{ClusterName, NodeId},
    signing::Signed,
};

/// The promises that count, by the acceptor that made them.
pub(super) type Promises = BTreeMap<NodeId, Promise>;

/// One ballot of this node.
///
/// *Strict*, a founding needs all its founders in both phases, so that two foundings can never share a member, however
/// many servers there are. *Relaxed*, any quorum will do, which is safe while any two quorums share a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Campaign {
    ballot: Ballot,
    /// The servers that count, by this node and by those that answered it.
    counted: Counted,
    is_relaxed: bool,
    phase: BallotPhase,
}

/// The phase of a ballot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum BallotPhase {
    /// Gathering promises.
    Preparing(Promises),
    /// Gathering accepts of a founding, which is fixed for this ballot for ever.
    Accepting { founding: Founding, accepted: BTreeMap<NodeId, Signed<Acceptance>> },
}

impl Campaign {
    pub(super) fn new(ballot: Ballot, counted: Counted) -> Self {
        Self { ballot, counted, is_relaxed: false, phase: BallotPhase::Preparing(Promises::new()) }
    }

    /// Counts what a server that answered counts, and asks with that from now on.
    pub(super) fn count(&mut self, counted: &Counted) -> &Counted {
        self.counted.add(counted);
        &self.counted
    }

    pub(super) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// True if any quorum may complete the ballot.
    pub(super) fn is_relaxed(&self) -> bool {
        self.is_relaxed
    }

    /// Lets any quorum complete the ballot from now on.
    pub(super) fn relax(&mut self) {
        self.is_relaxed = true;
    }

    /// The first phase's question.
    pub(super) fn prepare(&self, terms: &Terms) -> Prepare {
        Prepare { ballot: self.ballot, terms: terms.clone(), counted: self.counted.clone() }
    }

    /// The second phase's question; `None` in the first phase.
    pub(super) fn accept(&self, terms: &Terms) -> Option<Accept> {
        match &self.phase {
            BallotPhase::Preparing(_) => None,
            BallotPhase::Accepting { founding, .. } => {
                let (terms, founding, counted) = (terms.clone(), founding.clone(), self.counted.clone());
                Some(Accept { ballot: self.ballot, terms, founding, counted })
            }
        }
    }

    /// The question of the current phase.
    pub(super) fn question(&self, terms: &Terms) -> Body {
        match self.accept(terms) {
            Some(accept) => Body::Accept(Box::new(accept)),
            None => Body::Prepare(self.prepare(terms)),
        }
    }

    /// Counts a promise of this ballot; one that comes after the founding was fixed changes nothing.
    pub(super) fn add_promise(&mut self, from: NodeId, promise: Promise, terms: &Terms) {
        if let BallotPhase::Preparing(promises) = &mut self.phase
            && promise.ballot == self.ballot
            && promise.founder.id == from
            && is_counted(terms, &self.counted, from)
        {
            promises.insert(from, promise);
        }
    }

    /// Counts an accept of this ballot.
    pub(super) fn add_accepted(
        &mut self,
        acceptance: Signed<Acceptance>,
        cluster_name: &ClusterName,
        terms: &Terms,
    ) {
        let from = acceptance.signer();
        if let BallotPhase::Accepting { accepted, founding } = &mut self.phase
            && acceptance.cluster() == cluster_name
            && acceptance.ballot == self.ballot
            && acceptance.terms == *terms
            && acceptance.digest == founding.digest(cluster_name)
            && is_counted(terms, &self.counted, from)
        {
            accepted.insert(from, acceptance);
        }
    }

    /// True if this server has answered in the current phase.
    pub(super) fn has_answered(&self, id: NodeId) -> bool {
        match &self.phase {
            BallotPhase::Preparing(promises) => promises.contains_key(&id),
            BallotPhase::Accepting { accepted, .. } => accepted.contains_key(&id),
        }
    }

    /// The servers that the ballot asks now and that have not answered: of the `alive` ones those that count, and the
    /// founders that it needs, alive or not.
    pub(super) fn unanswered(&self, terms: &Terms, alive: impl Iterator<Item = NodeId>) -> BTreeSet<NodeId> {
        let asked = |id: &NodeId| {
            terms.counts(*id) && (matches!(self.phase, BallotPhase::Preparing(_)) || self.asks_to_accept(*id))
        };
        let founders = self.missing_founders(terms);
        let targets = alive.filter(asked).chain(founders);
        targets.filter(|id| *id != self.ballot.node && !self.has_answered(*id)).collect()
    }

    /// The founders without which the ballot goes on only relaxed. None before a quorum has promised: without one it
    /// goes on in no way.
    pub(super) fn missing_founders(&self, terms: &Terms) -> BTreeSet<NodeId> {
        let needed: BTreeSet<NodeId> = match &self.phase {
            BallotPhase::Preparing(_) if !self.can_propose(terms) => BTreeSet::new(),
            BallotPhase::Preparing(promises) => match (latest(promises), terms) {
                (Some(accepted), _) => accepted.founding.ids().collect(),
                (None, Terms::Named(named)) => named.ids().clone(),
                (None, Terms::Count(_)) => BTreeSet::new(),
            },
            BallotPhase::Accepting { founding, .. } => founding.ids().collect(),
        };
        needed.into_iter().filter(|id| !self.has_answered(*id)).collect()
    }

    /// True if a quorum has promised and no founding is fixed yet.
    pub(super) fn can_propose(&self, terms: &Terms) -> bool {
        matches!(&self.phase, BallotPhase::Preparing(promises) if promises.len() >= terms.quorum())
    }

    /// Fixes the founding, if the promises suffice; returns true in that case.
    ///
    /// The founding is the accepted one of the highest ballot among **all** promises that came. Only if there is none,
    /// `choose` composes a new one from the servers that promised.
    pub(super) fn propose(
        &mut self,
        cluster_name: &ClusterName,
        terms: &Terms,
        choose: impl FnOnce(&Promises) -> Option<Vec<Founder>>,
    ) -> bool {
        let BallotPhase::Preparing(promises) = &self.phase else {
            return false;
        };
        if !self.can_propose(terms) {
            return false;
        }
        let founding = match latest(promises) {
            Some(accepted) => Some(accepted.founding.clone()),
            None => choose(promises).map(|founders| Founding::new(cluster_name, self.ballot, founders, None)),
        };
        let Some(founding) = founding else { return false };
        let all_promised = founding.ids().all(|id| promises.contains_key(&id));
        if !(self.is_relaxed || all_promised) || !founding.fits(terms) {
            return false;
        }
        self.phase = BallotPhase::Accepting { founding, accepted: BTreeMap::new() };
        true
    }

    /// True if `id` is to be asked to accept: in a strict ballot, only founders are.
    pub(super) fn asks_to_accept(&self, id: NodeId) -> bool {
        match &self.phase {
            BallotPhase::Preparing(_) => false,
            BallotPhase::Accepting { founding, .. } => self.is_relaxed || founding.founder(id).is_some(),
        }
    }

    /// The founding with its proof, once enough servers have accepted it.
    pub(super) fn chosen(&self, terms: &Terms) -> Option<Certificate> {
        let BallotPhase::Accepting { founding, accepted } = &self.phase else {
            return None;
        };
        let all = founding.ids().all(|id| accepted.contains_key(&id));
        let quorum = self.is_relaxed && accepted.len() >= terms.quorum();
        let is_chosen = all || quorum;
        let proof = is_chosen.then(|| Certificate::new(founding.clone(), accepted.values().cloned()))?;
        proof.inspect_err(|error| tracing::error!(%error, "a founding that is chosen is not proven")).ok()
    }
}

/// The inside of a ballot, for the checker: it asks whether a set of accepts is enough, and its mutants break rules.
#[cfg(test)]
impl Campaign {
    pub(super) fn accepting(
        ballot: Ballot,
        is_relaxed: bool,
        founding: Founding,
        accepted: BTreeMap<NodeId, Signed<Acceptance>>,
    ) -> Self {
        let counted = Counted::default();
        Self { ballot, counted, is_relaxed, phase: BallotPhase::Accepting { founding, accepted } }
    }

    pub(super) fn promises_mut(&mut self) -> Option<&mut Promises> {
        match &mut self.phase {
            BallotPhase::Preparing(promises) => Some(promises),
            BallotPhase::Accepting { .. } => None,
        }
    }

    pub(super) fn is_preparing(&self) -> bool {
        matches!(self.phase, BallotPhase::Preparing(_))
    }

    pub(super) fn make_strict(&mut self) {
        self.is_relaxed = false;
    }
}

/// True if the answer of `from` counts: it is named, or among those that are counted.
fn is_counted(terms: &Terms, counted: &Counted, from: NodeId) -> bool {
    terms.counts(from) && (terms.most_servers().is_none() || counted.ids.contains_key(&from))
}

/// The accepted founding of the highest ballot.
fn latest(promises: &Promises) -> Option<&AcceptedBefore> {
    promises.values().filter_map(|promise| promise.accepted.as_ref()).max_by_key(|accepted| accepted.ballot)
}
