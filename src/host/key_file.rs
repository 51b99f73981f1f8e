//! The file with the keys: read with its permissions checked, and written so that it is whole at any moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use zeroize::Zeroizing;

use crate::wire::{KeyError, Keyring};

/// The largest file that is read: eight keys take 360 bytes, the rest is room for comments.
const MAX_FILE: u64 = 64 << 10;
/// What nobody but the owner may do with it. His group may read it: that is how secrets come into a container.
const OTHERS: u32 = 0o027;

/// Why the file is not used. Never says what stands in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("--encrypt-key-file {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        error: io::Error,
    },
    /// Others can read or change it.
    #[error("--encrypt-key-file {0}: others can read or change it (mode {mode:04o}): chmod 600 {0}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What it permits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error(
        "--encrypt-key-file {0}: it belongs to user {owner}, and this agent runs as user {user}: chown {user} {0}",
        path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who reads it.
        user: u32,
    },
    /// It is no keyring.
    #[error("--encrypt-key-file {}: {error}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
}

/// The file as it was when it was read, to see whether it is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    modified: Option<SystemTime>,
    file: (u64, u64),
    length: u64,
}

/// Which version lies there; nothing where it cannot be told.
pub fn version(path: &Path) -> Option<Version> {
    let about = fs::metadata(path).ok()?;
    Some(Version { modified: about.modified().ok(), file: (about.dev(), about.ino()), length: about.len() })
}

/// Reads the keyring.
///
/// # Errors
/// Names the file and the remedy.
pub fn read(path: &Path) -> Result<Keyring, KeyFileError> {
    let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    // Of the open file, so that it cannot be another one than is read.
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    if about.mode() & OTHERS != 0 {
        return Err(KeyFileError::Open { path: path.to_owned(), mode: about.mode() & 0o7777 });
    }
    let (owner, user) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != user && owner != 0 {
        return Err(KeyFileError::Owner { path: path.to_owned(), owner, user });
    }
    let capacity = usize::try_from(about.len().min(MAX_FILE)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(capacity + 1));
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Keyring::parse(&text).map_err(|error| KeyFileError::Keys { path: path.to_owned(), error })
}

/// Puts the keyring in the place of the file; durable when it returns. Where that is a link, the file behind it is
/// replaced.
///
/// # Errors
/// Names the file.
pub fn write(path: &Path, keyring: &Keyring) -> Result<(), KeyFileError> {
    let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
    let target = fs::canonicalize(path).map_err(failed)?;
    let temporary = target.with_extension("new");
    let replaced = (|| {
        // What a crash has left behind may have another mode.
        fs::remove_file(&temporary)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(keyring.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        target.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    })();
    replaced.map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::wire::Key;

    #[test]
    fn a_file_is_read_only_where_nobody_else_can_and_written_as_private() {
        let dir = std::env::temp_dir().join(format!("chronik-agent-keys-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("keys");
        let mut keyring = Keyring::single(Key::new(Zeroizing::new([1; 32])));
        fs::write(&path, keyring.to_text().as_bytes()).unwrap();
        for mode in [0o644, 0o660, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.ends_with(&format!("(mode {mode:04o}): chmod 600 {}", path.display())), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert_eq!(read(&path).unwrap(), keyring);
        let before = version(&path);
        assert_eq!(version(&path), before);
        keyring.install(Key::new(Zeroizing::new([2; 32]))).unwrap();
        write(&path, &keyring).unwrap();
        assert_eq!(read(&path).unwrap(), keyring);
        assert_ne!(version(&path), before);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::remove_dir_all(&dir).unwrap();
    }
}
