//! Everything that the agreement depends on here, apart from the record: flags, gossip, the server, and the disk.

use super::{
    acceptor::Participation,
    config::{Admission, Config},
    founding::{ClusterId, Founder},
    message::Refusal,
    reason::Reason,
    server::ServerReport,
    sightings::{Attestation, Sighting, Sightings},
};
use crate::node::{NodeId, Role};

/// The situation of this server.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    config: Config,
    founder: Founder,
    sightings: Sightings,
    server: Option<ServerReport>,
    /// The reason for which the record cannot be relied on.
    fault: Option<Reason>,
}

impl Situation {
    pub(super) fn new(config: Config, id: NodeId) -> Self {
        let founder =
            Founder { id, name: config.name.clone(), addr: config.addr, endpoints: config.endpoints.clone() };
        Self { config, founder, sightings: Sightings::default(), server: None, fault: None }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The entry of this server in a founding.
    pub(super) fn founder(&self) -> &Founder {
        &self.founder
    }

    pub(super) fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// Takes `sightings` as what is known now; this node is no other node.
    pub(super) fn set_sightings(&mut self, sightings: Sightings) {
        self.sightings = sightings;
        self.sightings.nodes.remove(&self.founder.id);
    }

    pub(super) fn server(&self) -> Option<&ServerReport> {
        self.server.as_ref()
    }

    pub(super) fn set_server(&mut self, report: ServerReport) {
        self.server = Some(report);
    }

    pub(super) fn fault(&self) -> Option<&Reason> {
        self.fault.as_ref()
    }

    /// Notes that the record does not read; no later write mends that.
    pub(super) fn set_unreadable(&mut self, why: String) {
        self.fault = Some(Reason::Fault { why });
    }

    /// Notes that the record cannot be saved, unless it is not even readable.
    pub(super) fn set_unsaved(&mut self, why: String) {
        if !matches!(self.fault, Some(Reason::Fault { .. })) {
            self.fault = Some(Reason::SaveFailed { why });
        }
    }

    /// Notes that the disk takes writes again; returns true if it did not before.
    pub(super) fn clear_unsaved(&mut self) -> bool {
        self.fault.take_if(|fault| matches!(fault, Reason::SaveFailed { .. })).is_some()
    }

    /// This server's part in ballots now.
    pub(super) fn participation(&self) -> Participation<'_> {
        let terms = match (&self.config.terms, self.refusal()) {
            (_, Some(refusal)) => Err(refusal),
            (Some(terms), None) => Ok(terms),
            (None, None) => Err(Refusal::NotTakingPart),
        };
        Participation {
            cluster_name: &self.config.cluster_name,
            terms,
            pinned: self.pinned(),
            founder: &self.founder,
            zone: self.config.zone.as_deref(),
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        if self.fault.is_some() || self.sightings.duplicate.is_some() {
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

    /// The server's word about its data.
    pub(super) fn attestation(&self) -> Attestation {
        match &self.server {
            None => Attestation::Silent,
            Some(server) if server.has_state => Attestation::HoldsData,
            Some(_) => Attestation::Blank,
        }
    }

    /// The server that may claim the founding: a blank one, whose agent is the only one of its id and can save.
    pub(super) fn claimant(&self) -> Option<&ServerReport> {
        let sound = self.fault.is_none() && self.sightings.duplicate.is_none();
        self.server.as_ref().filter(|server| sound && !server.has_state)
    }

    /// The most servers that the terms bear, if more are known.
    pub(super) fn too_many_servers(&self) -> Option<usize> {
        let most = self.config.terms.as_ref()?.most_servers()?;
        (self.known_servers() > most).then_some(most)
    }

    /// Number of different servers that are known. Those that are only remembered count as far as `distinct_servers`
    /// says: gossip knows those among them that another server has replaced.
    pub(super) fn known_servers(&self) -> usize {
        let others = self.alive_servers().count();
        self.sightings.distinct_servers.max(others + usize::from(self.config.role == Role::Server))
    }

    /// The other servers that are alive, heard from or reported.
    pub(super) fn alive_servers(&self) -> impl Iterator<Item = &Sighting> {
        self.sightings.nodes.values().filter(|node| node.role == Role::Server && node.is_alive())
    }

    /// The entries of all known nodes, as gossip knows them, and of this one.
    pub(super) fn known_founders(&self) -> Vec<&Founder> {
        let others = self.sightings.nodes.values().map(|node| &node.founder);
        others.chain([&self.founder]).collect()
    }

    /// All other nodes that are known, alive or not.
    pub(super) fn others(&self) -> Vec<NodeId> {
        self.sightings.nodes.keys().copied().collect()
    }
}
