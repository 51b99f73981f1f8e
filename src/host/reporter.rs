//! The reporter: asks the server beside the agent every few seconds, by its driver, and passes on what it says, as the server
//! itself could over the API.

mod complaint;
mod list;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{complaint::Complaint, list::List};
use crate::{
    bootstrap::{Cluster, ClusterId, EstablishedReport, ServerReport},
    choice::Choice as _,
    handle::{Handle, NotDone, Stopped},
    node::{ClusterName, Endpoints},
    servers::{Answer, AskError, Belonging, Driver, Fault, Leader, Seen},
    snapshot::Snapshot,
};

/// Pause between two answers: a change of the members is told to all within seconds, and a server notices nothing of it.
const EVERY: Duration = Duration::from_secs(2);
/// The bound on one answer, should a driver not keep its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Questions in a row without an answer after which the server counts as silent: one may fall into its restart.
const SILENT_AFTER: u32 = 3;
/// Looks in a row at a difference after which it is told: what one agent has reported, the others hear of before they ask.
const DIFFERS_AFTER: u32 = 2;

/// The task beside one server.
#[derive(Debug)]
pub(crate) struct Reporter {
    driver: Box<dyn Driver>,
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
    pub(crate) fn new(driver: Box<dyn Driver>, own: Endpoints, name: ClusterName, handle: Handle) -> Self {
        let server = format!("{}={}", driver.kind().word(), driver.place());
        let complaint = Complaint::new(server.clone());
        let seen = Seen::unasked(server);
        Self { driver, own, name, handle, seen, complaint, failures: 0, differing: 0, told: None }
    }

    /// Asks for ever, until the agent has stopped.
    pub(crate) async fn run(mut self) {
        if self.handle.see(self.seen.clone(), false, None).await.is_err() {
            return;
        }
        while self.look().await.is_ok() {
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<(), Stopped> {
        let late = |_| Err(self.error(Fault::Silent(ANSWER_WITHIN)));
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.driver.ask()).await.unwrap_or_else(late);
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
        match (belonging, cluster) {
            (Belonging::Same(id), Some(cluster)) => {
                let report = list.report(id, &answer);
                if let Some(report) = report.filter(|_| self.is_to_tell(&list, cluster)) {
                    troubles.extend(self.tell(report, list.clone(), cluster).await?);
                }
                differing = self.difference(&list, id, &answer);
            }
            (Belonging::Open, Some(cluster)) => troubles.push(format!(
                "{} at {} does not prove that it is of cluster {}: start it by `chronik-agent exec`, or report it with \
                 `chronik-agent bootstrap complete`",
                kind.word(),
                self.driver.place(),
                cluster.id
            )),
            (Belonging::Other(_), Some(cluster)) => troubles.push(format!(
                "{} at {} is of its own cluster {}, and not of {}: give it an empty data directory and start it by \
                 `chronik-agent exec`, or say with --server where the one beside this agent is asked",
                kind.word(),
                self.driver.place(),
                answer.identity.group,
                cluster.id
            )),
            (_, None) => {}
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
            troubles,
            ..self.seen.clone()
        };
        self.see(seen, differing).await
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
