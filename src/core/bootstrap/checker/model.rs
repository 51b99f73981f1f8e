//! The model that is explored: an instance, its states, and the messages between its servers.
#![expect(clippy::disallowed_types, reason = "no order shows")]

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use crate::bootstrap::{message::Body, terms::Terms};

/// A small cluster to be explored whole.
pub(super) struct Instance {
    pub(super) servers: usize,
    pub(super) terms: Terms,
    /// The proposers of the ballots of round 1, 2, …
    pub(super) owners: &'static [usize],
    /// True if any quorum may complete a ballot, at any moment; if not, only all founders may.
    pub(super) relaxed: bool,
    /// True if chosen foundings are learnt and spread; the others then stop voting.
    pub(super) learning: bool,
    /// True if a server may lose votes that it gave, because its record went back or because a copy of it gave them, and is told so.
    pub(super) forgets: bool,
    pub(super) mutant: Option<Mutant>,
}

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// An answer leaves, then the server crashes, and its record was not written.
    ReplyBeforeFsync,
    /// A ballot is announced, then the server crashes, and its record was not written.
    PrepareBeforeFsync,
    /// N − 1 promises and accepts suffice.
    SmallQuorum,
    /// Server 1 promises without telling what it accepted.
    OmitAccepted,
    /// The proposer ignores what others accepted.
    OwnValue,
    /// A server accepts in a ballot below its promise.
    AcceptBelowPromise,
    /// A server loses its record, keeps its id, and goes on voting: an older record was put back, or a copy of it voted.
    WipedDisk,
    /// Strict, but a founding is taken over without the promises of its founders.
    TakeOverWithoutFounders,
    /// Strict, but founders are picked from outside the counted promises.
    FoundersFromOutside,
}

/// Room for the messages of the largest instance.
pub(super) const WORDS: usize = 12;

/// A set of messages, a bit each.
pub(super) type Bits = [u64; WORDS];

/// Multiply and rotate: the default hasher is most of the time of an unoptimised run.
#[derive(Clone, Default)]
pub(super) struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct World {
    /// The state of each server, by number.
    pub(super) servers: [u16; 6],
    /// The messages that were ever sent, a bit each.
    pub(super) sent: Bits,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let [a, b, c, d, e, f] = self.servers.map(u64::from);
        hasher.write_u64(a << 32 | b << 16 | c);
        hasher.write_u64(d << 32 | e << 16 | f);
        self.sent.iter().filter(|word| **word != 0).for_each(|word| hasher.write_u64(*word));
    }
}

impl World {
    pub(super) fn has_sent(&self, message: u16) -> bool {
        self.sent[usize::from(message) / 64] & (1 << (message % 64)) != 0
    }

    /// The messages among `messages` that were sent.
    pub(super) fn sent_of(&self, messages: &Bits) -> Vec<u16> {
        let mut numbers = Vec::new();
        for (word, (sent, messages)) in self.sent.iter().zip(messages).enumerate() {
            let mut rest = sent & messages;
            while rest != 0 {
                numbers
                    .push(u16::try_from(word * 64).unwrap() + u16::try_from(rest.trailing_zeros()).unwrap());
                rest &= rest - 1;
            }
        }
        numbers
    }

    pub(super) fn with(mut self, server: usize, step: &Step) -> Self {
        self.servers[server] = step.state;
        for &message in &step.sent {
            self.sent[usize::from(message) / 64] |= 1 << (message % 64);
        }
        self
    }
}

pub(super) type Seen = HashMap<World, u32, BuildHasherDefault<FastHasher>>;

/// One step of a server: its state after, and the messages it sends.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) state: u16,
    pub(super) sent: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Envelope {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) body: Body,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Start,
    Crash,
    Begin,
    Deliver(u16),
    Propose,
    Relax,
    Conclude,
    Forget,
    Mutate,
}

/// The step by which a state was reached first.
pub(super) struct Way {
    /// Number of the state before.
    pub(super) before: u32,
    pub(super) server: u8,
    pub(super) action: Action,
}
