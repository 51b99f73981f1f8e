//! Records on their way to the disk: one at a time, in another thread, and again where the disk refuses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinSet};

use super::core::Core;
use crate::{handle::Unwritten, machine::Save, state_dir::StateDir};

/// How soon a record that the disk refused is tried again: soon for whoever has made room, and nothing to a disk.
const RETRY: Duration = Duration::from_secs(5);

/// A write that has ended.
pub(super) type Written = (Box<Save>, Result<(), String>);

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
}

impl Saving {
    /// When there is something to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.refused.as_ref().filter(|_| self.under_way.is_empty()).map(|(_, at)| *at)
    }

    fn write(&mut self, save: Box<Save>, state: Arc<StateDir>) {
        self.under_way.spawn(async move {
            let record = save.record().clone();
            let written = tokio::task::spawn_blocking(move || state.keep_node(&record)).await;
            let result = match written {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            (save, result)
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
                let Some(save) = self.saving.again(now).or_else(|| self.machine.poll_save().map(Box::new))
                else {
                    return;
                };
                self.saving.write(save, self.state.clone());
            }
            if !self.machine.awaits_save() {
                return;
            }
            if let Some(Ok(written)) = self.saving.under_way.join_next().await {
                self.take_written(written, now);
            }
        }
    }

    /// Takes in how a write ended.
    pub(super) fn take_written(&mut self, (save, result): Written, now: Instant) {
        // The disk is slow perhaps, but it answers.
        self.pulse.beat();
        let before = self.machine.fault().cloned();
        match result {
            Ok(()) => {
                self.machine.saved(*save, now);
                if before.is_some() && self.machine.fault().is_none() {
                    tracing::info!("the record is written: this agent votes again");
                }
            }
            Err(why) => {
                self.machine.handle_unwritten(why, now);
                self.saving.refused = Some((save, now + RETRY));
                // Told once, not at every attempt.
                if let Some(fault) = self.machine.fault().filter(|fault| before.as_ref() != Some(fault)) {
                    tracing::error!("{fault}");
                }
            }
        }
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
        let unwritten = self.machine.fault().filter(|_| !self.machine.is_durable());
        let written = unwritten.map_or(Ok(()), |fault| Err(Unwritten(fault.to_string())));
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
            let Some(save) = self.machine.poll_save() else { break };
            self.saving.write(Box::new(save), self.state.clone());
        }
        self.give_durable_answers();
    }
}
