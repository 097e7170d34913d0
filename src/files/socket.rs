//! A Unix socket as a file: what may be replaced, which permissions it gets, who removes it.
//!
//! Permission bits are set between bind and listen: until then every connect is refused, so there is no moment
//! at which a wider mode could be used.

use std::{
    fs::Permissions,
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt as _,
            fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt},
};
use thiserror::Error;

/// Longest path of a socket: `sun_path` has 108 bytes and ends with a zero.
pub(crate) const MAX_PATH: usize = 107;

/// Why there is no socket at a path. Whoever asked for it names the path.
#[derive(Debug, Error)]
pub(crate) enum SocketFileError {
    /// The path does not fit into a socket address.
    #[error("its path has {0} bytes and may have {MAX_PATH}")]
    TooLong(usize),
    /// Somebody listens there.
    #[error("somebody listens there")]
    InUse,
    /// Something else lies there, which is left alone.
    #[error("what lies there is no socket")]
    NotASocket,
    /// It cannot be told who listens there.
    #[error("cannot tell whether somebody listens there")]
    Probe(#[source] io::Error),
    /// The socket cannot be made.
    #[error("cannot make the socket")]
    Bind(#[source] io::Error),
    /// The socket cannot be given to a group.
    #[error("cannot give the socket to group {group}")]
    Group {
        /// The group's number.
        group: u32,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A listening socket with its file. Dropping it removes the file, if it is still the same.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    listener: UnixListener,
    /// Device and inode of the socket's file; `None`: it is left where it is.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Makes the socket with these permission bits and listens on it, without blocking; so many connections wait until they
    /// are taken. A socket file that nobody listens on is replaced.
    ///
    /// # Errors
    /// [`SocketFileError`], and then nothing at the path was changed that was not stale.
    pub(crate) fn bind(path: &Path, mode: u32, backlog: i32) -> Result<Self, SocketFileError> {
        Self::bind_for(path, mode, None, backlog)
    }

    /// Makes the socket as [`Self::bind`] does, for this group where one is given.
    ///
    /// # Errors
    /// [`SocketFileError`].
    pub(crate) fn bind_for(path: &Path, mode: u32, group: Option<u32>, backlog: i32) -> Result<Self, SocketFileError> {
        fits(path)?;
        clear_stale(path)?;
        let (listener, identity) = listen(path, mode, group, backlog)?;
        Ok(Self { path: path.to_owned(), listener, identity: Some(identity) })
    }

    /// Goes on with a socket that listens at that path already, and gives its file these permission bits.
    ///
    /// # Errors
    /// [`SocketFileError`]: no socket is there any more, or somebody else's, or its mode cannot be set. It is closed then.
    pub(crate) fn adopt(path: &Path, mode: Option<u32>, listener: UnixListener) -> Result<Self, SocketFileError> {
        let found = std::fs::symlink_metadata(path).map_err(SocketFileError::Probe)?;
        if !found.file_type().is_socket() {
            return Err(SocketFileError::NotASocket);
        }
        if !leads_to(path, &listener).map_err(|error| SocketFileError::Probe(error.into()))? {
            return Err(SocketFileError::InUse);
        }
        let adopted = Self { path: path.to_owned(), listener, identity: Some((found.dev(), found.ino())) };
        mode.map_or(Ok(()), |mode| adopted.set_mode(mode)).map_err(SocketFileError::Bind)?;
        Ok(adopted)
    }

    /// Closes the socket here and leaves its file where it is: somebody else has the socket, too.
    pub(crate) fn leave(mut self) {
        self.identity = None;
    }

    /// The socket's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The socket.
    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Gives the file other permission bits.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Some(identity) = self.identity else { return };
        // Another file at the path belongs to somebody else, who removed ours.
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == identity);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(socket = %self.path.display(), %error, "cannot remove a socket");
        }
    }
}

/// Whether a path fits into a socket's address.
///
/// # Errors
/// [`SocketFileError::TooLong`].
pub(crate) fn fits(path: &Path) -> Result<(), SocketFileError> {
    let length = path.as_os_str().len();
    if length > MAX_PATH { Err(SocketFileError::TooLong(length)) } else { Ok(()) }
}

/// Removes a socket file that nobody listens on; refuses everything else that lies at the path.
fn clear_stale(path: &Path) -> Result<(), SocketFileError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(SocketFileError::NotASocket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketFileError::Probe(error)),
    }
    match connect(path).map(drop) {
        // A full backlog is a living daemon too, only a busy one.
        Ok(()) | Err(Errno::AGAIN) => Err(SocketFileError::InUse),
        Err(Errno::CONNREFUSED) => {
            tracing::info!(socket = %path.display(), "replacing the socket of a daemon that is gone");
            std::fs::remove_file(path).map_err(SocketFileError::Probe)
        }
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(SocketFileError::Probe(error.into())),
    }
}

fn connect(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = stream_socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_os_str().as_bytes())?)?;
    Ok(socket)
}

/// Whether who connects to that path comes in at this socket. Both ends name the process that began to listen; another
/// that has put its socket there is another process. The connection is closed at once, and nobody has asked anything by it.
fn leads_to(path: &Path, listener: &UnixListener) -> Result<bool, Errno> {
    match connect(path) {
        Ok(stream) => Ok(sockopt::socket_peercred(&stream)? == sockopt::socket_peercred(listener)?),
        // Connections wait at a socket that nobody has emptied since the last daemon.
        Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error),
    }
}

fn listen(
    path: &Path,
    mode: u32,
    group: Option<u32>,
    backlog: i32,
) -> Result<(UnixListener, (u64, u64)), SocketFileError> {
    let made = |error: Errno| SocketFileError::Bind(error.into());
    let socket = stream_socket().map_err(made)?;
    let address = SocketAddrUnix::new(path.as_os_str().as_bytes()).map_err(made)?;
    rustix::net::bind(&socket, &address).map_err(made)?;
    if let Some(group) = group
        && let Err(source) = std::os::unix::fs::lchown(path, None, Some(group))
    {
        // Nobody has it yet, and nobody will; where it cannot be removed, the next start finds that nobody listens.
        std::fs::remove_file(path).unwrap_or_default();
        return Err(SocketFileError::Group { group, source });
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(SocketFileError::Bind)?;
    let found = std::fs::symlink_metadata(path).map_err(SocketFileError::Bind)?;
    rustix::net::listen(&socket, backlog).map_err(made)?;
    Ok((UnixListener::from(socket), (found.dev(), found.ino())))
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_live_socket_and_what_is_none_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let _first = SocketFile::bind(&path, 0o600, 16).unwrap();
        assert!(matches!(SocketFile::bind(&path, 0o600, 16), Err(SocketFileError::InUse)));
        let other = directory.path().join("file");
        std::fs::write(&other, "kept").unwrap();
        assert!(matches!(SocketFile::bind(&other, 0o600, 16), Err(SocketFileError::NotASocket)));
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
        assert!(matches!(
            SocketFile::bind(&directory.path().join("x".repeat(120)), 0, 1),
            Err(SocketFileError::TooLong(_))
        ));
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_a_file_goes_only_with_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        // A process that another test has just started may have it open for a moment.
        while UnixStream::connect(&path).is_ok() {
            std::thread::yield_now();
        }
        let socket = SocketFile::bind(&path, 0o640, 16).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        socket.set_mode(0o600).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "of somebody else").unwrap();
        drop(socket);
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        drop(SocketFile::bind(&path, 0o600, 16).unwrap());
        assert!(!path.exists());
    }
}
