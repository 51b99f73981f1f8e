//! Messages by which a suspicion becomes known: to the accused, and to members that look for themselves.

use foca::{Member, Message, State};
use rand::{rngs::StdRng, seq::IteratorRandom as _};

use crate::gossip::{
    action::{Action, Draft},
    facts::Facts,
    peer::Peer,
    rumours::Rumour,
};

/// Number of members that are asked to look for themselves: twice the confirmations and one more, since some members are
/// slow or gone as well.
const ASKED: usize = 5;

/// Ping that tells its target that it is suspected; its answer refutes.
pub(super) fn accusing_ping(accused: &Peer, incarnation: u16) -> Draft {
    let suspect = Member::new(*accused, incarnation, State::Suspect);
    Draft { message: Message::Ping(0), updates: vec![suspect], items: vec![] }
}

/// Tells the accused that it is suspected.
pub(super) fn warning(accused: &Peer, incarnation: u16) -> Action {
    Action::Send(*accused, accusing_ping(accused, incarnation))
}

/// Asks some other members to look for themselves.
pub(super) fn ask_others(
    accused: &Peer,
    incarnation: u16,
    facts: &Facts<'_>,
    rng: &mut StdRng,
    out: &mut Vec<Action>,
) {
    let others = facts.engine.members().filter(|peer| *peer != accused).copied();
    let item = Rumour::Check { asker: facts.me(), accused: *accused, incarnation }.encode();
    let asked = others.sample(rng, ASKED).into_iter();
    out.extend(asked.map(|other| Action::Send(other, Draft::item(item.clone()))));
}
