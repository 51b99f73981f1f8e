//! The exhaustive check of admission: every order of events in a small world, with the rules that ship.
//!
//! A **baseline** is the list as it was when all of it were up. A voter of the baseline crashes only while a majority of the
//! baseline stays up, so that without admissions nothing is ever lost, and a quorum that is lost is the rules' doing. A removed
//! one stays in the baseline until a newcomer that is up has its place. From every state that is not lost a good **end** can be
//! reached by the rules and time alone: nobody comes back, no crash, no person.
//!
//! Of each state the real rules are asked, by one translation, for every step that they allow (in whatever order the agents take
//! them), and in other instances for the one step that they give out. In the former the numbers of states are those of the
//! model from which the rules were made, where a rule is left out as well as where none is; the tests say where not, and why.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most conditions of a server are as others to a question about a few"
)]

mod instance;
mod instances;
mod numbers;
mod state;
mod translation;
mod world;

use std::collections::{BTreeMap, VecDeque};

use instance::Instance;
use state::{Is, State};
use world::World;

/// The outcome of an exploration.
struct Explored {
    /// States that were reached.
    states: usize,
    /// States in which the quorum is lost by the rules' doing.
    lost: usize,
    /// States from which no good end can be reached.
    endless: usize,
    /// Least number of voters that are up in a good end, but where somebody must come.
    least: usize,
    /// A shortest way to a state that is lost, else to one without an end.
    trace: String,
}

/// Every state, with the one that it was first reached from.
struct States {
    numbers: BTreeMap<State, usize>,
    from: Vec<(usize, String)>,
    /// States that are reached by the rules and time alone.
    forward: Vec<Vec<usize>>,
}

impl States {
    fn number(&mut self, state: State, from: usize, name: String) -> (usize, bool) {
        let new = self.numbers.len();
        let number = *self.numbers.entry(state).or_insert(new);
        if number == new {
            self.from.push((from, name));
            self.forward.push(Vec::new());
        }
        (number, number == new)
    }

    fn trace(&self, mut state: usize) -> String {
        let last = self.numbers.iter().find(|(_, number)| **number == state);
        let mut names = Vec::new();
        while state != 0 {
            names.push(self.from[state].1.as_str());
            state = self.from[state].0;
        }
        names.reverse();
        format!("{} ={}", names.join(" > "), last.map(|(state, _)| state.to_string()).unwrap_or_default())
    }
}

fn explore(instance: &Instance) -> Explored {
    let mut world = World::new(instance);
    let mut states = States { numbers: BTreeMap::new(), from: Vec::new(), forward: Vec::new() };
    let first = world.first();
    states.number(first.clone(), 0, String::new());
    let mut queue = VecDeque::from([(first, 0)]);
    let (mut lost, mut ends) = (Vec::new(), Vec::new());
    let mut least = usize::MAX;
    while let Some((state, number)) = queue.pop_front() {
        if world.is_lost(&state) {
            lost.push(number);
            continue;
        }
        let mut is_at_rest = true;
        for next in world.steps(&state) {
            let is_same = next.state == state;
            let (to, is_new) = states.number(next.state.clone(), number, next.name);
            if is_new {
                queue.push_back((next.state, to));
            }
            if next.by_itself && !is_same {
                states.forward[number].push(to);
                is_at_rest = false;
            }
        }
        if is_at_rest && is_good(instance, &state) {
            ends.push(number);
            let is = state.conditions();
            if !is.iter().any(|is| matches!(is, Is::Blank | Is::ServerDown)) {
                least = least.min(is.iter().filter(|is| is.is_up()).count());
            }
        }
    }
    let endless = without_end(&states, &lost, ends);
    let trace = lost.first().or(endless.first()).map(|state| states.trace(*state));
    Explored {
        states: states.numbers.len(),
        lost: lost.len(),
        endless: endless.len(),
        least,
        trace: trace.unwrap_or_default(),
    }
}

/// The states that are not lost and from which none of `ends` is reached.
fn without_end(states: &States, lost: &[usize], ends: Vec<usize>) -> Vec<usize> {
    let mut backward = vec![Vec::new(); states.from.len()];
    for (from, next) in states.forward.iter().enumerate() {
        next.iter().for_each(|to| backward[*to].push(from));
    }
    let mut has_end = vec![false; states.from.len()];
    lost.iter().chain(&ends).for_each(|state| has_end[*state] = true);
    let mut queue = ends;
    while let Some(state) = queue.pop() {
        for before in &backward[state] {
            if !has_end[*before] {
                has_end[*before] = true;
                queue.push(*before);
            }
        }
    }
    (0..has_end.len()).filter(|state| !has_end[*state]).collect()
}

/// True if nobody waits in vain, and no dead one weakens the list, unless that takes a person whom a reason names.
fn is_good(instance: &Instance, state: &State) -> bool {
    let conditions = state.conditions();
    let has = |which: fn(Is) -> bool| conditions.iter().any(|is| which(*is));
    let voters = conditions.iter().filter(|is| is.is_voter()).count();
    let waits = has(|is| matches!(is, Is::Joiner | Is::Learner | Is::NewLearner | Is::CatchingUp));
    let leaves = voters > 1 && has(|is| is == Is::Leaving) && !has(Is::is_down);
    if has(Is::is_pending) || has(|is| matches!(is, Is::Stopping | Is::DeadLearner)) || leaves {
        return false;
    }
    let is_persons = has(|is| matches!(is, Is::Blank | Is::ServerDown))
        || instance.never_replaced && has(Is::is_gone)
        || !instance.has_learners && voters == 1;
    let is_weakened = has(Is::is_gone) && voters.is_multiple_of(2);
    is_persons || !(waits && (voters < instance.most_voters() || has(Is::is_gone))) && !is_weakened
}
