//! The course of an input: what follows from it in the record, in messages and in the decision.

use std::{collections::BTreeSet, time::Instant};

use super::{
    Bootstrap,
    admittance::Admittance,
    cluster::Cluster,
    config::Config,
    decision::{self, Outcome},
    difference::Difference,
    founding::ClusterId,
    knowledge::{Knowledge, Words},
    look::Questions,
    message::{Answer, Body, Looked},
    notes::{Blank, Notes},
    operator::{self, DataLoss, OverrideRefused},
    proposer::Proposer,
    readiness::Readiness,
    reason::Reason,
    report::{GroupReport, Holding, ListIndex},
    server::{EstablishedReport, ReportRefused, ServerReport, VoterRef},
    situation::Looking,
};
use crate::node::NodeId;

impl Bootstrap {
    /// Proposes to found with exactly these servers, under a new cluster id that names all that is known here. It takes effect once
    /// each of them has accepted it, at these and where the server is blank and was told nothing; elsewhere it is a rival.
    ///
    /// # Errors
    /// Something is established here, the server here is a founder's and has begun, or a founder is unknown.
    pub fn override_founders(
        &mut self,
        founders: &BTreeSet<NodeId>,
        loss: DataLoss,
        now: Instant,
    ) -> Result<ClusterId, OverrideRefused> {
        if self.situation.fault().is_some() {
            return Err(OverrideRefused::Fault);
        }
        let certificate = operator::overriding(
            self.agreement.record(),
            &self.situation.config().cluster_name,
            founders,
            &self.situation.known_founders(),
            self.pace.highest_round(),
            loss,
            self.situation.server_seen(now),
        )?;
        let id = certificate.id();
        self.agreement.found(certificate);
        self.tell_all();
        self.finish_input(now);
        Ok(id)
    }

    /// Takes back what the server here has reported about its group.
    pub fn retract(&mut self, now: Instant) {
        self.agreement.report(|own| own.group = None);
        self.situation.set_misreported(None);
        self.tell_all();
        self.finish_input(now);
    }

    /// Hears what another node is said to know. If that is news the node itself is asked, because only its answer counts.
    pub(super) fn hear_of(&mut self, from: NodeId, theirs: &Knowledge) {
        let Config { cluster_name, words, .. } = self.situation.config();
        if self.agreement.would_learn(theirs, cluster_name, *words) {
            self.ask(from);
        }
    }

    /// Takes in the answer of a node that was asked, which nobody can give who does not hear what is sent to that node. Whoever
    /// said something first has told it to all: others tell it on only to those who still do not know it after a while.
    pub(super) fn take_answer(&mut self, from: NodeId, answer: &Answer, now: Instant) {
        let Config { cluster_name, words, .. } = self.situation.config();
        if self.pace.take_answer(from, answer.number)
            && self.agreement.learn(&answer.knowledge, cluster_name, *words)
        {
            self.pace.note_told(&self.situation.others(), now);
        }
    }

    /// Asks a node for what it knows.
    fn ask(&mut self, id: NodeId) {
        let number = self.pace.number_question(id);
        self.outbox.push(id, Body::Ask(number));
    }

    pub(super) fn take_report(&mut self, report: &EstablishedReport) -> Result<(), ReportRefused> {
        let reported = report.cluster_id;
        let record = self.agreement.record();
        let standing = record.standing();
        let is_alive = |id| self.situation.is_alive(id);
        let known = decision::meant(record, &self.situation, &standing).or(self.situation.pinned());
        if let Some(known) = known.filter(|known| *known != reported) {
            return Err(ReportRefused::OtherCluster { reported, known });
        }
        let cluster = standing.cluster(reported, &is_alive);
        let cluster = match cluster {
            Some(cluster) => cluster,
            None if report.adopt || self.situation.server_holds_data() => Cluster::reported(reported),
            None => return Err(ReportRefused::Unknown(reported)),
        };
        let voters = report.resolve(&cluster, &self.situation.known_founders())?;
        let before =
            record.own_report().and_then(|own| own.group.as_ref()).filter(|own| own.cluster_id == reported);
        let mut group = GroupReport {
            cluster_id: reported,
            index: ListIndex { is_given: true, value: report.config_index.unwrap_or(0) },
            voters,
            heard: standing.heard(reported, &is_alive).filter(|heard| heard.reporter != record.node_id()),
            generation: before.map(|before| before.generation).unwrap_or_default(),
        };
        // It travels in the reports of the servers that it keeps.
        let kept = standing.generation(reported, record.node_id(), &is_alive).unwrap_or_default();
        group.generation = group.generation.max(kept);
        if report.adopt && standing.clusters.contains_key(&reported) {
            if !record.knowledge.may_report(reported, record.node_id()) {
                return Err(ReportRefused::NotNamed(reported));
            }
            group.generation = record.knowledge.newest_generation(reported).next(&group.voters);
        }
        if report.config_index.is_none() {
            let kept = before.filter(|before| !before.index.is_given && before.names_the_same(&group));
            let next = || ListIndex { is_given: false, value: record.knowledge.next_own_index(reported) };
            group.index = kept.map_or_else(next, |before| before.index);
        }
        self.situation.set_recovers(None);
        // A server that was told to initialise, and reports its group, has done so.
        if record.notes_of(reported).is_some_and(Notes::is_own) {
            self.note_begun(reported, false);
        }
        self.agreement.report(|own| own.group = Some(group));
        self.tell_all();
        Ok(())
    }

    /// Takes in another node's word about the place of the server here among the members. It counts only from an agent of the
    /// cluster's founders and voters.
    pub fn hear_admittance(&mut self, from: NodeId, word: Admittance, now: Instant) {
        let is_of = |cluster: &&Cluster| cluster.id == word.cluster_id;
        let named = self.outcome.cluster.as_ref().filter(is_of);
        let is_named = named.is_some_and(|cluster| {
            cluster.has_founder(from) || cluster.voters.iter().any(|voter| voter.id == Some(from))
        });
        if is_named && word.is_sound() {
            self.situation.hear_admittance(from, word, now);
            self.finish_input(now);
        }
    }

    /// Takes in an operator's word that the server here is the only voter from now on: reports from before count no more, and it is told
    /// to come up alone until it has reported that it does.
    ///
    /// # Errors
    /// The word of this node on the voters would not count, or no such cluster is known here.
    pub fn recover(&mut self, cluster_id: ClusterId, now: Instant) -> Result<(), ReportRefused> {
        let alone = vec![VoterRef::Id(self.agreement.me())];
        let report = EstablishedReport { cluster_id, config_index: None, voters: alone, adopt: true };
        self.take_report(&report)?;
        self.situation.set_recovers(Some(cluster_id));
        self.finish_input(now);
        Ok(())
    }

    /// The agent beside the leader, as far as it has said a word about the server here of late.
    pub fn admits(&self) -> Option<NodeId> {
        self.situation.admits()
    }

    /// True if the server is blank at this moment, and somebody waits to start it.
    pub fn server_waits(&self, now: Instant) -> bool {
        self.situation.is_seen_blank(now)
    }

    /// Ends every input: news go to other nodes, a ballot is driven, and the decision follows.
    pub(super) fn finish_input(&mut self, now: Instant) {
        self.pace.clear_wake();
        self.remember_the_living();
        let standing = self.agreement.record().standing();
        let knowledge = self.agreement.knowledge();
        let mut settled = knowledge.settled_ids(&standing);
        // One that was forgotten and is there again may give another vote.
        settled.retain(|id| knowledge.retired.contains_key(id) || !self.situation.is_in_view(*id));
        let forgotten = knowledge.forgotten();
        self.situation.discount(&standing.spoken, &settled, &forgotten);
        let knows_cluster = !standing.clusters.is_empty();
        if self.situation.fault().is_none() {
            self.tell_others(now);
        }
        self.weigh_offers(now);
        self.waiting = if knows_cluster {
            Vec::new()
        } else {
            let readiness = Readiness::assess(&self.situation, &self.agreement, now);
            let Self { situation, agreement, pace, outbox, .. } = self;
            Proposer { situation, agreement, pace, outbox, now }.drive(readiness)
        };
        self.note_server();
        let until = self.situation.end_admittance(now);
        self.pace.wake_at(until);
        self.drive_look(now);
        self.outbox.commit(self.agreement.record());
        self.decide();
    }

    /// Looks into the server here, and answers the operators' foundings of which this node is a founder.
    fn weigh_offers(&mut self, now: Instant) {
        let server = self.situation.server_seen(now);
        if self.situation.fault().is_none() && self.agreement.weigh_offers(server) {
            self.tell_all();
        }
    }

    /// Takes back that a node was forgotten which is seen alive. Where words spread it says so itself, by a report of another number;
    /// where they do not, it has not heard of this one.
    fn remember_the_living(&mut self) {
        if self.situation.config().words == Words::Everywhere {
            return;
        }
        let forgotten = self.agreement.knowledge().forgotten();
        let back: Vec<NodeId> = forgotten.into_keys().filter(|id| self.situation.is_in_view(*id)).collect();
        back.into_iter().for_each(|id| self.agreement.remember(id));
    }

    /// Notes what the server's word and the list of voters say about the server beside this agent.
    fn note_server(&mut self) {
        let record = self.agreement.record();
        let (standing, is_alive) = (record.standing(), |id| self.situation.is_alive(id));
        let meant = decision::meant(record, &self.situation, &standing);
        let cluster = meant.and_then(|id| standing.cluster(id, &is_alive));
        // Data of another cluster than the one that is meant here is none of that.
        let is_blank = self.situation.server().is_some_and(|server| !server.has_state);
        let is_of = |notes: &Notes| notes.is_own() && meant.is_some_and(|meant| meant != notes.cluster_id);
        if !is_blank && record.notes.as_ref().is_some_and(is_of) {
            return;
        }
        let me = record.node_id();
        let is_named = |cluster: &Cluster| cluster.voters.iter().any(|voter| voter.id == Some(me));
        let named = cluster.as_ref().filter(|cluster| is_named(cluster)).map(|cluster| cluster.id);
        let is_here = |id: &ClusterId| named == Some(*id) || record.notes_of(*id).is_some_and(Notes::is_own);
        let Some(server) = self.situation.server().cloned() else {
            return self.note_named(named);
        };
        let of = server.cluster_id.or(meant.filter(is_here)).filter(|_| server.has_state);
        let held = match (of, meant) {
            (Some(of), Some(meant)) => (of == meant).then_some(of),
            (Some(of), None) => {
                (standing.clusters.is_empty() || standing.clusters.contains_key(&of)).then_some(of)
            }
            (None, _) => None,
        };
        let is_open = meant.is_none() && server.has_state && of.is_none();
        self.note_named(named);
        if let Some(id) = held.filter(|_| meant.is_some()) {
            self.agreement.note(id, |notes| notes.begun = true);
        }
        if let (Some(id), Some(starts)) = (held, server.starts) {
            // Data from a backup is no news.
            if self.agreement.record().last_start(&server.server_id, id) > Some(starts) {
                return;
            }
            self.agreement.note(id, |notes| notes.note_start(&server.server_id, starts));
        }
        if !is_open && self.situation.fault().is_none() {
            let holds = held.map(|cluster_id| Holding {
                server_id: server.server_id,
                cluster_id,
                starts: server.starts,
            });
            let before = self.agreement.record().own_report().and_then(|own| own.holds.clone());
            if before != holds {
                self.agreement.report(|own| own.holds = holds);
                self.tell_all();
            }
        }
    }

    /// Looks at the other founders' servers while this one is blank again, and the group does not exist.
    fn drive_look(&mut self, now: Instant) {
        match self.target_of_look(now) {
            Some((cluster_id, founders)) => self.look.begin(cluster_id, founders, || self.pace.draw()),
            None => self.look.end(),
        }
        if let (Some(Questions { number, holds, to }), Some(cluster)) =
            (self.look.ask(now), &self.outcome.cluster)
        {
            let question = Body::Look(Looked { cluster_id: cluster.id, number, holds });
            self.outbox.push_to_all(to, &question);
        }
        self.pace.wake_at(self.look.wake(now));
        self.situation.set_looking(Looking {
            has_passed: self.look.has_passed(),
            is_held: self.look.is_held(now),
            unseen: if self.look.is_under_way() { self.look.unseen() } else { self.other_founders() },
        });
    }

    fn other_founders(&self) -> Vec<NodeId> {
        let founding = self.outcome.cluster.as_ref().and_then(|cluster| cluster.founding.as_ref());
        let me = self.agreement.me();
        founding.map(|founding| founding.ids().filter(|id| *id != me).collect()).unwrap_or_default()
    }

    fn target_of_look(&self, now: Instant) -> Option<(ClusterId, BTreeSet<NodeId>)> {
        let cluster = self.outcome.cluster.as_ref().filter(|cluster| !cluster.established)?;
        let record = self.agreement.record();
        let server = self.situation.server().filter(|_| self.situation.is_seen_blank(now))?;
        let judged = record.notes_of(cluster.id)?.judge_blank(Some(&server.server_id));
        let looks = judged == Blank::Again && cluster.has_founder(record.node_id());
        looks.then(|| (cluster.id, self.other_founders().into_iter().collect()))
    }

    /// Answers a founder that looks, and holds the server here if that is about to see all blank.
    pub(super) fn answer_look(&mut self, from: NodeId, looked: Looked, now: Instant) {
        let Some(cluster) = &self.outcome.cluster else { return };
        let is_ours = looked.cluster_id == cluster.id && !cluster.established;
        if is_ours && looked.holds && cluster.has_founder(from) {
            self.look.note_other(now);
        }
        let answer = Looked { holds: self.look.is_under_way(), ..looked };
        let is_blank = is_ours && self.situation.is_seen_blank(now);
        self.outbox.push(from, if is_blank { Body::Blank(answer) } else { Body::NotBlank(answer) });
    }

    /// Notes an answer to the look of this node. A founder that looks, too, holds the server here.
    pub(super) fn note_look(&mut self, from: NodeId, looked: Looked, is_blank: bool, now: Instant) {
        let Some(cluster) = &self.outcome.cluster else { return };
        let is_blank = is_blank && looked.cluster_id == cluster.id;
        if is_blank && looked.holds && cluster.has_founder(from) {
            self.look.note_other(now);
        }
        self.look.note_answer(from, looked.number, is_blank);
    }

    /// Notes that the server here has begun in this cluster: it counts as one with data until it says otherwise. One that joins a
    /// cluster that is only claimed bears no witness to it until it has attested data: blank servers that were told to join by a
    /// report that was wrong would otherwise keep it standing for each other.
    pub(super) fn note_begun(&mut self, cluster_id: ClusterId, joins_claim: bool) {
        self.agreement.note(cluster_id, |notes| notes.begun = true);
        self.situation.end_wait();
        if let Some(server) = self.situation.server().filter(|_| !joins_claim).cloned() {
            self.situation.set_server(ServerReport { has_state: true, ..server });
        }
    }

    fn note_named(&mut self, named: Option<ClusterId>) {
        if let Some(id) = named {
            self.agreement.note(id, |notes| notes.named = true);
        }
    }

    pub(super) fn decide(&mut self) {
        let unsaved = self.situation.fault().cloned().unwrap_or(Reason::Saving);
        let waiting = if self.waiting.is_empty() { &[unsaved][..] } else { &self.waiting };
        self.outcome = Outcome::decide(self.outbox.record(), &self.situation, waiting);
    }

    /// Tells all other nodes what is known here: something was said here first.
    pub(super) fn tell_all(&mut self) {
        self.outbox.push_to_all(self.situation.others(), &Body::known(self.agreement.knowledge()));
    }

    /// Tells and asks the nodes that know something else than this one.
    fn tell_others(&mut self, now: Instant) {
        let words = self.situation.config().words;
        let ours = self.agreement.knowledge().digest(words);
        let alive = self.situation.sightings().nodes.iter().filter(|(_, node)| node.is_alive());
        let compared = alive.map(|(id, node)| (*id, Difference::between(ours, node)));
        let differences: Vec<_> =
            compared.filter(|(_, difference)| *difference != Difference::None).collect();
        for (id, difference) in differences {
            if !self.pace.try_tell(id, now) {
                continue;
            }
            if difference.is_to_tell() {
                self.outbox.push(id, Body::known(self.agreement.knowledge()));
            }
            if difference.is_to_ask() {
                self.ask(id);
            }
        }
    }
}
