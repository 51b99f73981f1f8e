//! Requests of callers about the members of the servers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, CouncilCommand, Handle, Stopped};
use crate::{
    council::{Account, Outcome, Verb},
    node::NodeId,
};

impl Handle {
    /// Asks the other servers' agents for their accounts, each with whom of `about` it sees away.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended.
    pub async fn survey(&self, about: BTreeSet<NodeId>) -> Result<BTreeMap<NodeId, Account>, Stopped> {
        self.ask(|reply| Command::Council(CouncilCommand::Survey { about, reply })).await
    }

    /// Passes on what concerns the members of the servers and needs no answer.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended.
    pub async fn council(&self, command: CouncilCommand) -> Result<(), Stopped> {
        self.commands.send(Command::Council(command)).await.map_err(|_| Stopped)
    }

    /// Takes an operator's wish to the agent beside the leader; without a ticket it asks for a plan.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended.
    pub async fn wish(
        &self,
        leader: NodeId,
        (verb, node): (Verb, String),
        ticket: Option<u64>,
    ) -> Result<Outcome, Stopped> {
        self.ask(|reply| Command::Council(CouncilCommand::Wish { leader, verb, node, ticket, reply })).await
    }
}
