//! The file with the keys: refused if it is not private, and replaced so that it is whole at any moment.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use zeroize::Zeroizing;

use super::{
    durable,
    private_file::{self, Fault, Owner},
};
use crate::wire::{KeyError, Keyring};

/// The largest file that is read: eight keys take 360 bytes, the rest is room for comments.
const MAX_FILE: u64 = 64 << 10;

/// Reason for which the file is not used. Never shows its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("--encrypt-key-file {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// Others can read or change it.
    #[error("--encrypt-key-file {0}: others can read or change it (mode {mode:04o}): chmod 600 {0}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
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
        /// Its owner.
        owner: u32,
        /// The agent's user.
        user: u32,
    },
    /// It is no keyring.
    #[error("--encrypt-key-file {}: {error}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// The mistake in it.
        error: KeyError,
    },
}

/// Identifies the content of the file as it was at one moment, so that a change shows without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    modified: Option<SystemTime>,
    file: FileId,
    length: u64,
}

/// Identifies a file on this host: a replaced one has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// The version that lies there now; `None` if the system does not tell.
pub fn version(path: &Path) -> Option<Version> {
    let about = fs::metadata(path).ok()?;
    let file = FileId { device: about.dev(), inode: about.ino() };
    Some(Version { modified: about.modified().ok(), file, length: about.len() })
}

/// Reads the keyring.
///
/// # Errors
/// Names the file and the remedy.
pub fn read(path: &Path) -> Result<Keyring, KeyFileError> {
    let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
    let file = private_file::open(path, Owner::OursOrRoot).map_err(|fault| match fault {
        Fault::Io(error) => failed(error),
        Fault::Open { mode } => KeyFileError::Open { path: path.to_owned(), mode },
        Fault::Foreign { owner, user } => KeyFileError::Owner { path: path.to_owned(), owner, user },
    })?;
    // Room for all of it at once: a text that grows leaves copies of the keys behind.
    let length = file.metadata().map_err(failed)?.len();
    let capacity = usize::try_from(length.min(MAX_FILE)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(capacity + 1));
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Keyring::parse(&text).map_err(|error| KeyFileError::Keys { path: path.to_owned(), error })
}

/// Puts the keyring in the place of the file; durable when it returns. If that is a link, the file behind it is
/// replaced. The new file has the mode, the owner, the group and the comments of the old one.
///
/// # Errors
/// Names the file.
pub fn write(path: &Path, keyring: &Keyring) -> Result<(), KeyFileError> {
    replace(path, keyring).map_err(|error| KeyFileError::Io { path: path.to_owned(), error })
}

fn replace(path: &Path, keyring: &Keyring) -> io::Result<()> {
    let target = fs::canonicalize(path)?;
    let mode = fs::metadata(&target)?.mode() & 0o777;
    let mut old = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    fs::File::open(&target)?.take(MAX_FILE).read_to_string(&mut old)?;
    let mut text = Zeroizing::new(String::with_capacity(old.len() + keyring.to_text().len() + 1));
    for comment in old.lines().filter(|line| line.trim_start().starts_with('#')) {
        text.push_str(comment);
        text.push('\n');
    }
    text.push_str(&keyring.to_text());
    durable::replace(&target, text.as_bytes(), mode)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::wire::Key;

    #[test]
    fn a_replaced_file_keeps_its_comments_and_leaves_the_files_beside_it_alone() {
        let dir = std::env::temp_dir().join(format!("chronik-agent-keys-beside-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("keys");
        let keyring = Keyring::single(Key::new(Zeroizing::new([1; 32])));
        fs::write(&path, "# of rack 4\n\n# until May\n").unwrap();
        let next = ["keys.new", "keys~", "keys.old", "keys.tmp"].map(|name| dir.join(name));
        next.iter().for_each(|path| fs::write(path, "mine").unwrap());
        write(&path, &keyring).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# of rack 4\n# until May\n{}", *keyring.to_text()));
        assert!(next.iter().all(|path| fs::read(path).unwrap() == b"mine"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1 + next.len());
        fs::remove_dir_all(&dir).unwrap();
    }

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
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o440, "as its owner wants it");
        fs::remove_dir_all(&dir).unwrap();
    }
}
