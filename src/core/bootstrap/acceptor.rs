//! The acceptor: promises and accepts of one server. Every change here is saved before the answer leaves.

use super::{
    ballot::Ballot,
    certificate::Acceptance,
    counted::Counted,
    founding::{Founder, Founding},
    knowledge::Knowledge,
    message::{Accept, AcceptedBefore, Body, Nack, Prepare, Promise, Refusal},
    record::{Accepted, FoundingRecord},
    terms::Terms,
};
use crate::node::ClusterName;

/// The part that this server takes in ballots now.
#[derive(Debug, Clone)]
pub(super) struct Participation<'a> {
    /// The cluster that it wants to be part of.
    pub(super) cluster_name: &'a ClusterName,
    /// Its terms, or the reason for which it takes part in nothing now.
    pub(super) terms: Result<&'a Terms, Refusal>,
    /// Its entry in a founding.
    pub(super) founder: &'a Founder,
    /// Its zone, such as a data centre.
    pub(super) zone: Option<&'a str>,
    /// The servers that it counts, itself included.
    pub(super) counted: &'a Counted,
    /// The most of them that its terms bear; `None` if they bear any number.
    pub(super) most: Option<usize>,
}

impl FoundingRecord {
    /// Answers a `Prepare`.
    ///
    /// The promised ballot itself is promised again: the first answer may have been lost, and the same promise with
    /// what was accepted since takes nothing back.
    pub(super) fn answer_prepare(&mut self, prepare: &Prepare, part: &Participation<'_>) -> Body {
        if self.knows_cluster() {
            return Body::known(&self.knowledge);
        }
        if let Err(refusal) = self.check(prepare.ballot, &prepare.terms, &prepare.counted, part) {
            return self.nack(prepare.ballot, refusal, part);
        }
        self.promised = Some(prepare.ballot);
        Body::Promise(Box::new(self.promise(prepare.ballot, part)))
    }

    /// The promise of `ballot`, which must stand in the record already.
    fn promise(&self, ballot: Ballot, part: &Participation<'_>) -> Promise {
        Promise {
            ballot,
            accepted: self.accepted_now().map(|accepted| AcceptedBefore {
                ballot: accepted.ballot,
                founding: accepted.founding.clone(),
            }),
            founder: part.founder.clone(),
            zone: part.zone.map(str::to_owned),
        }
    }

    /// Answers an `Accept`.
    pub(super) fn answer_accept(&mut self, accept: &Accept, part: &Participation<'_>) -> Body {
        if self.knows_cluster() {
            return Body::known(&self.knowledge);
        }
        let allowed = self
            .check(accept.ballot, &accept.terms, &accept.counted, part)
            .and_then(|()| check_founding(accept, part));
        if let Err(refusal) = allowed {
            return self.nack(accept.ballot, refusal, part);
        }
        self.promised = Some(accept.ballot);
        self.accepted = Some(Accepted {
            ballot: accept.ballot,
            terms: accept.terms.clone(),
            founding: accept.founding.clone(),
        });
        let Accept { ballot, terms, founding, .. } = accept;
        Body::Accepted(Acceptance::sign(&self.key, part.cluster_name, *ballot, terms, founding).into())
    }

    /// The founding that this server accepted last, unless its cluster is over: a vote for that counts no more. While no cluster
    /// stands, every founding that is known is of one that is over.
    pub(super) fn accepted_now(&self) -> Option<&Accepted> {
        let Knowledge { foundings, retired, .. } = &self.knowledge;
        let is_over = |founding: &Founding| {
            foundings.contains_key(&founding.id()) || founding.ids().all(|id| retired.contains_key(&id))
        };
        self.accepted.as_ref().filter(|accepted| !is_over(&accepted.founding))
    }

    /// Checks what both phases require: taking part, the same terms, no promise to a higher ballot, and no more servers than the
    /// terms bear among those that either side counts.
    fn check(
        &self,
        ballot: Ballot,
        terms: &Terms,
        counted: &Counted,
        part: &Participation<'_>,
    ) -> Result<(), Refusal> {
        let mine = part.terms?;
        // Another record with this key may have given votes: this one's are worth nothing, here and after every restart.
        if self.doubt.is_some() {
            return Err(Refusal::Fault);
        }
        // It waits for the other founders of an operator's founding, and founds nothing else meanwhile.
        if self.pending().is_some() {
            return Err(Refusal::NotTakingPart);
        }
        let accepted_on_others = self.accepted_now().is_some_and(|accepted| accepted.terms != *mine);
        if mine != terms || accepted_on_others {
            return Err(Refusal::OtherTerms);
        }
        if !mine.counts(self.node_id()) {
            return Err(Refusal::NotTakingPart);
        }
        if self.promised.is_some_and(|promised| promised > ballot) {
            return Err(Refusal::Promised);
        }
        if !ballot.follows(self.promised) {
            return Err(Refusal::TooFar);
        }
        let Some(most) = part.most else { return Ok(()) };
        let both = counted.with(part.counted);
        if both.len() > most {
            return Err(Refusal::TooManyServers);
        }
        // A proposer that does not know of this server, or of one that is counted here, has not weighed whether it is one too many
        // beside those that others count.
        if !counted.ids.contains_key(&self.node_id()) || both.len() > counted.len() {
            return Err(Refusal::NotCounted);
        }
        Ok(())
    }

    fn nack(&self, ballot: Ballot, refusal: Refusal, part: &Participation<'_>) -> Body {
        let is_about_number = matches!(refusal, Refusal::TooManyServers | Refusal::NotCounted);
        let counted = is_about_number.then(|| part.counted.clone());
        Body::Nack(Nack { ballot, promised: self.promised, refusal, counted })
    }
}

fn check_founding(accept: &Accept, part: &Participation<'_>) -> Result<(), Refusal> {
    let founding: &Founding = &accept.founding;
    let genuine = founding.is_genuine(part.cluster_name)
        && founding.operator().is_none()
        && founding.ballot() <= accept.ballot
        && founding.fits(&accept.terms);
    if !genuine {
        return Err(Refusal::NotGenuine);
    }
    // A founding that was taken over may be chosen already, with this server listed as it was before it moved:
    // refusing it for ever would leave the others with a founding that they can neither finish nor drop.
    let is_new = founding.ballot() == accept.ballot;
    let listed = founding.founder(part.founder.id);
    if is_new && listed.is_some_and(|listed| listed != part.founder) {
        return Err(Refusal::NotMyEntry);
    }
    Ok(())
}
