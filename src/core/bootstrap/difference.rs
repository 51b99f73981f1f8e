//! The difference between what is known here and what gossip says that another node knows.

use super::sightings::Sighting;

/// The messages that this node owes another one about what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// None: both know the same.
    None,
    /// Its knowledge: the other one knows nothing.
    Tell,
    /// A question: this node knows nothing.
    Ask,
    /// Both: each may know what the other does not.
    Exchange,
}

impl Difference {
    /// Compares the digest of what is known here with what gossip says of another node.
    pub(super) fn between(ours: Option<u64>, node: &Sighting) -> Self {
        match (ours, node.knowledge) {
            (ours, theirs) if ours == theirs => Self::None,
            (Some(_), None) => Self::Tell,
            (None, _) => Self::Ask,
            (Some(_), Some(_)) => Self::Exchange,
        }
    }

    /// True if the other node is to be told.
    pub(super) fn is_to_tell(self) -> bool {
        matches!(self, Self::Tell | Self::Exchange)
    }

    /// True if the other node is to be asked.
    pub(super) fn is_to_ask(self) -> bool {
        matches!(self, Self::Ask | Self::Exchange)
    }
}
