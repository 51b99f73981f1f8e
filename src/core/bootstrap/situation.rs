//! Everything that the agreement depends on here, apart from the record: flags, gossip, the server, and the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    acceptor::Participation,
    admittance::{Admittance, Heard},
    config::{Admission, Config},
    counted::Counted,
    forgetting::Forgotten,
    founding::{ClusterId, Founder},
    look::SEEN_FOR,
    message::Refusal,
    operator::ServerSeen,
    reason::Reason,
    server::{EstablishedReport, ServerReport},
    sightings::{Attestation, Sighting, Sightings},
    word::{Gone, Spoken},
};
use crate::node::{NodeId, Role};

/// The situation of this server.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    config: Config,
    founder: Founder,
    sightings: Sightings,
    /// The servers that may have a vote, this one included if it may.
    counted: Counted,
    server: Option<ServerReport>,
    /// Time at which the server last showed that it waits; `None` once it was told to start.
    waits_since: Option<Instant>,
    /// Progress of the look at the other founders' servers.
    looking: Looking,
    /// The cluster that the server reported last, if that is not the one that is known here.
    misreported: Option<ClusterId>,
    /// The server's own list of voters, while it is to be compared with the one that counts here.
    server_list: Option<EstablishedReport>,
    /// The last word about the place of the server among the members.
    admittance: Heard,
    /// The cluster that the server is to bring up alone, until it has reported that it does.
    recovers: Option<ClusterId>,
    /// The reason for which the record cannot be relied on.
    fault: Option<Reason>,
}

/// Progress of the look at the other founders' servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Looking {
    /// True if all were blank at one moment of this wait.
    pub(super) has_passed: bool,
    /// True while another founder looks: no server here is started meanwhile.
    pub(super) is_held: bool,
    /// Founders whose servers were not seen blank.
    pub(super) unseen: Vec<NodeId>,
}

impl Situation {
    pub(super) fn new(config: Config, id: NodeId) -> Self {
        let founder =
            Founder { id, name: config.name.clone(), addr: config.addr, endpoints: config.endpoints.clone() };
        let mut situation = Self {
            config,
            founder,
            sightings: Sightings::default(),
            counted: Counted::default(),
            server: None,
            waits_since: None,
            looking: Looking::default(),
            misreported: None,
            server_list: None,
            admittance: Heard::default(),
            recovers: None,
            fault: None,
        };
        situation.set_sightings(Sightings::default());
        situation
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn set_zone(&mut self, zone: &str) {
        self.config.zone = Some(zone.to_owned());
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
        self.counted.clone_from(&self.sightings.counted);
        self.counted.ids.insert(self.founder.id, self.founder.addr);
    }

    /// Counts on whom an operator has only forgotten, and no more whom he calls gone for good, and whose votes are settled.
    pub(super) fn discount(
        &mut self,
        spoken: &Spoken,
        settled: &BTreeSet<NodeId>,
        forgotten: &BTreeMap<NodeId, Forgotten>,
    ) {
        let me = self.founder.id;
        let Counted { ids, silent } = &mut self.counted;
        for Forgotten { id, last, .. } in forgotten.values().filter(|forgotten| forgotten.counts) {
            let is_member = self.sightings.nodes.contains_key(id);
            // Another node at its address came after it: see `Sightings::counted`.
            let addr = last.map(|last| last.addr).filter(|addr| !ids.values().any(|other| other == addr));
            if let Some(addr) = addr.filter(|_| !is_member && *id != me) {
                ids.insert(*id, addr);
            }
        }
        let answers = |id: &NodeId| self.sightings.nodes.get(id).is_some_and(Sighting::is_alive);
        ids.retain(|id, addr| {
            let is_gone = (spoken.gone.contains(id) || spoken.gone_addrs.contains(addr)) && !answers(id);
            *id == me || !(is_gone || settled.contains(id))
        });
        silent.retain(|addr| !spoken.gone_addrs.contains(addr));
    }

    /// True if this node is alive, or is said to be. One at whose address a younger one lives is gone, even if nobody has noticed
    /// yet.
    pub(super) fn is_alive(&self, id: NodeId) -> bool {
        if id == self.founder.id {
            return true;
        }
        let Some(node) = self.sightings.nodes.get(&id).filter(|node| node.is_alive()) else { return false };
        let addr = node.founder.addr;
        let is_heir =
            |(other, heir): (&NodeId, &Sighting)| *other > id && heir.is_alive() && heir.founder.addr == addr;
        addr != self.founder.addr && !self.sightings.nodes.iter().any(is_heir)
    }

    /// True if a node that somebody calls gone is alive, or one at the address that he calls so.
    pub(super) fn answers(&self, gone: Gone) -> bool {
        match gone {
            Gone::Id(id) => self.is_in_view(id),
            Gone::Addr(addr) => {
                self.sightings.nodes.values().any(|node| node.is_alive() && node.founder.addr == addr)
            }
        }
    }

    /// True if gossip calls this node alive.
    pub(super) fn is_in_view(&self, id: NodeId) -> bool {
        self.sightings.nodes.get(&id).is_some_and(Sighting::is_alive)
    }

    /// The entry of a node as it announces itself now, if it has said anything yet.
    pub(super) fn announced(&self, id: NodeId) -> Option<&Founder> {
        if id == self.founder.id {
            return Some(&self.founder);
        }
        let founder = self.sightings.nodes.get(&id).map(|node| &node.founder);
        founder.filter(|founder| !founder.endpoints.is_empty())
    }

    /// The name of a node for people: that of its gossip, else its id.
    pub(super) fn name_of(&self, id: NodeId) -> String {
        if id == self.founder.id {
            return self.founder.name.to_string();
        }
        let name = self.sightings.nodes.get(&id).map(|node| node.founder.name.to_string());
        name.unwrap_or_else(|| id.to_string())
    }

    /// The cluster that the server reported last, if it is not the one that is known here.
    pub(super) fn misreported(&self) -> Option<ClusterId> {
        self.misreported
    }

    /// Notes the last report of the server: the cluster, if it is not the one that is known here.
    pub(super) fn set_misreported(&mut self, cluster_id: Option<ClusterId>) {
        self.misreported = cluster_id;
    }

    /// The server's own list of voters, if it is to be compared with the one that counts here.
    pub(super) fn server_list(&self) -> Option<&EstablishedReport> {
        self.server_list.as_ref()
    }

    /// Takes over the server's own list of voters.
    pub(super) fn set_server_list(&mut self, list: Option<EstablishedReport>) {
        self.server_list = list;
    }

    /// The place of the server among the members of this cluster, if anybody has said it of late.
    pub(super) fn admittance(&self, id: ClusterId) -> Option<&Admittance> {
        self.admittance.about(id)
    }

    /// Takes in a word about that place.
    pub(super) fn hear_admittance(&mut self, from: NodeId, word: Admittance, now: Instant) {
        self.admittance.hear(from, word, now);
    }

    /// The cluster that the server is to bring up alone.
    pub(super) fn recovers(&self) -> Option<ClusterId> {
        self.recovers
    }

    /// Notes which cluster the server is to bring up alone, or that it has.
    pub(super) fn set_recovers(&mut self, cluster_id: Option<ClusterId>) {
        self.recovers = cluster_id;
    }

    /// The node whose word that is.
    pub(super) fn admits(&self) -> Option<NodeId> {
        self.admittance.from()
    }

    /// Forgets a word that counts no more; returns the time at which the present one ends.
    pub(super) fn end_admittance(&mut self, now: Instant) -> Option<Instant> {
        self.admittance.end(now)
    }

    pub(super) fn server(&self) -> Option<&ServerReport> {
        self.server.as_ref()
    }

    pub(super) fn set_server(&mut self, report: ServerReport) {
        self.server = Some(report);
    }

    /// Notes that the server has just shown that it waits.
    pub(super) fn note_wait(&mut self, now: Instant) {
        self.waits_since = Some(now);
    }

    /// Notes that the server is told to start, or has started.
    pub(super) fn end_wait(&mut self) {
        self.waits_since = None;
    }

    /// True if the server is blank at this moment, and waits.
    pub(super) fn is_seen_blank(&self, now: Instant) -> bool {
        let waits = self.waits_since.is_some_and(|since| now < since + SEEN_FOR);
        waits && self.server.as_ref().is_some_and(|server| !server.has_state)
    }

    /// The server here as an operator's founding looks at it.
    pub(super) fn server_seen(&self, now: Instant) -> ServerSeen {
        ServerSeen { holds_data: self.server_holds_data(), is_seen_blank: self.is_seen_blank(now) }
    }

    /// Progress of the look at the other founders' servers.
    pub(super) fn looking(&self) -> &Looking {
        &self.looking
    }

    /// Takes over the progress of the look.
    pub(super) fn set_looking(&mut self, looking: Looking) {
        self.looking = looking;
    }

    pub(super) fn fault(&self) -> Option<&Reason> {
        self.fault.as_ref()
    }

    /// Notes that the record does not read; no later write mends that.
    pub(super) fn set_fault(&mut self, fault: Reason) {
        self.fault = Some(fault);
    }

    /// Notes that the record cannot be saved, unless it is not even readable.
    pub(super) fn set_unsaved(&mut self, why: String) {
        if !matches!(self.fault, Some(Reason::Fault { .. } | Reason::OldRecord)) {
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
            founder: &self.founder,
            zone: self.config.zone.as_deref(),
            counted: &self.counted,
            most: self.most_servers(),
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

    /// The most servers that the terms bear; `None` if they bear any number.
    fn most_servers(&self) -> Option<usize> {
        self.config.terms.as_ref()?.most_servers()
    }

    /// The most servers that the terms bear, if more are counted.
    pub(super) fn too_many_servers(&self) -> Option<usize> {
        self.most_servers().filter(|most| self.counted.len() > *most)
    }

    /// The servers that may have a vote, this one included.
    pub(super) fn counted(&self) -> &Counted {
        &self.counted
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
