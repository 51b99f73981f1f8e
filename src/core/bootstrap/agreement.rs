//! The agreement itself, without time: acceptor, proposer and learner over one record. This is what the checker
//! explores; everything around it only decides *when* to ask.
//!
//! A change of the record takes effect here at once, and outside only after it is durable: the caller holds back
//! every message until then (see [`super::outbox`]).

use super::{
    acceptor::Standing,
    ballot::Ballot,
    campaign::{Campaign, Promises},
    cluster::Cluster,
    founding::{ClusterId, Founder},
    message::{Body, Refusal},
    record::{Learned, Record},
};
use crate::node::NodeId;

/// One server's part in the agreement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Agreement {
    pub(super) record: Record,
    pub(super) campaign: Option<Campaign>,
}

impl Agreement {
    /// What is left after a restart: the record.
    pub(super) fn new(record: Record) -> Self {
        Self { record, campaign: None }
    }

    /// Takes in a message, and answers it if it asks for an answer.
    pub(super) fn receive(
        &mut self,
        from: NodeId,
        body: &Body,
        standing: &Standing<'_>,
        pinned: Option<ClusterId>,
    ) -> Option<Body> {
        let answer = match body {
            Body::Prepare(prepare) if prepare.ballot.node == from => {
                Some(self.record.answer_prepare(prepare, standing))
            }
            Body::Accept(accept) if accept.ballot.node == from => {
                Some(self.record.answer_accept(accept, standing))
            }
            Body::Prepare(_) | Body::Accept(_) => None,
            Body::Promise(promise) => {
                self.count(standing, |campaign, terms| {
                    campaign.add_promise(from, (**promise).clone(), terms);
                });
                None
            }
            Body::Accepted(ballot) => {
                self.count(standing, |campaign, terms| campaign.add_accepted(from, *ballot, terms));
                None
            }
            Body::Nack(nack) => {
                let refused = nack.refusal == Refusal::Promised;
                let higher = nack.promised.is_some_and(|promised| promised > nack.ballot);
                self.campaign.take_if(|campaign| campaign.ballot == nack.ballot && refused && higher);
                None
            }
            Body::Founded(cluster) => {
                self.learn(cluster, standing, pinned);
                None
            }
            Body::Ask => self.record.cluster.as_ref().map(|cluster| Body::Founded(Box::new(cluster.clone()))),
        };
        self.drop_campaign_if_overtaken();
        answer
    }

    fn count(&mut self, standing: &Standing<'_>, add: impl FnOnce(&mut Campaign, &super::terms::Terms)) {
        if let (Some(campaign), Ok(terms)) = (&mut self.campaign, standing.terms) {
            add(campaign, terms);
        }
    }

    /// Learns of a cluster that another node or the server here knows.
    pub(super) fn learn(
        &mut self,
        cluster: &Cluster,
        standing: &Standing<'_>,
        pinned: Option<ClusterId>,
    ) -> Option<Learned> {
        if !cluster.is_genuine(standing.cluster_name) {
            return None;
        }
        let learned = self.record.learn(cluster, pinned);
        self.drop_campaign_if_overtaken();
        Some(learned)
    }

    /// A ballot ends where its own proposer promised a higher one or knows a cluster.
    fn drop_campaign_if_overtaken(&mut self) {
        let promised = self.record.promised;
        let known = self.record.cluster.is_some();
        self.campaign.take_if(|campaign| known || promised > Some(campaign.ballot));
    }

    /// Starts a new ballot above everything promised here and above `seen`. The own promise is given first, and
    /// recorded, so that no ballot is ever run twice.
    pub(super) fn begin(&mut self, seen: u64, standing: &Standing<'_>) -> Option<Ballot> {
        let terms = standing.terms.ok()?;
        let promised = self.record.promised.map_or(0, |promised| promised.round);
        let round = promised.max(seen).checked_add(1)?;
        let ballot = Ballot { round, node: self.record.node_id };
        let mut campaign = Campaign::new(ballot);
        let answer = self.record.answer_prepare(&campaign.prepare(terms), standing);
        let Body::Promise(promise) = answer else {
            return None;
        };
        campaign.add_promise(self.record.node_id, *promise, terms);
        self.campaign = Some(campaign);
        Some(ballot)
    }

    /// Goes into the second phase, if the promises suffice, and accepts here what it asks others to accept.
    pub(super) fn propose(
        &mut self,
        standing: &Standing<'_>,
        choose: impl FnOnce(&Promises) -> Option<Vec<Founder>>,
    ) -> bool {
        let (Some(campaign), Ok(terms)) = (&mut self.campaign, standing.terms) else {
            return false;
        };
        if !campaign.propose(standing.cluster_name, terms, choose) {
            return false;
        }
        self.accept_own(standing);
        true
    }

    /// From now on any quorum may complete the ballot.
    pub(super) fn relax(&mut self, standing: &Standing<'_>) {
        if let Some(campaign) = &mut self.campaign {
            campaign.relaxed = true;
        }
        self.accept_own(standing);
    }

    fn accept_own(&mut self, standing: &Standing<'_>) {
        let (Some(campaign), Ok(terms)) = (&mut self.campaign, standing.terms) else {
            return;
        };
        let me = self.record.node_id;
        if !campaign.asks_to_accept(me) || campaign.has_answered(me) {
            return;
        }
        if let Some(accept) = campaign.accept(terms)
            && let Body::Accepted(ballot) = self.record.answer_accept(&accept, standing)
        {
            campaign.add_accepted(me, ballot, terms);
        }
    }

    /// Records the founding, once enough have accepted it.
    pub(super) fn conclude(&mut self, standing: &Standing<'_>) -> Option<Cluster> {
        let terms = standing.terms.ok()?;
        let founding = self.campaign.as_ref()?.chosen(terms)?;
        let cluster = Cluster::founded(founding.clone());
        self.record.cluster = Some(cluster.clone());
        self.campaign = None;
        Some(cluster)
    }
}
