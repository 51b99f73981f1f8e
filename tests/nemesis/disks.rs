//! The two directories of a host, on small disks of their own in memory, and all that the program did to them.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::program::Part;

/// Size of an agent's disk.
const AGENT_SIZE: &str = "4m";
/// Size of a server's: etcd takes 128 MB for its log at once.
const SERVER_SIZE: &str = "220m";

/// The disks of a host.
#[derive(Debug)]
pub(crate) struct Disks {
    root: PathBuf,
}

/// A directory's loss of something that it held, by the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) at: u64,
    pub(crate) host: usize,
    /// Never both: each directory has its own.
    pub(crate) part: Part,
    pub(crate) what: What,
    /// True if the server's directory held data of etcd.
    pub(crate) held_data: bool,
}

/// The loss itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Wiped,
    /// Replaced by its own copy of an earlier moment.
    RolledBack {
        taken: u64,
    },
    /// Replaced by the copy of another host's.
    Copied {
        from: usize,
    },
}

impl Disks {
    pub(crate) fn mount(root: &Path) -> Self {
        for (name, size) in [("agent", AGENT_SIZE), ("server", SERVER_SIZE)] {
            let dir = root.join(name);
            fs::create_dir_all(&dir).unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(&dir);
            assert!(mount.status().unwrap().success(), "{mount:?}");
        }
        Self { root: root.to_owned() }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("agent/state")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("server/data")
    }

    /// True if there is data of etcd.
    pub(crate) fn holds_data(&self) -> bool {
        self.data().join("member").exists()
    }

    fn dir(&self, part: Part) -> PathBuf {
        if part == Part::Agent { self.state() } else { self.data() }
    }

    pub(crate) fn wipe(&self, part: Part) {
        fs::remove_dir_all(self.dir(part)).ok();
    }

    /// Takes a copy, beside the disks.
    pub(crate) fn back_up(&self, part: Part, name: &str) {
        let copy = self.root.join(name);
        fs::remove_dir_all(&copy).ok();
        copy_tree(&self.dir(part), &copy).unwrap();
    }

    /// Puts a copy in place of what is there, and makes room for it.
    pub(crate) fn restore(&self, part: Part, name: &str) -> io::Result<()> {
        self.wipe(part);
        self.free(part);
        let copied = copy_tree(&self.root.join(name), &self.dir(part));
        fs::remove_dir_all(self.root.join(name)).ok();
        copied
    }

    /// Puts another host's state in place of this one's.
    pub(crate) fn take_state_of(&self, other: &Self) -> io::Result<()> {
        self.wipe(Part::Agent);
        self.free(Part::Agent);
        copy_tree(&other.state(), &self.state())
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self, part: Part) {
        let mut filler = fs::File::create(self.filler(part)).unwrap();
        for size in [1 << 20, 1 << 12] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(crate) fn free(&self, part: Part) {
        fs::remove_file(self.filler(part)).ok();
    }

    fn filler(&self, part: Part) -> PathBuf {
        self.root.join(if part == Part::Agent { "agent/filler" } else { "server/filler" })
    }
}

/// Copies files and folders; sockets and what etcd only keeps in advance stay behind.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() && entry.path().extension().is_none_or(|ending| ending != "tmp") {
            match fs::copy(entry.path(), &target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied?),
            }
        }
    }
    Ok(())
}
