//! The rules of admission over one look: every step that they allow, in the order in which steps are preferred.

use std::time::{Duration, Instant};

use super::{
    list::{Listed, Seen},
    look::{Agent, Beside, Look},
    majority::Tally,
    rule::{Rule, Rules},
    step::{Change, Named, Newcomer, Removal, Step},
    times::Times,
    wait::Wait,
};
use crate::{
    bootstrap::ServerId,
    node::{NodeId, Role},
};

/// Time that an admitted server has to come up, and a learner that is not seen to come back (servers.md): an order of magnitude
/// more than a server's start takes, and short beside `--replace-failed`.
pub(super) const TIME_TO_COME_UP: Duration = Duration::from_secs(120);

/// One look under judgement. It has nothing of its own and changes nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) look: &'a Look,
    pub(super) times: &'a Times,
    pub(super) now: Instant,
    pub(super) rules: Rules,
    pub(super) tally: Tally,
}

impl<'a> Judge<'a> {
    pub(super) fn new(look: &'a Look, times: &'a Times, now: Instant, rules: Rules) -> Self {
        Self { look, times, now, rules, tally: look.tally() }
    }

    /// Every step that the rules allow by themselves. Of these one is taken, the first: the order decides who is first in line,
    /// and no order costs a quorum (the exhaustive check takes them in all orders).
    pub(super) fn steps(&self) -> Vec<Step> {
        if self.tally.voters == 0 || !self.bears(self.tally) {
            return Vec::new();
        }
        let mut changes = self.addresses();
        changes.extend(self.not_up());
        changes.extend(self.gone());
        changes.extend(self.leaving());
        changes.extend(self.promotions());
        changes.extend(self.admissions());
        changes.into_iter().map(|change| self.step(change)).collect()
    }

    /// A change, on the condition of the list that was looked at.
    pub(super) fn step(&self, change: Change) -> Step {
        let on_version = self.look.list.version.filter(|_| self.rules.has(Rule::Version));
        Step { change, on_version }
    }

    /// True if a majority of that list is up.
    pub(super) fn bears(&self, tally: Tally) -> bool {
        tally.has_quorum() || !self.rules.has(Rule::Majority)
    }

    /// The first voter that an odd list waits for, besides `but`: one that is gone rather than one that is down.
    pub(super) fn first_down(&self, but: Option<&ServerId>) -> Option<(&'a ServerId, &'a Listed)> {
        let is_down = |voter: &Listed| {
            if self.rules.has(Rule::Seen) { !voter.is_up() } else { self.look.is_gone(voter) }
        };
        let down = || self.look.voters().filter(|(id, voter)| Some(*id) != but && is_down(voter));
        let gone = down().find(|(_, voter)| self.look.is_gone(voter));
        gone.or_else(|| down().next())
    }

    /// A voter that was admitted and has not come up.
    pub(super) fn first_not_up(&self) -> Option<(&'a ServerId, &'a Listed)> {
        self.look.voters().find(|(id, voter)| !voter.is_up() && self.times.not_up_since(id).is_some())
    }

    /// True if a vote more is allowed by the voters that are not seen.
    pub(super) fn may_grow(&self) -> bool {
        self.tally.is_even() || self.first_down(None).is_none() || !self.rules.has(Rule::NeverOutnumber)
    }

    /// True if there are fewer voters than are to be.
    pub(super) fn has_place(&self) -> bool {
        self.tally.voters < self.look.most_voters() || !self.rules.has(Rule::Enough)
    }

    /// A member that must first have its number known to those that stay may not go yet.
    pub(super) fn may_lose_number(&self, member: &ServerId) -> Result<(), Wait> {
        self.look.numbers.as_ref().map_or(Ok(()), |numbers| numbers.may_remove(&self.look.list, member))
    }

    /// Address of each member whose agent announces another than the list has. A wrong one costs at most a vote that the
    /// majority does not need: the member is not seen anyway, or the others are a majority without it.
    fn addresses(&self) -> Vec<Change> {
        let wanted = |(id, member): (&ServerId, &Listed)| {
            let agent = self.look.agent_of(member).filter(|agent| agent.is_alive() && agent.is_proven)?;
            let (listed, address) = (member.address.as_ref()?, agent.address.as_ref()?);
            let without = Tally { up: self.tally.up - usize::from(member.is_up()), ..self.tally };
            let bears = !member.is_voter || self.bears(without);
            let is_wanted = listed != address && bears && self.look.settings.has_group_key;
            is_wanted.then(|| Change::UpdateAddress { member: named(id, member), address: address.clone() })
        };
        self.look.list.members.iter().filter_map(wanted).collect()
    }

    /// Removal of those that were admitted and are not up in time.
    fn not_up(&self) -> Vec<Change> {
        let is_late = |id: &ServerId, member: &Listed| {
            let since = self.times.not_up_since(id).filter(|_| !member.is_up());
            let waited = since.map(|since| self.now.saturating_duration_since(since));
            let patience = if self.rules.has(Rule::TwoMinutes) { TIME_TO_COME_UP } else { Duration::ZERO };
            waited.is_some_and(|waited| waited >= patience) && self.rules.has(Rule::NotUp)
        };
        let late = self.look.list.members.iter().filter(|(id, member)| is_late(id, member));
        late.filter(|(id, member)| self.may_go(id, member))
            .map(|(id, member)| Change::Remove(named(id, member), Removal::NotUp))
            .collect()
    }

    /// True if the list bears the loss of this member, and its number is known to those that stay.
    fn may_go(&self, id: &ServerId, member: &Listed) -> bool {
        let rest = if member.is_voter { self.tally.without(member.is_up()) } else { self.tally };
        self.bears(rest) && self.may_lose_number(id).is_ok()
    }

    /// Replacement of voters that are gone for long enough, and their removal where that is better than nothing.
    fn gone(&self) -> Vec<Change> {
        let mut due: Vec<_> = self.look.voters().filter(|(id, voter)| self.is_due(id, voter)).collect();
        due.sort_by_key(|(id, _)| self.times.gone_since(id));
        due.into_iter().filter_map(|(id, voter)| self.replacement(id, voter)).collect()
    }

    /// True if a voter has been gone for `--replace-failed`.
    pub(super) fn is_due(&self, id: &ServerId, voter: &Listed) -> bool {
        let Some(patience) = self.look.settings.replace_failed else { return false };
        let patience = if self.rules.has(Rule::Patience) { patience } else { Duration::ZERO };
        if !self.rules.has(Rule::Gone) {
            return !voter.is_up();
        }
        let since = self.times.gone_since(id).filter(|_| self.look.is_gone(voter));
        since.is_some_and(|since| self.now.saturating_duration_since(since) >= patience)
    }

    /// The change that a gone voter calls for, if its time has come.
    fn replacement(&self, id: &ServerId, voter: &Listed) -> Option<Change> {
        if !self.may_go(id, voter) {
            return None;
        }
        let remove = || Change::Remove(named(id, voter), Removal::Gone);
        let learner_first = self.look.list.kind.has_learners() && self.rules.has(Rule::First);
        if learner_first && !self.tally.is_even() {
            let takes_over = self.ready().next().is_some() || self.needs_room();
            return self.swap(id, voter).or_else(|| takes_over.then(remove));
        }
        let is_worth_it = self.tally.is_even() && self.rules.has(Rule::Even)
            || self.has_joiner()
            || !self.rules.has(Rule::Joiner);
        (is_worth_it && self.first_not_up().is_none()).then(remove)
    }

    /// True if a newcomer waits that the server takes only once the dead are off its list.
    fn needs_room(&self) -> bool {
        let has_room = self.look.list.kind.admits_beside_the_dead || self.look.learners().next().is_some();
        !has_room && self.joiners().next().is_some()
    }

    /// Removal and promotion in one change, where the server can and a learner is ready.
    pub(super) fn swap(&self, id: &ServerId, voter: &Listed) -> Option<Change> {
        let (learner, member) = self.ready().next().filter(|_| self.look.list.kind.can_swap)?;
        Some(Change::RemoveAndPromote { voter: named(id, voter), learner: named(learner, member) })
    }

    /// True if somebody waits who would take a removed one's place.
    pub(super) fn has_joiner(&self) -> bool {
        self.ready().next().is_some() || self.joiners().next().is_some()
    }

    /// Removal of those that were told to leave for good.
    fn leaving(&self) -> Vec<Change> {
        let leaves = |member: &Listed| {
            self.look.agent_of(member).is_some_and(|agent| agent.is_leaving && agent.is_alive())
        };
        let members = self.look.list.members.iter().filter(|(_, member)| leaves(member));
        members
            .filter(|(id, member)| self.may_leave(id, member).is_ok())
            .map(|(id, member)| Change::Remove(named(id, member), Removal::Leaves))
            .collect()
    }

    /// Says whether a member may leave the list while it is well.
    ///
    /// # Errors
    /// It may not, for that reason.
    pub(super) fn may_leave(&self, id: &ServerId, member: &Listed) -> Result<(), Wait> {
        if !member.is_voter {
            return self.may_lose_number(id);
        }
        if self.tally.voters <= 1 && self.rules.has(Rule::Majority) {
            return Err(Wait::LastVoter);
        }
        if let Some((id, late)) = self.first_not_up().filter(|(late, _)| *late != id) {
            return Err(self.not_up_yet(id, late));
        }
        if let Some((down, voter)) = self.first_down(Some(id))
            && !self.tally.is_even()
            && self.rules.has(Rule::Leaver)
        {
            return Err(Wait::VoterDown { voter: named(down, voter) });
        }
        let rest = self.tally.without(member.is_up());
        if !self.bears(rest) {
            return Err(Wait::QuorumLost { up: rest.up, voters: rest.voters });
        }
        self.may_lose_number(id)
    }

    /// The reason to wait for one that was admitted.
    pub(super) fn not_up_yet(&self, id: &ServerId, member: &Listed) -> Wait {
        let since = self.times.not_up_since(id);
        let left =
            since.map(|since| TIME_TO_COME_UP.saturating_sub(self.now.saturating_duration_since(since)));
        Wait::NotUpYet { member: named(id, member), left }
    }

    /// Votes for learners that have caught up.
    fn promotions(&self) -> Vec<Change> {
        if !self.has_place() || !self.may_grow() {
            return Vec::new();
        }
        self.ready().map(|(id, learner)| Change::Promote(named(id, learner))).collect()
    }

    /// The learners that may have a vote: who runs, has caught up and has a living agent beside it, the oldest agent first.
    pub(super) fn ready(&self) -> impl Iterator<Item = (&'a ServerId, &'a Listed)> + use<'a> {
        let judge = *self;
        let mut ready: Vec<_> = self.look.learners().filter(|(_, learner)| judge.is_ready(learner)).collect();
        ready.sort_by_key(|(_, learner)| learner.node);
        ready.into_iter()
    }

    /// True if a learner may have a vote as far as it is concerned.
    pub(super) fn is_ready(&self, learner: &Listed) -> bool {
        let is_willing = |agent: &Agent| agent.is_alive() && agent.role == Role::Server && !agent.is_leaving;
        let has_caught_up = learner.seen == Seen::CaughtUp || !self.rules.has(Rule::CaughtUp);
        has_caught_up && self.look.agent_of(learner).is_some_and(is_willing)
    }

    /// Admissions of those that wait.
    fn admissions(&self) -> Vec<Change> {
        let has_learners = self.look.list.kind.has_learners();
        let mut changes = Vec::new();
        for (node, agent) in self.joiners() {
            if (!has_learners || !self.rules.has(Rule::LearnerFirst)) && self.may_vote_at_once().is_ok() {
                changes.extend(self.newcomer(node, agent).ok().map(Change::AdmitVoter));
            }
            if has_learners && self.may_learn().is_ok() {
                changes.extend(self.newcomer(node, agent).ok().map(Change::AdmitLearner));
            }
        }
        changes
    }

    /// The newcomer with its number.
    ///
    /// # Errors
    /// The number is not known.
    pub(super) fn newcomer(&self, node: NodeId, agent: &Agent) -> Result<Newcomer, Wait> {
        let numbers = self.look.numbers.as_ref();
        let number = numbers.map(|numbers| numbers.next(&self.look.list)).transpose()?;
        Ok(Newcomer { node, name: agent.name.clone(), number })
    }

    /// Says whether the list bears a voter more that is not up.
    ///
    /// # Errors
    /// It does not, for that reason.
    pub(super) fn may_vote_at_once(&self) -> Result<(), Wait> {
        if let Some((down, voter)) = self.first_down(None).filter(|(_, voter)| self.look.is_gone(voter))
            && !(self.may_grow() && self.has_place())
        {
            return Err(self.down(down, voter));
        }
        if !self.has_place() {
            return Err(self.enough());
        }
        if let Some((id, late)) = self.first_not_up().filter(|_| self.rules.has(Rule::OneAtATime)) {
            return Err(self.not_up_yet(id, late));
        }
        if let Some((down, voter)) = self.first_down(None).filter(|_| !self.may_grow()) {
            return Err(self.down(down, voter));
        }
        let new = self.tally.with(false);
        let has_quorum = new.has_quorum() || !self.rules.has(Rule::NewMajority);
        match self.tally.voters {
            _ if has_quorum => Ok(()),
            1 => Err(Wait::SingleVoter),
            voters => Err(Wait::QuorumLost { up: self.tally.up, voters }),
        }
    }

    /// Says whether there is room for a learner more.
    ///
    /// # Errors
    /// There is none, for that reason.
    pub(super) fn may_learn(&self) -> Result<(), Wait> {
        let enough = || if self.has_place() { None } else { Some(self.enough()) };
        if let Some(enough) = enough().filter(|_| !self.rules.has(Rule::Spare)) {
            return Err(enough);
        }
        if let Some((id, down)) =
            self.first_down(None).filter(|_| !self.look.list.kind.admits_beside_the_dead)
        {
            return Err(self.absent(id, down));
        }
        let mut learners = self.look.learners();
        match learners.next() {
            Some((id, learner)) if 1 + learners.count() >= self.look.list.kind.learner_room => {
                Err(enough().unwrap_or_else(|| Wait::LearnerFirst { learner: named(id, learner) }))
            }
            _ => Ok(()),
        }
    }

    /// The reason that names a voter which is not seen.
    pub(super) fn down(&self, id: &ServerId, voter: &Listed) -> Wait {
        let voter_named = named(id, voter);
        if !self.look.is_gone(voter) {
            return Wait::VoterDown { voter: voter_named };
        }
        let gone_for = self
            .times
            .gone_since(id)
            .map_or(Duration::ZERO, |since| self.now.saturating_duration_since(since));
        let left = self.look.settings.replace_failed.map(|patience| patience.saturating_sub(gone_for));
        Wait::VoterToReplace { voter: voter_named, left }
    }

    pub(super) fn enough(&self) -> Wait {
        Wait::EnoughVoters { voters: self.tally.voters, most: self.look.most_voters() }
    }

    /// The agents whose servers may be admitted without a word of anybody, the oldest first.
    pub(super) fn joiners(&self) -> impl Iterator<Item = (NodeId, &'a Agent)> + use<'a> {
        let judge = *self;
        let agents = self.look.agents.iter().map(|(node, agent)| (*node, agent));
        agents.filter(move |(node, agent)| judge.is_candidate(*node, agent) && judge.may_join(agent).is_ok())
    }

    /// True if an agent stands beside a server that wants to be on the list and is not.
    pub(super) fn is_candidate(&self, node: NodeId, agent: &Agent) -> bool {
        let is_willing = agent.is_alive() && agent.role == Role::Server && !agent.is_leaving;
        is_willing && self.look.member_of(node).is_none()
    }

    /// Says whether an agent's server may be admitted without a word of anybody.
    ///
    /// # Errors
    /// It may not, for that reason.
    pub(super) fn may_join(&self, agent: &Agent) -> Result<(), Wait> {
        self.is_blank(agent)?;
        if !self.look.settings.has_group_key && self.rules.has(Rule::GroupKey) {
            return Err(Wait::NoGroupKey);
        }
        if !agent.is_proven && self.rules.has(Rule::Proven) {
            return Err(Wait::NotProven);
        }
        Ok(())
    }

    /// Says whether an agent's server is blank, and its address nobody else's on the list.
    ///
    /// # Errors
    /// It is not, for that reason.
    pub(super) fn is_blank(&self, agent: &Agent) -> Result<(), Wait> {
        match agent.server {
            Beside::Begun if self.rules.has(Rule::Blank) => return Err(Wait::RemovedVoter),
            Beside::Unknown => return Err(Wait::ServerUnknown),
            Beside::Begun | Beside::Blank | Beside::Waiting | Beside::Lost => {}
        }
        let same = |member: &Listed| member.address.is_some() && member.address == agent.address;
        match self.look.list.members.iter().find(|(_, member)| same(member)) {
            Some((id, member)) => Err(Wait::AddressListed { member: named(id, member) }),
            None => Ok(()),
        }
    }
}

/// A member as a step names it.
pub(super) fn named(id: &ServerId, member: &Listed) -> Named {
    Named { id: id.clone(), name: member.name.clone() }
}
