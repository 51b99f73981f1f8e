//! The rules by which another node's state changes ours.

use foca::{Member, State};

use super::{
    action::{Action, Telling},
    clock::{Tick, Wait},
    comparing::room_for_rumours,
    facts::Facts,
    peer::Peer,
};

/// Upper bound on members dialled because another node calls alive what this one calls failed.
const MAX_REACHED: usize = 16;
/// Upper bound on members of one state that change here: the engine looks through all members for each. The rest comes by the
/// comparisons that follow.
const MAX_CHANGED: usize = 512;
/// Upper bound on members that are suspected here because one state calls them failed; three messages go out for each.
const MAX_DOUBTED: usize = 32;

/// Takes over the members of another node's state, and tells others of as many as there is room for.
pub(super) fn take_over(
    theirs: Vec<Member<Peer>>,
    telling: Telling,
    facts: &Facts<'_>,
    out: &mut Vec<Action>,
) {
    let (mut updates, mut suspects, mut unreached) = (Vec::new(), Vec::new(), Vec::new());
    let mut room = facts.roster.room();
    for member in theirs {
        if updates.len() == MAX_CHANGED {
            break;
        }
        let ours = facts.roster.member_state(&member.id().id);
        if ours.is_none() {
            match room.checked_sub(1) {
                Some(left) => room = left,
                None => continue,
            }
        }
        // The engine would look through all members for each.
        if ours.as_ref() == Some(&member) {
            continue;
        }
        match weigh(&member, ours.as_ref()) {
            Consequence::Apply(update) => updates.push(update),
            Consequence::Suspect(suspect) => suspects.push(suspect),
            Consequence::Reach => unreached.push(member.id().addr()),
            Consequence::Ignore => {}
        }
    }
    let told = match telling {
        Telling::Aloud => room_for_rumours(facts.engine.backlog()),
        Telling::Quiet => 0,
    };
    let quiet = updates.split_off(told.min(updates.len()));
    out.extend([Action::Apply(updates, Telling::Aloud), Action::Apply(quiet, Telling::Quiet)]);
    out.extend(suspects.into_iter().take(MAX_DOUBTED).map(Action::Doubt));
    let reach = |to| Action::After(Wait::Within(facts.timing.gossip_period), Tick::Reach(to));
    out.extend(unreached.into_iter().take(MAX_REACHED).map(reach));
}

/// Consequence of one entry of another node's state.
#[derive(Debug, PartialEq, Eq)]
enum Consequence {
    /// It is taken over.
    Apply(Member<Peer>),
    /// The other side says failed and this one alive: one is wrong. The member is suspected here, so that it gets the
    /// chance to refute; the other's word alone kills nobody.
    Suspect(Member<Peer>),
    /// This side says failed and the other alive: the member is asked directly.
    Reach,
    /// It is no news.
    Ignore,
}

/// Weighs one entry of another node's state against ours of the same node.
fn weigh(theirs: &Member<Peer>, ours: Option<&Member<Peer>>) -> Consequence {
    let Some(ours) = ours else {
        return match theirs.state() {
            // A suspicion about a stranger would register it as alive, and nobody would follow the suspicion up.
            State::Suspect => Consequence::Ignore,
            State::Alive | State::Down => Consequence::Apply(theirs.clone()),
        };
    };
    let same_life = theirs.id() == ours.id();
    match (theirs.state(), ours.state()) {
        (State::Alive | State::Suspect, State::Down) if same_life => Consequence::Reach,
        (State::Down, State::Alive) if same_life => {
            let incarnation = theirs.incarnation().max(ours.incarnation());
            Consequence::Suspect(Member::new(*ours.id(), incarnation, State::Suspect))
        }
        (State::Down, State::Suspect) if same_life => Consequence::Ignore,
        _ => Consequence::Apply(theirs.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::fixture::{View, peer};

    #[test]
    fn a_state_is_taken_over_but_no_life_of_a_member_ends_or_begins_again_by_anothers_word() {
        let mut view = View::of([2, 3, 4, 5]);
        view.apply(Member::down(peer(4)));
        let next = peer(5).reborn(peer(5).epoch(), 1);
        let theirs = [Member::alive(peer(2)), Member::down(peer(3)), Member::alive(peer(4))];
        let theirs = theirs.into_iter().chain([Member::alive(next), Member::alive(peer(6))]).collect();
        let mut out = vec![];
        take_over(theirs, Telling::Aloud, &view.facts(), &mut out);
        let [Action::Apply(aloud, Telling::Aloud), Action::Apply(quiet, Telling::Quiet), rest @ ..] =
            &out[..]
        else {
            panic!("{out:?}")
        };
        assert_eq!((&aloud[..], &quiet[..]), (&[Member::alive(next), Member::alive(peer(6))][..], &[][..]));
        let [Action::Doubt(doubted), Action::After(_, Tick::Reach(reached))] = rest else {
            panic!("{rest:?}")
        };
        assert_eq!((doubted.id(), *reached), (&peer(3), peer(4).addr()));
    }

    #[test]
    fn a_suspicion_about_a_stranger_is_no_news() {
        let suspect = Member::new(peer(7), 0, State::Suspect);
        assert_eq!(weigh(&suspect, None), Consequence::Ignore);
        assert_eq!(weigh(&Member::down(peer(7)), None), Consequence::Apply(Member::down(peer(7))));
    }
}
