//! Records on their way to the disk: one at a time, in another thread, and again if the disk refuses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::replies::Replies;
use crate::{
    bootstrap::{NodeRecord, ResetRefused},
    handle::{NotDone, Reply, Unwritten},
    machine::{Machine, Save},
    node::NodeId,
    state_dir::StateDir,
};

/// Pause before a record that the disk refused is tried again: short for an operator who has made room, and no load for
/// a disk.
const RETRY: Duration = Duration::from_secs(5);

/// A write that has ended.
pub(super) struct Written {
    write: Write,
    result: Result<(), String>,
}

/// One write to the record of the node.
enum Write {
    /// A record that the machine wants durable.
    Save(Box<Save>),
    /// The record of the node that follows this one.
    StartOver(Box<StartOver>),
}

/// The node that follows in this one's place, and the way back of the answer to the operator who wants it.
struct StartOver {
    record: NodeRecord,
    reply: Option<Reply<NodeId, ResetRefused>>,
}

/// A record that the disk refused.
struct Refused {
    save: Box<Save>,
    again_at: Instant,
}

/// Everything that is being written or waits for the disk.
pub(super) struct Saving {
    state: Arc<StateDir>,
    /// The write under way, at most one.
    under_way: JoinSet<Written>,
    refused: Option<Refused>,
    resets: Vec<StartOver>,
    /// Set once another node's record is on the disk; no record of this node may replace it.
    starts_over: bool,
}

impl Saving {
    pub(super) fn new(state: Arc<StateDir>) -> Self {
        Self { state, under_way: JoinSet::new(), refused: None, resets: Vec::new(), starts_over: false }
    }

    /// The time at which a refused record is to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        let refused = self.refused.as_ref().filter(|_| self.is_idle() && !self.starts_over);
        refused.map(|refused| refused.again_at)
    }

    /// True while nothing is being written.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// True if the next life in this process is that of another node.
    pub(super) fn starts_over(&self) -> bool {
        self.starts_over
    }

    /// Makes this node forget everything, once the record of the node that follows it is on disk.
    pub(super) fn start_over(&mut self, record: NodeRecord, reply: Option<Reply<NodeId, ResetRefused>>) {
        self.resets.push(StartOver { record, reply });
    }

    /// Begins the next write unless one is under way. Returns true if one is under way then.
    pub(super) fn begin(&mut self, machine: &mut Machine, now: Instant) -> bool {
        if self.is_idle() {
            let Some(write) = self.next(machine, now) else { return false };
            self.write(write);
        }
        true
    }

    /// Waits for the write under way; `None` if there is none. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Option<Written> {
        self.under_way.join_next().await?.ok()
    }

    /// Takes in how a write ended.
    pub(super) fn take(
        &mut self,
        written: Written,
        machine: &mut Machine,
        replies: &mut Replies,
        now: Instant,
    ) {
        match written.write {
            Write::Save(save) => self.take_saved(save, written.result, machine, now),
            Write::StartOver(next) => self.take_start_over(*next, written.result, replies),
        }
    }

    /// The disk's answer to everything that was done so far; `None` while it is writing.
    pub(super) fn outcome(&self, machine: &Machine) -> Option<Result<(), Unwritten>> {
        if !self.is_idle() {
            return None;
        }
        let unwritten = match machine.fault() {
            _ if machine.is_durable() => None,
            _ if self.starts_over => Some("this node was told to forget everything".to_owned()),
            fault => fault.map(ToString::to_string),
        };
        Some(unwritten.map_or(Ok(()), |why| Err(Unwritten(why))))
    }

    /// The next write: an operator's first, and nothing after that.
    fn next(&mut self, machine: &mut Machine, now: Instant) -> Option<Write> {
        if self.starts_over {
            return None;
        }
        if let Some(next) = self.resets.pop() {
            return Some(Write::StartOver(Box::new(next)));
        }
        let again = self.refused.take_if(|refused| refused.again_at <= now).map(|refused| refused.save);
        again.or_else(|| machine.poll_save().map(Box::new)).map(Write::Save)
    }

    fn write(&mut self, write: Write) {
        let state = self.state.clone();
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
            Written { write, result }
        });
    }

    fn take_saved(
        &mut self,
        save: Box<Save>,
        result: Result<(), String>,
        machine: &mut Machine,
        now: Instant,
    ) {
        let before = machine.fault().cloned();
        match result {
            Ok(()) => {
                machine.saved(*save, now);
                if before.is_some() && machine.fault().is_none() {
                    tracing::info!("the record is written: this agent votes again");
                }
            }
            Err(why) => {
                machine.save_failed(why, now);
                self.refused = Some(Refused { save, again_at: now + RETRY });
                // Logged once, not at every attempt.
                if let Some(fault) = machine.fault().filter(|fault| before.as_ref() != Some(fault)) {
                    tracing::error!("{fault}");
                }
            }
        }
    }

    /// If the disk refuses, this node stays the one it is, and the operator may ask again.
    fn take_start_over(&mut self, next: StartOver, result: Result<(), String>, replies: &mut Replies) {
        let StartOver { record, reply } = next;
        self.starts_over = result.is_ok();
        let answer = match result {
            Ok(()) => Ok(record.founding.node_id()),
            Err(why) => Err(NotDone::Unwritten(Unwritten(format!("nothing is forgotten: {why}")))),
        };
        match (reply, answer) {
            (Some(reply), answer) => replies.await_turn(reply, answer),
            (None, Ok(_)) => {}
            (None, Err(why)) => tracing::error!("the record of a new node is not written: {why}"),
        }
    }
}
