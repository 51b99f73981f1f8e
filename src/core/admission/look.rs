//! Input of one step: the server's list, the agents and the settings, all as they are seen in that step.

use std::{collections::BTreeMap, time::Duration};

use super::{
    list::{List, Listed},
    majority::Tally,
    numbers::Numbers,
    voter_count::VoterCount,
};
use crate::{
    bootstrap::ServerId,
    node::{NodeId, Role},
};

/// Sight of the cluster from beside the leader, taken anew for each step.
///
/// Nothing in it may come from an earlier step: a decision that uses an old sight of who is up takes away a voter that has come
/// back (the exhaustive check has the trace).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The server's own list, as the leader has it.
    pub list: List,
    /// The agents of this cluster that are known here, the forgotten ones included as long as the list has their servers.
    pub agents: BTreeMap<NodeId, Agent>,
    /// Settings of this agent.
    pub settings: Settings,
    /// Answers about numbers, where the server needs small integers; `None` where it does not.
    pub numbers: Option<Numbers>,
}

/// An agent of this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Name for people.
    pub name: String,
    /// Sight of it from the living voters' agents.
    pub life: Life,
    /// Its part; observers are never admitted. `--join-only` and `--bootstrap-expect` are about the founding and do not count.
    pub role: Role,
    /// State of the server beside it, by its last word.
    pub server: Beside,
    /// True if it is of this cluster's name, sealed by the group key, and answered a challenge in this life.
    pub is_proven: bool,
    /// True if it was told `leave --for-good`, by a word that is signed with its own key.
    pub is_leaving: bool,
    /// Address that it announces now for the members of its server.
    pub address: Option<String>,
}

/// Sight of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is alive, or suspected, for this agent.
    Alive,
    /// It is away for this agent, and for some of the other living voters' agents it is not, or they were not asked.
    AwayForSome(Away),
    /// It is away for all living voters' agents.
    AwayForAll(Away),
}

/// Ways to be away; they all count alike, since autoscaling stops hosts in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// It failed.
    Failed,
    /// It left.
    Left,
    /// It gave up its id.
    Retired,
    /// An operator made the others forget it.
    Forgotten,
}

/// State of the server beside an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nobody has attested it.
    Unknown,
    /// It is blank, and none has begun here.
    Blank,
    /// It is blank, was told `join`, and waits to be admitted or started.
    Waiting,
    /// It has begun, or holds data.
    Begun,
    /// It had begun and is blank again: its data is lost, or was emptied by hand.
    Lost,
}

/// Settings of an agent that count for admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `--voters`, if it is given.
    pub voters: Option<VoterCount>,
    /// Number of the cluster's founders, which is how many voters a server without learners has unless `--voters` is given.
    pub founders: usize,
    /// `--replace-failed`; `None` for `never`.
    pub replace_failed: Option<Duration>,
    /// True if a group key is set. Without one nothing is admitted by itself.
    pub has_group_key: bool,
}

impl Look {
    /// The voters on the list.
    pub(super) fn voters(&self) -> impl Iterator<Item = (&ServerId, &Listed)> {
        self.list.members.iter().filter(|(_, member)| member.is_voter)
    }

    /// The members on the list that do not vote.
    pub(super) fn learners(&self) -> impl Iterator<Item = (&ServerId, &Listed)> {
        self.list.members.iter().filter(|(_, member)| !member.is_voter)
    }

    /// Voters, and those of them that the leader sees.
    pub(super) fn tally(&self) -> Tally {
        Tally { voters: self.voters().count(), up: self.voters().filter(|(_, voter)| voter.is_up()).count() }
    }

    /// Most voters that are kept.
    pub(super) fn most_voters(&self) -> usize {
        let unless_given = if self.list.kind.has_learners() { usize::MAX } else { self.settings.founders };
        self.settings.voters.map_or(unless_given, VoterCount::get)
    }

    /// The agent beside a member.
    pub(super) fn agent_of(&self, member: &Listed) -> Option<&Agent> {
        self.agents.get(&member.node?)
    }

    /// The member beside an agent.
    pub(super) fn member_of(&self, node: NodeId) -> Option<(&ServerId, &Listed)> {
        self.list.members.iter().find(|(_, member)| member.node == Some(node))
    }

    /// True if the leader does not see this member and its agent is away for all living voters' agents. A member beside which
    /// there never was an agent is not gone: nobody but an operator knows.
    pub(super) fn is_gone(&self, member: &Listed) -> bool {
        let is_away = |agent: &Agent| matches!(agent.life, Life::AwayForAll(_));
        !member.is_up() && self.agent_of(member).is_some_and(is_away)
    }

    /// True if the list, or where that does not tell its agent, shows that this member was admitted and has not run yet.
    pub(super) fn has_never_run(&self, member: &Listed) -> bool {
        let is_waiting = || self.agent_of(member).is_some_and(|agent| agent.server == Beside::Waiting);
        !member.is_up() && member.has_run.map_or_else(is_waiting, |has_run| !has_run)
    }
}

impl Agent {
    /// True while it is alive for this agent.
    pub(super) fn is_alive(&self) -> bool {
        self.life == Life::Alive
    }
}
