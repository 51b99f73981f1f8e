//! The agreement itself, without time: acceptor, proposer and learner over one record. This is what the checker
//! explores; everything around it only decides *when* to ask.
//!
//! A change of the record takes effect here at once, and outside only after it is saved: the caller holds back every
//! message until then (see [`super::outbox`]).

use std::collections::BTreeSet;

use super::{
    acceptor::Participation,
    ballot::Ballot,
    campaign::{Campaign, Promises},
    certificate::Certificate,
    consent::Consent,
    counted::Counted,
    doubt::Doubt,
    founding::{ClusterId, Founder},
    knowledge::{Knowledge, Words},
    message::{Answer, Body, Nack, Refusal},
    notes::Notes,
    offer::{self, Offer},
    operator::{self, ServerSeen},
    record::FoundingRecord,
    report::Report,
    terms::Terms,
    word::{Said, Word, WordId},
};
use crate::{
    node::{ClusterName, NodeId},
    signing::Signed,
};

/// One server's part in the agreement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Agreement {
    record: FoundingRecord,
    campaign: Option<Campaign>,
    /// The servers by whose number the last ballot was refused.
    refused: Option<Counted>,
}

impl Agreement {
    /// Starts from a record, which is all that a restart leaves.
    pub(super) fn new(record: FoundingRecord) -> Self {
        Self { record, campaign: None, refused: None }
    }

    /// This server.
    pub(super) fn me(&self) -> NodeId {
        self.record.node_id()
    }

    /// The record as it is now, saved or not.
    pub(super) fn record(&self) -> &FoundingRecord {
        &self.record
    }

    /// The ballot that this server runs, if it runs one.
    pub(super) fn campaign(&self) -> Option<&Campaign> {
        self.campaign.as_ref()
    }

    /// The knowledge of clusters here, saved or not.
    pub(super) fn knowledge(&self) -> &Knowledge {
        &self.record.knowledge
    }

    /// The servers that one which refused the last ballot counts, if it refused it for their number.
    pub(super) fn refused(&self) -> Option<&Counted> {
        self.refused.as_ref()
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
            Body::Accepted(acceptance) if acceptance.signer() == from => {
                self.count(part, |campaign, terms| {
                    campaign.add_accepted((**acceptance).clone(), part.cluster_name, terms);
                });
                None
            }
            Body::Accepted(_) => None,
            Body::Nack(nack) => {
                let refused = nack.refusal == Refusal::Promised;
                let higher = nack.promised.is_some_and(|promised| promised > nack.ballot);
                self.campaign.take_if(|campaign| campaign.ballot() == nack.ballot && refused && higher);
                self.count_servers(nack, part);
                None
            }
            // Knowledge is taken in by [`Self::learn`], and a look is none of the agreement's.
            Body::Known(_) | Body::Answer(_) | Body::Look(_) | Body::Blank(_) | Body::NotBlank(_) => None,
            Body::Ask(number) => {
                Some(Body::Answer(Box::new(Answer { number: *number, knowledge: self.knowledge().clone() })))
            }
        };
        self.drop_campaign_if_overtaken();
        answer
    }

    fn count(&mut self, part: &Participation<'_>, add: impl FnOnce(&mut Campaign, &Terms)) {
        self.count_own(part);
        if let (Some(campaign), Ok(terms)) = (&mut self.campaign, part.terms) {
            add(campaign, terms);
        }
    }

    /// Counts the servers that one which refused a ballot counts. If there are too many, the ballot ends; if not, it is asked
    /// again with them among those that are counted.
    fn count_servers(&mut self, nack: &Nack, part: &Participation<'_>) {
        let is_of_it = self.campaign.as_ref().is_some_and(|campaign| campaign.ballot() == nack.ballot);
        if let Some(counted) = nack.counted.as_ref().filter(|_| is_of_it) {
            self.count_in_ballot(counted, part);
        }
    }

    /// Counts in the ballot whom this server has come to count since it began.
    fn count_own(&mut self, part: &Participation<'_>) {
        self.count_in_ballot(part.counted, part);
    }

    fn count_in_ballot(&mut self, counted: &Counted, part: &Participation<'_>) {
        let Some(campaign) = &mut self.campaign else { return };
        let all = campaign.count(counted);
        if part.most.is_some_and(|most| all.len() > most) {
            self.refused = Some(all.clone());
            self.campaign = None;
        }
    }

    /// True if another node says that it knows what is news here, or a later word of this node itself.
    pub(super) fn would_learn(&self, theirs: &Knowledge, name: &ClusterName, words: Words) -> bool {
        let own = self.record.knowledge.last_number(self.me());
        let is_later = theirs.last_number(self.me()) > own;
        is_later || self.record.knowledge.clone().merge(theirs, name, self.me(), words)
    }

    /// Takes in what another node knows; returns true if that was news.
    pub(super) fn learn(&mut self, theirs: &Knowledge, name: &ClusterName, words: Words) -> bool {
        let me = self.me();
        let mut news = self.record.knowledge.merge(theirs, name, me, words);
        // Others remember a later word of this node than it does itself: its record went back in time.
        if let Some(mine) = theirs.reports.get(&me).filter(|report| report.is_sound())
            && self.record.own_report().is_none_or(|own| own.number < mine.number)
        {
            let mut content = self.record.own_report().cloned().unwrap_or_default();
            // A founder's acceptance is for ever.
            let accepted = mine.consents.iter().filter(|(_, consent)| **consent == Consent::Accepted);
            content.consents.extend(accepted.map(|(id, consent)| (*id, consent.clone())));
            if let Some((held, starts)) = mine.holds.as_ref().and_then(|held| Some((held, held.starts?))) {
                let (server_id, id) = (held.server_id.clone(), held.cluster_id);
                self.record.notes_mut(id).note_start(&server_id, starts);
            }
            let report = Report { number: mine.number + 1, ..content };
            let report = Signed::new(&self.record.key, name, report);
            self.record.knowledge.reports.insert(me, report);
            news = true;
        }
        // An operator took this node for gone: a report of another number shows that it is not.
        if self.knowledge().is_forgotten(me) {
            let report = self.record.own_report().cloned().unwrap_or_default();
            let report = Report { number: report.number + 1, ..report };
            self.record.knowledge.reports.insert(me, Signed::new(&self.record.key, name, report));
        }
        self.drop_campaign_if_overtaken();
        news
    }

    /// Takes back that a node was forgotten.
    pub(super) fn remember(&mut self, id: NodeId) {
        self.record.knowledge.remember(id);
    }

    /// Changes the report of this node about its server.
    pub(super) fn report(&mut self, change: impl FnOnce(&mut Report)) {
        self.record.report(change);
        self.drop_campaign_if_overtaken();
    }

    /// Changes the notes about the server in this cluster.
    pub(super) fn note(&mut self, cluster_id: ClusterId, change: impl FnOnce(&mut Notes)) {
        change(self.record.notes_mut(cluster_id));
    }

    /// Weighs the operators' foundings of which this node is a founder and that it has not accepted; returns true if it has more to
    /// say of one. `server` is what the look into its server has shown.
    pub(super) fn weigh_offers(&mut self, server: ServerSeen) -> bool {
        let offers: Vec<Offer> = offer::offers(self.knowledge()).collect();
        let mut news = false;
        for Offer { founding, missing } in offers {
            let Some(said) = missing.get(&self.me()) else { continue };
            let consent = operator::consider(&self.record, &founding, server);
            if said.as_ref() != Some(&consent) {
                self.report(|own| _ = own.consents.insert(founding.id(), consent));
                news = true;
            }
        }
        news
    }

    /// Keeps an operator's word.
    pub(super) fn speak(&mut self, said: Said) {
        let Some(name) = &self.record.cluster_name else { return };
        let (key, me) = (&self.record.key, self.record.key.id());
        let Knowledge { words, .. } = &mut self.record.knowledge;
        let seen: BTreeSet<WordId> = words.keys().copied().collect();
        let own = words.values().filter(|word| word.node == me).map(|word| word.number);
        let number = own.max().unwrap_or(0) + 1;
        let word = Word { said, node: me, number, seen };
        words.insert(word.id(), Signed::new(key, name, word));
        self.drop_campaign_if_overtaken();
    }

    /// Ends the ballot if its own proposer promised a higher one or knows a cluster.
    fn drop_campaign_if_overtaken(&mut self) {
        let promised = self.record.promised;
        let known =
            self.campaign.is_some() && (self.record.knows_cluster() || self.record.pending().is_some());
        self.campaign.take_if(|campaign| known || promised > Some(campaign.ballot()));
    }

    /// Takes in a doubt about the record: unless a founding is known here, this node votes no more, for as long as it has its key.
    pub(super) fn doubt(&mut self, doubt: Doubt) {
        let is_founded = self.record.standing().clusters.values().any(|claimed| claimed.founding.is_some());
        if !is_founded {
            self.record.doubt = self.record.doubt.max(Some(doubt));
            self.campaign = None;
        }
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
        let mut campaign = Campaign::new(ballot, part.counted.clone());
        self.refused = None;
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
        self.count_own(part);
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
        self.count_own(part);
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
            && let Body::Accepted(acceptance) = self.record.answer_accept(&accept, part)
        {
            campaign.add_accepted(*acceptance, part.cluster_name, terms);
        }
    }

    /// Records the founding, once enough servers have accepted it.
    pub(super) fn conclude(&mut self, part: &Participation<'_>) -> Option<&Knowledge> {
        let terms = part.terms.ok()?;
        self.count_own(part);
        let certificate = self.campaign.as_ref()?.chosen(terms)?;
        self.found(certificate);
        Some(self.knowledge())
    }

    /// Keeps a founding.
    pub(super) fn found(&mut self, certificate: Certificate) {
        self.record.knowledge.foundings.insert(certificate.id(), certificate);
        self.campaign = None;
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
