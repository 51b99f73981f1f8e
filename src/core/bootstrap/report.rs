//! The report of one agent about the server beside it: that server's own words, with the reporter's name on them.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{cbor, cluster::Voter, consent::Consent, digest, founding::ClusterId, server_id::ServerId};
use crate::{
    node::{Epoch, NodeId},
    signing::{Domain, Statement},
};

/// The last number that a report may have, so that no message uses up the numbers.
const LAST_NUMBER: u64 = 1 << 48;
/// Most answers to operators' foundings: as many as foundings are kept.
const MAX_CONSENTS: usize = 16;
/// Most voters in one list.
const MAX_VOTERS: usize = 64;

/// The last word of one reporter. It replaces all that the reporter said before.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Report {
    /// Number of this word among those of its reporter; the highest is the last.
    #[n(0)]
    pub number: u64,
    /// The server, while it holds data of a cluster.
    #[n(1)]
    pub holds: Option<Holding>,
    /// The group that the server says exists.
    #[n(2)]
    pub group: Option<GroupReport>,
    /// The reporter's answers to operators' foundings.
    #[n(3)]
    #[serde(default)]
    pub consents: BTreeMap<ClusterId, Consent>,
}

/// A server that holds data of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Holding {
    /// The server.
    #[cbor(n(0), with = "cbor::server_id")]
    pub server_id: ServerId,
    /// The cluster of its data.
    #[n(1)]
    pub cluster_id: ClusterId,
    /// Number of its last start, if somebody counts them.
    #[n(2)]
    #[serde(default)]
    pub starts: Option<u64>,
}

impl Holding {
    /// True if both are of the same data, whenever they were said.
    pub(super) fn is_of_the_same_server(&self, other: &Self) -> bool {
        self.server_id == other.server_id && self.cluster_id == other.cluster_id
    }
}

/// A server's report that its group exists, and of its voters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct GroupReport {
    /// The cluster.
    #[n(0)]
    pub cluster_id: ClusterId,
    /// Version of the list of voters.
    #[n(1)]
    pub index: ListIndex,
    /// The voters, each once; empty if the server did not name them.
    #[n(2)]
    pub voters: Vec<Voter>,
    /// The report that counted for the reporter when its server said this.
    #[n(3)]
    pub heard: Option<Heard>,
    /// The operator's word on the voters since which the server is one of them.
    #[n(4)]
    #[serde(default)]
    pub generation: Generation,
}

/// An operator's word on the voters of a group: reports of an earlier generation count no more.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Generation {
    /// Number of the word; 0 for none.
    #[n(0)]
    pub number: u64,
    /// Digest of the voters that it named: two operators who have not seen each other may have named others.
    #[n(1)]
    pub named: Option<ClusterId>,
}

impl Generation {
    /// The word after this one, which names these voters.
    pub(super) fn next(self, voters: &[Voter]) -> Self {
        let mut names: Vec<String> = voters
            .iter()
            .map(|voter| voter.id.map_or_else(|| format!("{:?}", voter.endpoints), |id| id.to_string()))
            .collect();
        names.sort();
        let hash = Sha256::new_with_prefix(names.join("\n"));
        Self { number: self.number + 1, named: Some(digest::first(hash).into()) }
    }
}

/// Version of a list of voters. One that the server gives goes before all that reporters have numbered themselves.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct ListIndex {
    /// Set if the server gave it, such as the log index of its configuration.
    #[n(0)]
    pub is_given: bool,
    /// The version itself.
    #[n(1)]
    pub value: u64,
}

/// A report that a reporter had heard of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Heard {
    /// Its reporter.
    #[cbor(n(0), with = "cbor::node_id")]
    pub reporter: NodeId,
    /// Its number.
    #[n(1)]
    pub number: u64,
}

impl Statement for Report {
    const DOMAIN: Domain = Domain::Report;
}

impl Report {
    /// True if the report keeps the bounds that every honest one does.
    pub(super) fn is_sound(&self) -> bool {
        let fits = |group: &GroupReport| {
            let own = group.index.is_given || group.index.value < LAST_NUMBER;
            own && group.voters.len() <= MAX_VOTERS && group.generation.number < LAST_NUMBER
        };
        let starts = self.holds.as_ref().and_then(|holding| holding.starts);
        let is_counted = starts.is_none_or(|starts| starts <= Epoch::LAST.0);
        self.number < LAST_NUMBER
            && is_counted
            && self.consents.len() <= MAX_CONSENTS
            && self.group.as_ref().is_none_or(fits)
    }

    /// The clusters that this report says exist.
    pub(super) fn claims(&self) -> impl Iterator<Item = ClusterId> {
        let held = self.holds.as_ref().map(|holding| holding.cluster_id);
        let group = self.group.as_ref().map(|group| group.cluster_id);
        held.into_iter().chain(group)
    }
}

impl GroupReport {
    /// True if both lists name the same voters, in any order.
    pub(super) fn names_the_same(&self, other: &Self) -> bool {
        let is_in = |voter: &Voter, list: &[Voter]| list.iter().any(|other| other.names_the_same(voter));
        self.voters.len() == other.voters.len() && self.voters.iter().all(|voter| is_in(voter, &other.voters))
    }
}
