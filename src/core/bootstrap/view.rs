//! What the rest of the agent knows when it matters to the founding: gossip, providers, the server beside.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use super::{
    acceptor::Standing,
    config::{Admission, Config},
    founding::{ClusterId, Founder},
    message::Refusal,
    reason::Reason,
    record::ServerId,
};
use crate::node::{NodeId, Role};

/// What gossip and the providers know at one moment. It replaces the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The other nodes.
    pub nodes: BTreeMap<NodeId, Sighting>,
    /// How many different servers are known, this one included: alive, remembered, or only listed by a provider.
    pub distinct_servers: usize,
    /// How many addresses the providers list, without this node's own.
    pub seeds: usize,
    /// Those among them that nobody has answered from, each with the time since when.
    pub unanswered_seeds: BTreeMap<SocketAddr, Instant>,
    /// Address of another agent that uses this node's id.
    pub duplicate: Option<SocketAddr>,
}

/// Another node, as gossip knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// How it would stand in a founding.
    pub founder: Founder,
    /// Where it runs.
    pub zone: Option<String>,
    /// Whether it stands beside a server.
    pub role: Role,
    /// How it is known.
    pub contact: Contact,
    /// How many founders it expects, if it says so.
    pub expect: Option<u16>,
    /// The cluster it knows.
    pub cluster_id: Option<ClusterId>,
    /// How new its knowledge of the voters is.
    pub config_index: u64,
    /// Whether it knows that the group exists.
    pub established: bool,
    /// What its server said about itself.
    pub attestation: Attestation,
}

/// How a node is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// It failed or left.
    Remembered,
    /// Others say that it is alive.
    Reported,
    /// It was heard from directly, just now.
    Direct,
}

/// What a server said about its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attestation {
    /// Nothing yet.
    Silent,
    /// It has none.
    Blank,
    /// It has some.
    HoldsData,
}

/// What the server beside this agent says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// Who it is; it keeps that beside its data.
    pub server_id: ServerId,
    /// Whether it holds data of a cluster.
    pub has_state: bool,
    /// Of which one, if it knows.
    pub cluster_id: Option<ClusterId>,
    /// It will not say so again, so that its silence tells nothing about whether it runs.
    pub once: bool,
}

/// Everything that the agreement stands on here, apart from the record.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    pub(super) config: Config,
    pub(super) founder: Founder,
    pub(super) view: View,
    pub(super) server: Option<ServerReport>,
    /// Why the record cannot be relied on.
    pub(super) fault: Option<Reason>,
}

impl Situation {
    pub(super) fn new(config: Config, id: NodeId) -> Self {
        let founder =
            Founder { id, name: config.name.clone(), addr: config.addr, endpoints: config.endpoints.clone() };
        Self { config, founder, view: View::default(), server: None, fault: None }
    }

    /// How this server answers a ballot now.
    pub(super) fn standing(&self) -> Standing<'_> {
        let refusal = self.refusal();
        let terms = match (&self.config.terms, refusal) {
            (_, Some(refusal)) => Err(refusal),
            (Some(terms), None) => Ok(terms),
            (None, None) => Err(Refusal::NotTakingPart),
        };
        Standing {
            cluster_name: &self.config.cluster_name,
            terms,
            founder: &self.founder,
            zone: self.config.zone.as_deref(),
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        if self.fault.is_some() || self.view.duplicate.is_some() {
            Some(Refusal::Fault)
        } else if self.config.role == Role::Observer || self.config.admission != Admission::Found {
            Some(Refusal::NotTakingPart)
        } else if self.server_holds_data() {
            Some(Refusal::ServerHoldsData)
        } else if self.too_many_servers().is_some() {
            Some(Refusal::TooManyServers)
        } else {
            None
        }
    }

    /// The only cluster that the operator allows.
    pub(super) fn pinned(&self) -> Option<ClusterId> {
        match self.config.admission {
            Admission::Only(id) => Some(id),
            Admission::Found | Admission::JoinOnly => None,
        }
    }

    pub(super) fn server_holds_data(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.has_state)
    }

    /// The most servers that the terms bear, if more are known.
    pub(super) fn too_many_servers(&self) -> Option<usize> {
        let most = self.config.terms.as_ref()?.most_servers()?;
        (self.known_servers() > most).then_some(most)
    }

    /// How many different servers are known. Those that are only remembered count as far as `distinct_servers` says:
    /// gossip knows which of them somebody else has replaced.
    pub(super) fn known_servers(&self) -> usize {
        let others = self.alive_servers().count();
        self.view.distinct_servers.max(others + usize::from(self.config.role == Role::Server))
    }

    /// The other servers that are alive, heard or reported.
    pub(super) fn alive_servers(&self) -> impl Iterator<Item = &Sighting> {
        let alive = |node: &&Sighting| node.role == Role::Server && node.contact > Contact::Remembered;
        self.view.nodes.values().filter(alive)
    }
}
