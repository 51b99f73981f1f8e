//! The talk about the members of servers, joined with what gossip and the founding know.

use std::time::Instant;

use crate::{
    bootstrap::{Attestation, Bootstrap},
    council::{Council, State, Taken, View},
    gossip::Gossip,
    membership::Membership,
    node::NodeId,
};

/// Takes in a message of another node, if it is one of the talk, by what is known at this moment.
pub(super) fn take(
    council: &mut Council,
    (gossip, membership, bootstrap): (&Gossip, &Membership, &Bootstrap),
    (from, bytes): (NodeId, &[u8]),
    now: Instant,
) -> Taken {
    let server = match bootstrap.attestation() {
        Attestation::HoldsData => State::Begun,
        Attestation::Blank if bootstrap.server_waits(now) => State::Waiting,
        Attestation::Blank | Attestation::Silent => State::Unknown,
    };
    let me = gossip.me().id;
    let is_there = |id| membership.members.get(&id).is_some_and(|member| member.status.is_active());
    let is_active = |id| id == me || is_there(id);
    let has_key = gossip.keyring().is_some();
    let cluster = bootstrap.cluster();
    let is_voters =
        |id| cluster.is_some_and(|cluster| cluster.voters.iter().any(|voter| voter.id == Some(id)));
    let may_wish = |id| has_key || is_voters(id);
    let view = View { server, is_active: &is_active, may_wish: &may_wish };
    council.handle(from, bytes, &view, now)
}
