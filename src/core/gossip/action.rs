//! Wishes of the parts, as data. A part pushes them; only `Parts::pump` carries them out, one after the other.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use foca::{Member, Message, Timer};

use super::{
    clock::{Tick, Wait},
    output::{Event, JoinId, KeysId},
    peer::Peer,
    record::Goodbye,
    rumours::{Evidence, Rumour},
    state::Request,
};
use crate::node::NodeId;

/// Work for `Parts::pump`. Each variant names the part that it is for, if that is not the engine.
#[derive(Debug)]
pub(super) enum Action {
    /// Hands states of members to the engine.
    Apply(Vec<Member<Peer>>, Telling),
    /// Takes in a member of whom others speak, if there is room; it is told of if few rumours wait.
    Introduce(Member<Peer>),
    /// Takes over the members of another node's state, by the rules of `state::weigh`.
    TakeOver(Vec<Member<Peer>>, Telling),
    /// Suspects a member that another node's state calls failed.
    Doubt(Member<Peer>),
    /// Answers another node's belief about this one.
    AnswerClaim(Member<Peer>),
    /// Takes note of a life of this node that another process has led, or leads.
    NoteOther(Peer),
    /// Takes note of a goodbye.
    NoteLeft(Goodbye),
    /// Forgets this life of a node, and all before it.
    Forget(Peer),
    /// Runs a timer of the engine.
    RunTimer(Timer<Peer>),
    /// Has the engine gossip at once, not at its next timer.
    Gossip,
    /// Has the engine say goodbye.
    Leave,
    /// Starts the engine afresh as `me`, knowing this side's active members and those given.
    Renew {
        /// The new life of this node.
        me: Peer,
        /// Members of the other side.
        there: Vec<Member<Peer>>,
    },
    /// Spreads a rumour.
    Tell(Rumour),
    /// Spreads the metadata of a node, in the life given.
    TellMetadata(Peer),
    /// Sends a SWIM message of our own.
    Send(Peer, Draft),
    /// Tells the agents at these addresses that this life ends.
    SayGoodbye(Vec<SocketAddr>),
    /// Opens a stream and asks.
    Ask {
        /// Address to dial.
        to: SocketAddr,
        /// Request to send.
        question: Question,
        /// Reason, by which the answer is handled.
        purpose: Purpose,
    },
    /// Schedules a tick.
    After(Wait, Tick),
    /// Schedules a tick for a time that is known.
    At(Instant, Tick),
    /// Begins a new chain of comparisons, the first of them soon.
    CompareSoon,
    /// Suspects a member: opens a case in the detector if the engine takes the suspicion.
    Suspect(Suspect),
    /// Opens the case of a suspicion that the engine was given before.
    OpenCase(Suspect),
    /// Calls a member failed whose suspicion has run out.
    Condemn {
        /// The member.
        accused: Peer,
        /// Incarnation at which it was suspected.
        incarnation: u16,
        /// Contact of this node with others at that time.
        judge: Judge,
    },
    /// Weighs the verdicts that a message of `from` brought, once all that came beside them has been taken in.
    HearVerdicts {
        /// Sender of the message; it counts only as a member.
        from: Peer,
        /// Members that it calls failed.
        verdicts: Vec<Member<Peer>>,
    },
    /// Takes note of direct contact with a node, once its message has been taken in.
    NoteContact(Peer),
    /// Takes note of the round trip of a probe.
    NoteRoundTrip(Peer, Duration),
    /// Gives the caller an event.
    Emit(Event),
}

impl Action {
    /// An exchange of whole states with the node at `to`.
    pub(super) fn exchange(to: SocketAddr) -> Self {
        Self::Ask { to, question: Question::State, purpose: Purpose::Exchange }
    }

    /// A comparison of digests with the node at `to`.
    pub(super) fn compare(to: SocketAddr) -> Self {
        Self::Ask { to, question: Question::Digest, purpose: Purpose::Compare }
    }
}

/// Publicity of a member's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Passed on as a rumour.
    Aloud,
    /// Kept; others learn of it by comparing states.
    Quiet,
}

/// Contact of a node that called another failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// It hears others.
    Connected,
    /// It has not heard anybody for some time, and may itself be the one that is cut off.
    CutOff,
}

/// A reason of this node to suspect a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) accused: Peer,
    /// Incarnation at which it is suspected.
    pub(super) incarnation: u16,
    pub(super) evidence: Evidence,
    pub(super) source: Source,
}

/// Origin of a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A probe of this node; others are asked to look for themselves.
    Probe,
    /// A look at the request of others, who have been asked already.
    Check,
    /// Another node's verdict, which is not believed before the suspicion has run out; others are asked.
    Verdict,
}

/// Reason for which a stream is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A round of joining.
    Round,
    /// An operator's request.
    Asked(JoinId),
    /// An exchange of whole states: a member is missing, or its metadata is, or its picture differs from ours.
    Exchange,
    /// A comparison of digests.
    Compare,
    /// An exchange of the entries by which two states differ.
    Trade,
    /// A message about the founding.
    Founding,
    /// A question about the keyring of this member.
    Keys(KeysId, NodeId),
    /// A ping that was not answered by datagram.
    Ping(Peer),
    /// A look at a member that another node suspects.
    Check(Peer),
    /// A look whether a process with this node's id is there.
    Duplicate,
    /// A comparison with an address at which, as another node says, a former life of this one is.
    Claim,
}

/// SWIM message of our own, for what the engine does not do; all of it fits one datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) message: Message<Peer>,
    /// States of members.
    pub(super) updates: Vec<Member<Peer>>,
    /// Encoded items beside them.
    pub(super) items: Vec<Vec<u8>>,
}

impl Draft {
    /// A gossip message with one state of a member.
    pub(super) fn update(member: Member<Peer>) -> Self {
        Self { message: Message::Gossip, updates: vec![member], items: vec![] }
    }

    /// A gossip message with one item.
    pub(super) fn item(item: Vec<u8>) -> Self {
        Self { message: Message::Gossip, updates: vec![], items: vec![item] }
    }
}

/// Request of a stream. The first two are filled when they are sent, and not sent while one like them is under way.
#[derive(Debug)]
pub(super) enum Question {
    /// The whole state, in exchange for this node's.
    State,
    /// A comparison of digests.
    Digest,
    /// A SWIM message and its answer: the way of a ping if datagrams are lost.
    Swim(Peer, Draft),
    /// Bytes of a SWIM message that went out as a datagram before.
    Repeated(Vec<u8>),
    /// Anything whose bytes need nothing of other parts.
    Ready(Request),
}

/// Actions to carry out.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    next: VecDeque<Action>,
    last: VecDeque<Action>,
}

impl Agenda {
    /// Puts `actions`, in their order, before all others: what follows from an action belongs to it.
    pub(super) fn put_first(
        &mut self,
        actions: impl IntoIterator<Item = Action, IntoIter: DoubleEndedIterator>,
    ) {
        for action in actions.into_iter().rev() {
            self.next.push_front(action);
        }
    }

    /// Puts `actions` behind everything that the present input still brings, rumours included.
    pub(super) fn put_last(&mut self, actions: impl IntoIterator<Item = Action>) {
        self.last.extend(actions);
    }

    /// Puts `action` behind the present input's rumours, and before what was put last.
    pub(super) fn put_after_rumours(&mut self, action: Action) {
        self.last.push_front(action);
    }

    /// The next action that does not wait for rumours.
    pub(super) fn pop(&mut self) -> Option<Action> {
        self.next.pop_front()
    }

    /// The next action that waits for rumours; `None` while others are to be carried out.
    pub(super) fn pop_last(&mut self) -> Option<Action> {
        if self.next.is_empty() { self.last.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(action: &Action) -> u64 {
        let Action::After(Wait::Exactly(wait), _) = action else { panic!("{action:?}") };
        wait.as_secs()
    }

    fn named(name: u64) -> Action {
        Action::After(Wait::Exactly(Duration::from_secs(name)), Tick::Heal)
    }

    #[test]
    fn an_action_comes_before_what_was_to_follow_and_the_last_come_after_all() {
        let mut agenda = Agenda::default();
        agenda.put_last([named(8), named(9)]);
        agenda.put_first([named(1), named(5)]);
        let mut order = vec![name(&agenda.pop().unwrap())];
        agenda.put_first([named(2), named(3)]);
        agenda.put_after_rumours(named(7));
        assert!(agenda.pop_last().is_none(), "others are to be carried out");
        order.extend(std::iter::from_fn(|| agenda.pop()).map(|action| name(&action)));
        order.extend(std::iter::from_fn(|| agenda.pop_last()).map(|action| name(&action)));
        assert_eq!(order, [1, 2, 3, 5, 7, 8, 9]);
    }
}
