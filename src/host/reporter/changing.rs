//! Changes of the members: each is made at the leader, by a look of its own, and one that the server refuses is forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{
    admitting::{self, Admitting, member_change},
    list,
    sight::{Facts, Policy},
    wishes::Wished,
};
use crate::{
    admission::{Change, Kind as Ability, Listed, Look, Outlook, Seen},
    bootstrap::{Cluster, ServerId},
    choice::Choice as _,
    council::{Granted, Verdict},
    handle::{CouncilCommand, Handle, Stopped},
    node::{EndpointName, Endpoints},
    servers::{Answer, AskError, Driver, Fault, SeenMember, SeenWait},
    snapshot::Snapshot,
};

/// Refusals of one change in a row after which it is told: etcd refuses each within five seconds after a member has come or gone.
const TOLD_AFTER: u32 = 20;

/// The members for readers.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) listed: Vec<SeenMember>,
    pub(super) waits: Vec<SeenWait>,
}

/// A change that the server refuses again and again.
#[derive(Debug, Default)]
pub(super) struct Failing {
    change: String,
    times: u32,
    error: String,
}

impl Failing {
    fn note(&mut self, change: &Change, error: &AskError) {
        let change = change.to_string();
        self.times = if change == self.change { self.times.saturating_add(1) } else { 1 };
        (self.change, self.error) = (change, error.to_string());
    }

    /// The trouble, if it lasts.
    pub(super) fn trouble(&self) -> Option<String> {
        let Self { change, error, times } = self;
        (*times >= TOLD_AFTER).then(|| format!("it does not {change}: {error}"))
    }
}

/// The part of the reporter that changes the members.
#[derive(Debug)]
pub(super) struct Changing {
    driver: Arc<dyn Driver>,
    /// The addresses of the server that the agent announces.
    own: Endpoints,
    handle: Handle,
    admitting: Admitting,
    failing: Failing,
    /// True while members come or go.
    pub(super) is_under_way: bool,
}

impl Changing {
    pub(super) fn new(driver: Arc<dyn Driver>, own: Endpoints, policy: Policy, handle: Handle) -> Self {
        let (admitting, failing) = (Admitting::new(policy), Failing::default());
        Self { driver, own, handle, admitting, failing, is_under_way: false }
    }

    /// The trouble, if the server refuses a change again and again.
    pub(super) fn trouble(&self) -> Option<String> {
        self.failing.trouble()
    }

    /// Judges the members by this answer; beside the leader makes the one change that follows, or tells those that wait why.
    pub(super) async fn admit(&mut self, answer: &Answer, cluster: &Cluster) -> Result<Members, Stopped> {
        let Some(ability) = self.driver.ability() else {
            self.is_under_way = false;
            return Ok(Members::default());
        };
        let leads = answer.leader.as_ref() == Some(&answer.identity.member);
        let look = self.sight(ability, answer, cluster, leads).await?;
        let outlook = self.admitting.judge(&look, now());
        let comes_or_goes =
            outlook.step.is_some() || look.list.members.values().any(|member| !member.is_voter);
        self.is_under_way = comes_or_goes || !outlook.waits.is_empty();
        match &outlook.step {
            Some(step) if leads => drop(self.make(&step.change, &look).await),
            _ if leads => self.tell_words(answer, cluster, &look, &outlook).await?,
            _ => {}
        }
        let waits = if leads { admitting::waiting(&look, &outlook.waits) } else { Vec::new() };
        Ok(Members { listed: seen(&look.list.members), waits })
    }

    /// The members as they are seen at this moment, after this answer.
    async fn sight(
        &mut self,
        ability: Ability,
        answer: &Answer,
        cluster: &Cluster,
        leads: bool,
    ) -> Result<Look, Stopped> {
        let kind = self.driver.kind();
        let about = self.admitting.beside(kind, answer, &self.handle.snapshot());
        let mut up = self.driver.sight(answer).await;
        let me = &answer.identity.member;
        let are_all_up = answer.members.iter().all(|it| it.member == *me || up.contains(&it.member));
        // Only the leader's agent has something to judge where all are up.
        let accounts = if leads || !are_all_up { self.handle.survey(about).await? } else { BTreeMap::new() };
        let snapshot = self.handle.snapshot();
        self.believe_agents(answer, &snapshot, &mut up);
        let facts = Facts {
            kind,
            ability,
            answer,
            up: &up,
            accounts: &accounts,
            snapshot: &snapshot,
            cluster,
            own: &self.own,
            policy: self.admitting.policy,
        };
        Ok(self.admitting.look(&facts))
    }

    /// The agents' word on which members run counts where the server does not say it.
    fn believe_agents(&self, answer: &Answer, snapshot: &Snapshot, up: &mut BTreeSet<String>) {
        if self.driver.kind().facts().default_url.is_some() {
            return;
        }
        for member in answer.members.iter().filter(|member| member.is_up.is_none()) {
            let agent = list::agent(self.driver.kind(), answer, member, snapshot);
            let is_up = agent.is_some_and(|it| it.status.is_active() && it.founding.server_up == Some(true));
            if is_up {
                up.insert(member.member.clone());
            }
        }
    }

    /// Makes a change. If the server refuses it, or does not answer, it is forgotten: the next look says what is to be done.
    async fn make(&mut self, change: &Change, look: &Look) -> Result<(), AskError> {
        let server = self.driver.kind().word();
        let Some(member_change) = member_change(change, look) else {
            let problem = "its agent announces no address for other members: give it --endpoint".to_owned();
            let error =
                AskError { place: self.driver.place(), path: String::new(), fault: Fault::Refused(problem) };
            self.failing.note(change, &error);
            return Err(error);
        };
        match self.driver.change(&member_change).await {
            Ok(()) => {
                tracing::info!(server, "{change}: done");
                self.failing = Failing::default();
                Ok(())
            }
            Err(error) => {
                tracing::debug!(server, %error, "{change}: refused");
                self.failing.note(change, &error);
                Err(error)
            }
        }
    }

    async fn tell_words(
        &self,
        answer: &Answer,
        cluster: &Cluster,
        look: &Look,
        outlook: &Outlook,
    ) -> Result<(), Stopped> {
        let me = self.handle.snapshot().about.id;
        let endpoint = self.peer_endpoint(answer);
        let words = admitting::words((cluster.id, endpoint), look, outlook, me);
        if words.is_empty() { Ok(()) } else { self.handle.council(CouncilCommand::Tell(words)).await }
    }

    /// Answers an operator's wish by a look of its own after this answer, and makes the first step of its plan if that is asked for.
    pub(super) async fn grant(
        &mut self,
        wished: Wished,
        ready: Result<(Answer, Cluster), Granted>,
    ) -> Result<(), Stopped> {
        let refused = Granted::of(Verdict::Refused);
        let ability = self.driver.ability().ok_or_else(|| {
            let kind = self.driver.kind().word();
            refused(format!(
                "nothing here can change the members of {kind}: put `admit` and `remove` beside `members`"
            ))
        });
        let granted = match ability.and_then(|ability| Ok((ability, ready?))) {
            Err(granted) => granted,
            Ok((ability, (answer, cluster))) => {
                let look = self.sight(ability, &answer, &cluster, true).await?;
                let wish = (wished.verb, wished.node.as_str());
                match self.admitting.weigh(wish, &look, now()) {
                    (Some(change), granted) if wished.does => match self.make(&change, &look).await {
                        Ok(()) => {
                            Granted { verdict: Verdict::Made, text: format!("{change}: done"), ..granted }
                        }
                        Err(error) => refused(format!("{change}: {error}; ask again in a moment")),
                    },
                    (_, granted) => granted,
                }
            }
        };
        self.is_under_way = true;
        wished.answering.send(granted, &self.handle).await
    }

    /// The name under which servers announce their address for other members.
    fn peer_endpoint(&self, answer: &Answer) -> Option<EndpointName> {
        let me = answer.members.iter().find(|member| member.member == answer.identity.member);
        let mine = self.own.iter().find(|(_, address)| me.is_some_and(|me| me.addresses.contains(address)));
        let usual = || self.driver.kind().facts().endpoints.first()?.names.first()?.parse().ok();
        mine.map(|(name, _)| name.clone()).or_else(usual)
    }
}

fn seen(members: &BTreeMap<ServerId, Listed>) -> Vec<SeenMember> {
    let member = |(id, listed): (&ServerId, &Listed)| SeenMember {
        member: id.to_string().rsplit('/').next().unwrap_or_default().to_owned(),
        name: listed.name.clone(),
        id: listed.node,
        address: listed.address.clone(),
        votes: listed.is_voter,
        up: listed.seen != Seen::Down,
    };
    members.iter().map(member).collect()
}

#[expect(clippy::disallowed_methods, reason = "the shell's own pace")]
fn now() -> Instant {
    Instant::now()
}
