//! The place of a state directory, noted in it: a copy of the directory, such as that in an image of a host, is told by it.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use serde::{Deserialize, Serialize};

use super::record::checksum;

/// A machine, and a directory on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Home {
    /// Digest of the machine's id, which is nobody else's business; `None` if it has none.
    machine: Option<String>,
    /// File number of the directory.
    directory: u64,
}

impl Home {
    /// The home of a directory of this machine.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let machine = fs::read("/etc/machine-id").ok().filter(|id| !id.trim_ascii().is_empty());
        let digest = |id: Vec<u8>| checksum(&[b"chronik-agent home 1 ", id.trim_ascii()].concat());
        Ok(Self { machine: machine.map(digest), directory: fs::metadata(dir)?.ino() })
    }
}

/// The place of a directory as it is, and as it was noted.
#[derive(Debug)]
pub(crate) struct Place {
    /// The home that was noted in it, if that reads.
    pub(super) noted: Option<Home>,
    /// Its home now, or why that cannot be told.
    pub(super) here: io::Result<Home>,
}

impl Place {
    /// True if the directory is known to be a copy of another one, or to have come from another machine.
    pub(crate) fn has_moved(&self) -> bool {
        matches!((&self.noted, &self.here), (Some(noted), Ok(here)) if noted != here)
    }
}
