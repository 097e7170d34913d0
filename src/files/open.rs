//! Opens a regular file, and nothing else, without ever waiting.
//!
//! Opening a pipe lets its writer go on, and opening a device may do anything: so what is there is looked at first. It may be
//! replaced in between, so what was opened is looked at again.

use std::{
    ffi::OsStr,
    fs::{File, Metadata, OpenOptions},
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::{Mode, OFlags};

use super::read::ReadError;

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

/// Opens a regular file, through symbolic links.
///
/// # Errors
/// When it cannot be opened, is no regular file, or somebody has a write lease on it.
pub(super) fn open(path: &Path) -> Result<File, ReadError> {
    let io_error = |source| not_opened(path, source);
    let regular = |facts: &Metadata| if facts.is_file() { Ok(()) } else { Err(not_a_file(path)) };
    regular(&std::fs::metadata(path).map_err(io_error)?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io_error)?;
    regular(&file.metadata().map_err(io_error)?)?;
    Ok(file)
}

/// Opens a regular file of an open directory, and no link either.
///
/// # Errors
/// As `open`; `path` is what they call it.
pub(super) fn open_at(directory: impl AsFd, name: &OsStr, path: &Path) -> Result<File, ReadError> {
    let io_error = |source| not_opened(path, source);
    let missing = || io_error(io::ErrorKind::NotFound.into());
    if !facts_at(&directory, name).map_err(io_error)?.ok_or_else(missing)?.is_file() {
        return Err(not_a_file(path));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // It became a link in between.
        Err(rustix::io::Errno::LOOP) => return Err(not_a_file(path)),
        Err(error) => return Err(io_error(error.into())),
    };
    if file.metadata().map_err(io_error)?.is_file() { Ok(file) } else { Err(not_a_file(path)) }
}

fn not_opened(path: &Path, source: io::Error) -> ReadError {
    match source.kind() {
        // Somebody has a write lease, as a file server does for its clients.
        io::ErrorKind::WouldBlock => ReadError::BeingWritten { path: path.to_owned() },
        _ => ReadError::Io { path: path.to_owned(), source },
    }
}

fn not_a_file(path: &Path) -> ReadError {
    ReadError::NotAFile { path: path.to_owned() }
}
