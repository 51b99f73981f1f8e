//! The one decision that a server is given, from what is on disk.

use std::net::SocketAddr;

use super::{
    cluster::{Cluster, Voter},
    founding::{ClusterId, Founder, Founding},
    reason::Reason,
    record::FoundingRecord,
    situation::Situation,
};

/// The decision for the server beside this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet. Carries no founders and no voters, so that they cannot be used by mistake.
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

/// A cluster, and this server's place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its identity.
    pub cluster_id: ClusterId,
    /// True if a server reported that the group exists.
    pub established: bool,
    /// This server in it.
    pub me: Me,
    /// Its founders, the first with ordinal 1; empty if it is older than its agents.
    pub founders: Vec<Founder>,
    /// Its voters.
    pub voters: Vec<Voter>,
}

/// This server's place in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Me {
    /// True if it is a founder.
    pub founder: bool,
    /// True if it votes.
    pub voter: bool,
    /// Its number among the founders, from 1, the same on every node.
    pub ordinal: Option<u16>,
}

/// Facts that contradict each other.
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

impl Decision {
    /// The decision that follows from a `saved` record; `waiting` are the reasons while no cluster is known.
    pub(super) fn from_record(saved: &FoundingRecord, situation: &Situation, waiting: &[Reason]) -> Self {
        let duplicate = situation.sightings().duplicate;
        if duplicate.is_some() || saved.rival.is_some() {
            let ours = saved.cluster.as_ref().map(|cluster| cluster.id);
            let clusters = ours.or(situation.pinned()).into_iter().chain(saved.rival).collect();
            return Self::Conflict(Conflict { clusters, duplicate });
        }
        let Some(cluster) = &saved.cluster else {
            return Self::Wait { reasons: waiting.to_vec() };
        };
        let group = Group::from_record(cluster, saved, situation);
        let holds_data = situation.server_holds_data();
        let is_member = group.me.voter || (holds_data && group.voters.is_empty());
        if !is_member {
            return Self::Join(group);
        }
        let claim = saved.claim.as_ref().filter(|claim| claim.cluster_id == cluster.id);
        if let (Some(claim), Some(server)) = (claim, situation.server())
            && !server.has_state
            && server.server_id != claim.server_id
        {
            let claimed_by = claim.server_id.clone();
            return Self::Wait { reasons: vec![Reason::ServerStateLost { claimed_by }] };
        }
        if !group.me.founder || cluster.established || holds_data {
            return Self::Resume(group);
        }
        if let Some(fault) = situation.fault() {
            return Self::Wait { reasons: vec![fault.clone()] };
        }
        if situation.server().is_some() && claim.is_none() {
            return Self::Wait { reasons: vec![Reason::Saving] };
        }
        Self::Bootstrap(group)
    }
}

impl Group {
    fn from_record(cluster: &Cluster, saved: &FoundingRecord, situation: &Situation) -> Self {
        let founding = cluster.founding.as_ref();
        let ordinal = founding.and_then(|founding| founding.ordinal(saved.node_id));
        let is_me = |voter: &Voter| voter.is(saved.node_id, &situation.founder().endpoints);
        Self {
            cluster_id: cluster.id,
            established: cluster.established,
            me: Me { founder: ordinal.is_some(), voter: cluster.voters.iter().any(is_me), ordinal },
            founders: founding.map(Founding::founders).unwrap_or_default().to_vec(),
            voters: cluster.voters.clone(),
        }
    }
}
