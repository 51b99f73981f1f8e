//! Settings of the machine.

use std::net::SocketAddr;

use super::{record::ReadRecord, timing::Timing};
use crate::{
    membership::Metadata,
    node::{ClusterName, Epoch},
    signing::NodeKey,
    wire::Encryption,
};

/// Everything the machine needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Cluster; agents of others are never listened to.
    pub cluster: ClusterName,
    /// Speed of the protocol.
    pub timing: Timing,
    /// Key of this node, from which its id is derived.
    pub key: NodeKey,
    /// Address at which it gossips.
    pub addr: SocketAddr,
    /// Number of its start, persisted already.
    pub epoch: Epoch,
    /// The latest start before this one that this node's record knew; a later one was another process's, or the record went back.
    pub former: Option<Epoch>,
    /// Metadata of this node.
    pub metadata: Metadata,
    /// Members of the last run, to try beside the seeds.
    pub cached: Vec<SocketAddr>,
    /// Encryption of packets; `None` for none.
    pub encryption: Option<Encryption>,
    /// Reader of others' metadata: [`Record::read`](super::Record::read).
    pub read_record: ReadRecord,
    /// Seed of the generator: the same seed and the same input give the same output.
    pub seed: u64,
}
