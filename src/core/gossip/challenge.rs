//! Challenges: an address at which this node's id is said to live signs a number that it cannot have known, so that nobody is taken
//! for a copy of this node who does not have its key. It is this process itself exactly when the number arrives here.

use std::{collections::BTreeMap, net::SocketAddr};

use minicbor::{
    Decode, Encode,
    bytes::{ByteArray, ByteVec},
};
use rand::{RngExt as _, rngs::StdRng};

use super::peer::{Peer, SOCKET_LEN, get_peer, put_peer, socket_bytes};
use crate::{
    node::ClusterName,
    signing::{Domain, NodeKey, Seal},
};

/// Most challenges that wait for an answer: anybody can say that this node's id lives somewhere.
const MAX_OPEN: usize = 8;
/// Bytes of the number.
const NONCE_LEN: usize = 16;

/// The question to the process at an address, signed with the key that it is about: strangers are not answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Challenge {
    /// The number to sign.
    #[n(0)]
    nonce: ByteArray<NONCE_LEN>,
    /// Number of the process that asks.
    #[n(1)]
    instance: u64,
    /// The address that was dialled: port and IP, as [`socket_bytes`] writes them.
    #[n(2)]
    dialled: ByteArray<SOCKET_LEN>,
    /// Life of the node that asks.
    #[n(3)]
    life: ByteVec,
    #[n(4)]
    seal: Seal,
}

/// The answer, signed with the key of the node that answers.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Proof {
    /// Its life.
    #[n(0)]
    life: ByteVec,
    /// Number of its process.
    #[n(1)]
    instance: u64,
    /// Set if it takes part no more.
    #[n(2)]
    has_stopped: bool,
    #[n(3)]
    seal: Seal,
}

/// A process that has proven that it has this node's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Twin {
    /// Its life.
    pub(super) life: Peer,
    /// Number of its process.
    pub(super) instance: u64,
    /// Set if it takes part no more.
    pub(super) has_stopped: bool,
}

/// The process that sent a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// This one.
    Myself,
    /// Another one, which has the same key; its life.
    Twin(Peer),
}

/// The outcome of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Another process answered, and has this node's key.
    Twin(Twin),
    /// This process was reached.
    Myself,
    /// Nobody with this node's key answered.
    Nobody,
}

/// Challenges that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    open: BTreeMap<SocketAddr, Open>,
}

#[derive(Debug)]
struct Open {
    challenge: Challenge,
    /// Set once the number has arrived at this process.
    arrived: bool,
}

impl Challenge {
    fn sign(
        key: &NodeKey,
        cluster: &ClusterName,
        (nonce, to): ([u8; NONCE_LEN], SocketAddr),
        (life, instance): (Peer, u64),
    ) -> Self {
        let (life, dialled) = (life_bytes(&life).into(), socket_bytes(to).into());
        let unsigned =
            Self { nonce: nonce.into(), instance, dialled, life, seal: Seal::from_bytes(&[0; Seal::LEN]) };
        let seal = key.seal(Domain::Challenge, cluster, &unsigned.content());
        Self { seal, ..unsigned }
    }

    /// The bytes that are signed: number, process that asks, address dialled, life.
    fn content(&self) -> Vec<u8> {
        [&self.nonce[..], &self.instance.to_be_bytes(), &self.dialled[..], &self.life[..]].concat()
    }

    /// The life of the process that asks, if it has this node's key.
    pub(super) fn asker(&self, own: &NodeKey, cluster: &ClusterName) -> Option<Peer> {
        let signer = self.seal.signer(Domain::Challenge, cluster, &self.content());
        own_life(&self.life, own).filter(|_| signer == Ok(own.id()))
    }
}

impl Challenges {
    /// Challenges the process at `to`; `None` if too many wait for an answer. `me` is the life and the process that ask.
    pub(super) fn begin(
        &mut self,
        to: SocketAddr,
        me: (Peer, u64),
        (own, cluster): (&NodeKey, &ClusterName),
        rng: &mut StdRng,
    ) -> Option<Challenge> {
        if self.open.len() >= MAX_OPEN && !self.open.contains_key(&to) {
            return None;
        }
        let challenge = Challenge::sign(own, cluster, (rng.random(), to), me);
        self.open.insert(to, Open { challenge: challenge.clone(), arrived: false });
        Some(challenge)
    }

    /// Takes note that a challenge has arrived at this process; returns true if it is one of its own.
    pub(super) fn note_arrival(&mut self, challenge: &Challenge) -> bool {
        let mine = self.open.values_mut().find(|open| open.challenge == *challenge);
        mine.map(|open| open.arrived = true).is_some()
    }

    /// Ends the challenge of the process at `to` with its answer, or with none.
    pub(super) fn end(
        &mut self,
        to: SocketAddr,
        proof: Option<Proof>,
        own: &NodeKey,
        cluster: &ClusterName,
    ) -> Outcome {
        let Some(Open { challenge, arrived }) = self.open.remove(&to) else { return Outcome::Nobody };
        let twin = proof.and_then(|proof| proof.verify(&challenge, own, cluster));
        match twin {
            Some(_) if arrived => Outcome::Myself,
            Some(twin) => Outcome::Twin(twin),
            None => Outcome::Nobody,
        }
    }
}

impl Proof {
    /// The answer of a process.
    pub(super) fn sign(key: &NodeKey, cluster: &ClusterName, challenge: &Challenge, twin: &Twin) -> Self {
        let life = life_bytes(&twin.life);
        let seal = key.seal(Domain::Proof, cluster, &content(challenge, &life, twin));
        Self { life: life.into(), instance: twin.instance, has_stopped: twin.has_stopped, seal }
    }

    /// The process that answered, if it has this node's key.
    fn verify(self, challenge: &Challenge, own: &NodeKey, cluster: &ClusterName) -> Option<Twin> {
        let Self { life: bytes, instance, has_stopped, seal } = self;
        let twin = Twin { life: own_life(&bytes, own)?, instance, has_stopped };
        let signer = seal.signer(Domain::Proof, cluster, &content(challenge, &bytes, &twin));
        (signer == Ok(own.id())).then_some(twin)
    }
}

fn life_bytes(life: &Peer) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_peer(life, &mut bytes);
    bytes
}

/// The life in these bytes, if it is one of the node that has this key.
fn own_life(mut bytes: &[u8], own: &NodeKey) -> Option<Peer> {
    get_peer(&mut bytes).ok().filter(|life| life.id == own.id())
}

/// The bytes that are signed: number, process of the asker, address dialled, process, whether it has stopped, life.
fn content(challenge: &Challenge, life: &[u8], twin: &Twin) -> Vec<u8> {
    let Challenge { nonce, instance, dialled, .. } = challenge;
    let numbers = [instance.to_be_bytes(), twin.instance.to_be_bytes()].concat();
    [&nonce[..], &dialled[..], &numbers, &[u8::from(twin.has_stopped)], life].concat()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::{
        super::fixture::{cluster, peer},
        *,
    };
    use crate::signing::fixture::key;

    fn twin(number: u8) -> Twin {
        Twin {
            life: Peer::new(key(1).id(), peer(number).addr(), peer(1).epoch(), 0),
            instance: 7,
            has_stopped: false,
        }
    }

    /// A challenge by the process of this number at node 1.
    fn begin(
        challenges: &mut Challenges,
        to: SocketAddr,
        instance: u64,
        rng: &mut StdRng,
    ) -> Option<Challenge> {
        challenges.begin(to, (twin(1).life, instance), (&key(1), &cluster()), rng)
    }

    #[test]
    fn an_answer_counts_for_the_address_that_was_dialled_and_by_this_nodes_key_alone() {
        let (to, elsewhere) = (peer(3).addr(), peer(4).addr());
        let mut rng = StdRng::seed_from_u64(1);
        let mut challenges = Challenges::default();
        let mut answer = |signer: u8, seen: &dyn Fn(Challenge, &mut StdRng) -> Challenge| {
            let challenge = begin(&mut challenges, to, 1, &mut rng).unwrap();
            let seen = seen(challenge, &mut rng);
            let proof = Proof::sign(&key(signer), &cluster(), &seen, &twin(3));
            challenges.end(to, Some(proof), &key(1), &cluster())
        };
        assert_eq!(answer(1, &|challenge, _| challenge), Outcome::Twin(twin(3)));
        assert_eq!(answer(2, &|challenge, _| challenge), Outcome::Nobody, "another key");
        let other = |_, rng: &mut StdRng| begin(&mut Challenges::default(), to, 1, rng).unwrap();
        assert_eq!(answer(1, &other), Outcome::Nobody, "an answer to another number");
        let moved =
            |challenge, _: &mut StdRng| Challenge { dialled: socket_bytes(elsewhere).into(), ..challenge };
        assert_eq!(answer(1, &moved), Outcome::Nobody, "the copy elsewhere, asked through a stranger here");
        assert_eq!(challenges.end(to, None, &key(1), &cluster()), Outcome::Nobody);
    }

    #[test]
    fn whoever_has_another_key_is_not_answered() {
        let to = peer(3).addr();
        let challenge = begin(&mut Challenges::default(), to, 1, &mut StdRng::seed_from_u64(1)).unwrap();
        assert_eq!(challenge.asker(&key(1), &cluster()), Some(twin(1).life));
        assert_eq!(challenge.asker(&key(2), &cluster()), None);
        let forged = Challenge { instance: 2, ..challenge };
        assert_eq!(forged.asker(&key(1), &cluster()), None);
    }

    /// By a hairpin, a floating address, or the other family.
    #[test]
    fn a_number_that_arrives_here_came_to_this_process() {
        let (mut challenges, mut rng) = (Challenges::default(), StdRng::seed_from_u64(1));
        let to = peer(3).addr();
        let challenge = begin(&mut challenges, to, 7, &mut rng).unwrap();
        assert!(challenges.note_arrival(&challenge));
        let proof = Proof::sign(&key(1), &cluster(), &challenge, &twin(1));
        assert_eq!(challenges.end(to, Some(proof), &key(1), &cluster()), Outcome::Myself);
    }

    #[test]
    fn challenges_are_bounded_and_make_room_as_they_end() {
        let (mut challenges, mut rng) = (Challenges::default(), StdRng::seed_from_u64(1));
        let addr = |port: usize| SocketAddr::from(([10, 0, 0, 1], u16::try_from(port).unwrap()));
        assert!((0..MAX_OPEN).all(|port| begin(&mut challenges, addr(port), 1, &mut rng).is_some()));
        assert_eq!(begin(&mut challenges, addr(99), 1, &mut rng), None);
        challenges.end(addr(0), None, &key(1), &cluster());
        assert!(begin(&mut challenges, addr(99), 1, &mut rng).is_some());
    }
}
