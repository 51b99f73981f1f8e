//! The modes of the state directory and its files, also of one that was made by other means.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::error::StateError;

/// Mode of the directory: for the agent's user alone.
pub(super) const DIR_MODE: u32 = 0o700;
/// Mode of the files in it.
pub(super) const FILE_MODE: u32 = 0o600;

/// Takes the rights of others away from the directory and the records in it.
///
/// A directory that holds other things is left as it is and refused, because it may be one of the system. A directory of
/// another user is used as it is, because volumes of containers are like that.
pub(super) fn tighten(dir: &Path) -> Result<(), StateError> {
    let failed = |error| StateError::Io { path: dir.to_owned(), action: "look at its mode", error };
    let found = fs::metadata(dir).map_err(failed)?;
    let mode = found.permissions().mode() & 0o777;
    if found.uid() != rustix::process::geteuid().as_raw() {
        if mode & 0o022 != 0 {
            tracing::warn!(
                path = %dir.display(), owner = found.uid(), mode = format_args!("{mode:04o}"),
                "the state directory belongs to another user, and others may change what is in it"
            );
        }
        return Ok(());
    }
    let open = mode & !DIR_MODE & 0o777 != 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !is_ours(&entry.file_name()) {
            if open {
                let other = entry.file_name().to_string_lossy().into_owned();
                return Err(StateError::Open { path: dir.to_owned(), mode, other });
            }
            continue;
        }
        let file = fs::symlink_metadata(entry.path()).map_err(failed)?;
        if file.is_file() && file.permissions().mode() & !FILE_MODE & 0o777 != 0 {
            set(&entry.path(), FILE_MODE)?;
        }
    }
    if open {
        tracing::warn!(path = %dir.display(), was = format_args!("{mode:04o}"), "the state directory was open to others, and is so no more");
        set(dir, DIR_MODE)?;
    }
    Ok(())
}

fn set(path: &Path, mode: u32) -> Result<(), StateError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error: io::Error| StateError::Io {
        path: path.to_owned(),
        action: "take the rights of others away",
        error,
    })
}

/// True for the lock, a record, one being written, and the directory that a fresh file system has.
fn is_ours(name: &OsStr) -> bool {
    let record =
        matches!(Path::new(name).extension().and_then(OsStr::to_str), Some("json" | "new" | "chronik-agent"));
    record || name == "lock" || name == "lost+found"
}
