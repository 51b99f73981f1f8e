//! Operators' foundings, and whom they call gone for good, in answers.

use crate::{
    api::founding as shape,
    bootstrap::{Consent, Gone, Offer},
    node::NodeId,
};

/// An operator's founding as readers see it.
pub(super) fn shown(offer: &Offer) -> shape::Offer {
    let founding = &offer.founding;
    let missing = founding.founders().iter().filter_map(|founder| {
        let said = offer.missing.get(&founder.id)?.as_ref();
        let knows =
            said.map(|said| if let Consent::Unnamed(clusters) = said { clusters.clone() } else { [].into() });
        Some(shape::MissingFounder {
            id: founder.id,
            name: founder.name.clone(),
            why: said.map(ToString::to_string),
            knows: knows.unwrap_or_default().into_iter().collect(),
        })
    });
    let ends = founding.operator().map(|operator| operator.overrides.iter().copied().collect());
    shape::Offer {
        cluster_id: founding.id(),
        said_at: founding.ballot().node,
        founders: founding.ids().collect(),
        ends: ends.unwrap_or_default(),
        complete: offer.missing.is_empty(),
        missing: missing.collect(),
    }
}

/// An agent that is called gone for good, as readers see it.
pub(super) fn vouched((gone, said_at): (&Gone, &NodeId)) -> shape::Vouched {
    shape::Vouched { gone: gone.to_string(), said_at: *said_at }
}
