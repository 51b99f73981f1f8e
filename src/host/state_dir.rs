//! The state directory: records that survive a crash at any moment, and a lock against a second agent.
//!
//! A record is one file: a line with its format and checksum, then JSON. It is written to a temporary file, synced,
//! renamed over the old one, and the directory synced, so that after a crash either the old or the new one is there,
//! whole.

mod error;
mod former;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod home;
mod modes;
mod record;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

pub use self::error::StateError;
use self::{
    home::{Home, Place},
    modes::{DIR_MODE, FILE_MODE},
    record::{Unsealed, seal, unseal},
};
use super::durable;
use crate::bootstrap::NodeRecord;

/// The directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// If it cannot be written to, or another agent has it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |action| move |error| StateError::Io { path: path.to_owned(), action, error };
        DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(path)
            .map_err(failed("make the directory"))?;
        modes::tighten(path)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path.join("lock"))
            .map_err(failed("open its lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder is named only to help; an unreadable lock changes nothing.
                lock.read_to_string(&mut holder).ok();
                return Err(StateError::Locked { path: path.to_owned(), pid: holder.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock it")(error)),
        }
        lock.set_len(0).map_err(failed("write its lock"))?;
        writeln!(lock, "{}", std::process::id()).map_err(failed("write its lock"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Reads the record of this node; `None` on its first start, and if the record is of a version without node keys and holds
    /// nothing that must not be lost.
    ///
    /// # Errors
    /// If the record is there and does not read, or is of that version and holds a vote or a cluster: that is never taken for a
    /// first start.
    pub fn node(&self) -> Result<Option<NodeRecord>, StateError> {
        match self.load("node")? {
            Some(Unsealed::Present(record)) => Ok(Some(record)),
            Some(Unsealed::Former(json)) if former::is_blank(&json) => Ok(None),
            Some(Unsealed::Former(_)) => Err(StateError::Former { path: self.file("node") }),
            None => Ok(None),
        }
    }

    /// Writes the record of this node; durable when it returns.
    ///
    /// # Errors
    /// If the system refuses; the old record or the new one is there then, whole.
    pub fn keep_node(&self, record: &NodeRecord) -> Result<(), StateError> {
        self.store("node", record)
    }

    /// Reads the addresses of the members of the last run. They only help to find the others, so that an unreadable list
    /// counts as empty.
    pub fn peers(&self) -> Vec<SocketAddr> {
        let peers = self.load("peers").unwrap_or_else(|error| {
            tracing::warn!(%error, "the members of the last run are unknown");
            None
        });
        match peers {
            Some(Unsealed::Present(peers)) => peers,
            Some(Unsealed::Former(json)) => serde_json::from_slice(&json).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// Writes the addresses of the members.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn keep_peers(&self, peers: &[SocketAddr]) -> Result<(), StateError> {
        self.store("peers", &peers)
    }

    /// Looks where this directory is, and where it was noted to be.
    pub(crate) fn place(&self) -> Place {
        let noted = match self.load("home") {
            Ok(Some(Unsealed::Present(home))) => Some(home),
            Ok(Some(Unsealed::Former(_)) | None) | Err(_) => None,
        };
        Place { noted, here: Home::of(&self.path) }
    }

    /// Notes where this directory is. Without that note nothing is lost but the warning of a copy.
    pub(crate) fn settle(&self, Place { noted, here }: Place) {
        let kept = match here {
            Ok(here) if noted.as_ref() == Some(&here) => Ok(()),
            // Not synced: one that is torn tells nothing.
            Ok(here) => fs::write(self.file("home"), seal(&here)),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "a copy of the state directory will not be told from it");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name).with_extension("json")
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Unsealed<T>>, StateError> {
        let path = self.file(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(StateError::Io { path, action: "read it", error });
            }
        };
        unseal(&bytes).map(Some).map_err(|problem| StateError::Damaged { path, problem })
    }

    fn store<T: Serialize>(&self, name: &str, record: &T) -> Result<(), StateError> {
        let path = self.file(name);
        durable::replace(&path, &seal(record), FILE_MODE).map_err(|error| StateError::Io {
            path,
            action: "write it",
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        bootstrap::FoundingRecord,
        node::Epoch,
        signing::{KEY_LEN, NodeKey},
    };

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("chronik-agent-{name}-{}", std::process::id()));
            fs::remove_dir_all(&path).ok();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn record() -> NodeRecord {
        NodeRecord {
            epoch: Epoch(7),
            founding: FoundingRecord::blank(NodeKey::new(&Zeroizing::new([1; KEY_LEN]))),
        }
    }

    #[test]
    fn a_record_is_read_as_written() {
        let scratch = Scratch::new("read");
        let dir = StateDir::open(&scratch.0).unwrap();
        assert_eq!(dir.node().unwrap(), None, "a first start");
        dir.keep_node(&record()).unwrap();
        assert_eq!(dir.node().unwrap(), Some(record()));
    }

    #[test]
    fn a_second_agent_is_told_who_has_the_directory() {
        let scratch = Scratch::new("lock");
        let first = StateDir::open(&scratch.0).unwrap();
        let error = StateDir::open(&scratch.0).unwrap_err().to_string();
        let holder = format!("in use by another agent (process {})", std::process::id());
        assert!(error.contains(&holder), "{error}");
        drop(first);
        StateDir::open(&scratch.0).unwrap();
    }

    #[test]
    fn a_damaged_record_is_reported_and_never_taken_for_a_first_start() {
        let scratch = Scratch::new("damaged");
        let dir = StateDir::open(&scratch.0).unwrap();
        dir.keep_node(&record()).unwrap();
        let whole = fs::read(scratch.0.join("node.json")).unwrap();
        for length in 0..whole.len() {
            fs::write(scratch.0.join("node.json"), &whole[..length]).unwrap();
            assert!(matches!(dir.node(), Err(StateError::Damaged { .. })), "cut to {length} bytes");
        }
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 1;
            fs::write(scratch.0.join("node.json"), flipped).unwrap();
            assert!(matches!(dir.node(), Err(StateError::Damaged { .. })), "flipped at {position}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_names_the_path_and_the_remedy() {
        let error = StateDir::open(Path::new("/proc/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("--state-dir /proc/nowhere: cannot make the directory: "), "{error}");
        assert!(error.ends_with("give the agent's user a directory it may write to"), "{error}");
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_directory_that_others_could_read_is_closed() {
        let scratch = Scratch::new("wide");
        fs::create_dir(&scratch.0).unwrap();
        fs::write(scratch.0.join("node.json"), "").unwrap();
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(scratch.0.join("node.json"), fs::Permissions::from_mode(0o666)).unwrap();
        let _dir = StateDir::open(&scratch.0).unwrap();
        let modes = [".", "node.json", "lock"].map(|name| mode(&scratch.0.join(name)));
        assert_eq!(modes, [0o700, 0o600, 0o600]);
    }

    #[test]
    fn a_directory_of_other_things_is_left_as_it_is_and_refused() {
        let scratch = Scratch::new("other");
        fs::create_dir(&scratch.0).unwrap();
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(scratch.0.join("passwd"), "").unwrap();
        let error = StateDir::open(&scratch.0).unwrap_err().to_string();
        let expected = "is open to others (mode 0755) and holds \"passwd\", which is not the agent's: give the agent \
                        a directory of its own, or chmod 700 this one";
        assert!(error.ends_with(expected), "{error}");
        assert_eq!((mode(&scratch.0), scratch.0.join("lock").exists()), (0o755, false));
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
        StateDir::open(&scratch.0).unwrap();
    }
}
