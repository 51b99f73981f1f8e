//! Errors of the state directory: each names the path and the remedy.

use std::{io, path::PathBuf};

use rustix::io::Errno;

use crate::bootstrap::Reason;

/// A fault of the state directory, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("--state-dir {}: cannot {action}: {error}; {}", .path.display(), remedy(.error))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The act that failed.
        action: &'static str,
        /// The system's words.
        error: io::Error,
    },
    /// Another agent has it.
    #[error(
        "--state-dir {} is in use by another agent{}; stop that one, or give this one a directory of its own",
        .path.display(),
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that has it, from the lock file.
        pid: Option<u32>,
    },
    /// Others may look into it, and it holds other things, so that it cannot just be closed.
    #[error(
        "--state-dir {} is open to others (mode {mode:04o}) and holds {other:?}, which is not the agent's: give the agent a directory of its own, or chmod 700 this one",
        .path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// One of those things.
        other: String,
    },
    /// A record is of a version in which nodes had no keys, and holds a vote or a cluster.
    #[error(
        "{} is of an earlier version, in which nodes had no keys, and holds a vote or a cluster: run `chronik-agent bootstrap reset`, and where servers hold data, once each has, `chronik-agent bootstrap adopt`",
        .path.display()
    )]
    Former {
        /// The file.
        path: PathBuf,
    },
    /// A record is damaged, or was never one.
    #[error(
        "{} does not read ({problem}); an older copy would take votes back: run `chronik-agent bootstrap reset`, or remove the whole directory, to start as a new node",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The mistake in it.
        problem: String,
    },
}

impl StateError {
    /// The reason for which a node whose record this is about votes nothing.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Former { .. } => Reason::OldRecord,
            Self::Io { .. } | Self::Locked { .. } | Self::Open { .. } | Self::Damaged { .. } => {
                Reason::Fault { why: self.to_string() }
            }
        }
    }
}

/// The remedy if the system refuses.
fn remedy(error: &io::Error) -> &'static str {
    let is = |errnos: &[Errno]| errnos.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        "make room there"
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "find out why it is mounted read-only, and mount it for writing"
    } else if is(&[Errno::IO]) {
        "look at the disk"
    } else if is(&[Errno::MFILE, Errno::NFILE]) {
        "raise the limit of open files (ulimit -n, LimitNOFILE=)"
    } else if is(&[Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP]) {
        "that file system has no locks, as NFS without its lock service: put the directory on a local disk, or mount it with locks"
    } else if is(&[Errno::INVAL]) {
        "that file system does not keep what is written to it, as some shared folders, CIFS and 9p: put the directory on a local disk"
    } else if is(&[Errno::STALE, Errno::TIMEDOUT, Errno::NOTCONN, Errno::HOSTDOWN]) {
        "look at the server of that network disk"
    } else if is(&[Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG]) {
        "something that is no directory stands in its way: name another one"
    } else {
        "give the agent's user a directory it may write to"
    }
}
