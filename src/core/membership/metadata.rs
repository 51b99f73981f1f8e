//! A node's own account of itself: plain data, which only its owner writes.

use std::num::NonZeroU16;

use crate::{
    bootstrap::{Attestation, ClusterId},
    node::{Endpoints, NodeId, NodeName, Role, Tags},
};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its name for people.
    pub name: NodeName,
    /// What it takes part in.
    pub role: Role,
    /// How many servers it wants to see before the cluster is founded.
    pub expect: Option<NonZeroU16>,
    /// Its server's addresses.
    pub endpoints: Endpoints,
    /// Its free metadata.
    pub tags: Tags,
    /// What it knows of the cluster.
    pub founding: FoundingNews,
}

/// What a node knows of the cluster, as it tells everybody; whole records travel on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundingNews {
    /// The cluster it knows.
    pub cluster_id: Option<ClusterId>,
    /// How new its knowledge of the voters is.
    pub config_index: u64,
    /// Whether it knows that the group exists.
    pub established: bool,
    /// What its server said of its data.
    pub attestation: Attestation,
    /// Whether its server has reported itself of late, where it does at all.
    pub server_up: Option<bool>,
}

impl Default for FoundingNews {
    /// Nothing known, nothing said.
    fn default() -> Self {
        Self {
            cluster_id: None,
            config_index: 0,
            established: false,
            attestation: Attestation::Silent,
            server_up: None,
        }
    }
}

impl Metadata {
    /// What is shown of a node until it has said something of itself.
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
