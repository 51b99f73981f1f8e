//! The steps of the small world: what happens to servers, and what the agents do by the rules that ship.

use std::{collections::BTreeMap, time::Instant};

use super::{
    instance::{Fault, Instance, Promise, Steps},
    state::{Is, Server, State},
    translation,
};
use crate::admission::{
    Change, Kind, Step,
    fixture::{self, id, member},
    judge::Judge,
    majority::majority,
};

/// Version of the list in every state; the list before has the one below.
const VERSION: u64 = 7;

/// A step of the world: the state after it, its name, and true if it comes by the rules and time alone.
pub(super) struct Next {
    pub(super) state: State,
    pub(super) name: String,
    pub(super) by_itself: bool,
}

pub(super) struct World<'a> {
    instance: &'a Instance,
    /// Steps of the agents by what they look at: conditions, version, and an agent that has looked only once.
    judged: BTreeMap<(Vec<Is>, u64, bool), Vec<Step>>,
    start: Instant,
}

impl<'a> World<'a> {
    pub(super) fn new(instance: &'a Instance) -> Self {
        Self { instance, judged: BTreeMap::new(), start: fixture::start() }
    }

    pub(super) fn first(&self) -> State {
        let server = |is, in_baseline| Server { is, in_baseline, is_last: false };
        let voters = std::iter::repeat_n(server(Is::Voter, true), self.instance.voters);
        let mut servers: Vec<_> =
            voters.chain(std::iter::repeat_n(server(Is::Absent, false), self.instance.joiners)).collect();
        servers.sort();
        State {
            servers,
            crashes: self.instance.crashes,
            joiner_crashes: self.instance.joiner_crashes,
            leaves: self.instance.leaves,
            admitter_is_gone: false,
        }
    }

    /// True if the quorum is lost, or a removed one votes.
    pub(super) fn is_lost(&self, state: &State) -> bool {
        let conditions = state.conditions();
        let voters = conditions.iter().filter(|is| is.is_voter()).count();
        let up = conditions.iter().filter(|is| is.is_up()).count();
        up < majority(voters) || conditions.contains(&Is::RemovedVotes)
    }

    /// Every step from a state; from one that is lost there is no way back.
    pub(super) fn steps(&mut self, state: &State) -> Vec<Next> {
        let mut out = Vec::new();
        for (at, server) in state.servers.iter().enumerate() {
            // Equal servers are one.
            if !state.servers[..at].contains(server) {
                self.faults(state, at, &mut out);
                self.events(state, at, &mut out);
            }
        }
        self.agents(state, &mut out);
        out
    }

    /// A voter crashes. One of the baseline does so only while a majority of the baseline stays.
    fn faults(&self, state: &State, at: usize, out: &mut Vec<Next>) {
        let heals = self.instance.heals;
        let is_down = |server: &&Server| {
            let is = server.is;
            server.in_baseline
                && (is.is_down()
                    || matches!(is, Is::Removed | Is::RemovedLost)
                    || is == Is::RemovedBack && !heals)
        };
        let baseline = state.servers.iter().filter(|server| server.in_baseline).count();
        let down = state.servers.iter().filter(is_down).count();
        let server = state.servers[at];
        let is_borne = !server.in_baseline || down < baseline.saturating_sub(1) / 2;
        if !server.is.is_up() || state.crashes == 0 || !is_borne {
            return;
        }
        for fault in self.instance.faults {
            let (is, name) = match fault {
                Fault::Lost => (Is::Lost, "a voter is lost for ever"),
                Fault::Down => (Is::Down, "a voter fails or leaves"),
                Fault::ServerDown => (Is::ServerDown, "a server crashes, its agent lives"),
            };
            let crashed = State { crashes: state.crashes - 1, ..state.clone() };
            out.push(world(crashed.clone(), at, is, name));
            if state.servers.iter().any(|server| server.is.is_pending()) {
                let admitter = State { admitter_is_gone: true, ..crashed };
                out.push(world(admitter, at, is, "a voter crashes, who admitted"));
            }
        }
    }

    fn events(&self, state: &State, at: usize, out: &mut Vec<Next>) {
        let mut world = |is, name| out.push(world(state.clone(), at, is, name));
        let is = state.servers[at].is;
        match is {
            Is::Down | Is::ServerDown => world(Is::Voter, "it comes back with its data"),
            Is::DownLong if self.instance.keeps(Promise::FreshLook) => {
                world(Is::Voter, "it comes back with its data");
            }
            Is::DownLong => world(Is::UpAgain, "it comes back with its data"),
            Is::Removed => world(Is::RemovedBack, "the removed one comes back"),
            Is::Voter if state.leaves > 0 => {
                let told = State { leaves: state.leaves - 1, ..state.clone() };
                out.push(self::world(told, at, Is::Leaving, "leave --for-good is said"));
            }
            _ => {}
        }
        if matches!(is, Is::Down | Is::DownLong) {
            out.push(self::world(state.clone(), at, Is::Blank, "it comes back blank"));
        }
        if state.joiner_crashes > 0 {
            let crashed = State { joiner_crashes: state.joiner_crashes - 1, ..state.clone() };
            let dead = match is {
                Is::Joiner => Some(Is::Ended),
                Is::Learner if !self.instance.is_fine => Some(Is::Ended),
                Is::Learner | Is::NewLearner | Is::CatchingUp => Some(Is::DeadLearner),
                Is::Pending => Some(Is::PendingDead),
                _ => None,
            };
            out.extend(dead.map(|dead| self::world(crashed, at, dead, "a newcomer dies")));
        }
        let mut by_itself = |is, name| {
            out.push(Next { by_itself: true, ..self::world(state.clone(), at, is, name) });
        };
        match is {
            Is::Absent => by_itself(Is::Joiner, "a joiner appears"),
            Is::Down if !self.instance.never_replaced => by_itself(Is::DownLong, "--replace-failed passes"),
            Is::Lost if !self.instance.never_replaced => by_itself(Is::LostLong, "--replace-failed passes"),
            Is::Pending => by_itself(Is::Voter, "the admitted one is up"),
            Is::Stopping => by_itself(Is::Lost, "is down"),
            Is::NewLearner => by_itself(Is::CatchingUp, "the learner runs"),
            Is::CatchingUp => by_itself(Is::Learner, "the learner has caught up"),
            _ => {}
        }
    }

    /// Steps of the agent beside the leader, and of the one beside a deposed leader, whose list is the one before.
    fn agents(&mut self, state: &State, out: &mut Vec<Next>) {
        let conditions = state.conditions();
        let mut views = vec![(conditions.clone(), VERSION, "")];
        if let Some(last) = state.servers.iter().position(|server| server.is_last) {
            let mut before = conditions.clone();
            let was_removed = before[last].is_removed() || before[last] == Is::Ended;
            before[last] = match self.instance.has_learners {
                _ if was_removed => Is::LostLong,
                true => Is::Learner,
                false => Is::Joiner,
            };
            views.push((before, VERSION - 1, " by the list before"));
        }
        if conditions.contains(&Is::UpAgain) {
            let before = conditions.iter().map(|is| match is {
                Is::UpAgain => Is::DownLong,
                is if is.is_down() => Is::Voter,
                is => *is,
            });
            views.push((before.collect(), VERSION, " by an earlier look"));
        }
        let is_fresh = state.admitter_is_gone && !self.instance.keeps(Promise::AllLook);
        for (view, version, tag) in views {
            for step in self.judge(&view, version, is_fresh) {
                // The server refuses a change whose condition does not hold.
                if step.on_version.is_none_or(|version| version == VERSION) {
                    out.extend(self.made(state, &conditions, &step.change, tag));
                }
            }
        }
    }

    /// The steps that the rules allow by this view.
    fn judge(&mut self, view: &[Is], version: u64, is_fresh: bool) -> Vec<Step> {
        let key = (view.to_vec(), version, is_fresh);
        if let Some(steps) = self.judged.get(&key) {
            return steps.clone();
        }
        let room = match (self.instance.has_learners, self.instance.is_fine) {
            (false, _) => 0,
            (true, false) => usize::MAX,
            (true, true) => 1,
        };
        let swaps: &[bool] = match self.instance.steps {
            Steps::All { one: true } | Steps::First { can_swap: true } => &[true],
            Steps::All { one: false } => &[false, true],
            Steps::First { can_swap: false } => &[false],
        };
        let mut steps = Vec::new();
        for can_swap in swaps {
            let admits_beside_the_dead = !self.instance.is_strict;
            let kind = Kind { learner_room: room, can_swap: *can_swap, admits_beside_the_dead };
            let look = translation::look(view, self.instance, kind, version);
            let (times, now) = translation::times(view, self.instance, kind, self.start, is_fresh);
            let judge = Judge::new(&look, &times, now, self.instance.rules());
            match self.instance.steps {
                Steps::All { .. } => steps.extend(judge.steps()),
                Steps::First { .. } => steps.extend(judge.outlook().step),
            }
        }
        self.judged.insert(key, steps.clone());
        steps
    }

    /// The state after a change that the server makes; none if its members are not as the change would have them.
    fn made(&self, state: &State, is: &[Is], change: &Change, tag: &str) -> Option<Next> {
        let node = |of| (0..is.len()).find(|server| id(*server) == of);
        let server = |of| (0..is.len()).find(|server| member(*server) == of);
        let (changes, last) = match change {
            Change::AdmitLearner(newcomer) => {
                let at = node(newcomer.node)?;
                let learner = if self.instance.is_fine { Is::NewLearner } else { Is::Learner };
                (vec![(at, admitted(is[at], learner)?)], None)
            }
            Change::AdmitVoter(newcomer) => {
                let at = node(newcomer.node)?;
                (vec![(at, admitted(is[at], Is::Pending)?)], Some(at))
            }
            Change::Promote(learner) => {
                let at = server(learner.id.clone())?;
                (vec![(at, promoted(is[at])?)], Some(at))
            }
            Change::Remove(removed, _) => {
                let at = server(removed.id.clone())?;
                if is[at] == Is::Leaving && !self.instance.keeps(Promise::StopsRemoved) {
                    (vec![(at, Is::Stopping)], None)
                } else {
                    (vec![(at, gone(is[at])?)], Some(at))
                }
            }
            Change::RemoveAndPromote { voter, learner } => {
                let (at, with) = (server(voter.id.clone())?, server(learner.id.clone())?);
                (vec![(at, gone(is[at])?), (with, promoted(is[with])?)], Some(at))
            }
            Change::UpdateAddress { .. } => return None,
        };
        let name = format!("{change}{tag}");
        Some(Next { state: state.clone().changed(&changes, last), name, by_itself: true })
    }
}

fn world(state: State, at: usize, is: Is, name: &str) -> Next {
    Next { state: state.changed(&[(at, is)], None), name: name.to_owned(), by_itself: false }
}

/// The condition after an admission; one that holds data votes with it.
fn admitted(is: Is, blank: Is) -> Option<Is> {
    match is {
        Is::Joiner => Some(blank),
        Is::RemovedBack => Some(Is::RemovedVotes),
        _ => None,
    }
}

/// The condition after a vote was given.
fn promoted(is: Is) -> Option<Is> {
    match is {
        Is::Learner => Some(Is::Voter),
        Is::NewLearner | Is::CatchingUp => Some(Is::Pending),
        Is::DeadLearner => Some(Is::PendingDead),
        _ => None,
    }
}

/// The condition after a removal from the list.
fn gone(is: Is) -> Option<Is> {
    (is.is_voter() || is.is_learner()).then(|| is.removed())
}
