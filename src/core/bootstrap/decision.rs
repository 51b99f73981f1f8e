//! The one decision that a server is given, from what is on disk.

use std::net::SocketAddr;

use super::{
    cluster::{Cluster, Voter},
    founding::{ClusterId, Founder, Founding},
    reason::Reason,
    record::Record,
    view::Situation,
};

/// What the server beside this agent is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet. It carries no founders and no voters, so that nobody can use them by mistake.
    Wait {
        /// Every reason that applies.
        reasons: Vec<Reason>,
    },
    /// Initialise with exactly these founders. The same answer after every restart, until the group is established.
    Bootstrap(Group),
    /// You are a member: start with your data, never initialise.
    Resume(Group),
    /// A cluster exists: ask its voters to add you.
    Join(Group),
    /// Nothing is decided until an operator says what is meant.
    Conflict(Conflict),
}

/// A cluster, and how this server stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its identity.
    pub cluster_id: ClusterId,
    /// Whether a server reported that the group exists.
    pub established: bool,
    /// This server in it.
    pub me: Me,
    /// Who founded it, the first with ordinal 1; empty where it is older than its agents.
    pub founders: Vec<Founder>,
    /// Who votes in it.
    pub voters: Vec<Voter>,
}

/// How this server stands in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Me {
    /// Whether it is a founder.
    pub founder: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Its number among the founders, from 1, the same on every node.
    pub ordinal: Option<u16>,
}

/// What contradicts what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The clusters of this name that are known, the one of this server first.
    pub clusters: Vec<ClusterId>,
    /// Address of another agent that uses this node's id.
    pub duplicate: Option<SocketAddr>,
}

impl Conflict {
    /// The contradictions, with how to end each.
    pub fn reasons(&self) -> Vec<Reason> {
        let duplicate = self.duplicate.map(|addr| Reason::DuplicateId { addr });
        let [ours, rivals @ ..] = self.clusters.as_slice() else {
            return duplicate.into_iter().collect();
        };
        let rivals = rivals.iter().map(|rival| Reason::TwoClusters { ours: *ours, rival: *rival });
        duplicate.into_iter().chain(rivals).collect()
    }
}

/// The decision that follows from a `durable` record; `waiting` are the reasons while no cluster is known.
pub(super) fn decide(durable: &Record, situation: &Situation, waiting: &[Reason]) -> Decision {
    let duplicate = situation.view.duplicate;
    if duplicate.is_some() || durable.rival.is_some() {
        let ours = durable.cluster.as_ref().map(|cluster| cluster.id);
        let clusters = ours.or(situation.pinned()).into_iter().chain(durable.rival).collect();
        return Decision::Conflict(Conflict { clusters, duplicate });
    }
    let Some(cluster) = &durable.cluster else {
        return Decision::Wait { reasons: waiting.to_vec() };
    };
    let group = group(cluster, durable, situation);
    let holds_data = situation.server_holds_data();
    let is_member = group.me.voter || (holds_data && group.voters.is_empty());
    if !is_member {
        return Decision::Join(group);
    }
    let claim = durable.claim.as_ref().filter(|claim| claim.cluster_id == cluster.id);
    if let (Some(claim), Some(server)) = (claim, &situation.server)
        && !server.has_state
        && server.server_id != claim.server_id
    {
        let claimed_by = claim.server_id.clone();
        return Decision::Wait { reasons: vec![Reason::ServerStateLost { claimed_by }] };
    }
    if !group.me.founder || cluster.established || holds_data {
        return Decision::Resume(group);
    }
    if let Some(fault) = situation.fault.clone() {
        return Decision::Wait { reasons: vec![fault] };
    }
    if situation.server.is_some() && claim.is_none() {
        return Decision::Wait { reasons: vec![Reason::Saving] };
    }
    Decision::Bootstrap(group)
}

fn group(cluster: &Cluster, durable: &Record, situation: &Situation) -> Group {
    let founding = cluster.founding.as_ref();
    let ordinal = founding.and_then(|founding| founding.ordinal(durable.node_id));
    let is_me = |voter: &Voter| voter.is(durable.node_id, &situation.founder.endpoints);
    Group {
        cluster_id: cluster.id,
        established: cluster.established,
        me: Me { founder: ordinal.is_some(), voter: cluster.voters.iter().any(is_me), ordinal },
        founders: founding.map(Founding::founders).unwrap_or_default().to_vec(),
        voters: cluster.voters.clone(),
    }
}
