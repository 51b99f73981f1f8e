//! This node's key, what it signs with it, and other processes that have the same key.

use std::{net::SocketAddr, sync::Arc};

use rand::rngs::StdRng;

use super::{
    challenge::{Asker, Challenge, Challenges, Outcome, Proof, Twin},
    duplicates::Duplicates,
    metadata::MetadataTooLarge,
    peer::Peer,
    record::{Claimed, Goodbye, LifeProof, Record, Stamp},
};
use crate::{
    membership::Metadata,
    node::{ClusterName, Epoch, NodeId},
    signing::{Domain, Forged, NodeKey, Seal},
};

/// This node, as its key makes it.
#[derive(Debug)]
pub(super) struct Own {
    key: NodeKey,
    cluster: ClusterName,
    /// Number of this process: two that have one key differ in it.
    instance: u64,
    /// The latest start before this one that its record knew.
    former: Option<Epoch>,
    /// True once a life was seen that the record did not know.
    has_met_foreign: bool,
    challenges: Challenges,
    /// Another process that has this node's key.
    pub(super) duplicates: Duplicates,
}

impl Own {
    pub(super) fn new(key: NodeKey, cluster: ClusterName, instance: u64, former: Option<Epoch>) -> Self {
        Self {
            key,
            cluster,
            instance,
            former,
            has_met_foreign: false,
            challenges: Challenges::default(),
            duplicates: Duplicates::default(),
        }
    }

    /// This node's account of its present life.
    ///
    /// # Errors
    /// If the metadata is too large to travel.
    pub(super) fn record(
        &self,
        addr: SocketAddr,
        stamp: Stamp,
        metadata: Metadata,
    ) -> Result<Arc<Record>, MetadataTooLarge> {
        Record::write(&self.key, &self.cluster, (addr, stamp, self.instance), metadata)
    }

    /// The goodbye of this life.
    pub(super) fn goodbye(&self, life: Peer) -> Goodbye {
        Goodbye::say(&self.key, &self.cluster, life)
    }

    /// Signs a message to a node.
    pub(super) fn seal_message(&self, to: NodeId, message: &[u8]) -> Seal {
        self.key.seal(Domain::Message, &self.cluster, &addressed(to, message))
    }

    /// The sender of a message to this node.
    ///
    /// # Errors
    /// Nobody has signed it, or it is for another node.
    pub(super) fn sender(&self, seal: Seal, message: &[u8]) -> Result<NodeId, Forged> {
        seal.signer(Domain::Message, &self.cluster, &addressed(self.key.id(), message))
    }

    /// Takes note of a life that another process has signed; returns true for the first that this node's record did not know: the
    /// record was copied, or went back in time.
    pub(super) fn note_foreign(&mut self, life: &LifeProof) -> bool {
        let is_known = self.former.is_some_and(|former| life.stamp().epoch <= former);
        !is_known && !std::mem::replace(&mut self.has_met_foreign, true)
    }

    /// Challenges the process at `to`; `None` if too many are challenged.
    pub(super) fn challenge(&mut self, to: SocketAddr, me: Peer, rng: &mut StdRng) -> Option<Challenge> {
        let Self { key, cluster, instance, .. } = self;
        self.challenges.begin(to, (me, *instance), (key, cluster), rng)
    }

    /// The process that sent a challenge, if it has this node's key.
    pub(super) fn asker(&mut self, challenge: &Challenge) -> Option<Asker> {
        if self.challenges.note_arrival(challenge) {
            return Some(Asker::Myself);
        }
        challenge.asker(&self.key, &self.cluster).map(Asker::Twin)
    }

    /// The answer of this process, in its present life, to a challenge.
    pub(super) fn prove(&self, challenge: &Challenge, life: Peer, has_stopped: bool) -> Proof {
        Proof::sign(&self.key, &self.cluster, challenge, &Twin { life, instance: self.instance, has_stopped })
    }

    /// Ends the challenge of the process at `to`.
    pub(super) fn end_challenge(&mut self, to: SocketAddr, proof: Option<Proof>) -> Outcome {
        self.challenges.end(to, proof, &self.key, &self.cluster)
    }

    /// Order of two processes with one key: the later one gives way.
    pub(super) fn is_later_than(&self, me: &Peer, twin: &Twin) -> bool {
        (me.epoch(), me.addr(), self.instance) > (twin.life.epoch(), twin.life.addr(), twin.instance)
    }

    /// True if another process than this one wrote this account of this node.
    pub(super) fn is_of_another(&self, account: &Claimed) -> bool {
        account.owner == self.key.id() && account.instance != self.instance
    }
}

fn addressed(to: NodeId, message: &[u8]) -> Vec<u8> {
    [to.as_bytes(), message].concat()
}
