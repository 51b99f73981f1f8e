//! Servers for tests: number 0 is `a`, and so on.

use super::{counted::Counted, founding::Founder};
use crate::node::{ClusterName, NodeId};

/// The id of a server; a higher number is younger.
pub(super) fn id(server: usize) -> NodeId {
    let mut bytes = [7; 16];
    bytes[15] = u8::try_from(server).unwrap();
    bytes.try_into().unwrap()
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

/// The set of the first `servers` servers, as each of them counts it.
pub(super) fn counted(servers: usize) -> Counted {
    Counted {
        ids: (0..servers).map(|server| (id(server), founder(server).addr)).collect(),
        ..Counted::default()
    }
}
