//! The reporter: asks the server beside the agent every few seconds, by its driver, and passes on what it says, as the server
//! itself could over the API.

mod admitting;
mod changing;
mod complaint;
mod list;
mod sight;
mod wishes;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use self::{
    changing::{Changing, Members},
    complaint::Complaint,
    list::List,
};
pub(crate) use self::{
    sight::Policy,
    wishes::{Answering, Wished},
};
use crate::{
    bootstrap::{Cluster, ClusterId, EstablishedReport, ServerReport},
    choice::Choice as _,
    council::{Granted, Verdict},
    handle::{Handle, NotDone, Stopped},
    node::{ClusterName, Endpoints},
    servers::{Answer, AskError, Belonging, Driver, Fault, Leader, Seen},
    snapshot::Snapshot,
};

/// Pause between two answers: a change of the members is told to all within seconds, and a server notices nothing of it.
const EVERY: Duration = Duration::from_secs(2);
/// Pause while members come or go: somebody waits for each step.
const WHILE_CHANGING: Duration = Duration::from_millis(500);
/// The bound on one answer, should a driver not keep its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Questions in a row without an answer after which the server counts as silent: one may fall into its restart.
const SILENT_AFTER: u32 = 3;
/// Looks in a row at a difference after which it is told: what one agent has reported, the others hear of before they ask.
const DIFFERS_AFTER: u32 = 2;

/// The task beside one server.
#[derive(Debug)]
pub(crate) struct Reporter {
    driver: Arc<dyn Driver>,
    /// The addresses of the server that the agent announces.
    own: Endpoints,
    /// The cluster's name.
    name: ClusterName,
    handle: Handle,
    seen: Seen,
    complaint: Complaint,
    /// Questions in a row that had no answer.
    failures: u32,
    /// Looks in a row at which the server's list was another than the one that counts.
    differing: u32,
    told: Option<Told>,
    changing: Changing,
    /// Wishes of operators.
    wishes: mpsc::Receiver<Wished>,
}

/// The list that was reported last.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    cluster_id: ClusterId,
    list: List,
    /// Version of the list that counted then.
    counting: u64,
}

impl Reporter {
    /// A reporter by this driver, for an agent of the cluster called `name` that announces `own`.
    pub(crate) fn new(
        (driver, own): (Box<dyn Driver>, Endpoints),
        name: ClusterName,
        policy: Policy,
        handle: Handle,
        wishes: mpsc::Receiver<Wished>,
    ) -> Self {
        let server = format!("{}={}", driver.kind().word(), driver.place());
        let driver: Arc<dyn Driver> = driver.into();
        Self {
            changing: Changing::new(driver.clone(), own.clone(), policy, handle.clone()),
            complaint: Complaint::new(server.clone()),
            seen: Seen::unasked(server),
            driver,
            own,
            name,
            handle,
            failures: 0,
            differing: 0,
            told: None,
            wishes,
        }
    }

    /// Asks for ever, until the agent has stopped.
    pub(crate) async fn run(mut self) {
        if self.handle.see(self.seen.clone(), false, None).await.is_err() {
            return;
        }
        while self.look().await.is_ok() {
            let pause = if self.changing.is_under_way { WHILE_CHANGING } else { EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Some(wished) = self.wishes.recv() => {
                    let ready = self.ready().await;
                    if self.changing.grant(wished, ready).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn ask(&self) -> Result<Answer, AskError> {
        let late = |_| Err(self.error(Fault::Silent(ANSWER_WITHIN)));
        tokio::time::timeout(ANSWER_WITHIN, self.driver.ask()).await.unwrap_or_else(late)
    }

    async fn look(&mut self) -> Result<(), Stopped> {
        let asked = self.ask().await;
        let snapshot = self.handle.snapshot();
        match asked {
            Ok(answer) => match self.stranger(&answer, &snapshot) {
                Some(trouble) => self.fail(trouble, true).await,
                None => self.take(answer, &snapshot).await,
            },
            Err(error) => {
                // Until it was started once, and while it is started again, nobody need be told.
                let is_established =
                    snapshot.founding.cluster.as_ref().is_some_and(|cluster| cluster.established);
                let is_expected = is_established && self.failures + 1 >= SILENT_AFTER;
                let is_news = is_expected || !matches!(error.fault, Fault::Unreachable(_));
                self.fail(format!("{} at {error}", self.driver.kind().word()), is_news).await
            }
        }
    }

    fn error(&self, fault: Fault) -> AskError {
        AskError { place: self.driver.place(), path: String::new(), fault }
    }

    /// Nothing that the server failed to say changes anything, except that it is silent.
    async fn fail(&mut self, trouble: String, is_news: bool) -> Result<(), Stopped> {
        self.failures = self.failures.saturating_add(1);
        self.differing = 0;
        self.changing.is_under_way = false;
        self.complaint.make(&trouble, is_news, now());
        let seen = Seen { answers: false, leader: None, troubles: vec![trouble], ..self.seen.clone() };
        self.see(seen, None).await
    }

    async fn see(&mut self, seen: Seen, list: Option<EstablishedReport>) -> Result<(), Stopped> {
        self.seen.update(seen);
        let is_silent = self.failures >= SILENT_AFTER;
        self.handle.see(self.seen.clone(), is_silent, list).await
    }

    /// The trouble, if the server that answers does not prove to be the one beside this agent: by its address for the other
    /// members, which this agent announces, or by its data, which this agent has reported before.
    fn stranger(&self, answer: &Answer, snapshot: &Snapshot) -> Option<String> {
        let (kind, url) = (self.driver.kind(), self.driver.place());
        let about = &snapshot.about;
        let holder =
            answer.identity.server_id(kind).and_then(|id| snapshot.founding.holders.get(&id).copied());
        let me = answer.members.iter().find(|member| member.member == answer.identity.member);
        let addresses = me.map(|me| me.addresses.as_slice()).unwrap_or_default();
        let is_announced = |announced: &String| addresses.contains(announced);
        let is_mine = self.own.values().any(is_announced);
        if is_mine || holder == Some(about.id) {
            return None;
        }
        let others = snapshot.membership.active().filter(|member| member.id != about.id);
        let other = others
            .into_iter()
            .find(|other| holder == Some(other.id) || other.endpoints.values().any(is_announced));
        Some(match other {
            Some(other) => format!(
                "{} at {url} is the server beside {}: say with --server where the one beside this agent is asked",
                kind.word(),
                other.name
            ),
            None => format!(
                "{} at {url} has the address {} for other members, which this agent does not announce: announce it with \
                 --endpoint, or say with --server where the one beside this agent is asked",
                kind.word(),
                addresses.first().map_or("none", String::as_str)
            ),
        })
    }

    async fn take(&mut self, answer: Answer, snapshot: &Arc<Snapshot>) -> Result<(), Stopped> {
        self.failures = 0;
        let kind = self.driver.kind();
        let cluster = snapshot.founding.cluster.as_ref();
        let belonging = Belonging::of(&*self.driver, &self.name, &answer.identity, cluster);
        if let Some(server_id) = answer.identity.server_id(kind) {
            let cluster_id = belonging.proven();
            let last = snapshot.founding.server.as_ref();
            if last.is_some_and(|last| last.excludes(&server_id)) {
                // The one that ran here is gone: another one answers in its place.
                self.handle.see(self.seen.clone(), true, None).await?;
            }
            let report = ServerReport { server_id, has_state: true, cluster_id, once: false, starts: None };
            self.handle.attest(report).await?;
        }
        let mut troubles = answer.troubles.clone();
        let list = List::of(kind, &answer, snapshot);
        let mut differing = None;
        let mut members = Members::default();
        match (belonging, cluster) {
            (Belonging::Same(id), Some(cluster)) => {
                let report = list.report(id, &answer);
                if let Some(report) = report.filter(|_| self.is_to_tell(&list, cluster)) {
                    troubles.extend(self.tell(report, list.clone(), cluster).await?);
                }
                differing = self.difference(&list, id, &answer);
                members = self.changing.admit(&answer, cluster).await?;
                troubles.extend(self.changing.trouble());
            }
            (_, cluster) => {
                troubles.extend(cluster.and_then(|cluster| self.doubt(belonging, &answer, cluster)))
            }
        }
        match troubles.first() {
            Some(trouble) => self.complaint.make(trouble, true, now()),
            None => self.complaint.end(now()),
        }
        let leader = answer.leader.as_ref().map(|member| {
            let agent = list.agent(member, &answer, snapshot);
            Leader {
                member: member.clone(),
                id: agent.map(|agent| agent.id),
                name: agent.map(|agent| agent.name.clone()),
            }
        });
        let seen = Seen {
            answers: true,
            version: answer.version.or(self.seen.version.take()),
            group: Some(answer.identity.group),
            leader,
            voters: answer.members.iter().filter(|member| member.votes).count(),
            applied: answer.index,
            members: members.listed,
            waits: members.waits,
            troubles,
            ..self.seen.clone()
        };
        self.see(seen, differing).await
    }

    /// The trouble with a server that is not proven to be of the cluster that is known here.
    fn doubt(&self, belonging: Belonging, answer: &Answer, cluster: &Cluster) -> Option<String> {
        let (kind, place) = (self.driver.kind().word(), self.driver.place());
        match belonging {
            Belonging::Same(_) => None,
            Belonging::Open => Some(format!(
                "{kind} at {place} does not prove that it is of cluster {}: start it by `chronik-agent exec`, or report it with \
                 `chronik-agent bootstrap complete`",
                cluster.id
            )),
            Belonging::Other(_) => Some(format!(
                "{kind} at {place} is of its own cluster {}, and not of {}: give it an empty data directory and start it by \
                 `chronik-agent exec`, or say with --server where the one beside this agent is asked",
                answer.identity.group, cluster.id
            )),
        }
    }

    /// True if the list says what this agent has not reported, or is not the one that counts: a wrong one is refuted by those
    /// that have heard of it.
    fn is_to_tell(&self, list: &List, cluster: &Cluster) -> bool {
        let is_told = self.told.as_ref().is_some_and(|told| {
            told.cluster_id == cluster.id
                && told.list == *list
                && (list.is_of(cluster) || told.counting == cluster.config_index)
        });
        !cluster.established || !is_told
    }

    /// A fresh answer and the cluster, if this agent stands beside the leader of a cluster that is known here; else the
    /// answer to a wish.
    async fn ready(&self) -> Result<(Answer, Cluster), Granted> {
        let (waits, refused) = (Granted::of(Verdict::Waits), Granted::of(Verdict::Refused));
        let kind = self.driver.kind().word();
        let answer = self.ask().await.map_err(|error| waits(format!("{kind} at {error}")))?;
        let snapshot = self.handle.snapshot();
        if let Some(trouble) = self.stranger(&answer, &snapshot) {
            return Err(refused(trouble));
        }
        if answer.leader.as_ref() != Some(&answer.identity.member) {
            return Err(waits("the server that led does not lead any more".to_owned()));
        }
        let cluster = snapshot.founding.cluster.clone();
        let belonging = Belonging::of(&*self.driver, &self.name, &answer.identity, cluster.as_ref());
        match (belonging, cluster) {
            (Belonging::Same(_), Some(cluster)) => Ok((answer, cluster)),
            _ => Err(refused(format!(
                "{kind} at {} does not prove that it is of the cluster that is known here: see `chronik-agent self`",
                self.driver.place()
            ))),
        }
    }

    /// Reports the list; returns the trouble, if it is not taken in.
    async fn tell(
        &mut self,
        report: EstablishedReport,
        list: List,
        cluster: &Cluster,
    ) -> Result<Option<String>, Stopped> {
        match self.handle.establish(report).await {
            Ok(()) => {
                self.told = Some(Told { cluster_id: cluster.id, list, counting: cluster.config_index });
                Ok(None)
            }
            Err(NotDone::Stopped(stopped)) => Err(stopped),
            // Asked again in any case.
            Err(NotDone::Unwritten(unwritten)) => Ok(Some(unwritten.to_string())),
            Err(NotDone::Refused(refused)) => Ok(Some(refused.to_string())),
        }
    }

    /// The list, once it was another one than the one that counts for a while.
    fn difference(&mut self, list: &List, id: ClusterId, answer: &Answer) -> Option<EstablishedReport> {
        let snapshot = self.handle.snapshot();
        let counting = snapshot.founding.cluster.as_ref().filter(|cluster| cluster.id == id)?;
        let report = list.report(id, answer);
        let differs = report.is_some() && !list.is_of(counting);
        self.differing = if differs { self.differing.saturating_add(1) } else { 0 };
        report.filter(|_| self.differing >= DIFFERS_AFTER)
    }
}

#[expect(clippy::disallowed_methods, reason = "the shell's own pace")]
fn now() -> Instant {
    Instant::now()
}
