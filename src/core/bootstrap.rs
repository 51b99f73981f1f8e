//! The founding decision: single-decree Paxos among server agents, told the time and the dice.
//!
//! The servers that found the cluster are agreed on before any of them is told to. The rules of the agreement stand in
//! `acceptor`, `campaign` and `agreement`, without time. Around them stand the waits (`pace`), the course of a ballot
//! (`proposer`), the reasons against one (`readiness`), the words of the server and of the operator (`server`,
//! `operator`), and the decision that follows from what is on disk (`decision`).

use std::{collections::BTreeSet, time::Instant};

use rand::rngs::StdRng;

mod acceptor;
mod agreement;
mod ballot;
mod campaign;
mod cbor;
mod cluster;
mod config;
mod decision;
mod difference;
mod founding;
mod message;
mod operator;
mod outbox;
mod pace;
mod proposer;
mod readiness;
mod reason;
mod record;
mod server;
mod sightings;
mod situation;
mod status;
mod terms;

#[cfg(test)]
mod checker;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use agreement::Agreement;
use difference::Difference;
use outbox::Outbox;
use pace::Pace;
use proposer::Proposer;
use readiness::Readiness;
use situation::Situation;

use crate::node::NodeId;

pub use ballot::Ballot;
pub use cluster::{Cluster, Voter, VoterName};
pub use config::{Admission, BallotTiming, Config, SeedGate};
pub use decision::{Conflict, Decision, Group, Me};
pub use founding::{ClusterId, Founder, Founding, Override};
pub use message::{Accept, AcceptedBefore, Body, Message, Nack, Outgoing, Prepare, Promise, Refusal};
pub use operator::{DataLoss, OverrideRefused, Reset, ResetRefused};
pub use outbox::Unsaved;
pub use reason::{Listing, OtherExpect, Reason, ReasonEntry};
pub use record::{Accepted, Claim, FoundingRecord, NodeRecord, ServerId};
pub use server::{EstablishedReport, ReportRefused, ServerReport, VoterRef};
pub use sightings::{Attestation, Contact, Sighting, Sightings};
pub use status::{Server, Status};
pub use terms::{NamedFounders, NoFounders, Terms};

/// One server agent's part in the founding.
///
/// Feed it with `handle_*`, with the server's word ([`Self::server_attests`], [`Self::established`]) and with the
/// operator's ([`Self::override_founders`], [`Self::reset`]). After each input, drain it:
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
    /// Reasons against a founding while no cluster is known.
    waiting: Vec<Reason>,
    decision: Decision,
}

impl Bootstrap {
    /// Starts from a record that is on disk: the one of the last run, or a blank one with a new id.
    pub fn new(config: Config, record: FoundingRecord, now: Instant, rng: StdRng) -> Self {
        let me = record.node_id;
        let mut bootstrap = Self {
            pace: Pace::new(me, config.timing, rng),
            outbox: Outbox::new(config.cluster_name.clone(), record.clone()),
            situation: Situation::new(config, me),
            agreement: Agreement::new(record),
            waiting: Vec::new(),
            decision: Decision::Wait { reasons: Vec::new() },
        };
        bootstrap.agreement.check_pinned(bootstrap.situation.pinned());
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
        if self.situation.fault().is_none() || !matches!(body, Body::Founded(_)) {
            let answer = self.agreement.receive(from, body, &self.situation.participation());
            if let Some(answer) = answer {
                self.outbox.push(from, answer);
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

    /// The sightings that were taken in last.
    pub(crate) fn sightings(&self) -> &Sightings {
        self.situation.sightings()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.finish_input(now);
    }

    /// Takes in that the record cannot be read or trusted: from now on nothing is voted, saved or handed out.
    pub fn handle_fault(&mut self, why: String, now: Instant) {
        self.situation.set_unreadable(why);
        self.finish_input(now);
    }

    /// Takes in that what [`Self::poll_save`] gave could not be saved: until it can, nothing is voted, saved or handed
    /// out. Keep it, try again, and hand it to [`Self::saved`] in the end.
    pub fn save_failed(&mut self, why: String, now: Instant) {
        self.situation.set_unsaved(why);
        self.finish_input(now);
    }

    /// Takes in the server's word about itself. A server with data of a named cluster brings that cluster with it; a
    /// blank one claims the founding, so that no second one is told to initialise here.
    pub fn server_attests(&mut self, report: ServerReport, now: Instant) {
        let held = report.cluster_id.filter(|_| report.has_state);
        self.situation.set_server(report);
        if let Some(id) = held {
            self.agreement.learn_held(id, &self.situation.participation());
        }
        self.finish_input(now);
    }

    /// Takes in the server's report that its group exists, and of its voters.
    ///
    /// # Errors
    /// The report is about another cluster, which makes a conflict, or names a founder that there is not.
    pub fn established(&mut self, report: &EstablishedReport, now: Instant) -> Result<(), ReportRefused> {
        let pinned = self.situation.pinned();
        let result = self.agreement.establish(report, pinned, &self.situation.known_founders());
        self.finish_input(now);
        result
    }

    /// Founds with exactly these servers, under a new cluster id that names the ones it puts an end to. It is taken in
    /// wherever nothing is established; an established node shows a conflict.
    ///
    /// # Errors
    /// Something is established here, or a founder is unknown.
    pub fn override_founders(
        &mut self,
        founders: &BTreeSet<NodeId>,
        now: Instant,
    ) -> Result<ClusterId, OverrideRefused> {
        if self.situation.fault().is_some() {
            return Err(OverrideRefused::Fault);
        }
        let cluster = operator::overriding(
            self.agreement.record(),
            &self.situation.config().cluster_name,
            founders,
            &self.situation.known_founders(),
            self.pace.highest_round(),
        )?;
        let id = cluster.id;
        self.outbox.push_to_all(self.situation.others(), &Body::Founded(Box::new(cluster.clone())));
        self.agreement.override_with(cluster);
        self.finish_input(now);
        Ok(id)
    }

    /// Forgets the cluster here. `new_id` is this server's id afterwards.
    ///
    /// # Errors
    /// The cluster is established, and losing it is not allowed.
    pub fn reset(&mut self, new_id: NodeId, loss: DataLoss, now: Instant) -> Result<Reset, ResetRefused> {
        let reset = self.agreement.reset(new_id, loss)?;
        if reset == Reset::RivalForgotten {
            self.finish_input(now);
        }
        Ok(reset)
    }

    /// The reason for which the record cannot be relied on, if there is one.
    pub fn fault(&self) -> Option<&Reason> {
        self.situation.fault()
    }

    /// True if what is known of the cluster here is on disk.
    pub fn is_durable(&self) -> bool {
        let (saved, latest) = (self.outbox.record(), self.agreement.record());
        saved.cluster == latest.cluster && saved.rival == latest.rival
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
        &self.decision
    }

    /// The cluster that is known here, as far as it is on disk. Gossip announces its id, its index and whether it is
    /// established.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.outbox.record().cluster.as_ref()
    }

    /// The server's word about its data, to be gossiped.
    pub fn attestation(&self) -> Attestation {
        self.situation.attestation()
    }

    /// Ends every input: news go to other nodes, a ballot is driven, and the decision follows.
    fn finish_input(&mut self, now: Instant) {
        self.pace.clear_wake();
        if self.situation.fault().is_none() {
            self.tell_others(now);
        }
        self.waiting = if self.agreement.cluster().is_none() {
            let readiness = Readiness::assess(&self.situation, self.agreement.record(), now);
            let Self { situation, agreement, pace, outbox, .. } = self;
            Proposer { situation, agreement, pace, outbox, now }.drive(readiness)
        } else {
            Vec::new()
        };
        if let Some(server) = self.situation.claimant() {
            self.agreement.claim(&server.server_id);
        }
        self.outbox.commit(self.agreement.record());
        self.decide();
    }

    fn decide(&mut self) {
        let unsaved = self.situation.fault().cloned().unwrap_or(Reason::Saving);
        let waiting = if self.waiting.is_empty() { &[unsaved][..] } else { &self.waiting };
        self.decision = Decision::from_record(self.outbox.record(), &self.situation, waiting);
    }

    /// Tells the nodes that know less of the cluster, and asks those that know another one, or one while none is known
    /// here.
    fn tell_others(&mut self, now: Instant) {
        let alive = self.situation.sightings().nodes.iter().filter(|(_, node)| node.is_alive());
        let compared = alive.map(|(id, node)| (*id, self.agreement.compare(node)));
        let differences: Vec<_> =
            compared.filter(|(_, difference)| *difference != Difference::None).collect();
        for (id, difference) in differences {
            if !self.pace.try_tell(id, now) {
                continue;
            }
            if let Some(cluster) = self.agreement.cluster().filter(|_| difference.is_to_tell()) {
                self.outbox.push(id, Body::Founded(Box::new(cluster.clone())));
            }
            if difference.is_to_ask() {
                self.outbox.push(id, Body::Ask);
            }
        }
    }
}
