//! Other nodes and listed addresses, as gossip and the providers know them when it matters to the founding.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use super::{
    counted::Counted,
    founding::{ClusterId, Founder},
};
use crate::node::{NodeId, Role};

/// The knowledge of gossip and the providers at one moment. It replaces the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sightings {
    /// The other nodes.
    pub nodes: BTreeMap<NodeId, Sighting>,
    /// The servers that may have a vote, without this one: alive, remembered, or only listed by a provider.
    pub counted: Counted,
    /// Number of addresses that the providers list, without this node's own.
    pub seeds: usize,
    /// Listed addresses from which no answer has come.
    pub unanswered_seeds: BTreeMap<SocketAddr, Listed>,
    /// Set while a provider has not answered at all, so that nobody knows which addresses it lists.
    pub unheard_providers: bool,
    /// Address of another agent that uses this node's id.
    pub duplicate: Option<SocketAddr>,
}

/// An address that providers list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Time since which it is listed.
    pub since: Instant,
    /// Names of the providers that list it, for people. Thousands of addresses are copied each second, their names are not.
    pub by: Arc<BTreeSet<Arc<str>>>,
}

/// Another node, as gossip knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its entry in a founding.
    pub founder: Founder,
    /// Its zone, such as a data centre.
    pub zone: Option<String>,
    /// True if it stands beside a server.
    pub role: Role,
    /// The way in which it is known.
    pub contact: Contact,
    /// Number of founders that it expects, if it says so.
    pub expect: Option<u16>,
    /// Digest of the founders that it names, if it names them: see [`Terms::named_digest`].
    ///
    /// [`Terms::named_digest`]: super::Terms::named_digest
    pub named: Option<u64>,
    /// The cluster it knows.
    pub cluster_id: Option<ClusterId>,
    /// Its server's word about itself.
    pub attestation: Attestation,
    /// Digest of what it knows of clusters; `None` if that is nothing.
    pub knowledge: Option<u64>,
}

/// The way in which a node is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// The node failed or left.
    Remembered,
    /// Others say that the node is alive.
    Reported,
    /// The node was heard from directly, just now.
    Direct,
}

/// A server's word about its data, as it is gossiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attestation {
    /// No word yet.
    Silent,
    /// The server has no data.
    Blank,
    /// The server has data.
    HoldsData,
}

impl Sighting {
    /// True if the node is alive, heard from or reported.
    pub(super) fn is_alive(&self) -> bool {
        self.contact > Contact::Remembered
    }
}
