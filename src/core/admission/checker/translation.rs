//! The typed input of the rules, from the conditions of the small world's servers.

use std::time::{Duration, Instant};

use super::{instance::Instance, state::Is};
use crate::admission::{
    Agent, Away, Beside, Kind, Life, List, Look, Seen, Settings,
    fixture::{agent, id, listed, member},
    times::{LOOKS_APART, Times},
};

/// `--replace-failed` of the small world: as short as the time to come up, so that few looks tell of both.
const REPLACE_FAILED: Duration = LOOKS_APART.saturating_mul(2);

/// The look that shows these conditions.
pub(super) fn look(conditions: &[Is], instance: &Instance, kind: Kind, version: u64) -> Look {
    let mut look = Look {
        list: List { kind, version: Some(version), members: std::collections::BTreeMap::new() },
        agents: std::collections::BTreeMap::new(),
        settings: Settings {
            voters: instance.most.map(|most| most.try_into().unwrap()),
            founders: instance.voters,
            replace_failed: (!instance.never_replaced).then_some(REPLACE_FAILED),
            has_group_key: true,
        },
        numbers: None,
    };
    for (server, is) in conditions.iter().enumerate() {
        if is.is_voter() || is.is_learner() {
            let seen = match is {
                Is::CatchingUp => Seen::Up,
                Is::Learner => Seen::CaughtUp,
                up if up.is_up() => Seen::CaughtUp,
                _ => Seen::Down,
            };
            look.list.members.insert(member(server), listed(server, is.is_voter(), seen));
        }
        look.agents.extend(agent_beside(server, *is).map(|agent| (id(server), agent)));
    }
    look
}

/// The agent beside a server in this condition.
fn agent_beside(server: usize, is: Is) -> Option<Agent> {
    let beside = match is {
        Is::Absent => return None,
        Is::Joiner | Is::NewLearner | Is::Pending | Is::PendingDead => Beside::Waiting,
        Is::Blank => Beside::Lost,
        Is::CatchingUp
        | Is::Down
        | Is::DownLong
        | Is::DeadLearner
        | Is::Learner
        | Is::RemovedBack
        | Is::RemovedLost
        | Is::Removed
        | Is::ServerDown
        | Is::UpAgain
        | Is::Voter
        | Is::Leaving
        | Is::Stopping
        | Is::Lost
        | Is::LostLong
        | Is::Ended
        | Is::RemovedVotes => Beside::Begun,
    };
    let life = match is {
        Is::Lost | Is::LostLong | Is::RemovedLost | Is::PendingDead | Is::DeadLearner => {
            Life::AwayForAll(Away::Failed)
        }
        Is::Down | Is::DownLong | Is::Removed => Life::AwayForAll(Away::Left),
        Is::Ended => Life::AwayForAll(Away::Retired),
        _ => Life::Alive,
    };
    let is_leaving = is == Is::Leaving;
    Some(Agent { life, is_leaving, ..agent(server, beside) })
}

/// The memory of an agent that has looked for long enough for whatever takes its time, and the time of its last look. One that
/// is `fresh` has looked once.
pub(super) fn times(
    conditions: &[Is],
    instance: &Instance,
    kind: Kind,
    begin: Instant,
    fresh: bool,
) -> (Times, Instant) {
    let before: Vec<Is> = conditions
        .iter()
        .map(|is| match is {
            Is::Down | Is::Lost => Is::Voter,
            Is::UpAgain => Is::DownLong,
            other => *other,
        })
        .collect();
    let mut times = Times::default();
    if !fresh {
        times.observe(&look(&before, instance, kind, 1), begin);
        times.observe(&look(&before, instance, kind, 1), begin + LOOKS_APART);
    }
    let now = begin + LOOKS_APART * 2;
    times.observe(&look(conditions, instance, kind, 1), now);
    (times, now)
}
