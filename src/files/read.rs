//! Reads a file whole or not at all: never while somebody writes it.
//!
//! A read lease tells whether any process has the file open for writing, and makes whoever wants to open it wait until
//! it is given back. The kernel grants one on a local file system to the file's owner and to root; everywhere else the
//! facts about the file before and after the reading must be the same. They are compared with a lease too, because the
//! kernel takes a lease away from whoever keeps it too long.
//!
//! A writer that has closed the file may still go on later: whether a file has rested for long enough is decided by
//! `watch`, not here.

use std::{
    ffi::OsStr,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use thiserror::Error;

/// Sets the signal of a broken lease. The same number on every architecture that the daemon is built for; libc has it
/// for one only. Where the number means something else the kernel refuses it, and no lease is taken.
const F_SETSIG: libc::c_int = 10;

/// Why a file was not read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// It cannot be opened or read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is a directory, a pipe, a socket or a device: reading could wait or go on for ever.
    #[error("cannot read `{}`: it is not a regular file", path.display())]
    NotAFile {
        /// What is no file.
        path: PathBuf,
    },
    /// It is larger than it may be.
    #[error("file `{}` of {size} bytes is over the limit of {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Somebody has it open for writing, or it changed while it was read; it is worth another look.
    #[error("file `{}` is being written", path.display())]
    BeingWritten {
        /// The file.
        path: PathBuf,
    },
}

impl From<ReadError> for io::Error {
    /// For whoever names the file itself.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io { source, .. } => source,
            ReadError::NotAFile { .. } => Self::new(io::ErrorKind::InvalidInput, "it is not a regular file"),
            ReadError::TooLarge { limit, .. } => {
                Self::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"))
            }
            ReadError::BeingWritten { .. } => Self::new(io::ErrorKind::ResourceBusy, "it is being written"),
        }
    }
}

/// What tells one state of a file from another without reading it.
///
/// Equal values mean an unchanged file, as far as the file system's clock tells moments apart; the hash of the content
/// decides whether a change matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    /// The file system.
    pub(crate) dev: u64,
    /// The file's number in it.
    pub(crate) ino: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// When the content changed last, in nanoseconds since 1970.
    pub(crate) mtime_ns: i128,
    /// When the content, the owner, the mode or a name changed last, in nanoseconds since 1970.
    pub(crate) ctime_ns: i128,
}

impl Fingerprint {
    /// Takes it from facts that are known.
    pub(crate) fn of(facts: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            dev: facts.dev(),
            ino: facts.ino(),
            size: facts.size(),
            mtime_ns: nanoseconds(facts.mtime(), facts.mtime_nsec()),
            ctime_ns: nanoseconds(facts.ctime(), facts.ctime_nsec()),
        }
    }

    /// Looks at what is at `path`, through symbolic links; `None` where nothing is.
    ///
    /// # Errors
    /// When it cannot be told whether something is there.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(facts) => Ok(Some(Self::of(&facts))),
            // A link whose target is missing is nothing, and so is a name below something that is no directory.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A file that was read whole.
#[derive(Debug)]
pub(crate) struct ReadFile {
    /// What it contains.
    pub(crate) bytes: Vec<u8>,
    /// The state in which it was read.
    pub(crate) fingerprint: Fingerprint,
    /// The number of the user that it belongs to.
    pub(crate) owner: u32,
    /// Type and permission bits, as `st_mode` has them.
    pub(crate) mode: u32,
}

/// Reads a file of at most `limit` bytes that nobody is writing.
///
/// Opening never waits, for the far end of a pipe for example. Whoever opens the file for writing meanwhile waits until
/// it is read, or is told `EWOULDBLOCK` if it asked not to wait.
///
/// # Errors
/// When it cannot be read, is no regular file, is larger than `limit`, or is being written.
pub(crate) fn read_settled(path: &Path, limit: u64) -> Result<ReadFile, ReadError> {
    read_while(path, limit, |_| ())
}

/// Reads an entry of an open directory as `read_settled` does, and never through a symbolic link: that is no regular file.
/// `path` is what errors call it.
///
/// # Errors
/// As `read_settled`.
pub(crate) fn read_settled_at(
    directory: impl AsFd,
    name: &OsStr,
    path: &Path,
    limit: u64,
) -> Result<ReadFile, ReadError> {
    read_opened(&open_at(directory, name, path)?, path, limit, |_| ())
}

/// Whether somebody has an entry of an open directory open for writing, as far as the kernel tells.
pub(crate) fn is_being_written_at(directory: impl AsFd, name: &OsStr) -> bool {
    match open_at(directory, name, Path::new(name)) {
        Ok(file) => matches!(Lease::take(&file), Asked::BeingWritten),
        Err(error) => matches!(error, ReadError::BeingWritten { .. }),
    }
}

/// The facts about an entry of an open directory, of a link itself where it is one; `None` where nothing is.
///
/// # Errors
/// When it cannot be told whether something is there.
pub(crate) fn facts_at(directory: impl AsFd, name: &OsStr) -> io::Result<Option<Metadata>> {
    // A descriptor for the name alone: nothing is opened that could notice.
    match rustix::fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(entry) => File::from(entry).metadata().map(Some),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody has the file open for writing, as far as the kernel tells: `false` where it does not.
///
/// Where nothing can be read, nothing is being written that could be waited for: the reader meets the reason.
pub(crate) fn is_being_written(path: &Path) -> bool {
    match open(path) {
        Ok(file) => matches!(Lease::take(&file), Asked::BeingWritten),
        Err(error) => matches!(error, ReadError::BeingWritten { .. }),
    }
}

/// Reads as `read_settled` does; `meanwhile` happens between opening and reading.
fn read_while(path: &Path, limit: u64, meanwhile: impl FnOnce(&File)) -> Result<ReadFile, ReadError> {
    read_opened(&open(path)?, path, limit, meanwhile)
}

fn read_opened(file: &File, path: &Path, limit: u64, meanwhile: impl FnOnce(&File)) -> Result<ReadFile, ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let being_written = || ReadError::BeingWritten { path: path.to_owned() };
    let too_large = |size| ReadError::TooLarge { path: path.to_owned(), size, limit };

    let lease = match Lease::take(file) {
        Asked::Granted(lease) => Some(lease),
        Asked::BeingWritten => return Err(being_written()),
        Asked::Refused => None,
    };
    // Only now: what was written before the lease belongs to what is read.
    let before = file.metadata().map_err(io_error)?;
    if before.len() > limit {
        return Err(too_large(before.len()));
    }
    meanwhile(file);
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
    // It may grow while it is read, and must not fill the memory.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io_error)?;
    let after = file.metadata().map_err(io_error)?;
    // Writers wait for this.
    drop(lease);

    let fingerprint = Fingerprint::of(&before);
    if Fingerprint::of(&after) != fingerprint || bytes.len() as u64 != before.len() {
        return Err(being_written());
    }
    Ok(ReadFile { bytes, fingerprint, owner: after.uid(), mode: after.mode() })
}

/// Opens a regular file, and nothing else.
fn open(path: &Path) -> Result<File, ReadError> {
    let io_error = |source: io::Error| match source.kind() {
        // Somebody has a write lease, as a file server does for its clients.
        io::ErrorKind::WouldBlock => ReadError::BeingWritten { path: path.to_owned() },
        _ => ReadError::Io { path: path.to_owned(), source },
    };
    let regular = |facts: &Metadata| {
        if facts.is_file() { Ok(()) } else { Err(ReadError::NotAFile { path: path.to_owned() }) }
    };
    // Opening a pipe lets its writer go on, and opening a device may do anything: so look first. What is there may be
    // replaced in between, so look again, and never wait.
    regular(&std::fs::metadata(path).map_err(io_error)?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io_error)?;
    regular(&file.metadata().map_err(io_error)?)?;
    Ok(file)
}

/// Opens a regular file of an open directory, and nothing else: no link either.
fn open_at(directory: impl AsFd, name: &OsStr, path: &Path) -> Result<File, ReadError> {
    let not_a_file = || ReadError::NotAFile { path: path.to_owned() };
    let io_error = |source: io::Error| match source.kind() {
        io::ErrorKind::WouldBlock => ReadError::BeingWritten { path: path.to_owned() },
        _ => ReadError::Io { path: path.to_owned(), source },
    };
    let missing = || io_error(io::ErrorKind::NotFound.into());
    // As in `open`: look, open without waiting, look again.
    if !facts_at(&directory, name).map_err(io_error)?.ok_or_else(missing)?.is_file() {
        return Err(not_a_file());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // It became a link in between.
        Err(rustix::io::Errno::LOOP) => return Err(not_a_file()),
        Err(error) => return Err(io_error(error.into())),
    };
    if file.metadata().map_err(io_error)?.is_file() { Ok(file) } else { Err(not_a_file()) }
}

/// What the kernel says to the wish for a lease.
enum Asked<'file> {
    /// Nobody has the file open for writing, and nobody can before this ends.
    Granted(Lease<'file>),
    /// Somebody has it open for writing.
    BeingWritten,
    /// It does not say: the file belongs to another user, or its file system has no leases.
    Refused,
}

/// A read lease on an open file, given back at its end.
struct Lease<'file>(&'file File);

impl<'file> Lease<'file> {
    fn take(file: &'file File) -> Asked<'file> {
        // Whoever opens the file for writing breaks the lease, and the kernel tells us so by SIGIO, whose default is to
        // end the process. SIGURG is ignored by default, and there is nothing to do but what is being done: read on.
        if control(file, F_SETSIG, libc::SIGURG).is_err() {
            return Asked::Refused;
        }
        match control(file, libc::F_SETLEASE, libc::F_RDLCK) {
            Ok(()) => Asked::Granted(Self(file)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Asked::BeingWritten,
            Err(_) => Asked::Refused,
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // It fails only where the kernel has taken the lease away; and closing the file gives it back in any case.
        control(self.0, libc::F_SETLEASE, libc::F_UNLCK).ok();
    }
}

/// `fcntl` for commands that take a number.
fn control(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    #[allow(unsafe_code, reason = "leases are in no safe library that is used here")]
    // SAFETY: the descriptor is open for as long as `file` is borrowed; both commands (F_SETSIG, F_SETLEASE) take an
    // int by value, and neither reads nor writes memory of this process.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::{
        fs::{self, Permissions},
        io::Write as _,
        os::unix::fs::{PermissionsExt as _, symlink},
        process::Command,
        time::{Duration, Instant},
    };

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const LIMIT: u64 = 1024;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        fs::write(&path, content).unwrap();
        (dir, path)
    }

    #[test]
    fn reads_content_fingerprint_and_owner() {
        let (_dir, path) = file(b"content");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let read = read_settled(&path, 7).unwrap();
        assert_eq!(read.bytes, b"content");
        assert_eq!(Some(read.fingerprint), Fingerprint::at(&path).unwrap());
        assert_eq!(read.owner, rustix::process::geteuid().as_raw());
        assert_eq!(read.mode & 0o7777, 0o640);
    }

    #[test]
    fn an_empty_file_is_read() {
        let (_dir, path) = file(b"");
        assert_eq!(read_settled(&path, 0).unwrap().bytes, b"");
    }

    #[test]
    fn a_file_that_is_open_for_writing_is_not_read_until_it_is_closed() {
        let (_dir, path) = file(b"half");
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(is_being_written(&path));
        assert!(matches!(read_settled(&path, LIMIT), Err(ReadError::BeingWritten { .. })));
        writer.write_all(b" and half").unwrap();
        assert!(matches!(read_settled(&path, LIMIT), Err(ReadError::BeingWritten { .. })));
        drop(writer);
        assert!(!is_being_written(&path));
        assert_eq!(read_settled(&path, LIMIT).unwrap().bytes, b"half and half");
    }

    #[test]
    fn a_file_that_others_read_is_read() {
        let (_dir, path) = file(b"content");
        let reader = File::open(&path).unwrap();
        let lease = Lease::take(&reader);
        assert!(matches!(lease, Asked::Granted(_)));
        assert!(!is_being_written(&path));
        assert_eq!(read_settled(&path, LIMIT).unwrap().bytes, b"content");
    }

    #[test]
    fn a_process_that_opens_for_writing_while_we_read_waits_and_does_not_end_us() {
        let (_dir, path) = file(b"old");
        let mut writer = None;
        let read = read_while(&path, LIMIT, |leased| {
            writer = Some(Command::new("sh").args(["-c", "printf new >> \"$0\""]).arg(&path).spawn().unwrap());
            // The lease is "being broken" from the moment at which the writer's open waits for us.
            let deadline = Instant::now() + Duration::from_secs(20);
            while control_answer(leased, libc::F_GETLEASE) == libc::F_RDLCK {
                assert!(Instant::now() < deadline, "nobody wanted to write");
                std::thread::yield_now();
            }
        });
        assert_eq!(read.unwrap().bytes, b"old");
        assert!(writer.unwrap().wait().unwrap().success());
        assert_eq!(read_settled(&path, LIMIT).unwrap().bytes, b"oldnew");
    }

    fn control_answer(file: &File, command: libc::c_int) -> libc::c_int {
        #[allow(unsafe_code, reason = "leases are in no safe library that is used here")]
        // SAFETY: as in `control`; F_GETLEASE takes no argument.
        unsafe {
            libc::fcntl(file.as_raw_fd(), command)
        }
    }

    #[test]
    fn a_refused_file_gives_its_lease_back_at_once() {
        let (_dir, path) = file(b"too large");
        assert!(matches!(read_settled(&path, 3), Err(ReadError::TooLarge { size: 9, limit: 3, .. })));
        // It would fail if a lease were left: this opener does not wait.
        OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_taken() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("grows", |path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap()),
            ("grows beyond the limit", |path| {
                OpenOptions::new().append(true).open(path).unwrap().write_all(&[0; 4096]).unwrap();
            }),
            ("shrinks", |path| OpenOptions::new().write(true).open(path).unwrap().set_len(1).unwrap()),
            ("is rewritten with the same size", |path| fs::write(path, b"CONTENT").unwrap()),
            ("changes its mode", |path| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap()),
        ];
        for (what, change) in changes {
            let (_dir, path) = file(b"content");
            let rested = Fingerprint::at(&path).unwrap();
            let result = read_while(&path, LIMIT, |leased| {
                // As where there are no leases.
                control(leased, libc::F_SETLEASE, libc::F_UNLCK).unwrap();
                // The file system's clock may tick slowly.
                while Fingerprint::at(&path).unwrap() == rested {
                    change(&path);
                }
            });
            assert!(matches!(result, Err(ReadError::BeingWritten { .. })), "{what}: {result:?}");
        }
    }

    #[test]
    fn a_file_that_is_renamed_over_while_it_is_read_is_read_whole_or_looked_at_again() {
        let (dir, path) = file(b"old");
        let other = dir.path().join("b");
        fs::write(&other, b"new").unwrap();
        let result = read_while(&path, LIMIT, |_| fs::rename(&other, &path).unwrap());
        // The old file lost its last name, which is a change; what matters is that nothing is mixed.
        assert!(matches!(result, Err(ReadError::BeingWritten { .. })), "{result:?}");
        assert_eq!(read_settled(&path, LIMIT).unwrap().bytes, b"new");
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let link = dir.path().join("link");
        symlink(&pipe, &link).unwrap();
        for path in [dir.path(), &pipe, &link, Path::new("/dev/zero"), Path::new("/dev/tty")] {
            let error = read_settled(path, LIMIT).unwrap_err();
            assert!(matches!(error, ReadError::NotAFile { .. }), "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(!is_being_written(path));
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let dangling = dir.path().join("dangling");
        symlink(&missing, &dangling).unwrap();
        let (_file_dir, plain) = file(b"");
        for path in [missing, dangling, plain.join("below")] {
            let error = read_settled(&path, LIMIT).unwrap_err();
            assert!(matches!(&error, ReadError::Io { .. }), "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(Fingerprint::at(&path).unwrap(), None);
            assert!(!is_being_written(&path));
        }
    }

    #[test]
    fn a_fingerprint_follows_links_and_differs_after_every_kind_of_change() {
        let (dir, path) = file(b"content");
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        let first = Fingerprint::at(&link).unwrap().unwrap();
        assert_eq!(Fingerprint::at(&path).unwrap(), Some(first));
        let deadline = Instant::now() + Duration::from_secs(20);
        while Fingerprint::at(&link).unwrap() == Some(first) {
            assert!(Instant::now() < deadline, "a changed mode changes nothing");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(dir.path().join("other"), b"content").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        assert_ne!(Fingerprint::at(&link).unwrap().unwrap().ino, first.ino);
    }
}
