//! Replaces a file so that after a crash at any moment either the old or the new one is there, whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::FILE_MODE;

/// What is asked of the system, so that a test can crash between any two steps.
pub(super) trait Files {
    /// A file being written.
    type File;
    /// An empty file, in place of whatever had that name.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Returns once what was written would be found after a power failure.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns once the names in `dir` would be found after a power failure.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The file system.
pub(super) struct System;

impl Files for System {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
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

/// Puts `bytes` in the place of `path`, which lies in `dir`; durable when it returns.
pub(super) fn replace(files: &impl Files, dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = files.create(&temporary)?;
    files.write(&mut file, bytes)?;
    files.sync(&file)?;
    files.rename(&temporary, path)?;
    files.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::{BTreeMap, BTreeSet},
        path::PathBuf,
    };

    use super::*;

    /// What a step did to the names.
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

    /// A disk that keeps what was synced, and of the rest whatever it likes: the names up to any step, and of a file
    /// any beginning, or as many zeros.
    #[derive(Default)]
    struct Disk {
        contents: RefCell<Vec<Content>>,
        durable: RefCell<BTreeMap<PathBuf, usize>>,
        namings: RefCell<Vec<Naming>>,
        steps_left: Cell<usize>,
        /// The mutant: files are not synced.
        forgetful: bool,
    }

    impl Disk {
        /// The next step happens, or the power fails before it.
        fn step(&self) -> io::Result<()> {
            let left = self.steps_left.get().checked_sub(1);
            self.steps_left.set(left.ok_or_else(|| io::Error::other("power failure"))?);
            Ok(())
        }

        /// What may be found under `path` after a power failure now.
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

    /// What may be found after a power failure before step `steps` of the second write, and whether it was reported
    /// as done.
    fn after(steps: usize, forgetful: bool) -> (BTreeSet<Option<Vec<u8>>>, bool) {
        let disk = Disk { forgetful, ..Disk::default() };
        let (dir, path) = (Path::new("/state"), Path::new("/state/node.json"));
        disk.steps_left.set(STEPS);
        replace(&disk, dir, path, b"the old one").unwrap();
        disk.steps_left.set(steps);
        let done = replace(&disk, dir, path, b"the new one").is_ok();
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
}
