//! The data directory of a server that does not speak for itself: whether it holds data, and which server it is.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use rand::RngExt as _;

/// Where the server's id is kept: beside its data, so that whoever loses the data is somebody else.
const ID_FILE: &str = ".chronik-server-id";
/// What a fresh file system may hold.
const NO_DATA: [&str; 3] = [ID_FILE, ".chronik-server-id.new", "lost+found"];

/// What a data directory says of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The id that is kept there; made now where there was none.
    pub(super) server_id: String,
    /// Whether there is anything else.
    pub(super) has_state: bool,
}

/// Looks into `dir`, which is made where it is not there.
///
/// # Errors
/// It cannot be read or written.
pub(super) fn look(dir: &Path) -> io::Result<Found> {
    // Nobody else's business; etcd warns where it is.
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
    if !kept.is_empty() {
        return Ok(Found { server_id: kept, has_state });
    }
    let server_id = new_id();
    // Whole or not at all: half an id would be another one after the next start.
    let beside = dir.join(format!("{ID_FILE}.new"));
    fs::write(&beside, &server_id)?;
    fs::File::open(&beside)?.sync_all()?;
    fs::rename(&beside, &file)?;
    fs::File::open(dir)?.sync_all()?;
    Ok(Found { server_id, has_state })
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
    fn a_directory_that_is_made_is_nobody_elses_business() {
        let dir = std::env::temp_dir().join(format!("chronik-data-{}", std::process::id()));
        let found = look(&dir.join("server")).unwrap();
        assert!(!found.has_state);
        assert_eq!(fs::metadata(dir.join("server")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(look(&dir.join("server")).unwrap(), found, "the same server");
        fs::remove_dir_all(dir).unwrap();
    }
}
