//! The server beside the agent: its attestation of itself, and its report that its group exists.

use super::{
    cluster::{Cluster, Voter, VoterName},
    founding::{ClusterId, Founder},
    record::ServerId,
};
use crate::node::{EndpointName, NodeId};

/// The server's word about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// Its id; it keeps that beside its data.
    pub server_id: ServerId,
    /// True if it holds data of a cluster.
    pub has_state: bool,
    /// The cluster of that data, if it knows.
    pub cluster_id: Option<ClusterId>,
    /// Set if it will not say so again: its silence then tells nothing about whether it runs.
    pub once: bool,
}

/// A server's report that its group exists, and of its voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstablishedReport {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Version of the list of voters, such as the log index of the configuration; the highest wins.
    pub config_index: u64,
    /// The voters.
    pub voters: Vec<VoterRef>,
}

/// A voter, by whatever the server knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoterRef {
    /// By its agent's id.
    Id(NodeId),
    /// By its number among the founders.
    Ordinal(u16),
    /// By one of its endpoints.
    Endpoint(EndpointName, String),
}

/// A report that is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefused {
    /// The report is about another cluster than the one that is known here.
    #[error(
        "the server reports cluster {reported}, but {known} is known here: one of them is not meant, see `chronik-agent bootstrap`"
    )]
    OtherCluster {
        /// The cluster in the report.
        reported: ClusterId,
        /// The cluster that is known.
        known: ClusterId,
    },
    /// The report names a founder that does not exist.
    #[error("the cluster has no founder {0}: name the voter by id or endpoint")]
    NoSuchOrdinal(u16),
}

impl EstablishedReport {
    /// The `cluster` after this report. `known` are the servers as gossip knows them now.
    pub(super) fn apply(&self, cluster: &Cluster, known: &[&Founder]) -> Result<Cluster, ReportRefused> {
        let mut established = Cluster { established: true, ..cluster.clone() };
        let is_newer = self.config_index > cluster.config_index || cluster.config_index == 0;
        if is_newer && !self.voters.is_empty() {
            let voters: Result<_, _> =
                self.voters.iter().map(|voter| voter.resolve(cluster, known)).collect();
            established.voters = voters?;
            established.config_index = self.config_index;
        }
        Ok(established)
    }
}

impl VoterRef {
    fn resolve(&self, cluster: &Cluster, known: &[&Founder]) -> Result<Voter, ReportRefused> {
        let founders = || (1_u16..).zip(cluster.founding.iter().flat_map(|founding| founding.founders()));
        // Gossip comes first: it knows the address of a founder that has moved since.
        let nodes = || known.iter().copied().chain(founders().map(|(_, founder)| founder));
        let voter = |founder: &Founder| {
            let ordinal = founders().find(|(_, other)| other.id == founder.id).map(|(ordinal, _)| ordinal);
            Voter {
                id: Some(founder.id),
                ordinal,
                name: Some(VoterName(founder.name.clone())),
                endpoints: founder.endpoints.clone(),
            }
        };
        Ok(match self {
            Self::Id(id) => nodes().find(|founder| founder.id == *id).map(voter).unwrap_or(Voter {
                id: Some(*id),
                ordinal: None,
                name: None,
                endpoints: [].into(),
            }),
            Self::Ordinal(ordinal) => {
                let founder = founders().find(|(number, _)| number == ordinal);
                let (_, founder) = founder.ok_or(ReportRefused::NoSuchOrdinal(*ordinal))?;
                voter(nodes().find(|node| node.id == founder.id).unwrap_or(founder))
            }
            Self::Endpoint(name, address) => {
                let found = nodes().find(|founder| founder.endpoints.get(name) == Some(address));
                found.map(voter).unwrap_or(Voter {
                    id: None,
                    ordinal: None,
                    name: None,
                    endpoints: [(name.clone(), address.clone())].into(),
                })
            }
        })
    }
}
