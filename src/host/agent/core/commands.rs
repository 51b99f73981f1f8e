//! Requests from inside this process: what each asks of the machine, and when it is answered.

use std::time::Instant;

use super::Core;
use crate::{
    bootstrap::{DataLoss, NodeRecord, ResetRefused},
    handle::{Command, JoinOutcome, NotDone, Reply, Verdict},
    node::NodeId,
};

/// Requests of operators to join that may be under way: with 64 addresses each, as many as are remembered.
const MAX_JOINS: usize = 16;
/// Answer to one more.
const TOO_MANY_JOINS: &str =
    "not dialled: too many requests to join are under way; ask again in a few seconds";

impl Core {
    /// Takes in one request.
    #[expect(clippy::too_many_lines, reason = "one table: a few lines a request")]
    pub(super) fn take_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Leave { reply } => {
                self.replies.await_goodbye(reply);
                self.leave(now);
            }
            Command::Move => {
                self.leaving.moves = self.leaving.by.is_none();
                self.leave(now);
            }
            Command::SetKeyring { keyring, reply } => {
                self.machine.set_keyring(keyring);
                self.publisher.refresh(now);
                self.replies.await_turn(reply, ());
            }
            Command::Keys { change, reply } => match self.machine.ask_keys(change, now) {
                Some(asked) => self.replies.await_keys(asked, reply),
                None => self.replies.await_turn(reply, None),
            },
            Command::Join { addrs, reply } if self.replies.joins() >= MAX_JOINS => {
                let refuse = |addr| JoinOutcome { addr, error: Some(TOO_MANY_JOINS.to_owned()) };
                self.replies.await_turn(reply, addrs.into_iter().map(refuse).collect());
            }
            Command::Join { addrs, reply } => {
                let join = self.machine.join(addrs, now);
                self.replies.await_join(join, reply);
            }
            Command::Attest { report, reply } => {
                self.machine.server_attests(report, now);
                self.replies.await_disk(reply, Ok(()));
            }
            Command::Establish { report, reply } => {
                let taken = self.machine.bootstrap().established(&report, now);
                self.replies.await_disk(reply, taken);
            }
            Command::Ask { server_id, reply } => {
                let decision = self.machine.server_asks(server_id.as_ref(), now);
                self.replies.await_disk(reply, Ok(decision));
            }
            Command::Begin { report, reply } => {
                let decision = self.machine.server_begins(report, now);
                self.replies.await_disk(reply, Ok(decision));
            }
            Command::Retract { reply } => {
                self.machine.bootstrap().retract(now);
                self.replies.await_disk(reply, Ok(()));
            }
            Command::See { seen, is_silent, list } => {
                if is_silent {
                    self.machine.server_is_silent(now);
                }
                self.machine.bootstrap().server_lists(list, now);
                self.machine.council().note_applied(seen.applied.filter(|_| seen.answers));
                self.publisher.take_server(*seen, now);
            }
            Command::Resolve { cluster_id, verdict, reply } => {
                let resolved = match verdict {
                    Verdict::Keep => self.machine.bootstrap().resolve(cluster_id, now),
                    Verdict::Over => self.machine.bootstrap().give_up(cluster_id, now),
                };
                self.replies.await_disk(reply, resolved);
            }
            Command::Vouch { gone, reply } => {
                let vouched = self.machine.bootstrap().vouch(gone, now);
                self.replies.await_disk(reply, vouched);
            }
            Command::Forget { id, reply } => {
                let forgotten = self.machine.forget(id, now);
                self.replies.await_disk(reply, forgotten);
            }
            Command::Override { founders, data_loss, reply } => {
                let cluster = self.machine.bootstrap().override_founders(&founders, data_loss, now);
                self.replies.await_disk(reply, cluster);
            }
            Command::Reset { data_loss, reply } => self.reset(data_loss, reply),
            Command::Council(command) => {
                self.talks.take(command, &mut self.machine, &mut self.replies, now);
            }
        }
    }

    fn reset(&mut self, data_loss: DataLoss, reply: Reply<NodeId, ResetRefused>) {
        match self.machine.bootstrap().reset((self.new_key)(), data_loss) {
            Ok(founding) => {
                self.saving.start_over(NodeRecord { epoch: self.about.epoch, founding }, Some(reply))
            }
            Err(refused) => self.replies.await_turn(reply, Err(NotDone::Refused(refused))),
        }
    }
}
