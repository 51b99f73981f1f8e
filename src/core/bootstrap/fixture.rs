//! Servers for tests: number 0 is `a`, and so on.

use std::collections::BTreeSet;

use super::{
    ballot::Ballot,
    certificate::{Acceptance, Certificate},
    config::{Admission, BallotTiming, Config, SeedGate},
    counted::Counted,
    founding::{Founder, Founding},
    knowledge::Words,
    terms::Terms,
};
use crate::{
    node::{ClusterName, NodeId, Role},
    signing::{self, NodeKey, Signed, Statement},
};

/// The key of a server; the id of a higher number is greater.
pub(super) fn key(server: usize) -> NodeKey {
    signing::fixture::key(u8::try_from(server).unwrap())
}

/// The id of a server.
pub(super) fn id(server: usize) -> NodeId {
    key(server).id()
}

/// A statement of a server.
pub(super) fn signed<T: Statement>(server: usize, statement: T) -> Signed<T> {
    Signed::new(&key(server), &name(), statement)
}

/// The acceptance of a founding by a server.
pub(super) fn acceptance(
    server: usize,
    ballot: Ballot,
    terms: &Terms,
    founding: &Founding,
) -> Signed<Acceptance> {
    Acceptance::sign(&key(server), &name(), ballot, terms, founding)
}

/// The proof of a founding by its founders, or of an operator's by the node at which he named them.
pub(super) fn proven(founding: &Founding) -> Certificate {
    let ids: BTreeSet<NodeId> = founding.ids().chain([founding.ballot().node]).collect();
    let terms = match founding.operator() {
        Some(_) => Terms::Named(founding.ids().collect::<BTreeSet<_>>().try_into().unwrap()),
        None => Terms::Count(u16::try_from(founding.founders().len()).unwrap().try_into().unwrap()),
    };
    let servers = (0..=usize::from(u8::MAX)).filter(|server| ids.contains(&id(*server)));
    let accepted = servers.map(|server| acceptance(server, founding.ballot(), &terms, founding));
    Certificate::new(founding.clone(), accepted).unwrap()
}

/// The cluster that all servers want to found.
pub(super) fn name() -> ClusterName {
    "test".parse().unwrap()
}

/// A server's entry in a founding.
pub(super) fn founder(server: usize) -> Founder {
    let letter = char::from(b'a' + u8::try_from(server).unwrap());
    Founder {
        id: id(server),
        name: letter.to_string().parse().unwrap(),
        addr: format!("10.0.0.{}:7946", server + 1).parse().unwrap(),
        endpoints: [("raft".parse().unwrap(), format!("10.0.0.{}:5001", server + 1))].into(),
    }
}

/// The configuration of a server that expects three.
pub(super) fn config(server: usize) -> Config {
    let entry = founder(server);
    Config {
        cluster_name: name(),
        role: Role::Server,
        name: entry.name,
        addr: entry.addr,
        endpoints: entry.endpoints,
        zone: None,
        terms: Some(Terms::Count(3.try_into().unwrap())),
        admission: Admission::Found,
        is_admitted_first: false,
        seed_gate: SeedGate::Patient,
        words: Words::Everywhere,
        timing: BallotTiming::LAN,
    }
}

/// The set of the first `servers` servers, as each of them counts it.
pub(super) fn counted(servers: usize) -> Counted {
    Counted {
        ids: (0..servers).map(|server| (id(server), founder(server).addr)).collect(),
        ..Counted::default()
    }
}
