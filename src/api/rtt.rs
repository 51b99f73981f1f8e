//! How long a round trip between two members takes.

use serde::{Deserialize, Serialize};

use crate::node::{NodeId, NodeName};

/// `GET /v1/rtt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rtt {
    /// The one member.
    pub from: RttEnd,
    /// The other.
    pub to: RttEnd,
    /// How long a round trip between them takes, in seconds; null where that is not known yet.
    pub rtt_s: Option<f64>,
    /// How that is known; null where it is not.
    pub basis: Option<RttBasis>,
    /// How far off an estimate may be, by the members' own account: a share of the round trip; null where it was measured.
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

/// How a round trip is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RttBasis {
    /// The agent that answers is one end, and its probes measured it.
    Measured,
    /// Computed from the coordinates of both.
    Estimated,
}
