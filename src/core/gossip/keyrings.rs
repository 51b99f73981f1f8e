//! The keyrings of the whole cluster: what one agent asks all the others to do with theirs, and what they say.
//!
//! A change is done by the owner of the keyring, the running agent's file; here it is only told. A member answers how its
//! keyring stands, so an agent that asked for a change asks again until it is done everywhere.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    action::{Action, Purpose, Question},
    facts::Facts,
    frame,
    key_frames::{Asked, KeyReply, KeyRequest},
    output::{Event, KeysId},
    peer::Peer,
    state::{Reply, Request},
};
use crate::{
    node::NodeId,
    wire::{KeyChange, KeyState, Keyring, Kind, MemberKeys, Opened, WireError},
};

/// Questions about keyrings under way, and what is wrong with our own.
#[derive(Debug, Default)]
pub(super) struct Keyrings {
    questions: BTreeMap<KeysId, KeysQuestion>,
    next_question: u64,
    /// Reason for which the keys stay as they are; every member that asks is told.
    trouble: Option<String>,
}

/// A question to all members.
#[derive(Debug)]
struct KeysQuestion {
    outstanding: usize,
    answers: Vec<MemberKeys>,
}

impl Keyrings {
    /// Takes note that the keys were changed as they should be.
    pub(super) fn clear_trouble(&mut self) {
        self.trouble = None;
    }

    /// Takes note of a reason for which the keys stay as they are.
    pub(super) fn set_trouble(&mut self, trouble: String) {
        self.trouble = Some(trouble);
    }

    /// State of a keyring of ours.
    pub(super) fn state(&self, keyring: &Keyring) -> KeyState {
        KeyState { keys: keyring.ids().collect(), trouble: self.trouble.clone() }
    }

    /// Asks every member that has not left how its keyring stands and, if a change is given, to do it, this node too.
    pub(super) fn ask(
        &mut self,
        change: Option<KeyChange>,
        own: &Keyring,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) -> KeysId {
        let id = KeysId(self.next_question);
        self.next_question += 1;
        let members = facts.engine.states().map(|member| *member.id());
        let members: Vec<_> = members.filter(|peer| !facts.roster.has_left(peer)).collect();
        self.questions.insert(id, KeysQuestion { outstanding: members.len(), answers: Vec::new() });
        for peer in members {
            let question = Question::Ready(Request::Keys(KeyRequest::new(change.as_ref())));
            out.push(Action::Ask { to: peer.addr(), question, purpose: Purpose::Keys(id, peer.id) });
        }
        if let Some(change) = change {
            self.change(change, out);
        }
        self.finish(id, Some(own), &facts.me(), out);
        id
    }

    /// Has the owner of the keyring change it. What was wrong before does not come of this.
    fn change(&mut self, change: KeyChange, out: &mut Vec<Action>) {
        self.trouble = None;
        out.push(Action::Emit(Event::ChangeKeys(change)));
    }

    /// Answers another member's question; `None` if it does not read.
    pub(super) fn answer(
        &mut self,
        request: &KeyRequest,
        own: &Keyring,
        out: &mut Vec<Action>,
    ) -> Option<KeyReply> {
        match request.read()? {
            Asked::State => {}
            Asked::Change(change) => self.change(change, out),
        }
        Some(KeyReply::new(&self.state(own)))
    }

    /// Takes in what one member said, or the reason for which it did not.
    pub(super) fn end(
        &mut self,
        id: KeysId,
        answer: MemberKeys,
        own: Option<&Keyring>,
        me: &Peer,
        out: &mut Vec<Action>,
    ) {
        if let Some(question) = self.questions.get_mut(&id) {
            question.outstanding -= 1;
            question.answers.push(answer);
        }
        self.finish(id, own, me, out);
    }

    fn finish(&mut self, id: KeysId, own: Option<&Keyring>, me: &Peer, out: &mut Vec<Action>) {
        if self.questions.get(&id).is_some_and(|question| question.outstanding == 0)
            && let Some(KeysQuestion { mut answers, .. }) = self.questions.remove(&id)
        {
            if let Some(own) = own {
                answers.push(MemberKeys { id: me.id, addr: me.addr(), state: Ok(self.state(own)) });
            }
            out.push(Action::Emit(Event::KeysAnswered(id, answers)));
        }
    }
}

/// A member's answer to the question for its keyring.
pub(super) fn read_answer(id: NodeId, addr: SocketAddr, answer: Result<Opened<'_>, String>) -> MemberKeys {
    MemberKeys { id, addr, state: answer.and_then(|opened| read_state(&opened)) }
}

fn read_state(opened: &Opened<'_>) -> Result<KeyState, String> {
    if opened.kind != Kind::Reply {
        return Err(WireError::Foreign.to_string());
    }
    match frame::read(&opened.payload).map_err(|error| error.to_string())? {
        Reply::Keys(keys) => Ok(keys.read()),
        Reply::Silent => Err(super::state::SILENT.to_owned()),
        Reply::State(_)
        | Reply::Same
        | Reply::Taken
        | Reply::Swim(_)
        | Reply::Differ(_)
        | Reply::Proof(_) => Err(WireError::Foreign.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gossip::fixture::{View, goodbye, peer},
        wire::Key,
    };

    fn keyring() -> Keyring {
        Keyring::single(Key::new(zeroize::Zeroizing::new([1; Key::LEN])))
    }

    fn answered(out: &[Action]) -> Option<usize> {
        out.iter().find_map(|action| {
            let Action::Emit(Event::KeysAnswered(_, answers)) = action else { return None };
            Some(answers.len())
        })
    }

    #[test]
    fn a_question_goes_to_each_member_that_has_not_left_and_is_answered_by_all_and_this_node() {
        let mut view = View::of([2, 3]);
        view.roster.note_left(goodbye(3));
        let (mut keyrings, own, mut out) = (Keyrings::default(), keyring(), vec![]);
        let change = KeyChange::Use(own.sending().id());
        let id = keyrings.ask(Some(change), &own, &view.facts(), &mut out);
        let [Action::Ask { to, purpose, .. }, Action::Emit(Event::ChangeKeys(_))] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!((*to, *purpose), (peer(2).addr(), Purpose::Keys(id, peer(2).id)));
        let mut out = vec![];
        let answer = read_answer(peer(2).id, peer(2).addr(), Err("unreachable".to_owned()));
        keyrings.end(id, answer, Some(&own), &peer(1), &mut out);
        assert_eq!(answered(&out), Some(2));
    }

    #[test]
    fn a_trouble_is_told_until_the_next_change() {
        let (mut keyrings, own) = (Keyrings::default(), keyring());
        keyrings.set_trouble("read-only".to_owned());
        assert_eq!(keyrings.state(&own).trouble.as_deref(), Some("read-only"));
        let mut out = vec![];
        let change = KeyRequest::new(Some(&KeyChange::Remove(own.sending().id())));
        keyrings.answer(&change, &own, &mut out);
        assert!(matches!(out[..], [Action::Emit(Event::ChangeKeys(KeyChange::Remove(_)))]));
        assert_eq!(keyrings.state(&own).trouble, None);
    }
}
