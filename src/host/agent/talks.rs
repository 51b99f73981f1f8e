//! The talk about the members of servers, as the core passes it between the machine, the reporter and the API.

use std::{collections::BTreeMap, time::Instant};

use tokio::sync::{mpsc, oneshot};

use super::replies::Replies;
use crate::{
    council::{Account, Event, Granted, Outcome, Verdict, Wish},
    handle::CouncilCommand,
    machine::Machine,
    node::{NodeId, Role},
    reporter::{Answering, Wished},
};

/// Wishes that wait for the reporter: a person says few.
pub(super) const QUEUE: usize = 8;

/// Clients that wait for the answers of other nodes.
pub(super) struct Talks {
    /// The reporter, which answers wishes where the leader is beside this agent.
    reporter: mpsc::Sender<Wished>,
    surveys: BTreeMap<u64, oneshot::Sender<BTreeMap<NodeId, Account>>>,
    wishes: BTreeMap<u64, oneshot::Sender<Outcome>>,
}

impl Talks {
    pub(super) fn new(reporter: mpsc::Sender<Wished>) -> Self {
        Self { reporter, surveys: BTreeMap::new(), wishes: BTreeMap::new() }
    }

    /// Does what is asked for.
    pub(super) fn take(
        &mut self,
        command: CouncilCommand,
        machine: &mut Machine,
        replies: &mut Replies,
        now: Instant,
    ) {
        match command {
            CouncilCommand::Survey { about, reply } => {
                let me = machine.me().id;
                let servers = machine.membership().active().filter(|member| member.role == Role::Server);
                let asked = servers.map(|member| member.id).filter(|id| *id != me).collect();
                let number = machine.council().survey(asked, &about, now);
                self.surveys.retain(|_, reply| !reply.is_closed());
                self.surveys.insert(number, reply);
            }
            CouncilCommand::Tell(words) => {
                words.into_iter().for_each(|(to, word)| machine.council().tell(to, word));
            }
            CouncilCommand::Wish { leader, verb, node, ticket, reply } if leader == machine.me().id => {
                let wished = Wished { verb, node, does: ticket.is_some(), answering: Answering::Here(reply) };
                self.hand_on(wished, machine, now);
            }
            CouncilCommand::Wish { leader, verb, node, ticket, reply } => {
                let number = machine.council().wish(leader, verb, node, ticket);
                self.wishes.retain(|_, reply| !reply.is_closed());
                self.wishes.insert(number, reply);
            }
            CouncilCommand::Recover { cluster_id, reply } => {
                let taken = machine.bootstrap().recover(cluster_id, now);
                replies.await_disk(reply, taken);
            }
            CouncilCommand::Grant { to, wish, granted } => {
                machine.council().answer_wish(to, &wish, granted, now);
            }
        }
    }

    /// Takes in what the machine has to say.
    pub(super) fn act(&mut self, event: Event, machine: &mut Machine, now: Instant) {
        match event {
            Event::Surveyed(number, accounts) => {
                if let Some(reply) = self.surveys.remove(&number) {
                    // The reporter may have ended.
                    reply.send(accounts).ok();
                }
            }
            Event::Outcome(number, outcome) => {
                if let Some(reply) = self.wishes.remove(&number) {
                    // The client may have gone.
                    reply.send(outcome).ok();
                }
            }
            Event::Wished(from, wish) => {
                let Wish { verb, node, ticket, .. } = wish.clone();
                let answering = Answering::There(from, wish);
                self.hand_on(Wished { verb, node, does: ticket.is_some(), answering }, machine, now);
            }
        }
    }

    fn hand_on(&mut self, wished: Wished, machine: &mut Machine, now: Instant) {
        let Err(refused) = self.reporter.try_send(wished) else { return };
        let text = match refused {
            mpsc::error::TrySendError::Full(_) => "too many wishes wait here: ask again in a moment",
            mpsc::error::TrySendError::Closed(_) => {
                "no server is asked here: say it at an agent with --server, or start this one with it"
            }
        };
        let granted = Granted { verdict: Verdict::Refused, text: text.to_owned(), newcomer: None };
        match refused.into_inner().answering {
            Answering::Here(reply) => drop(reply.send(Outcome::here(granted))),
            Answering::There(to, wish) => machine.council().answer_wish(to, &wish, granted, now),
        }
    }
}
