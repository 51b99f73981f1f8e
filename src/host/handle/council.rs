//! Requests to the agent about the members of the servers.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;

use super::not_done::NotDone;
use crate::{
    bootstrap::{Admittance, ClusterId, ReportRefused},
    council::{Account, Granted, Outcome, Verb, Wish},
    node::NodeId,
};

/// A request about the members of the servers.
#[derive(Debug)]
pub enum CouncilCommand {
    /// Ask the other servers' agents for their accounts, each with whom of `about` it sees away.
    Survey {
        /// The nodes.
        about: BTreeSet<NodeId>,
        /// The accounts of those that have answered, about a second later at most.
        reply: oneshot::Sender<BTreeMap<NodeId, Account>>,
    },
    /// Tell each of these agents the place of its server.
    Tell(Vec<(NodeId, Admittance)>),
    /// Take an operator's wish to the agent beside the leader.
    Wish {
        /// That agent; it may be this one.
        leader: NodeId,
        /// The verb.
        verb: Verb,
        /// The agent or member, by id or name.
        node: String,
        /// The ticket of the plan to carry out; `None` asks for a plan.
        ticket: Option<u64>,
        /// The outcome.
        reply: oneshot::Sender<Outcome>,
    },
    /// Take in an operator's word that the co-located server is the only voter from now on.
    Recover {
        /// The cluster.
        cluster_id: ClusterId,
        /// Answered once it is on disk or refused.
        reply: oneshot::Sender<Result<(), NotDone<ReportRefused>>>,
    },
    /// Answer the wish of another node.
    Grant {
        /// The node.
        to: NodeId,
        /// Its wish.
        wish: Wish,
        /// The answer.
        granted: Granted,
    },
}
