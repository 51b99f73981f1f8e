//! The word of one founder about an operator's founding.

use std::{collections::BTreeSet, fmt};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{founding::ClusterId, listing::Listing};

/// The word of one founder about an operator's founding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It has accepted it, for ever.
    #[n(0)]
    Accepted,
    /// It knows clusters that the founding does not end.
    #[n(1)]
    Unnamed(#[n(0)] BTreeSet<ClusterId>),
    /// A group exists.
    #[n(2)]
    Established(#[n(0)] ClusterId),
    /// Its server has begun, or holds data.
    #[n(3)]
    Begun,
    /// It votes no more: see [`Doubt`](super::Doubt).
    #[n(4)]
    Doubted,
}

impl fmt::Display for Consent {
    /// The founder's reason, to follow its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("has accepted"),
            Self::Unnamed(clusters) => {
                let clusters = Listing(clusters.iter().copied().collect());
                write!(f, "knows cluster {clusters}, which this override does not end")
            }
            Self::Established(cluster) => write!(f, "knows that the group of cluster {cluster} exists"),
            Self::Doubted => f.write_str("votes no more until it is reset"),
            Self::Begun => f.write_str("has a server that has begun, or holds data, or was told to begin"),
        }
    }
}
