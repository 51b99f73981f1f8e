//! Doubt about a node's own record: another one with the same key may have given votes that this one does not know.

use serde::{Deserialize, Serialize};

use super::reason::Reason;

/// The reason for which a node votes no more; of two the graver counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Others remember a later start of this node than its record does.
    RolledBack,
    /// Another process runs, or ran, with a copy of the record.
    Copied,
}

impl Doubt {
    /// The reason as users read it.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::RolledBack => Reason::RecordRolledBack,
            Self::Copied => Reason::KeyWasCopied,
        }
    }
}
