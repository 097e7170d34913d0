//! A directory that is nobody else's: made and checked once, and used through its descriptor ever after, so that what was
//! checked is what is used. Files in it are replaced as a whole or not at all.
//!
//! It knows nothing of what the files are.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use thiserror::Error;

/// Mode of the directory.
const OURS: u32 = 0o700;
/// Mode of directories above it, where they have to be made.
const ABOVE: u32 = 0o750;
/// The part of a mode that is for others than the owner.
const OTHERS: u32 = 0o077;

/// How names of files begin and end that are being written.
const TEMPORARY: (char, &str) = ('.', ".tmp");

/// Why a directory cannot be used for what is nobody else's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It cannot be made.
    #[error("cannot make directory `{}`", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It cannot be opened.
    #[error("cannot open directory `{}`", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something else has its name.
    #[error("`{}` is {found}, expected a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It belongs to somebody else.
    #[error("directory `{}` belongs to user {owner}, expected {user}, who runs this", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this process.
        user: u32,
    },
    /// Others may look into it or write to it.
    #[error("directory `{}` has mode {mode:04o}, expected 0700: what is in it is nobody else's", path.display())]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Whether what was written must still be there after a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// It must, when the writing has returned.
    Yes,
    /// It may be lost or, after a power failure, damaged.
    No,
}

/// A directory that belongs to the user of this process and that nobody else can reach into.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    path: PathBuf,
    descriptor: OwnedFd,
}

impl PrivateDir {
    /// Opens it and checks that it is a directory, ours, and closed to others; makes it where nothing is.
    pub(crate) fn make(path: &Path) -> Result<Self, DirectoryError> {
        if let Some(there) = Self::open(path)? {
            return Ok(there);
        }
        let failed = |source| DirectoryError::Make { path: path.to_owned(), source };
        let above = path.parent().unwrap_or(path);
        DirBuilder::new().recursive(true).mode(ABOVE).create(above).map_err(failed)?;
        match DirBuilder::new().mode(OURS).create(path) {
            // Somebody else was quicker; it is checked like any other.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.and_then(|()| File::open(above)?.sync_all()).map_err(failed)?,
        }
        Self::open(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// Like [`Self::make`], but `None` where nothing is.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, DirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |source| DirectoryError::Open { path: path.to_owned(), source };
        let descriptor = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(instead_of(path).unwrap_or_else(|| failed(error.into()))),
        };
        let facts = rustix::fs::fstat(&descriptor).map_err(|error| failed(error.into()))?;
        check(path, &facts)?;
        Ok(Some(Self { path: path.to_owned(), descriptor }))
    }

    /// Path of a file in it, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Names of everything in it that could be ours.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.descriptor)? {
            // What is not UTF-8 was not made here.
            if let Ok(name) = entry?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Says what a file is, how large, and when it was written; a symbolic link is not followed.
    pub(crate) fn facts(&self, name: &str) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens a file for reading. Only a regular one of ours is.
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())?);
        let facts = file.metadata()?;
        if !facts.is_file() || facts.uid() != user() || facts.mode() & 0o022 != 0 {
            return Err(io::Error::other("it is not a regular file that only its owner, who runs this, can write to"));
        }
        Ok(file)
    }

    /// Writes a file, in place of the one of that name: whoever reads sees the old one or the new one, never a part.
    pub(crate) fn write(&self, name: &str, parts: &[&[u8]], durable: Durable) -> io::Result<()> {
        let (begin, end) = TEMPORARY;
        let temporary = format!("{begin}{name}.{:016x}{end}", rand::random::<u64>());
        let written = self.write_as(&temporary, name, parts, durable);
        if written.is_err() {
            // It may be there or not, and is cleaned away later in any case.
            self.remove(&temporary).ok();
        }
        written
    }

    fn write_as(&self, temporary: &str, name: &str, parts: &[&[u8]], durable: Durable) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        step()?;
        let descriptor = rustix::fs::openat(&self.descriptor, temporary, flags, Mode::RUSR | Mode::WUSR)?;
        // Held while it is written: what nobody holds is a leftover.
        rustix::fs::flock(&descriptor, FlockOperation::LockExclusive)?;
        let mut file = File::from(descriptor);
        for part in parts {
            step()?;
            file.write_all(part)?;
        }
        if durable == Durable::Yes {
            step()?;
            file.sync_all()?;
        }
        step()?;
        rustix::fs::renameat(&self.descriptor, temporary, &self.descriptor, name)?;
        if durable == Durable::Yes { self.sync() } else { Ok(()) }
    }

    /// Makes every file that was renamed or removed stay so through a power failure.
    pub(crate) fn sync(&self) -> io::Result<()> {
        step()?;
        Ok(rustix::fs::fsync(&self.descriptor)?)
    }

    /// Removes a file; one that is not there is removed already.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        step()?;
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes files of writers that are gone.
    pub(crate) fn remove_leftovers(&self) -> io::Result<()> {
        let (begin, end) = TEMPORARY;
        for name in self.names()?.into_iter().filter(|name| name.starts_with(begin) && name.ends_with(end)) {
            // One that vanishes meanwhile was not left over.
            let Ok(file) = self.file(&name) else { continue };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Waits until nobody else holds this directory, in this process or another, and holds it until this value goes.
    pub(crate) fn hold(&self) -> io::Result<()> {
        Ok(rustix::fs::flock(&self.descriptor, FlockOperation::LockExclusive)?)
    }
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn check(path: &Path, facts: &Stat) -> Result<(), DirectoryError> {
    let (path, user) = (path.to_owned(), user());
    if facts.st_uid != user {
        return Err(DirectoryError::Owner { path, owner: facts.st_uid, user });
    }
    let mode = Mode::from_raw_mode(facts.st_mode).as_raw_mode();
    match mode & OTHERS {
        0 => Ok(()),
        _ => Err(DirectoryError::Mode { path, mode }),
    }
}

/// What is at a path where a directory is expected, if that is the trouble.
fn instead_of(path: &Path) -> Option<DirectoryError> {
    let facts = fs::symlink_metadata(path).ok()?;
    let found = match FileType::from_raw_mode(facts.mode()) {
        FileType::Directory => return None,
        FileType::Symlink => "a symbolic link",
        FileType::RegularFile => "a file",
        _ => "neither a file nor a directory",
    };
    Some(DirectoryError::NotADirectory { path: path.to_owned(), found })
}

/// Comes before everything that changes the disk, so that tests can make it fail there.
#[cfg(not(test))]
#[inline]
#[allow(clippy::unnecessary_wraps, reason = "in tests it fails")]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use faults::step;

/// Failures at a chosen step of what this thread writes.
#[cfg(test)]
pub(crate) mod faults {
    use std::{cell::Cell, io};

    /// How a step fails.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// It alone: the disk was full for a moment.
        Once,
        /// It and everything after it: the process is gone.
        Crash,
    }

    thread_local! {
        static FAULT: Cell<Option<(u32, Fault)>> = const { Cell::new(None) };
    }

    /// Lets `work` run with the step of this number failing, from 0 on; `None` when it has not so many steps.
    pub(crate) fn with<T>(at: u32, fault: Fault, work: impl FnOnce() -> T) -> Option<T> {
        FAULT.set(Some((at, fault)));
        let result = work();
        let reached = FAULT.replace(None).is_none_or(|(left, _)| left == u32::MAX);
        reached.then_some(result)
    }

    pub(super) fn step() -> io::Result<()> {
        let failed = || Err(io::Error::from(io::ErrorKind::StorageFull));
        match FAULT.get() {
            None => Ok(()),
            Some((0, Fault::Once)) => {
                FAULT.set(None);
                failed()
            }
            Some((0 | u32::MAX, Fault::Crash)) => {
                FAULT.set(Some((u32::MAX, Fault::Crash)));
                failed()
            }
            Some((left, fault)) => {
                FAULT.set(Some((left - 1, fault)));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
