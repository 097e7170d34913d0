//! The files of the objects, and what makes their changes whole and lasting. Everything here blocks.
//!
//! Every step down is taken from an open directory and never through a symbolic link, so whatever lies in the directory, no
//! name leads out of it.
//!
//! Directories are made and removed under a lock, which who moves a file into one shares: so a directory that is found has
//! been synced into the one above it, and none vanishes before a file has arrived in it.

#[cfg(test)]
mod tests;

use std::{
    fs::{DirBuilder, File},
    io::{self, ErrorKind, Write},
    ops::Range,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    },
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustix::{
    fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, XattrFlags},
    io::Errno,
};

use super::{list, mark};
use crate::bindings::blob::{
    name::Name,
    store::{Facts, Listed, Page, Place, millis},
};

/// Where files are that are not whole yet.
const INCOMING: &str = "incoming";

/// What new directories and files may be: the daemon's alone, readable for its group, as its state directory is.
const DIRECTORY_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// The extended attribute of a file that holds its object's content type.
const CONTENT_TYPE: &str = "user.wapcd.content_type";

/// How directories are opened, and nothing else in their place.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How files are opened: at once, also where a pipe lies in their place.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A directory of objects, for which this process alone has the lock.
pub(super) struct Tree {
    root: OwnedFd,
    incoming: OwnedFd,
    /// A second opening of `root`, closed when the lock is given back.
    lock: Mutex<Option<OwnedFd>>,
    /// Written to while directories are made and removed, read while a file is moved into one.
    shape: RwLock<()>,
    /// Names of incoming files.
    next: AtomicU64,
}

/// An object that was found.
pub(super) struct Object {
    file: File,
    pub(super) facts: Facts,
}

impl Tree {
    /// Opens or makes the directory, and removes what an earlier process did not bring to its end.
    ///
    /// # Errors
    /// `WouldBlock` where another process, or another binding, has it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
        let root: OwnedFd = File::open(path)?.into();
        let lock: OwnedFd = File::open(path)?.into();
        fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        ignoring(Errno::EXIST, fs::mkdirat(&root, INCOMING, Mode::from_raw_mode(DIRECTORY_MODE)))?;
        let incoming = fs::openat(&root, INCOMING, DIRECTORY, Mode::empty())?;
        clear(&incoming)?;
        // An earlier process may have been killed between making a directory and syncing it.
        fs::syncfs(&root)?;
        let lock = Mutex::new(Some(lock));
        Ok(Self { root, incoming, lock, shape: RwLock::default(), next: AtomicU64::new(0) })
    }

    /// Gives the lock back.
    pub(super) fn release(&self) {
        self.lock.lock().take();
    }

    /// Writes, syncs and removes a file.
    pub(super) fn check(&self) -> io::Result<()> {
        let incoming = self.incoming()?;
        (&incoming.file).write_all(b"check")?;
        Ok(fs::fsync(&incoming.file)?)
    }

    /// Stores an object, and says its etag.
    ///
    /// # Errors
    /// `AlreadyExists` where there must be none, but there is.
    pub(super) fn put(
        &self,
        place: &Place,
        data: &[u8],
        content_type: Option<&str>,
        only_if_absent: bool,
    ) -> io::Result<String> {
        let incoming = self.incoming()?;
        (&incoming.file).write_all(data)?;
        self.publish(incoming, place, content_type, only_if_absent)
    }

    /// Stores the content of an object once more.
    ///
    /// # Errors
    /// As those of `put`.
    pub(super) fn copy(&self, object: &Object, to: &Place, only_if_absent: bool) -> io::Result<()> {
        let incoming = self.incoming()?;
        io::copy(&mut &object.file, &mut &incoming.file)?;
        self.publish(incoming, to, object.facts.content_type.as_deref(), only_if_absent)?;
        Ok(())
    }

    /// Finds an object.
    pub(super) fn open_object(&self, place: &Place) -> io::Result<Option<Object>> {
        let (directories, file) = way(place);
        let Some(directory) = absent(self.descend(&directories))? else { return Ok(None) };
        let Some(file) = absent(fs::openat(&directory, &*file, FILE, Mode::empty()).map_err(Into::into))? else {
            return Ok(None);
        };
        let file = File::from(file);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let facts = Facts {
            size: metadata.len(),
            modified: millis(metadata.modified()?),
            etag: Some(etag(&metadata)),
            content_type: content_type(&file)?,
        };
        Ok(Some(Object { file, facts }))
    }

    /// Removes an object, and the directories that are empty without it; whether there was one.
    pub(super) fn delete(&self, place: &Place) -> io::Result<bool> {
        let (directories, file) = way(place);
        let Some(directory) = absent(self.descend(&directories))? else { return Ok(false) };
        match fs::statat(&directory, &*file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        match fs::unlinkat(&directory, &*file, AtFlags::empty()) {
            Ok(()) => fs::fsync(&directory)?,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.prune(&directories);
        Ok(true)
    }

    /// Lists objects in the order of their names.
    pub(super) fn list(&self, page: &Page) -> io::Result<Listed> {
        // The part of the prefix that is directories need not be looked for.
        let base = page.prefix.rfind('/').map_or("", |at| page.prefix.get(..=at).unwrap_or_default());
        let mut directories: Vec<String> = page.scope.path().split('/').map(str::to_owned).collect();
        if let Some(parts) = base.strip_suffix('/') {
            if !Name::is_one(parts) {
                return Ok(Listed::default());
            }
            directories.extend(parts.split('/').map(mark::directory));
        }
        match absent(self.descend(&directories))? {
            Some(directory) => list::page(&directory, base, page),
            None => Ok(Listed::default()),
        }
    }

    fn incoming(&self) -> io::Result<Incoming<'_>> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.incoming, &*name, flags, Mode::from_raw_mode(FILE_MODE))?;
        Ok(Incoming { file: file.into(), name, tree: self })
    }

    /// Brings a written file to its place, and says its etag.
    fn publish(
        &self,
        incoming: Incoming<'_>,
        place: &Place,
        content_type: Option<&str>,
        only_if_absent: bool,
    ) -> io::Result<String> {
        if let Some(content_type) = content_type {
            fs::fsetxattr(&incoming.file, CONTENT_TYPE, content_type.as_bytes(), XattrFlags::empty()).map_err(
                |error| match error {
                    Errno::OPNOTSUPP => io::Error::new(
                        ErrorKind::Unsupported,
                        "its file system keeps no extended attributes, in which the `content_type` would be",
                    ),
                    other => other.into(),
                },
            )?;
        }
        fs::fsync(&incoming.file)?;
        let (directories, file) = way(place);
        let shared = self.shape.read();
        let directory = match self.descend(&directories) {
            Ok(directory) => {
                incoming.move_to(&directory, &file, only_if_absent)?;
                drop(shared);
                directory
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                drop(shared);
                let _alone = self.shape.write();
                let directory = self.descend_or_make(&directories)?;
                incoming.move_to(&directory, &file, only_if_absent)?;
                directory
            }
            Err(error) => return Err(error),
        };
        fs::fsync(&directory)?;
        Ok(etag(&incoming.file.metadata()?))
    }

    fn descend(&self, directories: &[String]) -> io::Result<OwnedFd> {
        let mut at = self.root.as_fd().try_clone_to_owned()?;
        for directory in directories {
            at = fs::openat(&at, &**directory, DIRECTORY, Mode::empty())?;
        }
        Ok(at)
    }

    fn descend_or_make(&self, directories: &[String]) -> io::Result<OwnedFd> {
        let mut at = self.root.as_fd().try_clone_to_owned()?;
        for directory in directories {
            at = match fs::openat(&at, &**directory, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => {
                    fs::mkdirat(&at, &**directory, Mode::from_raw_mode(DIRECTORY_MODE))?;
                    fs::fsync(&at)?;
                    fs::openat(&at, &**directory, DIRECTORY, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(at)
    }

    /// Removes the innermost directories as far as they are empty. What cannot be removed does no harm.
    fn prune(&self, directories: &[String]) {
        let _alone = self.shape.write();
        for depth in (0..directories.len()).rev() {
            let (above, rest) = directories.split_at(depth);
            let (Some(innermost), Ok(above)) = (rest.first(), self.descend(above)) else { return };
            if fs::unlinkat(&above, &**innermost, AtFlags::REMOVEDIR).is_err() {
                return;
            }
        }
    }
}

/// A file that is not at its place yet, and removed if it never gets there.
struct Incoming<'t> {
    file: File,
    name: String,
    tree: &'t Tree,
}

impl Incoming<'_> {
    fn move_to(&self, directory: &OwnedFd, file: &str, only_if_absent: bool) -> io::Result<()> {
        let incoming = &self.tree.incoming;
        match only_if_absent {
            // A second name, which is refused where there is one already; the first one goes with this.
            true => fs::linkat(incoming, &*self.name, directory, file, AtFlags::empty())?,
            false => fs::renameat(incoming, &*self.name, directory, file)?,
        }
        Ok(())
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        // Where it was moved there is nothing; where it cannot be removed the next start does so.
        fs::unlinkat(&self.tree.incoming, &*self.name, AtFlags::empty()).unwrap_or_default();
    }
}

impl Object {
    /// Reads bytes of it, which are there, since a file is never changed.
    pub(super) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// The directories and the file of an object.
fn way(place: &Place) -> (Vec<String>, String) {
    let mut directories: Vec<String> = place.scope.path().split('/').map(str::to_owned).collect();
    let mut parts = place.name.as_str().split('/').peekable();
    let mut last = "";
    while let Some(part) = parts.next() {
        match parts.peek() {
            Some(_) => directories.push(mark::directory(part)),
            None => last = part,
        }
    }
    (directories, mark::file(last))
}

/// Removes all files.
fn clear(directory: &OwnedFd) -> io::Result<()> {
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            ignoring(Errno::NOENT, fs::unlinkat(directory, entry.file_name(), AtFlags::empty()))?;
        }
    }
    Ok(())
}

/// `None` where there is nothing, or something that is no part of this: a link, a file in place of a directory.
pub(super) fn absent<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
            _ => Err(error),
        },
    }
}

fn ignoring(harmless: Errno, outcome: Result<(), Errno>) -> io::Result<()> {
    match outcome {
        Err(error) if error != harmless => Err(error.into()),
        _ => Ok(()),
    }
}

/// Another one for each file that was written, whatever its content.
fn etag(metadata: &std::fs::Metadata) -> String {
    format!("{:x}-{:x}-{:x}-{:x}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

fn content_type(file: &File) -> io::Result<Option<String>> {
    let mut value = [0; 255];
    match fs::fgetxattr(file, CONTENT_TYPE, &mut value[..]) {
        Ok(length) => Ok(value.get(..length).and_then(|text| String::from_utf8(text.to_vec()).ok())),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
