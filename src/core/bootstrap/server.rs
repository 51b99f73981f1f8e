//! What the server beside the agent says: who it is, whether it holds data, and that its group exists.

use std::time::Instant;

use super::{
    Bootstrap,
    cluster::{Cluster, Voter, VoterName},
    founding::{ClusterId, Founder},
    record::Claim,
    view::ServerReport,
};
use crate::node::{EndpointName, NodeId};

/// A server's report that its group exists, and who votes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstablishedReport {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// How new the list of voters is; the highest wins, such as the log index of the configuration.
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
    /// It is about another cluster than the one that is known here.
    #[error(
        "the server reports cluster {reported}, but {known} is known here: one of them is not meant, see `chronik-agent bootstrap`"
    )]
    OtherCluster {
        /// What the server reports.
        reported: ClusterId,
        /// What is known.
        known: ClusterId,
    },
    /// It names a founder that does not exist.
    #[error("the cluster has no founder {0}: name the voter by id or endpoint")]
    NoSuchOrdinal(u16),
}

impl Bootstrap {
    /// The server says who it is and whether it holds data. A server with data of a named cluster brings that cluster
    /// with it; a blank one claims the founding, so that no second one is told to initialise here.
    pub fn server_attests(&mut self, report: ServerReport, now: Instant) {
        let held = report.cluster_id.filter(|_| report.has_state);
        self.situation.server = Some(report);
        if let Some(id) = held {
            match &self.agreement.record.cluster {
                Some(cluster) if cluster.id == id => {}
                Some(_) => {
                    self.agreement.record.learn_rival(id);
                }
                None => self.learn(&Cluster::reported(id)),
            }
        }
        self.turn(now);
    }

    /// The server reports that its group exists, and who votes in it.
    ///
    /// # Errors
    /// The report is about another cluster, which makes a conflict, or names a founder that there is not.
    pub fn established(&mut self, report: &EstablishedReport, now: Instant) -> Result<(), ReportRefused> {
        let result = self.take_report(report);
        self.turn(now);
        result
    }

    fn take_report(&mut self, report: &EstablishedReport) -> Result<(), ReportRefused> {
        let reported = report.cluster_id;
        let known = self.agreement.record.cluster.clone().unwrap_or_else(|| Cluster::reported(reported));
        if known.id != reported || self.situation.pinned().is_some_and(|pinned| pinned != reported) {
            let known = self.situation.pinned().unwrap_or(known.id);
            self.agreement.record.learn_rival(reported);
            return Err(ReportRefused::OtherCluster { reported, known });
        }
        let mut cluster = known.clone();
        let newer = report.config_index > known.config_index || known.config_index == 0;
        if newer && !report.voters.is_empty() {
            let voters: Result<_, _> =
                report.voters.iter().map(|voter| self.resolve(voter, &known)).collect();
            cluster.voters = voters?;
            cluster.config_index = report.config_index;
        }
        cluster.established = true;
        self.agreement.record.cluster = Some(cluster);
        Ok(())
    }

    fn resolve(&self, voter: &VoterRef, cluster: &Cluster) -> Result<Voter, ReportRefused> {
        let founders = || (1_u16..).zip(cluster.founding.iter().flat_map(|founding| founding.founders()));
        // Who moved since the founding is known better by gossip.
        let nodes = || {
            let seen = self.situation.view.nodes.values().map(|node| &node.founder);
            seen.chain([&self.situation.founder]).chain(founders().map(|(_, founder)| founder))
        };
        let known = |founder: &Founder| {
            let ordinal = founders().find(|(_, other)| other.id == founder.id).map(|(ordinal, _)| ordinal);
            Voter {
                id: Some(founder.id),
                ordinal,
                name: Some(VoterName(founder.name.clone())),
                endpoints: founder.endpoints.clone(),
            }
        };
        Ok(match voter {
            VoterRef::Id(id) => nodes().find(|founder| founder.id == *id).map(known).unwrap_or(Voter {
                id: Some(*id),
                ordinal: None,
                name: None,
                endpoints: [].into(),
            }),
            VoterRef::Ordinal(ordinal) => {
                let founder = founders().find(|(number, _)| number == ordinal);
                let (_, founder) = founder.ok_or(ReportRefused::NoSuchOrdinal(*ordinal))?;
                known(nodes().find(|node| node.id == founder.id).unwrap_or(founder))
            }
            VoterRef::Endpoint(name, address) => {
                let found = nodes().find(|founder| founder.endpoints.get(name) == Some(address));
                found.map(known).unwrap_or(Voter {
                    id: None,
                    ordinal: None,
                    name: None,
                    endpoints: [(name.clone(), address.clone())].into(),
                })
            }
        })
    }

    /// Records which server is told to initialise here, before any is.
    pub(super) fn claim(&mut self) {
        let Some(server) = self.situation.server.as_ref().filter(|server| !server.has_state) else {
            return;
        };
        let record = &mut self.agreement.record;
        let Some(cluster) = record.cluster.as_ref().filter(|cluster| !cluster.established) else {
            return;
        };
        let founder =
            cluster.founding.as_ref().is_some_and(|founding| founding.ordinal(record.node_id).is_some());
        let claimed = record.claim.as_ref().is_some_and(|claim| claim.cluster_id == cluster.id);
        if founder && !claimed && record.rival.is_none() && self.situation.view.duplicate.is_none() {
            record.claim = Some(Claim { cluster_id: cluster.id, server_id: server.server_id.clone() });
        }
    }
}
