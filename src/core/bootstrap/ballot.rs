//! Ballots: the numbers by which attempts to found are ordered.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::cbor;
use crate::node::NodeId;

/// One attempt to agree on a founding. Ballots are ordered by round, then by node, so that no two nodes ever run the
/// same one; a node never runs one twice, because it saves its own promise before the ballot is announced.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Ballot {
    /// Number of the attempt; it grows across restarts.
    #[n(0)]
    pub round: u64,
    /// The proposer.
    #[cbor(n(1), with = "cbor::node_id")]
    pub node: NodeId,
}

/// Rounds that a ballot may be ahead: far more than all servers together begin while one is away, and so few that no message
/// uses up the numbers.
const AHEAD: u64 = 1 << 32;

impl Ballot {
    /// True if the round is not far beyond the ballot that was promised last.
    pub(super) fn follows(&self, promised: Option<Self>) -> bool {
        self.round.saturating_sub(promised.map_or(0, |promised| promised.round)) <= AHEAD
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.round, self.node)
    }
}
