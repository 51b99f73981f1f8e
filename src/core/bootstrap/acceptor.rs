//! The acceptor: what a server promises and accepts. Every change here is on disk before the answer leaves.

use super::{
    ballot::Ballot,
    founding::{Founder, Founding},
    message::{Accept, AcceptedBefore, Body, Nack, Prepare, Promise, Refusal},
    record::{Accepted, Record},
    terms::Terms,
};
use crate::node::ClusterName;

/// How this server stands when it is asked.
#[derive(Debug, Clone)]
pub(super) struct Standing<'a> {
    /// The cluster that it wants to be part of.
    pub(super) cluster_name: &'a ClusterName,
    /// Its terms, or why it takes part in nothing now.
    pub(super) terms: Result<&'a Terms, Refusal>,
    /// How it would stand in a founding.
    pub(super) founder: &'a Founder,
    /// Where it runs.
    pub(super) zone: Option<&'a str>,
}

impl Record {
    /// Answers a `Prepare`.
    ///
    /// The promised ballot itself is promised again: the first answer may have been lost, and the same promise with
    /// what was accepted since takes nothing back.
    pub(super) fn answer_prepare(&mut self, prepare: &Prepare, standing: &Standing<'_>) -> Body {
        if let Some(cluster) = &self.cluster {
            return Body::Founded(Box::new(cluster.clone()));
        }
        if let Err(refusal) = self.check(prepare.ballot, &prepare.terms, standing) {
            return self.nack(prepare.ballot, refusal);
        }
        self.promised = Some(prepare.ballot);
        Body::Promise(Box::new(self.promise(prepare.ballot, standing)))
    }

    /// The promise of `ballot`, which must stand in the record already.
    pub(super) fn promise(&self, ballot: Ballot, standing: &Standing<'_>) -> Promise {
        Promise {
            ballot,
            accepted: self.accepted.as_ref().map(|accepted| AcceptedBefore {
                ballot: accepted.ballot,
                founding: accepted.founding.clone(),
            }),
            founder: standing.founder.clone(),
            zone: standing.zone.map(str::to_owned),
        }
    }

    /// Answers an `Accept`.
    pub(super) fn answer_accept(&mut self, accept: &Accept, standing: &Standing<'_>) -> Body {
        if let Some(cluster) = &self.cluster {
            return Body::Founded(Box::new(cluster.clone()));
        }
        let allowed = self
            .check(accept.ballot, &accept.terms, standing)
            .and_then(|()| check_founding(accept, standing));
        if let Err(refusal) = allowed {
            return self.nack(accept.ballot, refusal);
        }
        self.promised = Some(accept.ballot);
        self.accepted = Some(Accepted {
            ballot: accept.ballot,
            terms: accept.terms.clone(),
            founding: accept.founding.clone(),
        });
        Body::Accepted(accept.ballot)
    }

    /// What both phases ask for: taking part, the same terms, and no promise to a higher ballot.
    fn check(&self, ballot: Ballot, terms: &Terms, standing: &Standing<'_>) -> Result<(), Refusal> {
        let mine = standing.terms?;
        let accepted_on_others = self.accepted.as_ref().is_some_and(|accepted| accepted.terms != *mine);
        if mine != terms || accepted_on_others {
            return Err(Refusal::OtherTerms);
        }
        if !mine.counts(self.node_id) {
            return Err(Refusal::NotTakingPart);
        }
        if self.promised.is_some_and(|promised| promised > ballot) {
            return Err(Refusal::Promised);
        }
        Ok(())
    }

    fn nack(&self, ballot: Ballot, refusal: Refusal) -> Body {
        Body::Nack(Nack { ballot, promised: self.promised, refusal })
    }
}

fn check_founding(accept: &Accept, standing: &Standing<'_>) -> Result<(), Refusal> {
    let founding = &accept.founding;
    let genuine = founding.is_genuine(standing.cluster_name)
        && founding.operator().is_none()
        && founding.ballot() <= accept.ballot
        && fits(founding, &accept.terms);
    if !genuine {
        return Err(Refusal::NotGenuine);
    }
    // One that was taken over may be chosen already, with this server listed as it was before it moved: refusing
    // that for ever would leave the others with a founding that they can neither finish nor drop.
    let is_new = founding.ballot() == accept.ballot;
    let listed = founding.founder(standing.founder.id);
    if is_new && listed.is_some_and(|listed| listed != standing.founder) {
        return Err(Refusal::NotMyEntry);
    }
    Ok(())
}

/// Whether a founding has as many founders as the terms ask for, and those that they name.
pub(super) fn fits(founding: &Founding, terms: &Terms) -> bool {
    match terms {
        Terms::Count(_) => founding.founders().len() == terms.expect(),
        Terms::Named(named) => founding.ids().eq(named.ids().iter().copied()),
    }
}
