//! This node's key, what it signs with it, and other processes that have the same key.

use std::{net::SocketAddr, sync::Arc};

use super::{
    duplicates::Duplicates,
    metadata::MetadataTooLarge,
    peer::Peer,
    record::{Claimed, Goodbye, Record, Stamp},
};
use crate::{
    membership::Metadata,
    node::{ClusterName, NodeId},
    signing::{Domain, Forged, NodeKey, Seal},
};

/// This node, as its key makes it.
#[derive(Debug)]
pub(super) struct Own {
    key: NodeKey,
    cluster: ClusterName,
    /// Number of this process: two that have one key differ in it.
    instance: u64,
    /// Another process that has this node's key.
    pub(super) duplicates: Duplicates,
}

impl Own {
    pub(super) fn new(key: NodeKey, cluster: ClusterName, instance: u64) -> Self {
        Self { key, cluster, instance, duplicates: Duplicates::default() }
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

    /// True if another process than this one wrote this account of this node.
    pub(super) fn is_of_another(&self, account: &Claimed) -> bool {
        account.owner == self.key.id() && account.instance != self.instance
    }
}

fn addressed(to: NodeId, message: &[u8]) -> Vec<u8> {
    [to.as_bytes(), message].concat()
}
