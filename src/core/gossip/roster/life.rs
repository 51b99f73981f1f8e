//! The one question about a life of a node, and its answers.

use std::time::Instant;

use crate::gossip::peer::Peer;

/// Direct contact with a node.
#[derive(Debug, Clone, Copy)]
pub(in crate::gossip) struct Heard {
    pub(in crate::gossip) at: Instant,
    /// Life in which it spoke.
    pub(in crate::gossip) life: Peer,
}

/// State of one life of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gossip) enum Life {
    /// The node is no member.
    Unknown,
    /// The node is a member in another life.
    Other,
    /// It is well, as far as anybody has said.
    Alive {
        /// Its incarnation.
        incarnation: u16,
    },
    /// It missed a probe and has not refuted that yet.
    Suspect {
        /// Incarnation at which it is suspected.
        incarnation: u16,
        /// Time at which the suspicion began here.
        since: Instant,
    },
    /// It was called failed.
    Failed,
    /// It said goodbye.
    Left,
}

impl Life {
    /// True if it is an active member.
    pub(in crate::gossip) fn is_active(self) -> bool {
        matches!(self, Self::Alive { .. } | Self::Suspect { .. })
    }

    /// True if it is suspect at this incarnation, unrefuted.
    pub(in crate::gossip) fn is_suspect_at(self, at: u16) -> bool {
        matches!(self, Self::Suspect { incarnation, .. } if incarnation == at)
    }

    /// Time from which on it is suspect at this incarnation or an earlier one.
    pub(in crate::gossip) fn suspect_since(self, at: u16) -> Option<Instant> {
        if let Self::Suspect { incarnation, since } = self {
            Some(since).filter(|_| incarnation <= at)
        } else {
            None
        }
    }

    /// True if it has ended, by a verdict or a goodbye.
    pub(in crate::gossip) fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Left)
    }
}
