//! A cluster, and the place of a server in it, in answers.

use crate::{
    api::founding as shape,
    bootstrap::{Group, Voter},
};

/// The place of this server.
pub(super) fn me(group: &Group) -> shape::Me {
    shape::Me { founder: group.me.founder, voter: group.me.voter, ordinal: group.me.ordinal }
}

/// The founders, by ordinal.
pub(super) fn founders(group: &Group) -> Vec<shape::Founder> {
    let founders = (1..).zip(&group.founders).map(|(ordinal, founder)| shape::Founder {
        ordinal,
        id: founder.id,
        name: founder.name.clone(),
        addr: founder.addr,
        endpoints: founder.endpoints.clone(),
    });
    founders.collect()
}

/// A voter.
pub(super) fn voter(voter: &Voter) -> shape::Voter {
    shape::Voter {
        ordinal: voter.ordinal,
        id: voter.id,
        name: voter.name.as_ref().map(|name| name.0.clone()),
        endpoints: voter.endpoints.clone(),
    }
}
