//! What a client of the running agent asks for.

use std::time::Instant;

use tokio::sync::oneshot;

use super::core::Core;
use crate::{
    bootstrap::{DataLoss, NodeRecord, Reset, ResetRefused},
    handle::{Command, Forgotten, Unwritten},
};

impl Core {
    pub(super) fn take_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Leave { reply } => {
                self.goodbyes.push(reply);
                self.leave(now);
            }
            Command::SetKeyring { keyring, reply } => {
                self.machine.set_keyring(keyring);
                self.refresh_at = now;
                self.answer(reply, ());
            }
            Command::Keys { change, reply } => match self.machine.ask_keys(change) {
                Some(asked) => drop(self.asked_keys.insert(asked, reply)),
                None => self.answer(reply, None),
            },
            Command::Join { addrs, reply } => {
                let join = self.machine.join(addrs);
                self.joins.insert(join, reply);
            }
            Command::Attest { report, reply } => {
                self.machine.server_attests(report, now);
                self.answer_durably(reply, ());
            }
            Command::Establish { report, reply } => {
                let taken = self.machine.established(&report, now);
                self.answer_durably(reply, taken);
            }
            Command::Override { founders, reply } => {
                let founded = self.machine.override_founders(&founders, now);
                self.answer_durably(reply, founded);
            }
            Command::Reset { lose_data, reply } => self.reset(lose_data, reply, now),
        }
    }

    fn reset(
        &mut self,
        lose_data: bool,
        reply: oneshot::Sender<Result<Result<Forgotten, ResetRefused>, Unwritten>>,
        now: Instant,
    ) {
        let loss = if lose_data { DataLoss::Allowed } else { DataLoss::Refused };
        match self.machine.reset((self.new_id)(), loss, now) {
            Ok(Reset::RivalForgotten) => self.answer_durably(reply, Ok(Forgotten::Rival)),
            Ok(Reset::StartOver(record)) => {
                let record = NodeRecord { epoch: self.about.epoch, founding: *record };
                self.saving.start_over(record, reply);
            }
            Err(refused) => self.answer(reply, Ok(Err(refused))),
        }
    }
}
