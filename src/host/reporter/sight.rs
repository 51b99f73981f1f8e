//! One look at the members of the server: its list, who of them runs, and what the agents say, all of one step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::list;
use crate::{
    admission::{Agent, Away, Beside, Kind as Ability, Life, List, Listed, Look, Seen, Settings, VoterCount},
    bootstrap::{Cluster, Founding, ServerId},
    council::Account,
    membership::{Member, MemberStatus},
    node::{EndpointName, Endpoints, NodeId, Role},
    servers::{Answer, Kind, ServerMember},
    snapshot::Snapshot,
};

/// The part of a leader's index that one must have applied to have caught up: nine tenths, as etcd itself has it
/// (`readyPercent`).
const CAUGHT_UP: u64 = 9;
const OF_TEN: u64 = 10;

/// The rules by which the operator wants members to come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `--voters`.
    pub(crate) voters: Option<VoterCount>,
    /// `--replace-failed`; `None` for `never`.
    pub(crate) replace_failed: Option<Duration>,
    /// True if a group key is set.
    pub(crate) has_group_key: bool,
}

/// The agents beside the members, as long as anybody remembers them.
#[derive(Debug, Default)]
pub(super) struct Beholder {
    /// The agent that was last known beside each member, by the server's name for it: one that is forgotten since is gone.
    known: BTreeMap<String, NodeId>,
}

/// The facts of one look.
pub(super) struct Facts<'a> {
    pub(super) kind: Kind,
    pub(super) ability: Ability,
    pub(super) answer: &'a Answer,
    /// The members that run, by the server's names for them.
    pub(super) up: &'a BTreeSet<String>,
    pub(super) accounts: &'a BTreeMap<NodeId, Account>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) cluster: &'a Cluster,
    /// The addresses of the server that the agent announces.
    pub(super) own: &'a Endpoints,
    pub(super) policy: Policy,
}

impl Beholder {
    /// The agents beside the members of an answer, whether they are members of the gossip still or not.
    pub(super) fn beside(&mut self, kind: Kind, answer: &Answer, snapshot: &Snapshot) -> BTreeSet<NodeId> {
        self.known.retain(|member, _| answer.members.iter().any(|listed| listed.member == *member));
        for member in &answer.members {
            if let Some(agent) = list::agent(kind, answer, member, snapshot) {
                self.known.insert(member.member.clone(), agent.id);
            }
        }
        self.known.values().copied().collect()
    }

    /// The look of these facts.
    pub(super) fn look(&self, facts: &Facts<'_>) -> Look {
        let members: BTreeMap<ServerId, Listed> =
            facts.answer.members.iter().filter_map(|member| self.listed(facts, member)).collect();
        let voters: BTreeSet<NodeId> =
            members.values().filter(|member| member.is_voter).filter_map(|member| member.node).collect();
        let gossips = facts.snapshot.membership.members.values();
        let is_of_interest =
            |member: &&Member| member.role == Role::Server || self.known.values().any(|id| *id == member.id);
        let known = self.known.values().map(|id| (*id, facts.agent(*id, &voters)));
        let agents =
            gossips.filter(is_of_interest).map(|member| (member.id, facts.agent(member.id, &voters)));
        Look {
            list: List { kind: facts.ability, version: None, members },
            agents: known.chain(agents).collect(),
            settings: Settings {
                voters: facts.policy.voters,
                founders: facts.founders(),
                replace_failed: facts.policy.replace_failed,
                has_group_key: facts.policy.has_group_key,
            },
            numbers: None,
        }
    }

    fn listed(&self, facts: &Facts<'_>, member: &ServerMember) -> Option<(ServerId, Listed)> {
        let node = self.known.get(&member.member).copied();
        let announced = node.and_then(|node| facts.address(node));
        let is_listed = |address: &String| member.addresses.contains(address);
        let name = node.and_then(|node| facts.name(node)).unwrap_or_else(|| match member.name.as_str() {
            "" => member.member.clone(),
            name => name.to_owned(),
        });
        let listed = Listed {
            name,
            node,
            is_voter: member.votes,
            seen: facts.seen(member, node),
            has_run: member.has_run,
            address: announced.filter(is_listed).or_else(|| member.addresses.first().cloned()),
            number: None,
        };
        Some((facts.answer.member_id(facts.kind, member)?, listed))
    }
}

impl Facts<'_> {
    fn founders(&self) -> usize {
        let founding = self.cluster.founding.as_ref();
        founding.map_or(self.cluster.voters.len(), |founding: &Founding| founding.founders().len())
    }

    /// The member of the gossip.
    fn gossips(&self, node: NodeId) -> Option<&Member> {
        self.snapshot.membership.members.get(&node)
    }

    fn name(&self, node: NodeId) -> Option<String> {
        self.gossips(node).map(|member| member.name.to_string())
    }

    /// The name under which servers of this kind announce their address for other members: that of the own one, which is on the
    /// list.
    pub(super) fn endpoint(&self) -> Option<EndpointName> {
        let me = self.answer.members.iter().find(|member| member.member == self.answer.identity.member);
        let is_mine =
            |(_, address): &(&EndpointName, &String)| me.is_some_and(|me| me.addresses.contains(address));
        let named = self.own.iter().find(is_mine).map(|(name, _)| name.clone());
        named.or_else(|| self.kind.facts().endpoints.first()?.names.first()?.parse().ok())
    }

    /// The address that an agent announces for other members.
    fn address(&self, node: NodeId) -> Option<String> {
        let endpoints = &self.gossips(node)?.endpoints;
        let named = self.endpoint().and_then(|name| endpoints.get(&name).cloned());
        let usual = || self.kind.facts().endpoints.first()?.of(endpoints);
        named.or_else(|| usual().map(|(_, address)| address.to_owned()))
    }

    fn seen(&self, member: &ServerMember, node: Option<NodeId>) -> Seen {
        let is_me = member.member == self.answer.identity.member;
        if !is_me && !self.up.contains(&member.member) {
            return Seen::Down;
        }
        let applied = node.and_then(|node| self.accounts.get(&node)).and_then(|account| account.applied);
        let leaders = self.answer.index.unwrap_or(u64::MAX);
        let has_caught_up = applied.is_some_and(|applied| applied >= leaders / OF_TEN * CAUGHT_UP);
        if is_me || member.votes || has_caught_up { Seen::CaughtUp } else { Seen::Up }
    }

    /// An agent, as it is seen here and, if it is away, by the living agents of the voters.
    fn agent(&self, node: NodeId, voters: &BTreeSet<NodeId>) -> Agent {
        let gossips = self.gossips(node);
        let is_me = node == self.snapshot.about.id;
        let account = self.accounts.get(&node);
        let away = match gossips.map(|member| member.status) {
            _ if is_me => None,
            Some(MemberStatus::Alive | MemberStatus::Suspect) => None,
            Some(MemberStatus::Failed) => Some(Away::Failed),
            Some(MemberStatus::Left) => Some(Away::Left),
            None => Some(Away::Forgotten),
        };
        Agent {
            name: self.name(node).unwrap_or_else(|| node.to_string()),
            life: away.map_or(Life::Alive, |away| {
                if self.is_away_for_all(node, voters) {
                    Life::AwayForAll(away)
                } else {
                    Life::AwayForSome(away)
                }
            }),
            role: gossips.map_or(Role::Server, |member| member.role),
            // The own server answers.
            server: account
                .map_or(if is_me { Beside::Begun } else { Beside::Unknown }, |it| it.server.into()),
            is_proven: self.policy.has_group_key && (is_me || account.is_some()),
            // One that leaves for good wishes its removal itself.
            is_leaving: false,
            address: self.address(node),
        }
    }

    /// True if all other agents of voters that live have answered that this one is away.
    fn is_away_for_all(&self, node: NodeId, voters: &BTreeSet<NodeId>) -> bool {
        let lives = |id: &&NodeId| self.gossips(**id).is_some_and(|member| member.status.is_active());
        let others = voters.iter().filter(|id| **id != node && **id != self.snapshot.about.id);
        let says_so = |id: &NodeId| self.accounts.get(id).is_some_and(|account| account.has_away(node));
        others.filter(lives).all(says_so)
    }
}
