//! The invariants, and the trace to a state that breaks one.
#![expect(clippy::disallowed_types, reason = "no order shows")]

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use super::model::{Action, Bits, Envelope, Instance, Mutant, Seen, Way, World};
use crate::bootstrap::{
    ballot::Ballot,
    campaign::Campaign,
    fixture::{acceptance, id},
    founding::{ClusterId, Founding},
    message::Body,
};

/// The messages that are votes, taken apart.
#[derive(Default)]
pub(super) struct Votes {
    /// The messages that are votes.
    bits: Bits,
    by_message: BTreeMap<u16, Vote>,
    ballots: Vec<Ballot>,
    foundings: Vec<Founding>,
    ids: BTreeMap<ClusterId, usize>,
    /// True if these servers (a bit each) are enough, in which ballot, for which founding.
    enough: HashMap<(usize, usize, u8), bool>,
}

#[derive(Clone, Copy)]
enum Vote {
    /// In this ballot others are asked to accept this founding.
    Fixed(usize, usize),
    /// In this ballot this server accepted. What it accepted is not looked at, though it signs that: a ballot has one founding,
    /// and if a mutant runs a ballot twice, its accepts count for both.
    Accepted(usize, usize),
}

impl Votes {
    /// Notes a new message. Equal ids must mean equal bytes.
    pub(super) fn note(&mut self, message: usize, envelope: &Envelope) {
        let (ballot, founding) = match &envelope.body {
            Body::Accept(accept) => (accept.ballot, Some(&accept.founding)),
            Body::Accepted(acceptance) => (acceptance.ballot, None),
            Body::Prepare(_)
            | Body::Promise(_)
            | Body::Nack(_)
            | Body::Known(_)
            | Body::Look(_)
            | Body::Blank(_)
            | Body::NotBlank(_)
            | Body::Ask(_)
            | Body::Answer(_) => return,
        };
        let ballot = self.ballots.iter().position(|known| *known == ballot).unwrap_or_else(|| {
            self.ballots.push(ballot);
            self.ballots.len() - 1
        });
        let vote = founding.map_or(Vote::Accepted(ballot, envelope.from), |founding| {
            let number = *self.ids.entry(founding.id()).or_insert_with(|| {
                self.foundings.push(founding.clone());
                self.foundings.len() - 1
            });
            assert_eq!(self.foundings[number], *founding, "equal ids, different bytes");
            Vote::Fixed(ballot, number)
        });
        self.by_message.insert(u16::try_from(message).unwrap(), vote);
        self.bits[message / 64] |= 1 << (message % 64);
    }

    /// One founding; strict: no two that share a member. A founding counts once enough servers have accepted it,
    /// noticed or not.
    pub(super) fn check(&mut self, world: &World, instance: &Instance) -> Result<(), String> {
        let mut accepted = vec![0_u8; self.ballots.len()];
        let mut fixed = Vec::new();
        for message in world.sent_of(&self.bits) {
            match self.by_message[&message] {
                Vote::Fixed(ballot, founding) => fixed.push((ballot, founding)),
                Vote::Accepted(ballot, server) => accepted[ballot] |= 1 << server,
            }
        }
        let mut chosen: Vec<usize> = Vec::new();
        for (ballot, founding) in fixed {
            if !chosen.contains(&founding) && self.is_enough(instance, ballot, founding, accepted[ballot]) {
                chosen.push(founding);
            }
        }
        for (index, one) in chosen.iter().enumerate() {
            for other in &chosen[index + 1..] {
                let [one, other] = [*one, *other].map(|number| &self.foundings[number]);
                if instance.relaxed || one.ids().any(|id| other.founder(id).is_some()) {
                    return Err(format!("two foundings: {} and {}", show(one), show(other)));
                }
            }
        }
        Ok(())
    }

    /// Asks the shipped proposer.
    fn is_enough(&mut self, instance: &Instance, ballot: usize, founding: usize, accepted: u8) -> bool {
        if let Some(enough) = self.enough.get(&(ballot, founding, accepted)) {
            return *enough;
        }
        let servers = 0..instance.servers;
        let forged: Vec<Option<usize>> = match instance.mutant {
            Some(Mutant::SmallQuorum) => servers.clone().map(Some).collect(),
            _ => vec![None],
        };
        let enough = forged.into_iter().any(|forged| {
            let real = servers.clone().filter(|server| accepted & (1 << server) != 0);
            let (ballot, founding) = (self.ballots[ballot], self.foundings[founding].clone());
            let sign = |server| (id(server), acceptance(server, ballot, &instance.terms, &founding));
            let accepted = real.chain(forged).map(sign).collect();
            let campaign = Campaign::accepting(ballot, instance.relaxed, founding, accepted);
            campaign.chosen(&instance.terms).is_some()
        });
        self.enough.insert((ballot, founding, accepted), enough);
        enough
    }
}

/// The way to a state.
pub(super) fn trace(messages: &[Envelope], seen: &Seen, ways: &[Way], end: u32) -> String {
    let worlds: HashMap<u32, &World> = seen.iter().map(|(world, number)| (*number, world)).collect();
    let mut path = vec![end];
    while let Some(&last) = path.last().filter(|last| **last != 0) {
        path.push(ways[last as usize].before);
    }
    path.reverse();
    let mut trace = String::new();
    for pair in path.windows(2) {
        let Way { server, action, .. } = &ways[pair[1] as usize];
        let action = if let Action::Deliver(message) = action {
            let envelope = &messages[usize::from(*message)];
            format!("receives from {}: {}", envelope.from + 1, describe(&envelope.body))
        } else {
            format!("{action:?}")
        };
        writeln!(trace, "{} {action}", server + 1).unwrap();
        for (number, envelope) in (0_u16..).zip(messages) {
            if worlds[&pair[1]].has_sent(number) && !worlds[&pair[0]].has_sent(number) {
                let body = describe(&envelope.body);
                writeln!(trace, "    sends {} -> {}: {body}", envelope.from + 1, envelope.to + 1).unwrap();
            }
        }
    }
    trace
}

fn show(founding: &Founding) -> String {
    let names: Vec<&str> = founding.founders().iter().map(|founder| founder.name.as_str()).collect();
    format!("{{{}}} of round {}", names.join(","), founding.ballot().round)
}

fn describe(body: &Body) -> String {
    match body {
        Body::Prepare(prepare) => format!("Prepare({})", prepare.ballot.round),
        Body::Promise(promise) => {
            let accepted = promise.accepted.as_ref();
            let accepted = accepted.map_or_else(
                || "nothing".to_owned(),
                |accepted| format!("{} in {}", show(&accepted.founding), accepted.ballot.round),
            );
            format!("Promise({}, accepted {accepted})", promise.ballot.round)
        }
        Body::Accept(accept) => format!("Accept({}, {})", accept.ballot.round, show(&accept.founding)),
        Body::Accepted(acceptance) => format!("Accepted({})", acceptance.ballot.round),
        Body::Known(knowledge) => {
            format!(
                "Known({})",
                knowledge.foundings.values().map(|known| show(known)).collect::<Vec<_>>().join(",")
            )
        }
        Body::Nack(_)
        | Body::Look(_)
        | Body::Blank(_)
        | Body::NotBlank(_)
        | Body::Ask(_)
        | Body::Answer(_) => format!("{body:?}"),
    }
}
