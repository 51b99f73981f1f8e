//! The small state against a machine that lives on: every sequence of inputs is given to one machine, and to machines that are made
//! anew from the small state before each input. Both must hold and answer the same, so that nothing matters which the small state
//! leaves out.

use super::{
    agent::{Agent, Answer},
    founder::{Founder, Kind},
};

/// An input of a founder's agent, as the search gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    AskBlank,
    AskWithData,
    BeginBlank,
    BeginWithData,
    SeeBlank(usize),
    Hear,
    Restart,
}

const INPUTS: [Input; 8] = [
    Input::AskBlank,
    Input::AskWithData,
    Input::BeginBlank,
    Input::BeginWithData,
    Input::SeeBlank(1),
    Input::SeeBlank(2),
    Input::Hear,
    Input::Restart,
];

/// Inputs in one sequence.
const LENGTH: u32 = 4;

impl Input {
    fn give(self, agent: &mut Agent, kind: Kind) -> Option<Answer> {
        let has_data = matches!(self, Self::AskWithData | Self::BeginWithData);
        match self {
            Self::AskBlank | Self::AskWithData => {
                agent.attest(kind, has_data);
                Some(if kind == Kind::Exec { agent.answer() } else { agent.ask(true) })
            }
            Self::BeginBlank | Self::BeginWithData => Some(agent.begin(has_data)),
            Self::SeeBlank(other) => {
                agent.see_blank(other);
                None
            }
            Self::Hear => {
                agent.hear(1);
                None
            }
            Self::Restart => {
                agent.restart();
                None
            }
        }
    }
}

/// The machine of this small state. One that looks stands beside a server that waits.
fn made(kind: Kind, of: &Founder) -> Agent {
    if of.look.is_some() { Agent::beside_waiting(0, kind, of) } else { Agent::restarted(0, of) }
}

#[test]
fn a_machine_that_lives_on_does_as_one_that_is_made_from_the_small_state() {
    for kind in [Kind::Exec, Kind::Polls] {
        for start in [Founder::NEW, Founder { begun: true, ..Founder::NEW }] {
            for number in 0..INPUTS.len().pow(LENGTH) {
                let digit = |place| INPUTS[number / INPUTS.len().pow(place) % INPUTS.len()];
                let inputs: Vec<Input> = (0..LENGTH).map(digit).collect();
                let (mut lives, mut small) = (made(kind, &start), start);
                for (at, input) in inputs.iter().enumerate() {
                    let mut anew = made(kind, &small);
                    let answers = [&mut lives, &mut anew].map(|agent| input.give(agent, kind));
                    assert_eq!(answers[0], answers[1], "{kind:?}, {start:?}: {:?}", &inputs[..=at]);
                    small = anew.founder(&small);
                    assert_eq!(lives.founder(&start), small, "{kind:?}, {start:?}: {:?}", &inputs[..=at]);
                }
            }
        }
    }
}
