//! The difference between the cluster that is known here and the one that gossip says another node knows.

use super::{founding::ClusterId, record::FoundingRecord, sightings::Sighting};

/// The messages that this node owes another one about the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// None: the other one knows as much, or more of the same cluster, and tells by itself.
    None,
    /// The cluster: the other one knows less.
    Tell,
    /// A question: only the other one knows a cluster.
    Ask,
    /// Both: the other one knows another cluster.
    Rival(ClusterId),
}

impl Difference {
    /// Compares a record with what gossip says of another node.
    pub(super) fn between(record: &FoundingRecord, node: &Sighting) -> Self {
        match (&record.cluster, node.cluster_id) {
            (None, None) => Self::None,
            (None, Some(_)) => Self::Ask,
            (Some(_), None) => Self::Tell,
            (Some(ours), Some(theirs)) if ours.id == theirs => {
                let is_newer = ours.config_index > node.config_index;
                if is_newer || (ours.established && !node.established) { Self::Tell } else { Self::None }
            }
            (Some(_), Some(theirs)) if record.rival == Some(theirs) => Self::None,
            (Some(_), Some(theirs)) => Self::Rival(theirs),
        }
    }

    /// True if the other node is to be told.
    pub(super) fn is_to_tell(self) -> bool {
        matches!(self, Self::Tell | Self::Rival(_))
    }

    /// True if the other node is to be asked.
    pub(super) fn is_to_ask(self) -> bool {
        matches!(self, Self::Ask | Self::Rival(_))
    }
}
