//! Clusters for tests: server number 0 is `a`, and so on.

use std::time::{Duration, Instant};

use super::{Agent, Away, Beside, Kind, Life, List, Listed, Look, Seen, Settings};
use crate::{
    bootstrap::ServerId,
    node::{NodeId, Role},
};

/// A server with learners and room for one, which takes none beside a voter that is down, as etcd.
pub(super) const ETCD: Kind = Kind { learner_room: 1, can_swap: false, admits_beside_the_dead: false };
/// A server with learners that removes and promotes in one change, as ZooKeeper.
pub(super) const ZOOKEEPER: Kind =
    Kind { learner_room: usize::MAX, can_swap: true, admits_beside_the_dead: true };
/// A server without learners, as Chronik.
pub(super) const CHRONIK: Kind = Kind { learner_room: 0, can_swap: false, admits_beside_the_dead: true };

/// The time at which a test begins.
#[expect(clippy::disallowed_methods, reason = "an arbitrary time to begin with; nothing depends on it")]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) fn id(server: usize) -> NodeId {
    let mut bytes = [7; 16];
    bytes[15] = u8::try_from(server).unwrap();
    bytes.try_into().unwrap()
}

pub(super) fn letter(server: usize) -> String {
    char::from(b'a' + u8::try_from(server).unwrap()).to_string()
}

pub(super) fn member(server: usize) -> ServerId {
    letter(server).try_into().unwrap()
}

/// An agent that is alive, beside a server that is as said, and has proven itself.
pub(super) fn agent(server: usize, beside: Beside) -> Agent {
    Agent {
        name: letter(server),
        life: Life::Alive,
        role: Role::Server,
        server: beside,
        is_proven: true,
        is_leaving: false,
        address: None,
    }
}

/// A member with its agent.
pub(super) fn listed(server: usize, is_voter: bool, seen: Seen) -> Listed {
    Listed {
        name: letter(server),
        node: Some(id(server)),
        is_voter,
        seen,
        has_run: None,
        address: None,
        number: None,
    }
}

/// A look at a cluster of `voters`, all up, after which `joiners` wait; a group key is set.
pub(super) fn look(kind: Kind, voters: usize, joiners: usize) -> Look {
    let member_of = |server| (member(server), listed(server, true, Seen::CaughtUp));
    let state = |server| if server < voters { Beside::Begun } else { Beside::Waiting };
    Look {
        list: List { kind, version: Some(7), members: (0..voters).map(member_of).collect() },
        agents: (0..voters + joiners).map(|server| (id(server), agent(server, state(server)))).collect(),
        settings: Settings {
            voters: None,
            founders: voters,
            replace_failed: Some(Duration::from_secs(600)),
            has_group_key: true,
        },
        numbers: None,
    }
}

/// Makes a voter invisible to the leader; its agent is away for all if `is_gone`.
pub(super) fn down(look: &mut Look, server: usize, is_gone: bool) {
    look.list.members.get_mut(&member(server)).unwrap().seen = Seen::Down;
    if is_gone {
        look.agents.get_mut(&id(server)).unwrap().life = Life::AwayForAll(Away::Left);
    }
}
