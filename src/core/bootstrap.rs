//! The founding decision: single-decree Paxos among server agents, told the time and the dice.
//!
//! The servers that found the cluster are agreed on before any of them is told to. The rules of the agreement stand in
//! `acceptor`, `campaign` and `agreement`, without time. Around them stand the waits (`pace`), the course of a ballot
//! (`proposer`), the reasons against one (`readiness`), the words of the server and of the operator (`server`,
//! `operator`), and the decision that follows from what is on disk (`decision`).

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use rand::rngs::StdRng;

mod acceptor;
mod admittance;
mod advice;
mod agreement;
mod ballot;
mod campaign;
pub(crate) mod cbor;
mod certificate;
mod cluster;
mod config;
mod consent;
mod counted;
mod course;
mod decision;
mod difference;
mod digest;
mod doubt;
mod forgetting;
mod founding;
mod knowledge;
mod known;
mod listing;
mod look;
mod message;
mod notes;
mod offer;
mod operator;
mod outbox;
mod pace;
mod proposer;
mod readiness;
mod reason;
mod record;
mod report;
mod server;
mod server_id;
mod sightings;
mod situation;
mod status;
mod terms;
mod word;

#[cfg(test)]
mod checker;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use agreement::Agreement;
use decision::Outcome;
use look::Look;
use outbox::Outbox;
use pace::Pace;
use situation::Situation;

use crate::{
    node::{NodeId, Role},
    signing::NodeKey,
};

pub use admittance::{Admittance, Held};
pub use advice::{Conflict, Decision, Group, Me};
pub use ballot::Ballot;
pub use certificate::{Acceptance, Certificate, Unproven};
pub use cluster::{Cluster, Voter, VoterName};
pub use config::{Admission, BallotTiming, Config, SeedGate};
pub use consent::Consent;
pub use counted::Counted;
pub use doubt::Doubt;
pub use forgetting::{ForgetRefused, Forgotten, LastLife};
pub use founding::{ClusterId, Founder, Founding, Override};
pub use knowledge::{Knowledge, Retirement, Words};
pub use listing::{Counting, Founders, Listing, OneSided, OtherExpect, Silence, SilentAddr};
pub use message::{
    Accept, AcceptedBefore, Answer, Body, Looked, Message, Nack, Outgoing, Prepare, Promise, Refusal,
};
pub use notes::{LastStart, Notes, Told};
pub use offer::Offer;
pub use operator::{DataLoss, OverrideRefused, ResetRefused, ResolveRefused, VouchRefused};
pub use outbox::Unsaved;
pub use reason::{Reason, ReasonEntry};
pub use record::{Accepted, FoundingRecord, NodeRecord, Shelf};
pub use report::{Generation, GroupReport, Heard, Holding, ListIndex, Report};
pub use server::{EstablishedReport, ReportRefused, ServerReport, VoterRef};
pub use server_id::ServerId;
pub use sightings::{Attestation, Contact, Listed, Sighting, Sightings};
pub use status::{Server, Status};
pub use terms::{NamedFounders, NoFounders, Terms};
pub use word::{Gone, Said, Word, WordId};

/// One server agent's part in the founding.
///
/// Feed it with `handle_*`, with the server's word ([`Self::server_attests`], [`Self::server_asks`], [`Self::server_begins`],
/// [`Self::established`], [`Self::retract`]) and with the operator's ([`Self::override_founders`], [`Self::resolve`],
/// [`Self::vouch`], [`Self::forget`], [`Self::reset`]). After each input, drain it:
///
/// 1. [`Self::poll_save`]: save the record, then hand it back to [`Self::saved`]; repeat until there is none. If that
///    fails, say so with [`Self::save_failed`], and try again.
/// 2. [`Self::poll_message`] until there is none. A message that may depend on an unsaved record does not come out, and
///    neither does a decision, so that skipping step 1 stops the machine and breaks nothing.
/// 3. Read [`Self::decision`], and call [`Self::handle_timeout`] at [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Bootstrap {
    situation: Situation,
    agreement: Agreement,
    pace: Pace,
    outbox: Outbox,
    look: Look,
    /// Reasons against a founding while no cluster is known.
    waiting: Vec<Reason>,
    outcome: Outcome,
}

impl Bootstrap {
    /// Starts from a record that is on disk: the one of the last run, or a blank one with a new id.
    pub fn new(config: Config, record: FoundingRecord, now: Instant, rng: StdRng) -> Self {
        let me = record.node_id();
        let record = record.under(&config.cluster_name);
        let situation = Situation::new(config, me);
        let config = situation.config();
        let mut bootstrap = Self {
            pace: Pace::new(me, config.timing, rng),
            outbox: Outbox::new(config.cluster_name.clone(), record.clone()),
            outcome: Outcome::decide(&record, &situation, &[]),
            agreement: Agreement::new(record),
            look: Look::default(),
            waiting: Vec::new(),
            situation,
        };
        bootstrap.finish_input(now);
        bootstrap
    }

    /// Takes in a message. `from` is the sender in the authenticated envelope.
    pub fn handle_message(&mut self, from: NodeId, message: &Message, now: Instant) {
        let Message { cluster_name, body } = message;
        if *cluster_name != self.situation.config().cluster_name || from == self.agreement.me() {
            return;
        }
        self.pace.note_message(from, body, now);
        let had_campaign = self.agreement.campaign().is_some();
        match body {
            Body::Known(_) | Body::Answer(_) if self.situation.fault().is_some() => {}
            Body::Known(theirs) => self.hear_of(from, theirs),
            Body::Answer(answer) => self.take_answer(from, answer, now),
            Body::Look(looked) => self.answer_look(from, *looked, now),
            Body::Blank(looked) => self.note_look(from, *looked, true, now),
            Body::NotBlank(looked) => self.note_look(from, *looked, false, now),
            Body::Prepare(_)
            | Body::Promise(_)
            | Body::Accept(_)
            | Body::Accepted(_)
            | Body::Nack(_)
            | Body::Ask(_) => {
                let answer = self.agreement.receive(from, body, &self.situation.participation());
                if let Some(answer) = answer {
                    self.outbox.push(from, answer);
                }
            }
        }
        if had_campaign && self.agreement.campaign().is_none() {
            self.pace.fail(now);
        }
        self.finish_input(now);
    }

    /// Takes in what gossip and the providers know now.
    pub fn handle_sightings(&mut self, sightings: Sightings, now: Instant) {
        self.situation.set_sightings(sightings);
        self.finish_input(now);
    }

    /// Takes in the zone of this node, in which founders are spread.
    pub fn set_zone(&mut self, zone: &str) {
        self.situation.set_zone(zone);
    }

    /// The sightings that were taken in last.
    pub(crate) fn sightings(&self) -> &Sightings {
        self.situation.sightings()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.finish_input(now);
    }

    /// Takes in why the record cannot be read or trusted, [`Reason::Fault`] or [`Reason::OldRecord`]: from now on nothing is voted,
    /// saved or handed out.
    pub fn handle_fault(&mut self, fault: Reason, now: Instant) {
        self.situation.set_fault(fault);
        self.finish_input(now);
    }

    /// Takes in that what [`Self::poll_save`] gave could not be saved: until it can, nothing is voted, saved or handed
    /// out. Keep it, try again, and hand it to [`Self::saved`] in the end.
    pub fn save_failed(&mut self, why: String, now: Instant) {
        self.situation.set_unsaved(why);
        self.finish_input(now);
    }

    /// Takes in the server's word about itself. A server with data of a named cluster brings that cluster with it, where no other
    /// is known.
    pub fn server_attests(&mut self, report: ServerReport, now: Instant) {
        // A report for once is that of somebody who is about to start the server: until then it waits.
        if report.once && !report.has_state {
            self.situation.note_wait(now);
        }
        if report.has_state {
            self.situation.end_wait();
        }
        self.situation.set_server(report);
        self.finish_input(now);
    }

    /// Takes in that the server asks what to do, by the id that it gives, or else by the one that it has attested; returns the
    /// decision that it is told. That it is told to bootstrap is noted; tell it once that is on disk. With its wait ends the look at
    /// the others, so that the next question is another one.
    pub fn server_asks(&mut self, server_id: Option<&ServerId>, now: Instant) -> Decision {
        let server = self.situation.server();
        let server_id = server_id.or(server.map(|server| &server.server_id)).cloned();
        let holds_data = self.situation.server_holds_data();
        let decision = self.outcome.decision.clone();
        if let (Decision::Bootstrap(group), false) = (&decision, holds_data) {
            let id = group.cluster_id;
            self.agreement.note(id, |notes| notes.note_told(server_id.as_ref()));
            self.situation.end_wait();
        } else if matches!(decision, Decision::Wait { .. }) {
            self.situation.note_wait(now);
        }
        self.finish_input(now);
        decision
    }

    /// Takes in that the server is started now, and returns the decision that it is started by; start it once that is on disk,
    /// and not at all if the decision is to wait.
    pub fn server_begins(&mut self, report: ServerReport, now: Instant) -> Decision {
        self.server_attests(report, now);
        let decision = self.outcome.decision.clone();
        if let Decision::Bootstrap(group) | Decision::Resume(group) | Decision::Join(group) = &decision {
            let id = group.cluster_id;
            let is_claim = !self.agreement.knowledge().foundings.contains_key(&id);
            self.note_begun(id, is_claim && matches!(decision, Decision::Join(_)));
            self.finish_input(now);
        }
        decision
    }

    /// Takes in the server's report that its group exists, and of its voters.
    ///
    /// # Errors
    /// The report is about another cluster, or names a voter that there is not, or one twice: it changes nothing.
    pub fn established(&mut self, report: &EstablishedReport, now: Instant) -> Result<(), ReportRefused> {
        let result = self.take_report(report);
        let refused = matches!(result, Err(ReportRefused::OtherCluster { .. }));
        self.situation.set_misreported(refused.then_some(report.cluster_id));
        self.finish_input(now);
        result
    }

    /// Takes in the server's own list of voters, while that is to be compared with the one that counts here. It is kept in memory
    /// and told to nobody.
    pub fn server_lists(&mut self, list: Option<EstablishedReport>, now: Instant) {
        self.situation.set_server_list(list);
        self.finish_input(now);
    }

    /// Keeps this cluster, and gives up every other one that stands under this name.
    ///
    /// # Errors
    /// No such cluster stands.
    pub fn resolve(&mut self, kept: ClusterId, now: Instant) -> Result<(), ResolveRefused> {
        let standing = self.agreement.record().standing();
        if !standing.clusters.contains_key(&kept) {
            return Err(ResolveRefused::Unknown(kept));
        }
        let offers = self.offers().into_iter().map(|offer| offer.founding.id());
        let given_up = standing.clusters.keys().copied().chain(offers).filter(|id| *id != kept).collect();
        self.agreement.speak(Said::Keep { kept, given_up });
        self.tell_all();
        self.finish_input(now);
        Ok(())
    }

    /// Gives up this cluster.
    ///
    /// # Errors
    /// No such cluster stands.
    pub fn give_up(&mut self, id: ClusterId, now: Instant) -> Result<(), ResolveRefused> {
        let is_offered = self.offers().iter().any(|offer| offer.founding.id() == id);
        if !is_offered && !self.agreement.record().standing().clusters.contains_key(&id) {
            return Err(ResolveRefused::Unknown(id));
        }
        self.agreement.speak(Said::Over(id));
        self.tell_all();
        self.finish_input(now);
        Ok(())
    }

    /// Counts no more a node, or an address that never answered, which an operator calls gone for good, until it is heard from.
    ///
    /// # Errors
    /// It is alive, or does not count.
    pub fn vouch(&mut self, gone: Gone, now: Instant) -> Result<(), VouchRefused> {
        let counted = self.situation.counted();
        let is_meant = |(id, at): &(&NodeId, &SocketAddr)| gone == Gone::Id(**id) || gone == Gone::Addr(**at);
        let ids: Vec<NodeId> = counted.ids.iter().filter(is_meant).map(|(id, _)| *id).collect();
        let is_silent = matches!(gone, Gone::Addr(addr) if counted.silent.contains(&addr));
        if ids.iter().any(|id| self.situation.is_alive(*id)) {
            return Err(VouchRefused::Alive(gone));
        }
        if ids.is_empty() && !is_silent {
            return Err(VouchRefused::NotCounted(gone));
        }
        self.agreement.speak(gone.said());
        self.tell_all();
        self.finish_input(now);
        Ok(())
    }

    /// Forgets a failed or left node: nothing that it has reported counts any more. `last` is its last life, if it is a member.
    /// Returns whether it goes on counting, because it may have given a vote.
    ///
    /// # Errors
    /// It is alive, or unknown.
    pub fn forget(
        &mut self,
        id: NodeId,
        last: Option<LastLife>,
        now: Instant,
    ) -> Result<bool, ForgetRefused> {
        if id == self.agreement.me() {
            return Err(ForgetRefused::Myself(id));
        }
        if self.situation.is_in_view(id) {
            return Err(ForgetRefused::Alive(self.situation.name_of(id)));
        }
        let knowledge = self.agreement.knowledge();
        if last.is_none() && !knowledge.speaks_of(id) {
            return Err(ForgetRefused::Unknown(id));
        }
        let report = knowledge.last_number(id);
        let counts = self.situation.counted().ids.contains_key(&id);
        self.agreement.speak(Said::Forgotten(Forgotten { id, last, report, counts }));
        self.tell_all();
        self.finish_input(now);
        Ok(self.situation.counted().ids.contains_key(&id))
    }

    /// The nodes that are forgotten, on disk, each in its last life if that is known.
    pub fn forgotten(&self) -> BTreeMap<NodeId, LastLife> {
        let forgotten = self.outbox.record().knowledge.forgotten().into_values();
        forgotten.filter_map(|forgotten| Some((forgotten.id, forgotten.last?))).collect()
    }

    /// The record of the server after this one, which gives up its id, its votes and its cluster: save it, and start the machine
    /// and gossip anew from it.
    ///
    /// # Errors
    /// The cluster is established, and losing it is not allowed.
    pub fn reset(&self, new_key: NodeKey, loss: DataLoss) -> Result<FoundingRecord, ResetRefused> {
        let established = self.outcome.cluster.as_ref().filter(|cluster| cluster.established);
        match established {
            Some(cluster) if loss == DataLoss::Refused => Err(ResetRefused(cluster.id)),
            _ => Ok(self.agreement.record().retired(new_key, self.situation.sightings().duplicate.is_none())),
        }
    }

    /// Takes in a doubt about the record: unless a founding is known here, which settles all votes, this node votes no more.
    pub fn doubt(&mut self, doubt: Doubt, now: Instant) {
        self.agreement.doubt(doubt);
        self.finish_input(now);
    }

    /// The record of a new node in this one's place, if nothing is lost with this one's id.
    pub fn afresh(&self, new_key: NodeKey) -> Option<FoundingRecord> {
        self.agreement.record().afresh(new_key).filter(|_| !self.situation.server_holds_data())
    }

    /// The reason for which the record cannot be relied on, if there is one.
    pub fn fault(&self) -> Option<&Reason> {
        self.situation.fault()
    }

    /// True if what is known of clusters here is on disk.
    pub fn is_durable(&self) -> bool {
        let (saved, latest) = (self.outbox.record(), self.agreement.record());
        saved.knowledge == latest.knowledge && saved.notes == latest.notes
    }

    /// The record to save, if it changed.
    pub fn poll_save(&mut self) -> Option<Unsaved> {
        if self.situation.fault().is_some() { None } else { self.outbox.poll_save(self.agreement.record()) }
    }

    /// The record that [`Self::poll_save`] gave last, or that this machine started from: for a caller that has to save
    /// something else in the same file.
    pub fn repeat_save(&self) -> Unsaved {
        self.outbox.repeat_save()
    }

    /// Takes in that a record is saved: it would be found after a power failure. What waited for it is free, and a
    /// disk that refused before takes writes again.
    pub fn saved(&mut self, unsaved: Unsaved, now: Instant) {
        self.outbox.saved(unsaved);
        if self.situation.clear_unsaved() {
            self.finish_input(now);
        } else {
            self.decide();
        }
    }

    /// The next message to send. It may be lost, repeated and reordered on the way.
    pub fn poll_message(&mut self) -> Option<Outgoing> {
        self.outbox.poll_message()
    }

    /// Time at which to call [`Self::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pace.wake()
    }

    /// The decision for the server, as far as it is on disk.
    pub fn decision(&self) -> &Decision {
        &self.outcome.decision
    }

    /// Things to see to beside a decision that can be carried out.
    pub fn remarks(&self) -> &[Reason] {
        &self.outcome.remarks
    }

    /// The operators' foundings that are known here, each with the founders that have not accepted it.
    pub fn offers(&self) -> Vec<Offer> {
        offer::offers(self.agreement.knowledge()).collect()
    }

    /// Whom operators call gone for good and who has not answered since, each with the node at which it was said.
    pub fn vouched(&self) -> BTreeMap<Gone, NodeId> {
        let words = &self.agreement.knowledge().words;
        word::vouched(words).filter(|(gone, _)| !self.situation.answers(*gone)).collect()
    }

    /// The agent beside each server that holds data of the cluster that is meant here.
    pub fn holders(&self) -> &BTreeMap<ServerId, NodeId> {
        &self.outcome.holders
    }

    /// The cluster that is meant here, as far as it is on disk. Gossip announces its id, its index and whether it is
    /// established.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.outcome.cluster.as_ref()
    }

    /// The proof of that cluster's founding; `None` if it was not founded by its agents.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.agreement.knowledge().foundings.get(&self.outcome.cluster.as_ref()?.id)
    }

    /// The digest of what is known here, as far as it is on disk; `None` if that is nothing.
    pub fn knowledge(&self) -> Option<u64> {
        self.outbox.record().knowledge.digest(self.situation.config().words)
    }

    /// True if this node may have a vote: it has given one that is on disk, or may give one in this life.
    pub fn may_vote(&self) -> bool {
        let config = self.situation.config();
        let takes_part = config.role == Role::Server
            && config.admission == Admission::Found
            && config.terms.as_ref().is_some_and(|terms| terms.counts(self.agreement.me()));
        takes_part || self.has_voted()
    }

    /// True if this node has given a vote, on disk or about to be.
    pub fn has_voted(&self) -> bool {
        self.agreement.record().has_voted()
    }

    /// The server's word about its data, to be gossiped.
    pub fn attestation(&self) -> Attestation {
        self.situation.attestation()
    }
}
