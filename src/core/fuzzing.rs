//! Targets of the fuzzers in `fuzz/`: a function for each decoder, which is fed with anything and asserts the properties that
//! hold for all input, and one for each machine, which takes the input for the acts of hostile peers. Built for
//! fuzzing and for tests alone; no part of the library.

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

use std::time::Instant;

use crate::{
    bootstrap, gossip,
    node::ClusterName,
    wire::{self, Kind, WireError},
};

/// Function that takes an input.
pub type Target = fn(&[u8]);

/// Every target here, by the name of its corpus.
pub const TARGETS: [(&str, Target); 8] = [
    ("envelope", envelope),
    ("sealed", sealed),
    ("swim", swim),
    ("rumour", rumour),
    ("metadata", metadata),
    ("frame", frame),
    ("founding", founding),
    ("gossip", gossip),
];

/// Any instant will do to count from.
#[expect(clippy::disallowed_methods, reason = "nothing depends on which time it is")]
fn start() -> Instant {
    Instant::now()
}

/// The envelope: a packet that opens is sealed again to the same bytes, and a sealed one opens, but in no other cluster.
pub fn envelope(data: &[u8]) {
    let names = ["chronik", "c", "a-name-of-thirty-two-bytes-in-all"].map(str::parse::<ClusterName>);
    for name in names.iter().flatten() {
        match wire::open(name, data) {
            Ok((kind, payload)) => assert_eq!(wire::seal(name, kind, payload), data),
            Err(WireError::OtherCluster(other)) => {
                let other: ClusterName = other.parse().expect("a name was read");
                let (kind, payload) = wire::open(&other, data).expect("it is the other cluster's");
                assert_eq!(wire::seal(&other, kind, payload), data);
            }
            Err(_) => {}
        }
    }
    let [Ok(ours), Ok(theirs), _] = &names else { return };
    let (choice, payload) = data.split_first().unwrap_or((&0, &[]));
    let kind = Kind::ALL[usize::from(*choice) % Kind::ALL.len()];
    let packet = wire::seal(ours, kind, payload);
    assert_eq!(wire::open(ours, &packet), Ok((kind, payload)));
    assert_eq!(wire::open(theirs, &packet), Err(WireError::OtherCluster("chronik".to_owned())));
}

/// The envelope of agents that have a key, see [`wire::fuzzing::sealed`].
pub fn sealed(data: &[u8]) {
    wire::fuzzing::sealed(data);
}

/// Messages of the engine and their members.
pub fn swim(data: &[u8]) {
    gossip::fuzzing::swim(data);
}

/// Items that travel beside them.
pub fn rumour(data: &[u8]) {
    gossip::fuzzing::rumour(data);
}

/// Metadata.
pub fn metadata(data: &[u8]) {
    gossip::fuzzing::metadata(data);
}

/// Requests and replies on streams, and the whole states in them.
pub fn frame(data: &[u8]) {
    gossip::fuzzing::frame(data);
}

/// Messages about the founding: each that reads is written to bytes that mean the same.
pub fn founding(data: &[u8]) {
    if let Ok(message) = minicbor::decode::<bootstrap::Message>(data) {
        let bytes = minicbor::to_vec(&message).expect("writing to a vector cannot fail");
        assert_eq!(minicbor::decode::<bootstrap::Message>(&bytes).ok(), Some(message));
    }
}

/// A whole gossip machine among hostile peers that are of its cluster.
pub fn gossip(data: &[u8]) {
    gossip::fuzzing::hostile_peers(data, start());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_is_read_or_refused() {
        for (name, target) in TARGETS {
            replay::replay(name, target);
        }
    }
}
