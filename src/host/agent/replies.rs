//! The clients that wait for an answer.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::{
    gossip::{JoinId, KeysId},
    handle::{JoinOutcome, NotDone, Reply, Unwritten},
    wire::MemberKeys,
};

/// An answer that waits for the end of the turn.
type Answer = Box<dyn FnOnce() + Send>;

/// An answer that waits for the disk, and says so if the disk refuses.
type DurableAnswer = Box<dyn FnOnce(Result<(), Unwritten>) + Send>;

/// The replies that are still to be sent, by the event that each waits for.
#[derive(Default)]
pub(super) struct Replies {
    joins: BTreeMap<JoinId, oneshot::Sender<Vec<JoinOutcome>>>,
    keys: BTreeMap<KeysId, oneshot::Sender<Option<Vec<MemberKeys>>>>,
    goodbyes: Vec<oneshot::Sender<()>>,
    turn: Vec<Answer>,
    durable: Vec<DurableAnswer>,
}

impl Replies {
    pub(super) fn await_join(&mut self, join: JoinId, reply: oneshot::Sender<Vec<JoinOutcome>>) {
        self.joins.insert(join, reply);
    }

    /// Number of requests to join that wait for their end.
    pub(super) fn joins(&self) -> usize {
        self.joins.len()
    }

    pub(super) fn await_keys(&mut self, asked: KeysId, reply: oneshot::Sender<Option<Vec<MemberKeys>>>) {
        self.keys.insert(asked, reply);
    }

    pub(super) fn await_goodbye(&mut self, reply: oneshot::Sender<()>) {
        self.goodbyes.push(reply);
    }

    /// Sends `answer` at the end of the turn: once the snapshot shows what was done, so that a client that asks next
    /// sees it, and once everything that the answer depends on is on disk.
    pub(super) fn await_turn<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, answer: T) {
        self.turn.push(Box::new(move || send(reply, answer)));
    }

    /// Sends `answer` once what was done is on disk, or else that the disk has refused it.
    pub(super) fn await_disk<T: Send + 'static, R: Send + 'static>(
        &mut self,
        reply: Reply<T, R>,
        answer: Result<T, R>,
    ) {
        self.durable.push(Box::new(move |written| {
            let written = written.map_err(NotDone::Unwritten);
            send(reply, written.and_then(|()| answer.map_err(NotDone::Refused)));
        }));
    }

    pub(super) fn join_ended(&mut self, join: JoinId, outcomes: Vec<JoinOutcome>) {
        if let Some(reply) = self.joins.remove(&join) {
            send(reply, outcomes);
        }
    }

    pub(super) fn keys_answered(&mut self, asked: KeysId, answers: Vec<MemberKeys>) {
        if let Some(reply) = self.keys.remove(&asked) {
            send(reply, Some(answers));
        }
    }

    pub(super) fn goodbye_said(&mut self) {
        self.goodbyes.drain(..).for_each(|reply| send(reply, ()));
    }

    /// Ends a turn: sends the answers that waited for it, and those that waited for the disk if it has nothing more to
    /// write. `written` is `None` while it has.
    pub(super) fn end_turn(&mut self, written: Option<&Result<(), Unwritten>>) {
        self.turn.drain(..).for_each(|answer| answer());
        if let Some(written) = written {
            self.durable.drain(..).for_each(|answer| answer(written.clone()));
        }
    }
}

fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    // The client may have gone.
    reply.send(answer).ok();
}
