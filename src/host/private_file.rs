//! Opening of a file that holds a secret: refused if somebody else could read or change it.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Rights that such a file must not give: its group none to write, all others none at all. The group may read it, because
/// that is how a secret comes into a container and how the API's token is shared with its clients.
const FORBIDDEN: u32 = 0o027;

/// Owners from whom the file is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The user of this process, or root: somebody else could put another secret in its place.
    OursOrRoot,
    /// Anybody: for a client that shows the secret to the agent it belongs to, and is given it by that agent's group.
    Anybody,
}

/// Reason for which the file is not used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It cannot be opened, or is no file.
    Io(io::Error),
    /// Others can read or change it.
    Open {
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody else.
    Foreign {
        /// Its owner.
        owner: u32,
        /// The user of this process.
        user: u32,
    },
}

/// Opens the file for reading if it is private.
pub(crate) fn open(path: &Path, owner: Owner) -> Result<File, Fault> {
    let file = File::open(path).map_err(Fault::Io)?;
    // Asked of the open file, so that it cannot be another one than is read.
    let about = file.metadata().map_err(Fault::Io)?;
    check_mode(about.mode())?;
    if owner == Owner::OursOrRoot {
        check_kind(&about)?;
        check_owner(about.uid(), rustix::process::geteuid().as_raw())?;
    }
    Ok(file)
}

fn check_mode(mode: u32) -> Result<(), Fault> {
    if mode & FORBIDDEN != 0 { Err(Fault::Open { mode: mode & 0o7777 }) } else { Ok(()) }
}

/// The agent reads its secrets again later, which a pipe does not survive.
fn check_kind(about: &Metadata) -> Result<(), Fault> {
    if about.is_file() { Ok(()) } else { Err(Fault::Io(io::Error::other("it is no file"))) }
}

fn check_owner(owner: u32, user: u32) -> Result<(), Fault> {
    if owner == user || owner == 0 { Ok(()) } else { Err(Fault::Foreign { owner, user }) }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    #[test]
    fn only_what_is_closed_to_others_is_opened() {
        let path = std::env::temp_dir().join(format!("chronik-agent-private-{}", std::process::id()));
        fs::write(&path, "secret").unwrap();
        for mode in [0o400, 0o600, 0o640, 0o440] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(open(&path, Owner::OursOrRoot).is_ok(), "{mode:o}");
        }
        for mode in [0o644, 0o660, 0o620, 0o601] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            for owner in [Owner::OursOrRoot, Owner::Anybody] {
                let opened = open(&path, owner);
                assert!(matches!(opened, Err(Fault::Open { mode: told }) if told == mode), "{opened:?}");
            }
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_what_is_ours_or_roots_is_trusted() {
        assert!(check_owner(7, 7).is_ok() && check_owner(0, 7).is_ok());
        let (others, read_by_root) = (check_owner(8, 7), check_owner(8, 0));
        assert!(matches!(others, Err(Fault::Foreign { owner: 8, user: 7 })), "{others:?}");
        assert!(matches!(read_by_root, Err(Fault::Foreign { owner: 8, user: 0 })), "{read_by_root:?}");
    }

    #[test]
    fn a_directory_is_no_secret() {
        let path = std::env::temp_dir().join(format!("chronik-agent-private-dir-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let opened = open(&path, Owner::OursOrRoot);
        fs::remove_dir(&path).unwrap();
        assert!(matches!(opened, Err(Fault::Io(_))), "{opened:?}");
    }
}
