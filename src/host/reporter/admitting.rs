//! Admissions: judges each look at the server's members, has the leader's list changed, and tells those that wait why.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::sight::{Beholder, Facts, Policy};
use crate::{
    admission::{
        Admission, Agent, Answer as Asked, Ask, Beside, Change, Life, Listed, Look, Named, Outlook, Then,
        Wait,
    },
    bootstrap::{Admittance, ClusterId, Held, ServerId, Voter, VoterName},
    council::{Granted, Verb, Verdict},
    node::{EndpointName, NodeId},
    servers::{Answer, Kind, MemberChange, SeenWait},
    snapshot::Snapshot,
};

/// The judge, and what it remembers.
#[derive(Debug)]
pub(super) struct Admitting {
    admission: Admission,
    beholder: Beholder,
    pub(super) policy: Policy,
}

/// A wish that is understood, or the reason for which it is not.
type Understood = Result<Ask, Granted>;

impl Admitting {
    pub(super) fn new(policy: Policy) -> Self {
        Self { admission: Admission::default(), beholder: Beholder::default(), policy }
    }

    /// The agents beside the members.
    pub(super) fn beside(&mut self, kind: Kind, answer: &Answer, snapshot: &Snapshot) -> BTreeSet<NodeId> {
        self.beholder.beside(kind, answer, snapshot)
    }

    pub(super) fn look(&self, facts: &Facts<'_>) -> Look {
        self.beholder.look(facts)
    }

    pub(super) fn judge(&mut self, look: &Look, now: Instant) -> Outlook {
        self.admission.handle_look(look, now)
    }

    /// Judges an operator's wish; returns the change to make now, if it does anything, with what it is answered.
    pub(super) fn weigh(
        &mut self,
        (verb, node): (Verb, &str),
        look: &Look,
        now: Instant,
    ) -> (Option<Change>, Granted) {
        let granted = |verdict, text: String| (None, Granted { verdict, text, newcomer: None });
        let ask = match understood(verb, node, look) {
            Ok(ask) => ask,
            Err(refused) => return (None, refused),
        };
        match self.admission.ask(&ask, look, now) {
            Err(refused) => granted(Verdict::Refused, refused.to_string()),
            Ok(Asked::Done) => granted(Verdict::Done, "it is as it was asked for".to_owned()),
            Ok(Asked::Waits(wait)) => granted(Verdict::Waits, wait.sentence()),
            Ok(Asked::Does(plan)) => {
                let newcomer = matches!(plan.step.change, Change::Remove(..))
                    .then(|| newcomer(&plan.then, look))
                    .flatten()
                    .map(|id| id.to_string());
                let text = plan.to_string();
                (Some(plan.step.change), Granted { verdict: Verdict::Plan, text, newcomer })
            }
        }
    }
}

/// The agent that takes the place of one that is removed.
fn newcomer(then: &[Then], look: &Look) -> Option<NodeId> {
    let name = match then.first()? {
        Then::Starts(name) | Then::Votes(name) | Then::Admitted(name) => name,
        Then::Swapped { learner, .. } => learner,
    };
    let is_meant = |agent: &&Agent| agent.name == *name && agent.life == Life::Alive;
    let mut named = look.agents.iter().filter(|(_, agent)| is_meant(agent));
    named.next().map(|(node, _)| *node).filter(|_| named.next().is_none())
}

/// The agent or member that a person means, as an ask.
fn understood(verb: Verb, node: &str, look: &Look) -> Understood {
    let refuse = |text: String| Err(Granted { verdict: Verdict::Refused, text, newcomer: None });
    let is_named = |(id, agent): &(&NodeId, &Agent)| agent.name == node || id.to_string() == node;
    let agents: Vec<(&NodeId, &Agent)> = look.agents.iter().filter(is_named).collect();
    // Of several of one name the living one is meant: the others were before it.
    let living: Vec<_> = agents.iter().filter(|(_, agent)| agent.life == Life::Alive).collect();
    let is_of = |member: &Listed| agents.iter().any(|(id, _)| member.node == Some(**id));
    let is_member = |(id, member): &(&ServerId, &Listed)| {
        is_of(member) || member.name == node || id.to_string().ends_with(&format!("/{node}"))
    };
    let members: Vec<(&ServerId, &Listed)> = look.list.members.iter().filter(is_member).collect();
    match (verb, members.as_slice(), living.as_slice()) {
        (Verb::Remove, [(id, _)], _) => Ok(Ask::Remove((*id).clone())),
        (Verb::Replace, [(id, _)], _) => Ok(Ask::Replace((*id).clone())),
        (Verb::Remove | Verb::Replace, [_, _, ..], _) => {
            let all: Vec<String> = members.iter().map(|(id, _)| id.to_string()).collect();
            let all = all.join(", ");
            refuse(format!("several members are called {node:?}: name one by what follows the `/` in {all}"))
        }
        (Verb::Remove, [], _) if !agents.is_empty() => {
            let text = format!("{node} is not on the server's list");
            Err(Granted { verdict: Verdict::Done, text, newcomer: None })
        }
        // It was removed for itself: what is left is to add it.
        (Verb::Add | Verb::Replace, _, [(id, _)]) => Ok(Ask::Add(**id)),
        (Verb::Add | Verb::Replace, _, [_, _, ..]) => refuse(format!(
            "several agents are called {node:?}: name one by its id, which `chronik-agent members` lists"
        )),
        (Verb::Add, _, []) if !agents.is_empty() => {
            refuse(format!("agent {node} is not alive: start it first"))
        }
        _ => refuse(format!(
            "no agent or member is called {node:?}: `chronik-agent members` and `chronik-agent voters` list them"
        )),
    }
}

/// A change in the server's own terms; `None` for a newcomer that announces no address.
pub(super) fn member_change(change: &Change, look: &Look) -> Option<MemberChange> {
    let member = |named: &Named| named.id.to_string().rsplit('/').next().unwrap_or_default().to_owned();
    let admit = |node: &NodeId, votes| {
        let agent = look.agents.get(node)?;
        Some(MemberChange::Admit { name: agent.name.clone(), address: agent.address.clone()?, votes })
    };
    match change {
        Change::AdmitLearner(newcomer) => admit(&newcomer.node, false),
        Change::AdmitVoter(newcomer) => admit(&newcomer.node, true),
        Change::Promote(named) => Some(MemberChange::Promote { member: member(named) }),
        Change::Remove(named, _) => Some(MemberChange::Remove { member: member(named) }),
        Change::UpdateAddress { member: named, address } => {
            Some(MemberChange::Move { member: member(named), address: address.clone() })
        }
        // Of no kind that there is.
        Change::RemoveAndPromote { .. } => None,
    }
}

/// The word for each agent whose server is no voter that runs.
pub(super) fn words(
    (id, endpoint): (ClusterId, Option<EndpointName>),
    look: &Look,
    outlook: &Outlook,
    me: NodeId,
) -> Vec<(NodeId, Admittance)> {
    let members: Vec<Voter> =
        look.list.members.values().map(|member| voter(member, endpoint.as_ref())).collect();
    let word = |(node, agent): (&NodeId, &Agent)| {
        let listed = look.list.members.values().find(|member| member.node == Some(*node));
        let wait = outlook.waits.get(node).map(held);
        // One that has run and is blank has lost what others count on.
        let has_begun = agent.server == Beside::Begun;
        let is_listed = listed.is_some_and(|it| has_begun || it.has_run != Some(true));
        let runs = listed.is_some_and(|it| it.is_voter && it.has_run != Some(false));
        let is_told = *node != me && agent.life == Life::Alive && !runs && (is_listed || wait.is_some());
        let members = if is_listed { members.clone() } else { Vec::new() };
        is_told.then_some((*node, Admittance { cluster_id: id, is_listed, wait, members }))
    };
    look.agents.iter().filter_map(word).collect()
}

fn voter(member: &Listed, endpoint: Option<&EndpointName>) -> Voter {
    let address = endpoint.cloned().zip(member.address.clone());
    Voter {
        id: member.node,
        ordinal: None,
        name: member.name.parse().ok().map(VoterName),
        endpoints: address.into_iter().collect(),
    }
}

/// A reason to wait as it is told.
fn held(wait: &Wait) -> Held {
    if let Wait::VoterToReplace { voter, .. } = wait {
        Held::VoterToReplace(voter.name.clone())
    } else if let Wait::VoterDown { voter } = wait {
        Held::VoterDown(voter.name.clone())
    } else if let Wait::EnoughVoters { voters, most } = wait {
        Held::EnoughVoters(*voters as u64, *most as u64)
    } else if *wait == Wait::RemovedVoter {
        Held::Removed
    } else {
        let wait = wait.clone().without_times();
        Held::Other(wait.sentence(), wait.remedy())
    }
}

/// Those that wait, for readers.
pub(super) fn waiting(look: &Look, waits: &BTreeMap<NodeId, Wait>) -> Vec<SeenWait> {
    let wait = |(node, wait): (&NodeId, &Wait)| {
        let name = look.agents.get(node).map(|agent| agent.name.clone()).unwrap_or_default();
        let message = wait.clone().without_times().to_string();
        SeenWait { id: *node, name, code: wait.code(), message }
    };
    waits.iter().map(wait).collect()
}
