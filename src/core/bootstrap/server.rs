//! The server beside the agent: its attestation of itself, and its report that its group exists.

use std::fmt;

use super::{
    cluster::{Cluster, Voter, VoterName},
    founding::{ClusterId, Founder},
    server_id::ServerId,
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
    /// Number of its last start that lies beside its data; `None` if nobody counts.
    pub starts: Option<u64>,
}

/// A server's report that its group exists, and of its voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstablishedReport {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Version of the list of voters, such as the log index of the configuration; `None` if the server has none.
    pub config_index: Option<u64>,
    /// The voters; empty if the server does not name them.
    pub voters: Vec<VoterRef>,
    /// Set to bring a cluster under agents that did not found it, though no server with data has attested itself.
    pub adopt: bool,
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

impl fmt::Display for VoterRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Ordinal(ordinal) => write!(f, "ordinal {ordinal}"),
            Self::Endpoint(name, address) => write!(f, "{name}={address}"),
        }
    }
}

/// A report that is not taken in; it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefused {
    /// The report is about another cluster than the one that is known here.
    #[error(
        "the server reports cluster {reported}, but this agent is of cluster {known}: report {known}, or give this server an \
         empty data directory"
    )]
    OtherCluster {
        /// The cluster in the report.
        reported: ClusterId,
        /// The cluster that is known.
        known: ClusterId,
    },
    /// No cluster is known here, and the server is not known to hold data of one.
    #[error(
        "no cluster is known here, and no server with data has attested itself: to bring cluster {0} under this agent, \
         report it once more with \"adopt\":true"
    )]
    Unknown(ClusterId),
    /// The word of this agent on the voters would not count.
    #[error(
        "this agent stands beside none of the founders and voters of cluster {0}, so that its word on them does not count: say it at \
         one of those that `chronik-agent bootstrap` lists"
    )]
    NotNamed(ClusterId),
    /// The report names a founder that does not exist.
    #[error("the cluster has no founder {0}: name the voter by id or endpoint")]
    NoSuchOrdinal(u16),
    /// Two of the references mean one voter.
    #[error("voters {first} and {second} are the same server: name each voter once")]
    SameVoter {
        /// The first reference.
        first: VoterRef,
        /// The second one.
        second: VoterRef,
    },
    /// More than one server announces an endpoint.
    #[error("voter {0} may be any of several servers, which all announce that endpoint: name it by id")]
    Ambiguous(VoterRef),
}

impl EstablishedReport {
    /// The voters of this report in `cluster`. `known` are the servers as gossip knows them now.
    pub(super) fn resolve(&self, cluster: &Cluster, known: &[&Founder]) -> Result<Vec<Voter>, ReportRefused> {
        let mut voters: Vec<(Voter, &VoterRef)> = Vec::new();
        for reference in &self.voters {
            let voter = reference.resolve(cluster, known)?;
            if let Some((_, first)) = voters.iter().find(|(other, _)| other.names_the_same(&voter)) {
                let (first, second) = ((*first).clone(), reference.clone());
                return Err(ReportRefused::SameVoter { first, second });
            }
            voters.push((voter, reference));
        }
        Ok(voters.into_iter().map(|(voter, _)| voter).collect())
    }
}

impl VoterRef {
    fn resolve(&self, cluster: &Cluster, known: &[&Founder]) -> Result<Voter, ReportRefused> {
        let founders = || (1_u16..).zip(cluster.founding.iter().flat_map(|founding| founding.founders()));
        // Gossip comes first: it knows the address of a founder that has moved since.
        let is_known = |id: NodeId| known.iter().any(|founder| founder.id == id);
        let gone = founders().map(|(_, founder)| founder).filter(|founder| !is_known(founder.id));
        let nodes: Vec<&Founder> = known.iter().copied().chain(gone).collect();
        let voter = |founder: &Founder| {
            let ordinal = founders().find(|(_, other)| other.id == founder.id).map(|(ordinal, _)| ordinal);
            Voter {
                id: Some(founder.id),
                ordinal,
                name: Some(VoterName(founder.name.clone())),
                endpoints: founder.endpoints.clone(),
            }
        };
        let unknown = |id: Option<NodeId>| Voter { id, ordinal: None, name: None, endpoints: [].into() };
        Ok(match self {
            Self::Id(id) => nodes
                .iter()
                .find(|founder| founder.id == *id)
                .map_or_else(|| unknown(Some(*id)), |node| voter(node)),
            Self::Ordinal(ordinal) => {
                let founder = founders().find(|(number, _)| number == ordinal);
                let (_, founder) = founder.ok_or(ReportRefused::NoSuchOrdinal(*ordinal))?;
                voter(nodes.iter().find(|node| node.id == founder.id).copied().unwrap_or(founder))
            }
            Self::Endpoint(name, address) => {
                let mut found = nodes.iter().filter(|founder| founder.endpoints.get(name) == Some(address));
                match (found.next(), found.next()) {
                    (Some(node), None) => voter(node),
                    (Some(_), Some(_)) => return Err(ReportRefused::Ambiguous(self.clone())),
                    (None, _) => {
                        Voter { endpoints: [(name.clone(), address.clone())].into(), ..unknown(None) }
                    }
                }
            }
        })
    }
}
