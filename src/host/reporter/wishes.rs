//! Wishes of operators about the members, on their way to the agent beside the leader.

use tokio::sync::oneshot;

use crate::{
    council::{Granted, Outcome, Verb, Wish},
    handle::{CouncilCommand, Handle, Stopped},
    node::NodeId,
};

/// A wish that the reporter is to answer.
#[derive(Debug)]
pub(crate) struct Wished {
    /// The verb.
    pub(crate) verb: Verb,
    /// The agent or member, by id or name.
    pub(crate) node: String,
    /// True if the first step of its plan is to be made, false if only the plan is asked for.
    pub(crate) does: bool,
    /// The way back.
    pub(crate) answering: Answering,
}

/// The way back of an answer.
#[derive(Debug)]
pub(crate) enum Answering {
    /// To this agent's own API.
    Here(oneshot::Sender<Outcome>),
    /// To another node.
    There(NodeId, Wish),
}

impl Answering {
    /// Sends the answer.
    pub(super) async fn send(self, granted: Granted, handle: &Handle) -> Result<(), Stopped> {
        match self {
            Self::Here(reply) => {
                // The client may have gone.
                reply.send(Outcome::here(granted)).ok();
                Ok(())
            }
            Self::There(to, wish) => handle.council(CouncilCommand::Grant { to, wish, granted }).await,
        }
    }
}
