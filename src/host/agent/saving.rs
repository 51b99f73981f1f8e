//! Records on their way to the disk: one at a time, in another thread, and again where the disk refuses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinSet};

use super::core::Core;
use crate::{
    bootstrap::{NodeRecord, ResetRefused},
    handle::{Forgotten, Unwritten},
    machine::Save,
    state_dir::StateDir,
};

/// How soon a record that the disk refused is tried again: soon for whoever has made room, and nothing to a disk.
const RETRY: Duration = Duration::from_secs(5);

/// A write that has ended.
pub(super) type Written = (Write, Result<(), String>);

/// What is written.
pub(super) enum Write {
    /// What the machine wants durable.
    Save(Box<Save>),
    /// The record of the node that follows this one.
    StartOver(Box<StartOver>),
}

/// The node that an operator wants in this one's place, and where the answer to that goes.
pub(super) struct StartOver {
    record: NodeRecord,
    reply: oneshot::Sender<Result<Result<Forgotten, ResetRefused>, Unwritten>>,
}

/// An answer that waits for the disk, and is told where that refuses.
type Answer = Box<dyn FnOnce(Result<(), Unwritten>) + Send>;

/// What is being written, and what waits for it.
#[derive(Default)]
pub(super) struct Saving {
    /// At most one.
    pub(super) under_way: JoinSet<Written>,
    /// What the disk refused, and when it is tried again.
    refused: Option<(Box<Save>, Instant)>,
    answers: Vec<Answer>,
    resets: Vec<StartOver>,
    /// Another node's record is on the disk now; nothing of this one may replace it.
    starts_over: bool,
}

impl Saving {
    /// When there is something to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.refused.as_ref().filter(|_| self.under_way.is_empty() && !self.starts_over);
        due.map(|(_, at)| *at)
    }

    /// Has this node forget everything once the record of the one that follows is on the disk.
    pub(super) fn start_over(
        &mut self,
        record: NodeRecord,
        reply: oneshot::Sender<Result<Result<Forgotten, ResetRefused>, Unwritten>>,
    ) {
        self.resets.push(StartOver { record, reply });
    }

    /// Whether the next life in this process is that of another node.
    pub(super) fn starts_over(&self) -> bool {
        self.starts_over
    }

    fn write(&mut self, write: Write, state: Arc<StateDir>) {
        self.under_way.spawn(async move {
            let record = match &write {
                Write::Save(save) => save.record(),
                Write::StartOver(next) => next.record.clone(),
            };
            let written = tokio::task::spawn_blocking(move || state.keep_node(&record)).await;
            let result = match written {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            (write, result)
        });
    }

    /// What was refused and is due, if anything.
    fn again(&mut self, now: Instant) -> Option<Box<Save>> {
        self.refused.take_if(|(_, at)| *at <= now).map(|(save, _)| save)
    }
}

impl Core {
    /// Has written what changed. What depends on a new start waits here; the founding holds its own messages and
    /// decisions back, so that a slow disk does not make this node deaf.
    pub(super) async fn persist(&mut self, now: Instant) {
        loop {
            if self.saving.under_way.is_empty() {
                let Some(write) = self.next_write(now) else { return };
                self.saving.write(write, self.state.clone());
            }
            if !self.machine.awaits_save() {
                return;
            }
            if let Some(Ok(written)) = self.saving.under_way.join_next().await {
                self.take_written(written, now);
            }
        }
    }

    /// What an operator wants first; after that nothing any more.
    fn next_write(&mut self, now: Instant) -> Option<Write> {
        if self.saving.starts_over {
            return None;
        }
        if let Some(next) = self.saving.resets.pop() {
            return Some(Write::StartOver(Box::new(next)));
        }
        let save = self.saving.again(now).or_else(|| self.machine.poll_save().map(Box::new));
        save.map(Write::Save)
    }

    /// Takes in how a write ended.
    pub(super) fn take_written(&mut self, (write, result): Written, now: Instant) {
        // The disk is slow perhaps, but it answers.
        self.pulse.beat();
        match write {
            Write::Save(save) => self.take_saved(save, result, now),
            Write::StartOver(next) => self.take_start_over(*next, result, now),
        }
    }

    fn take_saved(&mut self, save: Box<Save>, result: Result<(), String>, now: Instant) {
        let before = self.machine.fault().cloned();
        match result {
            Ok(()) => {
                self.machine.saved(*save, now);
                if before.is_some() && self.machine.fault().is_none() {
                    tracing::info!("the record is written: this agent votes again");
                }
            }
            Err(why) => {
                self.machine.save_failed(why, now);
                self.saving.refused = Some((save, now + RETRY));
                // Told once, not at every attempt.
                if let Some(fault) = self.machine.fault().filter(|fault| before.as_ref() != Some(fault)) {
                    tracing::error!("{fault}");
                }
            }
        }
    }

    /// Where the disk refuses, this node stays who it is, and the operator may ask again.
    fn take_start_over(&mut self, next: StartOver, result: Result<(), String>, now: Instant) {
        let StartOver { record, reply } = next;
        let answer = match result {
            Ok(()) => {
                self.saving.starts_over = true;
                self.leave(now);
                Ok(Ok(Forgotten::Everything { new_id: record.founding.node_id }))
            }
            Err(why) => Err(Unwritten(format!("nothing is forgotten: {why}"))),
        };
        self.answer(reply, answer);
    }

    /// Answers once what was done is on disk, or the disk has refused it.
    pub(super) fn answer_durably<T: Send + 'static>(
        &mut self,
        reply: oneshot::Sender<Result<T, Unwritten>>,
        answer: T,
    ) {
        self.saving.answers.push(Box::new(move |written| {
            // Whoever asked may have gone.
            reply.send(written.map(|()| answer)).ok();
        }));
    }

    /// Gives the answers that waited for the disk, where it has nothing more to do.
    pub(super) fn give_durable_answers(&mut self) {
        if !self.saving.under_way.is_empty() {
            return;
        }
        let unwritten = match self.machine.fault() {
            _ if self.machine.is_durable() => None,
            _ if self.saving.starts_over => Some("this node was told to forget everything".to_owned()),
            fault => fault.map(ToString::to_string),
        };
        let written = unwritten.map_or(Ok(()), |why| Err(Unwritten(why)));
        for answer in self.saving.answers.drain(..) {
            answer(written.clone());
        }
    }

    /// Ends what is under way, and what waits behind it; nothing is tried again.
    pub(super) async fn finish_saving(&mut self, now: Instant) {
        loop {
            while let Some(Ok(written)) = self.saving.under_way.join_next().await {
                self.take_written(written, now);
            }
            let Some(write) = self.next_write(now) else { break };
            self.saving.write(write, self.state.clone());
        }
        self.give_answers();
    }
}
