//! The shape of `GET /v1/rtt`: the round trip between two members.

use serde::{Deserialize, Serialize};

use crate::node::{NodeId, NodeName};

/// `GET /v1/rtt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rtt {
    /// The one member.
    pub from: RttEnd,
    /// The other.
    pub to: RttEnd,
    /// Duration of a round trip between them in seconds; null if it is not known yet.
    pub rtt_s: Option<f64>,
    /// The origin of that figure; null if there is none.
    pub basis: Option<RttBasis>,
    /// Error of an estimate by the members' own account: a share of the round trip; null if it was measured.
    pub relative_error: Option<f64>,
}

/// One end of a round trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RttEnd {
    /// Its id.
    pub id: NodeId,
    /// Its name for people.
    pub name: NodeName,
}

/// The origin of a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RttBasis {
    /// Measured by the probes of the agent that answers, which is one end.
    Measured,
    /// Computed from the coordinates of both.
    Estimated,
}
