//! The goodbye: to every member at once, then by rumour for a few rounds more.

use std::net::SocketAddr;

use rand::{rngs::StdRng, seq::IteratorRandom as _};

use super::{
    action::Action,
    clock::{Tick, Wait},
    facts::Facts,
    output::Event,
    peer::{Peer, get_life, put_life},
    record::Goodbye,
};
use crate::signing::Seal;

/// Number of rounds in which the goodbye is said: with three listeners a round, five reach everyone of a dozen and start
/// the rumour in any larger cluster.
const GOODBYES: u8 = 5;
/// Round in which members are told directly once more.
const DIRECT_AGAIN: u8 = 2;
/// Upper bound on members that are told directly; the rumour tells the rest.
const DIRECT_GOODBYES: usize = 128;

/// Says goodbye directly.
pub(super) fn say(facts: &Facts<'_>, rng: &mut StdRng, out: &mut Vec<Action>) {
    let listeners: Vec<SocketAddr> = facts.engine.members().map(Peer::addr).sample(rng, DIRECT_GOODBYES);
    out.push(Action::SayGoodbye(listeners));
}

/// Says it once more by rumour, or ends when it has been said often enough.
pub(super) fn repeat(round: u8, facts: &Facts<'_>, rng: &mut StdRng, out: &mut Vec<Action>) {
    if round >= GOODBYES || facts.others() == 0 {
        return out.push(Action::Emit(Event::Left));
    }
    if round == DIRECT_AGAIN {
        say(facts, rng, out);
    }
    out.push(Action::Gossip);
    out.push(next_after(round, facts));
}

/// The round after this one.
pub(super) fn next_after(round: u8, facts: &Facts<'_>) -> Action {
    Action::After(Wait::Exactly(facts.timing.gossip_period), Tick::Goodbye(round + 1))
}

/// Payload of a goodbye.
pub(super) fn payload(goodbye: &Goodbye) -> Vec<u8> {
    let mut payload = Vec::new();
    put_life(goodbye.life(), &mut payload);
    payload.extend(goodbye.seal().to_bytes());
    payload
}

/// The life that says goodbye, and its signature.
pub(super) fn read(payload: &[u8]) -> Option<(Peer, Seal)> {
    let mut bytes = payload;
    let life = get_life(&mut bytes).ok()?;
    Some((life, Seal::from_bytes(bytes.first_chunk()?)))
}
