//! The outcome of one look: at most one step, and for each agent that waits, for what.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    judge::{Judge, named},
    list::{Listed, Seen},
    look::Agent,
    step::{Change, Step},
    wait::Wait,
};
use crate::{bootstrap::ServerId, node::NodeId};

/// The outcome of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The change to make now, if there is one. It is made or forgotten before the next look.
    pub step: Option<Step>,
    /// Reasons for which agents wait: to be admitted, to get a vote, to leave. Each is told its own.
    pub waits: BTreeMap<NodeId, Wait>,
    /// The number that must be told to those who lack it, where servers have numbers.
    pub spread: Option<Spread>,
}

/// The highest number that was given, and who has yet to write it to disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The number.
    pub number: u64,
    /// Agents of living voters that do not have it on disk.
    pub to: BTreeSet<NodeId>,
}

impl Judge<'_> {
    /// The first step that the rules allow, and the reasons of those who wait.
    pub(super) fn outlook(&self) -> Outlook {
        let step = self.steps().into_iter().next();
        let agents = self.look.agents.iter().map(|(node, agent)| (*node, agent));
        let waits = agents
            .filter(|(node, _)| !step.as_ref().is_some_and(|step| self.is_about(&step.change, *node)))
            .filter_map(|(node, agent)| Some((node, self.wait(node, agent)?)))
            .collect();
        Outlook { step, waits, spread: self.spread() }
    }

    /// True if a change admits this agent's server, gives it a vote, or lets it leave.
    fn is_about(&self, change: &Change, node: NodeId) -> bool {
        let is_of = |id: &ServerId| self.look.list.members.get(id).is_some_and(|it| it.node == Some(node));
        match change {
            Change::AdmitLearner(newcomer) | Change::AdmitVoter(newcomer) => newcomer.node == node,
            Change::Promote(member) | Change::Remove(member, _) => is_of(&member.id),
            Change::RemoveAndPromote { voter, learner } => is_of(&voter.id) || is_of(&learner.id),
            Change::UpdateAddress { .. } => false,
        }
    }

    /// The reason for which an agent waits, if it does.
    fn wait(&self, node: NodeId, agent: &Agent) -> Option<Wait> {
        if !agent.is_alive() {
            return None;
        }
        match self.look.member_of(node) {
            Some((id, member)) if agent.is_leaving => {
                Some(self.quorum().and_then(|()| self.may_leave(id, member)).err().unwrap_or(Wait::InLine))
            }
            Some((id, learner)) if !learner.is_voter => Some(self.learner_waits(id, learner)),
            Some(_) => None,
            None if !self.is_candidate(node, agent) => None,
            None => Some(self.joiner_waits(node, agent)),
        }
    }

    /// Says whether the list can be changed at all.
    ///
    /// # Errors
    /// No majority of it is up.
    pub(super) fn quorum(&self) -> Result<(), Wait> {
        let (up, voters) = (self.tally.up, self.tally.voters);
        if self.bears(self.tally) { Ok(()) } else { Err(Wait::QuorumLost { up, voters }) }
    }

    fn joiner_waits(&self, node: NodeId, agent: &Agent) -> Wait {
        let has_learners = self.look.list.kind.has_learners();
        let room = || if has_learners { self.may_learn() } else { self.may_vote_at_once() };
        let all = self.may_join(agent).and_then(|()| self.quorum()).and_then(|()| room());
        all.and_then(|()| self.newcomer(node, agent)).err().unwrap_or(Wait::InLine)
    }

    /// The reason for which a learner has no vote.
    pub(super) fn learner_waits(&self, id: &ServerId, learner: &Listed) -> Wait {
        match learner.seen {
            Seen::Down => self.not_up_yet(id, learner),
            Seen::Up => Wait::CatchingUp,
            Seen::CaughtUp => self.quorum().and_then(|()| self.may_vote()).err().unwrap_or(Wait::InLine),
        }
    }

    /// Says whether one that has caught up may have a vote.
    ///
    /// # Errors
    /// It may not, for that reason.
    pub(super) fn may_vote(&self) -> Result<(), Wait> {
        match self.first_down(None) {
            Some((id, voter)) if self.look.is_gone(voter) && !(self.has_place() && self.may_grow()) => {
                Err(self.down(id, voter))
            }
            _ if !self.has_place() => Err(self.enough()),
            Some((id, voter)) if !self.may_grow() => Err(self.down(id, voter)),
            _ => Ok(()),
        }
    }

    fn spread(&self) -> Option<Spread> {
        let numbers = self.look.numbers.as_ref()?;
        let number = numbers.highest(&self.look.list);
        let lacks = |node: &NodeId| numbers.on_disk.get(node).is_none_or(|on_disk| *on_disk < number);
        let is_alive = |node: &NodeId| self.look.agents.get(node).is_some_and(Agent::is_alive);
        let nodes = self.look.voters().filter_map(|(_, voter)| voter.node);
        let to: BTreeSet<_> = nodes.filter(|node| is_alive(node) && lacks(node)).collect();
        (!to.is_empty()).then_some(Spread { number, to })
    }

    /// The reason to wait for a member that is not up.
    pub(super) fn absent(&self, id: &ServerId, voter: &Listed) -> Wait {
        if self.times.not_up_since(id).is_some() {
            return self.not_up_yet(id, voter);
        }
        if self.look.is_gone(voter) {
            self.down(id, voter)
        } else {
            Wait::VoterDown { voter: named(id, voter) }
        }
    }
}
