//! The agreement itself, without time: acceptor, proposer and learner over one record. This is what the checker
//! explores; everything around it only decides *when* to ask.
//!
//! A change of the record takes effect here at once, and outside only after it is saved: the caller holds back every
//! message until then (see [`super::outbox`]).

use super::{
    acceptor::Participation,
    ballot::Ballot,
    campaign::{Campaign, Promises},
    cluster::Cluster,
    difference::Difference,
    founding::{ClusterId, Founder},
    message::{Body, Refusal},
    operator::{DataLoss, Reset, ResetRefused},
    record::{Claim, FoundingRecord, ServerId},
    server::{EstablishedReport, ReportRefused},
    sightings::Sighting,
    terms::Terms,
};
use crate::node::NodeId;

/// One server's part in the agreement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Agreement {
    record: FoundingRecord,
    campaign: Option<Campaign>,
}

impl Agreement {
    /// Starts from a record, which is all that a restart leaves.
    pub(super) fn new(record: FoundingRecord) -> Self {
        Self { record, campaign: None }
    }

    /// This server.
    pub(super) fn me(&self) -> NodeId {
        self.record.node_id
    }

    /// The record as it is now, saved or not.
    pub(super) fn record(&self) -> &FoundingRecord {
        &self.record
    }

    /// The ballot that this server runs, if it runs one.
    pub(super) fn campaign(&self) -> Option<&Campaign> {
        self.campaign.as_ref()
    }

    /// The cluster that is known here, saved or not.
    pub(super) fn cluster(&self) -> Option<&Cluster> {
        self.record.cluster.as_ref()
    }

    /// Takes in a message, and answers it if it asks for an answer.
    pub(super) fn receive(&mut self, from: NodeId, body: &Body, part: &Participation<'_>) -> Option<Body> {
        let answer = match body {
            Body::Prepare(prepare) if prepare.ballot.node == from => {
                Some(self.record.answer_prepare(prepare, part))
            }
            Body::Accept(accept) if accept.ballot.node == from => {
                Some(self.record.answer_accept(accept, part))
            }
            Body::Prepare(_) | Body::Accept(_) => None,
            Body::Promise(promise) => {
                self.count(part, |campaign, terms| campaign.add_promise(from, (**promise).clone(), terms));
                None
            }
            Body::Accepted(ballot) => {
                self.count(part, |campaign, terms| campaign.add_accepted(from, *ballot, terms));
                None
            }
            Body::Nack(nack) => {
                let refused = nack.refusal == Refusal::Promised;
                let higher = nack.promised.is_some_and(|promised| promised > nack.ballot);
                self.campaign.take_if(|campaign| campaign.ballot() == nack.ballot && refused && higher);
                None
            }
            Body::Founded(cluster) => {
                self.learn(cluster, part);
                None
            }
            Body::Ask => self.cluster().map(|cluster| Body::Founded(Box::new(cluster.clone()))),
        };
        self.drop_campaign_if_overtaken();
        answer
    }

    fn count(&mut self, part: &Participation<'_>, add: impl FnOnce(&mut Campaign, &Terms)) {
        if let (Some(campaign), Ok(terms)) = (&mut self.campaign, part.terms) {
            add(campaign, terms);
        }
    }

    /// Learns of a cluster that another node or the server here knows.
    pub(super) fn learn(&mut self, cluster: &Cluster, part: &Participation<'_>) {
        if cluster.is_genuine(part.cluster_name) {
            self.record.learn(cluster, part.pinned);
            self.drop_campaign_if_overtaken();
        }
    }

    /// Learns that another cluster of this name exists.
    pub(super) fn learn_rival(&mut self, id: ClusterId) {
        self.record.learn_rival(id);
    }

    /// Learns that the cluster here is not the one that the operator allows, if that is so.
    pub(super) fn check_pinned(&mut self, pinned: Option<ClusterId>) {
        let id = self.cluster().map(|cluster| cluster.id);
        if let (Some(id), Some(pinned)) = (id, pinned)
            && id != pinned
        {
            self.learn_rival(id);
        }
    }

    /// Compares what is known here with what gossip says of another node. An established cluster is in conflict with
    /// any other that it did not override.
    pub(super) fn compare(&mut self, node: &Sighting) -> Difference {
        let difference = Difference::between(&self.record, node);
        if let (Some(ours), Difference::Rival(theirs)) = (self.cluster(), difference)
            && ours.established
            && !ours.has_overridden(theirs)
        {
            self.learn_rival(theirs);
        }
        difference
    }

    /// Learns from the server here that it holds data of a cluster.
    pub(super) fn learn_held(&mut self, id: ClusterId, part: &Participation<'_>) {
        match self.cluster() {
            Some(cluster) if cluster.id == id => {}
            Some(_) => self.learn_rival(id),
            None => self.learn(&Cluster::reported(id), part),
        }
    }

    /// Ends the ballot if its own proposer promised a higher one or knows a cluster.
    fn drop_campaign_if_overtaken(&mut self) {
        let promised = self.record.promised;
        let known = self.record.cluster.is_some();
        self.campaign.take_if(|campaign| known || promised > Some(campaign.ballot()));
    }

    /// Ends the ballot without a founding.
    pub(super) fn abandon(&mut self) {
        self.campaign = None;
    }

    /// Starts a new ballot above everything promised here and above `seen`. The own promise is given first, and
    /// recorded, so that no ballot is ever run twice.
    pub(super) fn begin(&mut self, seen: u64, part: &Participation<'_>) -> Option<Ballot> {
        let terms = part.terms.ok()?;
        let promised = self.record.promised.map_or(0, |promised| promised.round);
        let round = promised.max(seen).checked_add(1)?;
        let ballot = Ballot { round, node: self.me() };
        let mut campaign = Campaign::new(ballot);
        let answer = self.record.answer_prepare(&campaign.prepare(terms), part);
        let Body::Promise(promise) = answer else {
            return None;
        };
        campaign.add_promise(self.me(), *promise, terms);
        self.campaign = Some(campaign);
        Some(ballot)
    }

    /// Goes into the second phase, if the promises suffice, and accepts here what it asks others to accept.
    pub(super) fn propose(
        &mut self,
        part: &Participation<'_>,
        choose: impl FnOnce(&Promises) -> Option<Vec<Founder>>,
    ) -> bool {
        let (Some(campaign), Ok(terms)) = (&mut self.campaign, part.terms) else {
            return false;
        };
        if !campaign.propose(part.cluster_name, terms, choose) {
            return false;
        }
        self.accept_own(part);
        true
    }

    /// Lets any quorum complete the ballot from now on.
    pub(super) fn relax(&mut self, part: &Participation<'_>) {
        if let Some(campaign) = &mut self.campaign {
            campaign.relax();
        }
        self.accept_own(part);
    }

    fn accept_own(&mut self, part: &Participation<'_>) {
        let me = self.me();
        let (Some(campaign), Ok(terms)) = (&mut self.campaign, part.terms) else {
            return;
        };
        if !campaign.asks_to_accept(me) || campaign.has_answered(me) {
            return;
        }
        if let Some(accept) = campaign.accept(terms)
            && let Body::Accepted(ballot) = self.record.answer_accept(&accept, part)
        {
            campaign.add_accepted(me, ballot, terms);
        }
    }

    /// Records the founding, once enough servers have accepted it.
    pub(super) fn conclude(&mut self, part: &Participation<'_>) -> Option<Cluster> {
        let terms = part.terms.ok()?;
        let founding = self.campaign.as_ref()?.chosen(terms)?;
        let cluster = Cluster::founded(founding.clone());
        self.record.cluster = Some(cluster.clone());
        self.campaign = None;
        Some(cluster)
    }

    /// Records the server that is told to initialise here, before any is.
    pub(super) fn claim(&mut self, server_id: &ServerId) {
        let record = &mut self.record;
        let Some(cluster) = record.cluster.as_ref().filter(|cluster| !cluster.established) else {
            return;
        };
        let founding = cluster.founding.as_ref();
        let is_founder = founding.is_some_and(|founding| founding.founder(record.node_id).is_some());
        let is_claimed = record.claim.as_ref().is_some_and(|claim| claim.cluster_id == cluster.id);
        if is_founder && !is_claimed && record.rival.is_none() {
            record.claim = Some(Claim { cluster_id: cluster.id, server_id: server_id.clone() });
        }
    }

    /// Takes in the server's report that its group exists. `known` are the servers as gossip knows them now.
    ///
    /// # Errors
    /// The report is about another cluster, which makes a conflict, or names a founder that there is not.
    pub(super) fn establish(
        &mut self,
        report: &EstablishedReport,
        pinned: Option<ClusterId>,
        known: &[&Founder],
    ) -> Result<(), ReportRefused> {
        let reported = report.cluster_id;
        let ours = self.cluster().cloned().unwrap_or_else(|| Cluster::reported(reported));
        if ours.id != reported || pinned.is_some_and(|pinned| pinned != reported) {
            self.learn_rival(reported);
            return Err(ReportRefused::OtherCluster { reported, known: pinned.unwrap_or(ours.id) });
        }
        self.record.cluster = Some(report.apply(&ours, known)?);
        Ok(())
    }

    /// Puts an operator's cluster in the place of whatever is known here.
    pub(super) fn override_with(&mut self, cluster: Cluster) {
        self.record.rival = self.record.rival.filter(|rival| !cluster.has_overridden(*rival));
        self.record.cluster = Some(cluster);
        self.campaign = None;
    }

    /// Forgets the rival, or says what the record of the server after this one is.
    ///
    /// # Errors
    /// The cluster is established, and losing it is not allowed.
    pub(super) fn reset(&mut self, new_id: NodeId, loss: DataLoss) -> Result<Reset, ResetRefused> {
        let established = self.cluster().filter(|cluster| cluster.established && loss == DataLoss::Refused);
        match established {
            Some(cluster) if self.record.rival.is_none() => Err(ResetRefused(cluster.id)),
            Some(_) => {
                self.record.rival = None;
                Ok(Reset::RivalForgotten)
            }
            None => Ok(Reset::StartOver(Box::new(FoundingRecord::blank(new_id)))),
        }
    }
}

/// The inside of the agreement, for the mutants of the checker.
#[cfg(test)]
impl Agreement {
    pub(super) fn record_mut(&mut self) -> &mut FoundingRecord {
        &mut self.record
    }

    pub(super) fn campaign_mut(&mut self) -> Option<&mut Campaign> {
        self.campaign.as_mut()
    }
}
