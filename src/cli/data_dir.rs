//! The data directory of a server that is about to be started: tells if there is data, and the server's id.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rand::RngExt as _;

use super::error::ExecError;
use crate::{
    choice::Choice as _,
    durable,
    node::Epoch,
    servers::{DataPlace, Driver},
};

/// The file with the server's id. It lies beside the data, so that a server that loses its data is another server.
const ID_FILE: &str = ".chronik-server-id";
/// Mode of that file: readable for all, because the id is no secret.
const ID_MODE: u32 = 0o644;
/// The file with the number of the last start. It lies beside the data, so that a backup brings back the number, too.
const STARTS_FILE: &str = ".chronik-server-starts";
/// Names that are no data: ours, and that of a fresh file system.
const NO_DATA: [&str; 5] = [
    ID_FILE,
    ".chronik-server-id.chronik-agent",
    STARTS_FILE,
    ".chronik-server-starts.chronik-agent",
    "lost+found",
];

/// A server as its data directory shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The id that is kept there; made now if there was none.
    pub(super) server_id: String,
    /// True if there is anything else.
    pub(super) has_state: bool,
    /// The group of the data by the server's own name for it, if a driver reads that.
    pub(super) group: Option<String>,
    /// Number of the last start; `None` if no start was counted.
    pub(super) starts: Option<u64>,
}

/// A data directory, and how to look into it.
#[derive(Debug)]
pub(super) enum DataDir {
    /// By a file of ours in it.
    Plain(PathBuf),
    /// By the driver of its server, which leaves nothing there.
    Driven {
        /// The driver.
        driver: Box<dyn Driver>,
        /// The places of the data.
        place: DataPlace,
        /// The id of the server while it is blank: lost, as its data would be, with the program that waits to start it.
        blank: String,
    },
}

impl DataDir {
    /// The data directory of a server that this driver knows.
    pub(super) fn driven(driver: Box<dyn Driver>, place: DataPlace) -> Self {
        let blank = format!("{}:blank/{}", driver.kind().word(), new_id());
        Self::Driven { driver, place, blank }
    }

    /// Looks into it.
    pub(super) fn look(&self) -> Result<Found, ExecError> {
        match self {
            Self::Plain(dir) => look(dir).map_err(|error| cannot_use(dir, error)),
            Self::Driven { driver, place, blank } => {
                let identity = driver.look(place)?;
                let id = identity.as_ref().and_then(|identity| identity.server_id(driver.kind()));
                Ok(Found {
                    server_id: id.map_or_else(|| blank.clone(), |id| id.to_string()),
                    has_state: identity.is_some(),
                    group: identity.map(|identity| identity.group),
                    starts: None,
                })
            }
        }
    }

    /// Looks into it once more, immediately before the server is started, and counts the start where the number can lie beside the
    /// data: a driver leaves nothing there.
    pub(super) fn begin(&self) -> Result<Found, ExecError> {
        let Self::Plain(dir) = self else { return self.look() };
        // Beside the data first: a crash before the agent knows makes no data look old.
        let starts = count_start(dir).map_err(|error| cannot_use(dir, error))?;
        Ok(Found { starts: Some(starts), ..self.look()? })
    }
}

fn cannot_use(dir: &Path, error: io::Error) -> ExecError {
    ExecError::File { what: "cannot use", path: dir.to_owned(), error }
}

/// The directory that a command names itself, the data directory as `data_dir`: by an argument `--data-dir DIR` or
/// `data_dir=DIR`, or by a value that is set for its template. One that is filled in later cannot be looked into.
pub(super) fn named(command: &[OsString], set: &[(String, String)], what: &str) -> Option<PathBuf> {
    let is_name = |name: &str| name.trim_start_matches('-').replace('-', "_") == what;
    let set = set.iter().find(|(key, _)| is_name(key)).map(|(_, value)| value.clone());
    let words: Vec<&str> = command.iter().filter_map(|word| word.to_str()).collect();
    let follows =
        words.windows(2).find(|pair| pair[0].starts_with('-') && is_name(pair[0])).map(|pair| pair[1]);
    let holds = words.iter().filter_map(|word| word.split_once('=')).find(|(name, _)| is_name(name));
    let found = set.or(follows.or(holds.map(|(_, dir)| dir)).map(str::to_owned));
    found.filter(|dir| !dir.is_empty() && !dir.contains("{{")).map(PathBuf::from)
}

/// Looks into `dir`, which is made if it is missing.
///
/// # Errors
/// If it cannot be read or written.
fn look(dir: &Path) -> io::Result<Found> {
    // Closed to others, because etcd warns about a data directory that is not.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut has_state = false;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        has_state |= !NO_DATA.iter().any(|known| name == *known);
    }
    let file = dir.join(ID_FILE);
    let kept = match fs::read_to_string(&file) {
        Ok(kept) => kept.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let starts = read_starts(dir)?;
    if !kept.is_empty() {
        return Ok(Found { server_id: kept, has_state, group: None, starts });
    }
    let server_id = new_id();
    // Whole or not at all: half an id would be that of another server after the next start.
    durable::replace(&file, server_id.as_bytes(), ID_MODE)?;
    Ok(Found { server_id, has_state, group: None, starts })
}

/// Counts one more start of the server in `dir`, and returns its number. Numbers are times, like the epochs of agents, so that they
/// grow even where the file was deleted.
///
/// # Errors
/// If it cannot be read or written.
fn count_start(dir: &Path) -> io::Result<u64> {
    let Epoch(number) = Epoch::next(read_starts(dir)?.map(Epoch), unix_ms());
    durable::replace(&dir.join(STARTS_FILE), number.to_string().as_bytes(), ID_MODE)?;
    Ok(number)
}

fn read_starts(dir: &Path) -> io::Result<Option<u64>> {
    match fs::read_to_string(dir.join(STARTS_FILE)) {
        Ok(kept) => Ok(kept.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "a command at the edge, which nobody repeats with a seed")]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a command at the edge, which nobody repeats with a seed")]
fn new_id() -> String {
    uuid::Builder::from_random_bytes(rand::rng().random()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_command_names_its_data_directory_itself() {
        let found = |words: &[&str], set: &[(&str, &str)]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let set: Vec<_> =
                set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            named(&words, &set, "data_dir").map(|dir| dir.display().to_string())
        };
        let dir = Some("/data".to_owned());
        assert_eq!(found(&["etcd", "--data-dir", "/data"], &[]), dir);
        assert_eq!(found(&["etcd", "--data-dir=/data", "--name", "x"], &[]), dir);
        assert_eq!(found(&["server", "data_dir=/data"], &[]), dir);
        assert_eq!(found(&["server"], &[("data_dir", "/data")]), dir);
        assert_eq!(found(&["etcd", "--name", "data-dir"], &[]), None);
        assert_eq!(found(&["etcd", "--data-dir={{ node.name }}"], &[]), None, "it is filled in later");
    }

    #[test]
    fn a_directory_that_is_made_is_nobody_elses_business() {
        let dir = std::env::temp_dir().join(format!("chronik-data-{}", std::process::id()));
        let found = look(&dir.join("server")).unwrap();
        assert!(!found.has_state);
        assert_eq!(fs::metadata(dir.join("server")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(look(&dir.join("server")).unwrap(), found, "the same server");
        let first = count_start(&dir.join("server")).unwrap();
        let second = count_start(&dir.join("server")).unwrap();
        assert!(first < second);
        let counted = Found { starts: Some(second), ..found };
        assert_eq!(look(&dir.join("server")).unwrap(), counted, "no data yet");
        fs::remove_dir_all(dir).unwrap();
    }
}
