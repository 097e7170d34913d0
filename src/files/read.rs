//! Reads a file whole or not at all: never while somebody writes it.
//!
//! Where the kernel grants a read lease, nobody writes meanwhile; everywhere else the facts about the file before and after the
//! reading must be the same. They are compared with a lease too, because the kernel takes a lease away from whoever keeps it
//! too long.
//!
//! A writer that has closed the file may still go on later: whether a file has rested for long enough is decided by
//! `watch`, not here.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _},
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    fingerprint::Fingerprint,
    lease::{Asked, Lease},
    open::{open, open_at},
};

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::{
        fs::{self, OpenOptions, Permissions},
        io::Write as _,
        os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
        process::Command,
        time::{Duration, Instant},
    };

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::files::lease::testing;

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
            while testing::is_whole(leased).unwrap() {
                assert!(Instant::now() < deadline, "nobody wanted to write");
                std::thread::yield_now();
            }
        });
        assert_eq!(read.unwrap().bytes, b"old");
        assert!(writer.unwrap().wait().unwrap().success());
        assert_eq!(read_settled(&path, LIMIT).unwrap().bytes, b"oldnew");
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
                testing::take_away(leased).unwrap();
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
}
