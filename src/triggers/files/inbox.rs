//! The inbox as a directory: made, listed, looked at and read. Blocks, and follows no link in it.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{DirBuilder, File, FileType, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use super::rest::{self, Seen};
use crate::{
    files::{
        fingerprint::Fingerprint,
        names::is_temporary,
        open::facts_at,
        read::{ReadError, ReadFile, read_settled_at},
    },
    triggers::TriggerError,
};

/// Where files go that were done.
pub(super) const DONE: &str = "done";

/// Where files go that failed, each with its error.
pub(super) const FAILED: &str = "failed";

/// The daemon's user does everything, its group looks: who else may drop files is for whoever makes the directory.
const MODE: u32 = 0o750;

/// How many things that are no files are named, so that thousands of them are not kept in memory.
const MOST_OTHERS: usize = 64;

/// A directory as an inbox.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    /// Where it is; absolute.
    pub(super) path: PathBuf,
}

/// What is under a name.
#[derive(Debug)]
pub(super) enum Entry {
    /// A regular file in this state.
    File(Fingerprint),
    /// Something that is never taken; what it is.
    Other(&'static str),
    /// Nothing, or nothing that is of interest.
    Nothing,
}

/// What is in an inbox.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The first files in the order of mtime and name.
    pub(super) files: Vec<(OsString, Fingerprint)>,
    /// How many files there are after those.
    pub(super) beyond: u64,
    /// Some of what is never taken, and what it is.
    pub(super) others: Vec<(OsString, &'static str)>,
}

/// What came of reading a file.
#[derive(Debug)]
pub(super) enum Taken {
    /// It was read whole while it rested.
    Read(ReadFile),
    /// It changed not long ago, or is being written: to be looked at again after this time.
    Restless(Seen, Duration),
    /// It is something that is never taken.
    Other(&'static str),
    /// It is gone.
    Gone,
    /// It cannot be read, in this state.
    Refused(Fingerprint, ReadError),
}

impl Inbox {
    /// Makes the directory and the two in it, where they are missing.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub(super) fn make(&self) -> Result<(), TriggerError> {
        for path in [self.path.clone(), self.path.join(DONE), self.path.join(FAILED)] {
            let made = DirBuilder::new().recursive(true).mode(MODE).create(&path);
            made.map_err(|source| TriggerError::Directory { path, source })?;
        }
        Ok(())
    }

    /// Opens the directory that is there now.
    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&self.path)
    }

    /// Opens one of the two directories in it, which is made where it is missing; a link is none.
    pub(super) fn open_inner(inbox: &File, name: &str) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, mkdirat, openat};

        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(inbox, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => {}
            opened => return Ok(opened.map(File::from)?),
        }
        match mkdirat(inbox, name, Mode::from_raw_mode(MODE)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(openat(inbox, name, flags, Mode::empty()).map(File::from)?)
    }

    /// Lists it, and keeps the first `most` files.
    pub(super) fn list(&self, most: usize) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let facts = match entry.metadata() {
                Ok(facts) => facts,
                // It was moved away in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match judge(&name, &facts) {
                Entry::File(state) => {
                    files.insert((state.mtime_ns, name), state);
                    if files.len() > most {
                        files.pop_last();
                        listing.beyond += 1;
                    }
                }
                Entry::Other(what) if listing.others.len() < MOST_OTHERS => listing.others.push((name, what)),
                Entry::Other(_) | Entry::Nothing => {}
            }
        }
        listing.files = files.into_iter().map(|((_, name), state)| (name, state)).collect();
        Ok(listing)
    }

    /// Looks at some names.
    pub(super) fn look(&self, names: impl IntoIterator<Item = OsString>) -> io::Result<Vec<(OsString, Entry)>> {
        let inbox = self.open()?;
        let looked = names.into_iter().map(|name| {
            let entry = facts_at(&inbox, &name)?.map_or(Entry::Nothing, |facts| judge(&name, &facts));
            Ok((name, entry))
        });
        looked.collect()
    }

    /// Reads a file that rests.
    ///
    /// # Errors
    /// The directory cannot be looked into.
    pub(super) fn take(&self, name: &OsStr, seen: Option<Seen>, settle: Duration, limit: u64) -> io::Result<Taken> {
        let inbox = match self.open() {
            Ok(inbox) => inbox,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::Gone),
            Err(error) => return Err(error),
        };
        let state = match facts_at(&inbox, name)?.map_or(Entry::Nothing, |facts| judge(name, &facts)) {
            Entry::File(state) => state,
            Entry::Other(what) => return Ok(Taken::Other(what)),
            Entry::Nothing => return Ok(Taken::Gone),
        };
        let now = Instant::now();
        let known = seen.filter(|seen| seen.state == state);
        let since = known.unwrap_or(Seen { state, since: now });
        let left = rest::left(&state, known, (now, SystemTime::now()), settle);
        if !left.is_zero() {
            return Ok(Taken::Restless(since, left));
        }
        let path = self.path.join(name);
        Ok(match read_settled_at(&inbox, name, &path, limit) {
            Ok(file) if file.fingerprint == state => Taken::Read(file),
            // It was replaced since it was looked at.
            Ok(file) => Taken::Restless(Seen { state: file.fingerprint, since: now }, settle),
            Err(ReadError::BeingWritten { .. }) => Taken::Restless(Seen { state, since: now }, settle),
            Err(ReadError::NotAFile { .. }) => Taken::Other("no regular file"),
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Taken::Gone,
            Err(error) => Taken::Refused(state, error),
        })
    }

    /// The path of something in it.
    pub(super) fn join(&self, inner: &str, name: &OsStr) -> PathBuf {
        Path::new(&self.path).join(inner).join(name)
    }
}

/// What something of this name is for an inbox.
fn judge(name: &OsStr, facts: &Metadata) -> Entry {
    let kind = facts.file_type();
    match () {
        () if is_temporary(name) => Entry::Nothing,
        () if name == DONE || name == FAILED => Entry::Nothing,
        () if kind.is_file() => Entry::File(Fingerprint::of(facts)),
        () => Entry::Other(what(kind)),
    }
}

fn what(kind: FileType) -> &'static str {
    match () {
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::*;

    const LIMIT: u64 = 100;

    fn inbox() -> (tempfile::TempDir, Inbox) {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Inbox { path: dir.path().join("deep/in") };
        inbox.make().unwrap();
        (dir, inbox)
    }

    fn take(inbox: &Inbox, name: &str, settle: Duration) -> Taken {
        inbox.take(OsStr::new(name), None, settle, LIMIT).unwrap()
    }

    #[test]
    fn it_is_made_with_its_directories_and_not_open_to_everybody() {
        let (_dir, inbox) = inbox();
        for path in [inbox.path.clone(), inbox.path.join(DONE), inbox.path.join(FAILED)] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o027, 0o020 & mode, "{}", path.display());
        }
        inbox.make().unwrap();
        fs::remove_dir(inbox.path.join(DONE)).unwrap();
        fs::write(inbox.path.join(DONE), "").unwrap();
        assert!(matches!(inbox.make(), Err(TriggerError::Directory { path, .. }) if path.ends_with(DONE)));
    }

    #[test]
    fn it_lists_the_oldest_files_first_and_counts_the_rest() {
        let (_dir, inbox) = inbox();
        for (name, age) in [("c", 3), ("a", 2), ("b", 2), ("new", 1)] {
            fs::write(inbox.path.join(name), name).unwrap();
            let file = File::options().write(true).open(inbox.path.join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - age)).unwrap();
        }
        for name in [".hidden", "half.part", "back~"] {
            fs::write(inbox.path.join(name), "").unwrap();
        }
        symlink("/etc/passwd", inbox.path.join("link")).unwrap();
        fs::create_dir(inbox.path.join("folder")).unwrap();
        let mut listing = inbox.list(3).unwrap();
        let names: Vec<_> = listing.files.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!((names, listing.beyond), (vec!["c", "a", "b"], 1));
        listing.others.sort();
        assert_eq!(listing.others, [("folder".into(), "a directory"), ("link".into(), "a symbolic link")]);
    }

    #[test]
    fn only_regular_files_are_read_and_only_those_that_rest() {
        let (_dir, inbox) = inbox();
        fs::write(inbox.path.join("a"), "content").unwrap();
        symlink("a", inbox.path.join("link")).unwrap();
        assert!(matches!(take(&inbox, "a", Duration::from_secs(600)), Taken::Restless(_, left) if !left.is_zero()));
        assert!(matches!(take(&inbox, "a", Duration::ZERO), Taken::Read(file) if file.bytes == b"content"));
        assert!(matches!(take(&inbox, "link", Duration::ZERO), Taken::Other("a symbolic link")));
        assert!(matches!(take(&inbox, "gone", Duration::ZERO), Taken::Gone));
        fs::write(inbox.path.join("large"), [0; 101]).unwrap();
        assert!(matches!(
            take(&inbox, "large", Duration::ZERO),
            Taken::Refused(_, ReadError::TooLarge { size: 101, .. })
        ));
        let writer = File::options().append(true).open(inbox.path.join("a")).unwrap();
        assert!(matches!(take(&inbox, "a", Duration::ZERO), Taken::Restless(..)));
        drop(writer);
    }
}
