//! The founding decision: single-decree Paxos among server agents, told the time and the dice.
//!
//! Which servers found the cluster is agreed on before any is told to. The rules of the agreement stand in
//! `acceptor`, `campaign` and `agreement`, without time; around them stand when to ask (`pace`, `proposer`), whether
//! to ask (`readiness`), what the server and the operator say, and the decision that follows from what is on disk.

use std::time::Instant;

use rand::rngs::StdRng;

mod acceptor;
mod agreement;
mod ballot;
mod campaign;
mod cbor;
mod cluster;
mod config;
mod decision;
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
mod status;
mod terms;
mod view;

#[cfg(test)]
mod checker;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use agreement::Agreement;
use outbox::Outbox;
use pace::Pace;
use readiness::assess;
use view::Situation;

use crate::node::NodeId;

pub use ballot::Ballot;
pub use cluster::{Cluster, Voter, VoterName};
pub use config::{Admission, BallotTiming, Config, SeedGate};
pub use decision::{Conflict, Decision, Group, Me};
pub use founding::{ClusterId, Founder, Founding, Override};
pub use message::{Accept, AcceptedBefore, Body, Message, Nack, Outgoing, Prepare, Promise, Refusal};
pub use operator::{OverrideRefused, Reset, ResetRefused};
pub use outbox::Unsaved;
pub use reason::{Listing, OtherExpect, Reason, ReasonEntry};
pub use record::{Accepted, Claim, NodeRecord, Record, ServerId};
pub use server::{EstablishedReport, ReportRefused, VoterRef};
pub use status::{Server, Status};
pub use terms::{NamedFounders, NoFounders, Terms};
pub use view::{Attestation, Contact, ServerReport, Sighting, View};

/// One server agent's part in the founding.
///
/// Feed it with `handle_*`, with what the server says ([`Self::server_attests`], [`Self::established`]) and with what
/// the operator says ([`Self::override_founders`], [`Self::reset`]). After each input, drain it:
///
/// 1. [`Self::poll_save`]: save the record, then hand it back to [`Self::saved`]; repeat until there is none. If that
///    fails, say so with [`Self::save_failed`], and try again.
/// 2. [`Self::poll_message`] until there is none. A message that may depend on an unwritten record does not come out,
///    and neither does a decision, so that skipping step 1 stops the machine and breaks nothing.
/// 3. Read [`Self::decision`], and call [`Self::handle_timeout`] at [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Bootstrap {
    situation: Situation,
    agreement: Agreement,
    pace: Pace,
    outbox: Outbox,
    waiting: Vec<Reason>,
    decision: Decision,
    wake: Option<Instant>,
}

impl Bootstrap {
    /// Starts from a record that is on disk: the one of the last run, or a blank one with a new id.
    pub fn new(config: Config, record: Record, now: Instant, rng: StdRng) -> Self {
        let mut bootstrap = Self {
            pace: Pace::new(config.timing, rng),
            situation: Situation::new(config, record.node_id),
            outbox: Outbox::new(record.clone()),
            agreement: Agreement::new(record),
            waiting: Vec::new(),
            decision: Decision::Wait { reasons: Vec::new() },
            wake: None,
        };
        if let Some(pinned) = bootstrap.situation.pinned()
            && let Some(other) =
                bootstrap.agreement.record.cluster.as_ref().filter(|known| known.id != pinned)
        {
            let other = other.id;
            bootstrap.agreement.record.learn_rival(other);
        }
        bootstrap.turn(now);
        bootstrap
    }

    /// Takes in a message. `from` is whoever the authenticated envelope names.
    pub fn handle_message(&mut self, from: NodeId, message: &Message, now: Instant) {
        let me = self.agreement.record.node_id;
        if message.cluster_name != self.situation.config.cluster_name || from == me {
            return;
        }
        let refuses = matches!(&message.body, Body::Nack(nack) if nack.refusal != Refusal::Promised);
        if !refuses {
            self.pace.answered(from);
        }
        let standing = self.situation.standing();
        let had_campaign = self.agreement.campaign.is_some();
        let pinned = self.situation.pinned();
        if self.situation.fault.is_none() || !matches!(message.body, Body::Founded(_)) {
            let answer = self.agreement.receive(from, &message.body, &standing, pinned);
            if let Some(body) = answer {
                self.send(from, body);
            }
        }
        if let Body::Prepare(Prepare { ballot, .. }) = &message.body {
            self.pace.saw_round(ballot.round, me, now);
        }
        if let Body::Nack(Nack { promised: Some(promised), .. }) = &message.body {
            self.pace.highest_round = self.pace.highest_round.max(promised.round);
        }
        if had_campaign && self.agreement.campaign.is_none() {
            self.pace.fail(me, now);
        }
        self.turn(now);
    }

    /// Takes in what gossip and the providers know now.
    pub fn handle_view(&mut self, view: View, now: Instant) {
        self.situation.view = view;
        self.situation.view.nodes.remove(&self.agreement.record.node_id);
        self.turn(now);
    }

    /// What was last known.
    pub(crate) fn view(&self) -> &View {
        &self.situation.view
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.turn(now);
    }

    /// The record cannot be read or trusted: from now on nothing is voted, written or handed out.
    pub fn handle_fault(&mut self, why: String, now: Instant) {
        self.situation.fault = Some(Reason::Fault { why });
        self.turn(now);
    }

    /// Takes in that what [`Self::poll_save`] gave could not be saved: until it can, nothing is voted, saved or handed
    /// out. Keep it, try again, and hand it to [`Self::saved`] in the end.
    pub fn save_failed(&mut self, why: String, now: Instant) {
        let known = self.situation.fault.take();
        self.situation.fault =
            known.filter(|fault| matches!(fault, Reason::Fault { .. })).or(Some(Reason::SaveFailed { why }));
        self.turn(now);
    }

    /// Why the record cannot be relied on, where that is so.
    pub fn fault(&self) -> Option<&Reason> {
        self.situation.fault.as_ref()
    }

    /// Whether what is known of the cluster here is on disk.
    pub fn is_durable(&self) -> bool {
        let (durable, latest) = (self.outbox.record(), &self.agreement.record);
        durable.cluster == latest.cluster && durable.rival == latest.rival
    }

    /// The record to save, if it changed.
    pub fn poll_save(&mut self) -> Option<Unsaved> {
        if self.situation.fault.is_some() { None } else { self.outbox.poll_save(&self.agreement.record) }
    }

    /// The record that [`Self::poll_save`] gave last, or that this machine started from: for a caller that has to save
    /// something else in the same file.
    pub fn repeat_save(&self) -> Unsaved {
        self.outbox.repeat_save()
    }

    /// Takes in that a record is saved: it would be found after a power failure. What waited for it is free, and a disk
    /// that refused before takes writes again.
    pub fn saved(&mut self, unsaved: Unsaved, now: Instant) {
        self.outbox.saved(unsaved);
        if matches!(self.situation.fault, Some(Reason::SaveFailed { .. })) {
            self.situation.fault = None;
            self.turn(now);
        } else {
            self.decide();
        }
    }

    /// The next message to send. It may be lost, repeated and reordered on the way.
    pub fn poll_message(&mut self) -> Option<Outgoing> {
        self.outbox.poll_message()
    }

    /// When to call [`Self::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// What the server is to do, as far as it is on disk.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The cluster that is known here, as far as it is on disk. Gossip announces its id, its index and whether it is
    /// established.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.outbox.record().cluster.as_ref()
    }

    /// What to gossip about the server's data.
    pub fn attestation(&self) -> Attestation {
        match &self.situation.server {
            None => Attestation::Silent,
            Some(server) if server.has_state => Attestation::HoldsData,
            Some(_) => Attestation::Blank,
        }
    }

    /// Ends every input: what is known is spread, a ballot is driven, the decision follows.
    fn turn(&mut self, now: Instant) {
        self.wake = None;
        if self.situation.fault.is_none() {
            self.spread(now);
        }
        self.waiting = if self.agreement.record.cluster.is_none() {
            let readiness = assess(&self.situation, &self.agreement.record, now);
            self.drive(readiness, now)
        } else {
            Vec::new()
        };
        if self.situation.fault.is_none() {
            self.claim();
        }
        self.outbox.commit(&self.agreement.record);
        self.decide();
    }

    fn decide(&mut self) {
        let unwritten = self.situation.fault.clone().unwrap_or(Reason::Saving);
        let waiting = if self.waiting.is_empty() { &[unwritten][..] } else { &self.waiting };
        self.decision = decision::decide(self.outbox.record(), &self.situation, waiting);
    }

    /// Tells those who know less of the cluster, and asks those who know another one or one while none is known here.
    fn spread(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (id, node) in &self.situation.view.nodes {
            if node.contact == Contact::Remembered {
                continue;
            }
            let ours = self.agreement.record.cluster.as_ref();
            let (tell, ask) = match (ours, node.cluster_id) {
                (None, None) => (false, false),
                (None, Some(_)) => (false, true),
                (Some(_), None) => (true, false),
                (Some(ours), Some(theirs)) if ours.id == theirs => {
                    (ours.config_index > node.config_index || (ours.established && !node.established), false)
                }
                (Some(ours), Some(theirs)) => {
                    let conflict = ours.established && !ours.has_overridden(theirs);
                    let known = self.agreement.record.rival == Some(theirs);
                    if conflict {
                        self.agreement.record.learn_rival(theirs);
                    }
                    (!known, !known)
                }
            };
            if tell || ask {
                due.push((*id, tell, ask));
            }
        }
        for (id, tell, ask) in due {
            match self.pace.may_tell(id, now) {
                Err(again) => self.wake_at(Some(again)),
                Ok(()) => {
                    self.wake_at(Some(now + 2 * self.pace.retry()));
                    if let Some(cluster) = self.agreement.record.cluster.clone().filter(|_| tell) {
                        self.send(id, Body::Founded(Box::new(cluster)));
                    }
                    if ask {
                        self.send(id, Body::Ask);
                    }
                }
            }
        }
    }

    fn learn(&mut self, cluster: &Cluster) {
        let pinned = self.situation.pinned();
        self.agreement.learn(cluster, &self.situation.standing(), pinned);
    }

    fn send(&mut self, to: NodeId, body: Body) {
        let cluster_name = self.situation.config.cluster_name.clone();
        self.outbox.push(Outgoing { to, message: Message { cluster_name, body } });
    }

    fn wake_at(&mut self, at: Option<Instant>) {
        self.wake = [self.wake, at].into_iter().flatten().min();
    }
}
