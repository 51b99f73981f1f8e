//! Replacement of a file: after a crash at any moment either the old or the new one is there, whole.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// Puts `bytes` in the place of `path`; durable when it returns. The new file has `mode`, and the owner and group of the old one
/// where the system allows that.
///
/// The bytes go to a file beside it under a name of this program's own, which is synced and renamed over the old one; then
/// the directory is synced.
///
/// # Errors
/// The system's, from the first step that it refuses.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A first one has none before it.
    let old = fs::symlink_metadata(path).ok();
    let owners = old.map(|old| (old.uid(), old.gid()));
    replace_in(&System { mode, owners }, path, bytes)
}

/// The place beside `path` in which its next content is put together. The name is of a kind that no person gives to a file, so
/// that nothing of theirs is ever overwritten: `keys.new` and `keys~` are names for the next keys.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{}.chronik-agent", name.trim_start_matches('.')))
}

/// The steps that are asked of the system, so that a test can crash between any two.
trait Files {
    /// A file being written.
    type File;
    /// An empty file, in place of whatever had that name.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Returns once the bytes written would be there after a power failure.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns once the names in `dir` would be there after a power failure.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The file system.
struct System {
    /// Mode of new files.
    mode: u32,
    /// Owner and group that they are to have.
    owners: Option<(u32, u32)>,
}

impl Files for System {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(self.mode);
        // A link at that name is not ours, and could lead anywhere.
        let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
        if let Some((owner, group)) = self.owners {
            // Only root may give a file away. Whoever may not has a file of its own then, which it can read all the same.
            fchown(&file, Some(owner), None).ok();
            fchown(&file, None, Some(group)).ok();
        }
        // One that a crash has left behind may have another mode; and a change of owner takes some bits away.
        file.set_permissions(Permissions::from_mode(self.mode))?;
        Ok(file)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

fn replace_in(files: &impl Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    let mut file = files.create(&temporary)?;
    files.write(&mut file, bytes)?;
    files.sync(&file)?;
    files.rename(&temporary, path)?;
    // The parent of a bare file name is empty, and means the working directory.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    files.sync_dir(dir.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::{BTreeMap, BTreeSet},
    };

    use super::*;

    /// The effect of a step on the names.
    #[derive(Clone)]
    enum Naming {
        Create(PathBuf, usize),
        Rename(PathBuf, PathBuf),
    }

    #[derive(Clone)]
    struct Content {
        bytes: Vec<u8>,
        synced: bool,
    }

    /// A disk that keeps whatever was synced. Of the rest it may keep the names up to any step, and any beginning of a
    /// file, or zeros of its length.
    #[derive(Default)]
    struct Disk {
        contents: RefCell<Vec<Content>>,
        durable: RefCell<BTreeMap<PathBuf, usize>>,
        namings: RefCell<Vec<Naming>>,
        steps_left: Cell<usize>,
        /// Set in the mutant: files are not synced.
        forgetful: bool,
    }

    impl Disk {
        /// Does the next step, or fails as the power does before it.
        fn step(&self) -> io::Result<()> {
            let left = self.steps_left.get().checked_sub(1);
            self.steps_left.set(left.ok_or_else(|| io::Error::other("power failure"))?);
            Ok(())
        }

        /// Every content that may be found under `path` after a power failure now.
        fn found(&self, path: &Path) -> BTreeSet<Option<Vec<u8>>> {
            let mut names = self.durable.borrow().clone();
            let mut found = self.readings(names.get(path));
            for naming in self.namings.borrow().iter() {
                apply(naming, &mut names);
                found.extend(self.readings(names.get(path)));
            }
            found
        }

        fn readings(&self, file: Option<&usize>) -> BTreeSet<Option<Vec<u8>>> {
            let Some(file) = file else { return [None].into() };
            let Content { bytes, synced } = self.contents.borrow()[*file].clone();
            if synced {
                return [Some(bytes)].into();
            }
            let torn = (0..bytes.len()).map(|length| bytes[..length].to_vec());
            torn.chain([vec![0; bytes.len()], bytes.clone()]).map(Some).collect()
        }
    }

    fn apply(naming: &Naming, names: &mut BTreeMap<PathBuf, usize>) {
        match naming {
            Naming::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Naming::Rename(from, to) => {
                let file = names.remove(from).unwrap();
                names.insert(to.clone(), file);
            }
        }
    }

    impl Files for Disk {
        type File = usize;

        fn create(&self, path: &Path) -> io::Result<usize> {
            self.step()?;
            let mut contents = self.contents.borrow_mut();
            contents.push(Content { bytes: Vec::new(), synced: false });
            let file = contents.len() - 1;
            self.namings.borrow_mut().push(Naming::Create(path.to_owned(), file));
            Ok(file)
        }

        fn write(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
            self.step()?;
            self.contents.borrow_mut()[*file] = Content { bytes: bytes.to_vec(), synced: false };
            Ok(())
        }

        fn sync(&self, file: &usize) -> io::Result<()> {
            self.step()?;
            self.contents.borrow_mut()[*file].synced = !self.forgetful;
            Ok(())
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step()?;
            self.namings.borrow_mut().push(Naming::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        }

        fn sync_dir(&self, _: &Path) -> io::Result<()> {
            self.step()?;
            let mut durable = self.durable.borrow_mut();
            self.namings.borrow_mut().drain(..).for_each(|naming| apply(&naming, &mut durable));
            Ok(())
        }
    }

    const STEPS: usize = 5;

    /// Every content that may be found after a power failure before step `steps` of the second write, and `true` if
    /// that write was reported as done.
    fn after(steps: usize, forgetful: bool) -> (BTreeSet<Option<Vec<u8>>>, bool) {
        let disk = Disk { forgetful, ..Disk::default() };
        let path = Path::new("/state/node.json");
        disk.steps_left.set(STEPS);
        replace_in(&disk, path, b"the old one").unwrap();
        disk.steps_left.set(steps);
        let done = replace_in(&disk, path, b"the new one").is_ok();
        (disk.found(path), done)
    }

    #[test]
    fn after_a_crash_at_any_step_the_old_or_the_new_file_is_there_whole() {
        let (old, new) = (Some(b"the old one".to_vec()), Some(b"the new one".to_vec()));
        for steps in 0..=STEPS {
            let (found, done) = after(steps, false);
            let expected: BTreeSet<_> = match steps {
                0..=3 => [old.clone()].into(),
                4 => [old.clone(), new.clone()].into(),
                _ => [new.clone()].into(),
            };
            assert_eq!((found, done), (expected, steps == STEPS), "crash before step {steps}");
        }
    }

    #[test]
    fn a_file_that_is_not_synced_would_be_found_torn() {
        let (found, _) = after(4, true);
        assert!(found.contains(&Some(b"the new".to_vec())), "this test could not fail");
    }

    #[test]
    fn a_file_is_replaced_by_one_of_the_given_mode_whatever_was_left_behind() {
        let dir = std::env::temp_dir().join(format!("chronik-agent-durable-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (path, left) = (dir.join("secret"), dir.join(".secret.chronik-agent"));
        fs::write(dir.join("secret.new"), "an operator's own").unwrap();
        fs::write(&path, "the old one").unwrap();
        fs::write(&left, "half of").unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"the new one", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"the new one");
        assert_eq!((fs::metadata(&path).unwrap().mode() & 0o777, left.exists()), (0o600, false));
        assert_eq!(fs::read(dir.join("secret.new")).unwrap(), b"an operator's own");
        let new = dir.join("secret.new");
        replace(&new, b"the next one", 0o600).unwrap();
        assert_eq!(fs::read(&new).unwrap(), b"the next one", "whatever its own name is");
        fs::remove_dir_all(&dir).unwrap();
    }
}
