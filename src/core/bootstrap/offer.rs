//! A founding by an operator: nothing until each of its founders has accepted it, each after a look into its own server. What a
//! founder says of it is part of its report.

use std::collections::BTreeMap;

use super::{
    certificate::Certificate,
    consent::Consent,
    founding::{ClusterId, Founding},
    knowledge::Knowledge,
    word::Spoken,
};
use crate::node::NodeId;

/// An operator's founding as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The founding.
    pub founding: Founding,
    /// The founders that have not accepted it, each with what it said.
    pub missing: BTreeMap<NodeId, Option<Consent>>,
}

fn consent<'a>(knowledge: &'a Knowledge, founding: &Founding, id: NodeId) -> Option<&'a Consent> {
    knowledge.reports.get(&id).and_then(|report| report.consents.get(&founding.id()))
}

/// True if this founder has accepted an operator's founding.
pub(super) fn has_accepted(knowledge: &Knowledge, founding: &Founding, id: NodeId) -> bool {
    consent(knowledge, founding, id) == Some(&Consent::Accepted)
}

/// True if a founding takes effect at all: servers agreed on it, or each of its founders has accepted it.
pub(super) fn is_complete(knowledge: &Knowledge, founding: &Founding) -> bool {
    founding.operator().is_none() || founding.ids().all(|id| has_accepted(knowledge, founding, id))
}

/// The operators' foundings that are known, complete or not.
pub(super) fn offers(knowledge: &Knowledge) -> impl Iterator<Item = Offer> {
    let all = knowledge.foundings.values().filter(|founding| founding.operator().is_some());
    all.map(|founding| {
        let missing = founding.ids().filter(|id| !has_accepted(knowledge, founding, *id));
        let missing = missing.map(|id| (id, consent(knowledge, founding, id).cloned())).collect();
        Offer { founding: founding.founding().clone(), missing }
    })
}

/// The operators' foundings that this node has accepted and that none names which it has accepted, too, or which is complete: the
/// last of each chain, unless an operator has given it up.
pub(super) fn accepted<'a>(knowledge: &'a Knowledge, me: NodeId, spoken: &Spoken) -> Vec<&'a Founding> {
    let is_ended = |founding: &Founding| {
        spoken.ended.contains(&founding.id()) && !spoken.disputed.contains(&founding.id())
    };
    let operators =
        || knowledge.foundings.values().map(Certificate::founding).filter(|founding| !is_ended(founding));
    let names = |other: &Founding, id: ClusterId| {
        other.operator().is_some_and(|operator| operator.overrides.contains(&id))
    };
    let is_named = |founding: &Founding| {
        operators().any(|other| {
            names(other, founding.id())
                && (has_accepted(knowledge, other, me) || is_complete(knowledge, other))
        })
    };
    operators().filter(|founding| has_accepted(knowledge, founding, me) && !is_named(founding)).collect()
}

/// The operator's founding that this node has accepted and that others have not.
pub(super) fn pending<'a>(knowledge: &'a Knowledge, me: NodeId, spoken: &Spoken) -> Option<&'a Founding> {
    accepted(knowledge, me, spoken).into_iter().find(|founding| !is_complete(knowledge, founding))
}
