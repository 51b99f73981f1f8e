//! A node's own account of itself: plain data, which only its owner writes.

use std::num::NonZeroU16;

use crate::{
    bootstrap::{Attestation, ClusterId},
    node::{Endpoints, NodeId, NodeName, Role, Tags},
};

/// A node's account of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its name for people.
    pub name: NodeName,
    /// Its part in the cluster.
    pub role: Role,
    /// Number of servers that found the cluster, by its configuration.
    pub expect: Option<NonZeroU16>,
    /// Its server's addresses.
    pub endpoints: Endpoints,
    /// Its free metadata.
    pub tags: Tags,
    /// Its knowledge of the cluster.
    pub founding: FoundingNews,
}

/// A node's knowledge of the cluster in short, as it is gossiped; whole records travel on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundingNews {
    /// The cluster it knows.
    pub cluster_id: Option<ClusterId>,
    /// Version of the voters it knows.
    pub config_index: u64,
    /// True if it knows that the group exists.
    pub established: bool,
    /// Its server's word about its data.
    pub attestation: Attestation,
    /// Set if its server sends heartbeats: true if the last one is recent.
    pub server_up: Option<bool>,
    /// Digest of the founders that it names, if it names them.
    pub named: Option<u64>,
    /// Digest of all that it knows of clusters; `None` if that is nothing.
    pub knowledge: Option<u64>,
    /// True if it has given a vote under this name, or may give one in this life.
    pub may_vote: bool,
    /// True if it has given a vote under this name: that counts after its goodbye, too.
    pub has_voted: bool,
}

impl Default for FoundingNews {
    /// Nothing known, nothing said: whoever has not said that he has no vote may have one.
    fn default() -> Self {
        Self {
            cluster_id: None,
            config_index: 0,
            established: false,
            attestation: Attestation::Silent,
            server_up: None,
            named: None,
            knowledge: None,
            may_vote: true,
            has_voted: true,
        }
    }
}

impl Metadata {
    /// The metadata of a node that has not announced any yet.
    pub(crate) fn nameless(id: NodeId) -> Self {
        Self {
            name: id.to_string().parse().expect("a node id is a valid name"),
            role: Role::Observer,
            expect: None,
            endpoints: Endpoints::new(),
            tags: Tags::new(),
            founding: FoundingNews::default(),
        }
    }
}
