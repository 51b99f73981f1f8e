//! The rules for an operator's wish: as for a step of the agents' own, but for what only an operator can know.
//!
//! A word may go beyond `--voters`, do without a group key, replace a voter that is not gone, and take a single voter without
//! learners through the admission of a second. It never leaves a list less than a majority of which is up but for that last
//! one, which says so.

use super::{
    ask::{Answer, Ask, HasGroupKey, Note, Plan, Refused, Then},
    judge::{Judge, named},
    list::Listed,
    look::{Agent, Beside},
    majority::Tally,
    step::{Change, Removal},
    wait::Wait,
};
use crate::{
    bootstrap::ServerId,
    node::{NodeId, Role},
};

/// Outcome of a judgement over a wish.
type Judged = Result<Answer, Refused>;

/// A judge of operators' wishes.
pub(super) struct Planner<'a> {
    judge: Judge<'a>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(judge: Judge<'a>) -> Self {
        Self { judge }
    }

    /// The answer to a wish.
    ///
    /// # Errors
    /// It is refused, and the error says why and what to do.
    pub(super) fn answer(&self, ask: &Ask) -> Judged {
        match ask {
            Ask::Add(node) => self.add(*node),
            Ask::Remove(id) => self.remove(id),
            Ask::Replace(id) => self.replace(id),
        }
    }

    fn add(&self, node: NodeId) -> Judged {
        let agent = self.judge.look.agents.get(&node).ok_or(Refused::UnknownAgent(node))?;
        match self.judge.look.member_of(node) {
            Some((_, member)) if member.is_voter && member.is_up() => Ok(Answer::Done),
            Some((id, member)) if member.is_voter => Ok(Answer::Waits(self.judge.absent(id, member))),
            Some((id, learner)) => self.add_vote(id, learner),
            None => self.add_newcomer(node, agent),
        }
    }

    /// A vote for a learner.
    fn add_vote(&self, id: &ServerId, learner: &Listed) -> Judged {
        self.judge.quorum().map_err(Refused::For)?;
        self.willing_beside(learner)?;
        if !self.judge.is_ready(learner) {
            return Ok(Answer::Waits(self.judge.learner_waits(id, learner)));
        }
        self.grows().map_err(Refused::For)?;
        let notes = self.grown_notes(true);
        Ok(self.does(Change::Promote(named(id, learner)), Vec::new(), notes))
    }

    /// An admission.
    fn add_newcomer(&self, node: NodeId, agent: &Agent) -> Judged {
        willing(agent)?;
        self.judge.quorum().map_err(Refused::For)?;
        self.judge.is_blank(agent).map_err(Refused::For)?;
        if self.judge.look.settings.has_group_key && !agent.is_proven {
            return Err(Refused::For(Wait::NotProven));
        }
        let newcomer = self.judge.newcomer(node, agent).map_err(Refused::For)?;
        let name = agent.name.clone();
        if self.judge.look.list.kind.has_learners() {
            self.judge.may_learn().map_err(Refused::For)?;
            let mut notes = self.grown_notes(true);
            notes.retain(|note| !matches!(note, Note::Spare { .. }));
            notes.extend(self.grows().err().map(Note::VoteAfter));
            let then = vec![Then::Starts(name.clone()), Then::Votes(name)];
            return Ok(self.does(Change::AdmitLearner(newcomer), then, notes));
        }
        if let Some((id, late)) = self.judge.first_not_up() {
            return Err(Refused::For(self.judge.not_up_yet(id, late)));
        }
        self.grows().map_err(Refused::For)?;
        let mut notes = self.grown_notes(false);
        if !self.judge.tally.with(false).has_quorum() {
            if self.judge.tally.voters > 1 {
                return Err(Refused::For(Wait::QuorumLost {
                    up: self.judge.tally.up,
                    voters: self.judge.tally.voters,
                }));
            }
            notes.push(Note::NoQuorumUntilUp(name.clone()));
        }
        Ok(self.does(Change::AdmitVoter(newcomer), vec![Then::Starts(name)], notes))
    }

    /// Says whether one vote more is allowed by those that are down.
    fn grows(&self) -> Result<(), Wait> {
        match self.judge.first_down(None).filter(|_| !self.judge.may_grow()) {
            Some((id, voter)) => Err(self.judge.absent(id, voter)),
            None => Ok(()),
        }
    }

    fn remove(&self, id: &ServerId) -> Judged {
        let Some(member) = self.judge.look.list.members.get(id) else { return Ok(Answer::Done) };
        self.judge.quorum().map_err(Refused::For)?;
        self.may_be_removed(id, member).map_err(Refused::For)?;
        let notes =
            if member.is_voter { self.notes(self.judge.tally.without(member.is_up())) } else { Vec::new() };
        Ok(self.does(Change::Remove(named(id, member), Removal::Asked), Vec::new(), notes))
    }

    /// Says whether an operator may remove a member: one that is up as if it left, one that is down if the others are a majority.
    fn may_be_removed(&self, id: &ServerId, member: &Listed) -> Result<(), Wait> {
        if member.is_up() || !member.is_voter || self.judge.tally.voters <= 1 {
            return self.judge.may_leave(id, member);
        }
        let rest = self.judge.tally.without(false);
        if !rest.has_quorum() {
            return Err(Wait::QuorumLost { up: rest.up, voters: rest.voters });
        }
        self.judge.may_lose_number(id)
    }

    fn replace(&self, id: &ServerId) -> Judged {
        let voter = self.judge.look.list.members.get(id).ok_or_else(|| Refused::NotListed(id.clone()))?;
        if !voter.is_voter {
            return Err(Refused::NoVoter(named(id, voter)));
        }
        self.judge.quorum().map_err(Refused::For)?;
        if let Some(change) = self.judge.swap(id, voter) {
            self.judge.may_lose_number(id).map_err(Refused::For)?;
            let rest = self.judge.tally.without(voter.is_up()).with(true);
            if !rest.has_quorum() {
                return Err(Refused::For(Wait::QuorumLost { up: rest.up, voters: rest.voters }));
            }
            return Ok(self.does(change, Vec::new(), self.notes(rest)));
        }
        if let Some((_, learner)) = self.judge.ready().next() {
            return self.removed_for(id, voter, vec![Then::Votes(learner.name.clone())], None);
        }
        if let Some(agent) = self.takes_its_own_place(voter) {
            return self.removed_for(id, voter, self.arrival(agent), Some(&agent.name));
        }
        if self.judge.look.list.kind.has_learners() {
            return self.replaced_by_a_learner(id, voter);
        }
        match self.judge.joiners().next() {
            Some((_, agent)) => self.removed_for(id, voter, self.arrival(agent), None),
            None => Err(self.no_newcomer(id, voter)),
        }
    }

    /// The first step where a newcomer must run as a learner before the voter goes.
    fn replaced_by_a_learner(&self, id: &ServerId, voter: &Listed) -> Judged {
        if let Some((learner_id, learner)) = self.judge.look.learners().next() {
            return Ok(Answer::Waits(self.judge.learner_waits(learner_id, learner)));
        }
        let (node, agent) = self.judge.joiners().next().ok_or_else(|| self.no_newcomer(id, voter))?;
        if !voter.is_up() && !self.judge.look.list.kind.admits_beside_the_dead {
            return self.removed_for(id, voter, self.arrival(agent), None);
        }
        self.may_be_removed(id, voter).map_err(Refused::For)?;
        self.judge.may_learn().map_err(Refused::For)?;
        let newcomer = self.judge.newcomer(node, agent).map_err(Refused::For)?;
        let learner = agent.name.clone();
        let then = vec![Then::Starts(learner.clone()), Then::Swapped { voter: named(id, voter), learner }];
        Ok(self.does(Change::AdmitLearner(newcomer), then, Vec::new()))
    }

    /// The removal as the first step of a replacement.
    fn removed_for(&self, id: &ServerId, voter: &Listed, then: Vec<Then>, own: Option<&str>) -> Judged {
        self.may_be_removed(id, voter).map_err(Refused::For)?;
        let mut notes = self.notes(self.judge.tally.without(voter.is_up()));
        let is_asked_for = own.filter(|_| !self.judge.look.settings.has_group_key);
        notes.extend(is_asked_for.map(|name| Note::AddAfterwards(name.to_owned())));
        Ok(self.does(Change::Remove(named(id, voter), Removal::Asked), then, notes))
    }

    /// The agent that can take this voter's place only once it is off the list: beside the same server with its data lost, or a
    /// new one at the same address.
    fn takes_its_own_place(&self, voter: &Listed) -> Option<&Agent> {
        if voter.is_up() {
            return None;
        }
        let is_blank = |agent: &&Agent| {
            let is_blank = matches!(agent.server, Beside::Blank | Beside::Waiting | Beside::Lost);
            is_blank && willing(agent).is_ok()
        };
        let same_address = |(node, agent): (&NodeId, &Agent)| {
            let is_free = self.judge.look.member_of(*node).is_none();
            is_free && voter.address.is_some() && voter.address == agent.address
        };
        let mut agents = self.judge.look.agents.iter();
        let own = self.judge.look.agent_of(voter).filter(is_blank);
        own.or_else(|| {
            agents.find(|(node, agent)| same_address((node, agent)) && is_blank(agent)).map(|it| it.1)
        })
    }

    /// The way of a newcomer to its vote.
    fn arrival(&self, agent: &Agent) -> Vec<Then> {
        let name = agent.name.clone();
        if self.judge.look.list.kind.has_learners() {
            return vec![Then::Starts(name.clone()), Then::Votes(name)];
        }
        vec![Then::Admitted(name.clone()), Then::Starts(name)]
    }

    fn no_newcomer(&self, id: &ServerId, voter: &Listed) -> Refused {
        Refused::NoNewcomer(named(id, voter), HasGroupKey(self.judge.look.settings.has_group_key))
    }

    fn willing_beside(&self, member: &Listed) -> Result<(), Refused> {
        self.judge.look.agent_of(member).map_or(Ok(()), willing)
    }

    fn does(&self, change: Change, then: Vec<Then>, notes: Vec<Note>) -> Answer {
        Answer::Does(Plan { step: self.judge.step(change), then, notes })
    }

    /// Consequences of a list with one voter more.
    fn grown_notes(&self, is_up: bool) -> Vec<Note> {
        let new = self.judge.tally.with(is_up);
        let mut notes = self.notes(new);
        let most = self.judge.look.most_voters();
        notes.extend((new.voters > most).then_some(Note::Beyond { most }));
        notes
    }

    /// Consequences of a new list.
    fn notes(&self, new: Tally) -> Vec<Note> {
        let (before, after) = (self.judge.tally.spare(), new.spare());
        let spare = (before != after).then_some(Note::Spare { before, after });
        let even = (new.is_even() && new.voters > 0).then_some(Note::Even { voters: new.voters });
        spare.into_iter().chain(even).collect()
    }
}

/// Says whether an agent's server can be a member at all.
fn willing(agent: &Agent) -> Result<(), Refused> {
    if agent.role == Role::Observer {
        return Err(Refused::Observer(agent.name.clone()));
    }
    if !agent.is_alive() {
        return Err(Refused::NotAlive(agent.name.clone()));
    }
    if agent.is_leaving { Err(Refused::Leaves(agent.name.clone())) } else { Ok(()) }
}
