//! The control socket as a file: who may have it, what may be replaced, which permissions it gets.
//!
//! Two daemons never share a path. Whoever has the lock file beside the socket may replace the socket; the lock is
//! held for the daemon's life and its file stays behind, because removing it would let two daemons hold "the" lock.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, lchown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, OFlags},
    io::Errno,
};
use thiserror::Error;

use super::{
    access::{UnknownGroup, group_number},
    settings::Settings,
};
use crate::files::socket::{self, MAX_PATH, SocketFile, SocketFileError};

/// Connections that the kernel keeps while the server is being started or busy; more are told to try again.
/// An operator's tools make a handful; a script in a loop dozens.
const BACKLOG: i32 = 128;

/// Mode of a directory that is made for the socket: others have no business in it, the group may connect.
const DIRECTORY_MODE: u32 = 0o750;

/// Why the control socket could not be had.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The path does not fit into a socket address.
    #[error(
        "the control socket's path has {length} bytes and may have {MAX_PATH}: {}; set `control.socket` or `daemon.runtime_dir` to a shorter one",
        path.display()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The directory for the socket is missing and cannot be made.
    #[error("cannot make the control socket's directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The directory belongs to somebody else, who could put another socket in the place of ours.
    #[error("{} belongs to user {owner}, who could replace the control socket in it; set `daemon.runtime_dir` to a directory of your own", path.display())]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A living daemon has the socket.
    #[error("another wapcd{} answers on {}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The other daemon's process id, where it left one.
        pid: Option<u32>,
    },
    /// Something else lies at the path; it is left alone.
    #[error("{} exists and is not a socket: remove it, or set `control.socket` to another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be told whether the socket at the path is in use.
    #[error("cannot tell whether the socket {} is in use", path.display())]
    Probe {
        /// The socket.
        path: PathBuf,
        /// What happened when it was tried.
        #[source]
        source: io::Error,
    },
    /// The group that the socket should belong to is not known.
    #[error("cannot give the control socket to the group of `control.socket_group`")]
    UnknownGroup(#[from] UnknownGroup),
    /// The socket cannot be given to its group.
    #[error(
        "cannot give the control socket {} to group {group} (`control.socket_group`), which takes a daemon that is a member \
         of it (`SupplementaryGroups=` in its unit)",
        path.display()
    )]
    Group {
        /// The socket, or its directory.
        path: PathBuf,
        /// The group's number.
        group: u32,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen on the control socket {}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A listening control socket that is this process's alone. Dropping it removes the file, if it is still the same.
#[derive(Debug)]
pub struct ControlSocket {
    file: SocketFile,
    /// Holds the lock for as long as this value lives; dropped after the file was removed.
    _lock: File,
}

impl ControlSocket {
    /// Makes the socket and listens on it; connections wait until a server takes them.
    ///
    /// A socket file that nobody listens on is replaced, a missing directory is made.
    ///
    /// # Errors
    /// [`SocketError`], and then nothing at the path was changed that was not stale.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, SocketError> {
        Self::bind_for(path, mode, None)
    }

    /// Makes the socket of these settings, for the group that they name.
    ///
    /// # Errors
    /// Those of [`Self::bind`], and that there is no such group or the socket cannot be given to it.
    pub fn open(settings: &Settings) -> Result<Self, SocketError> {
        let group = settings.socket_group.as_deref().map(group_number).transpose()?;
        Self::bind_for(&settings.socket, settings.socket_mode, group)
    }

    fn bind_for(path: &Path, mode: u32, group: Option<u32>) -> Result<Self, SocketError> {
        let failed = |error| SocketError::of(path, error);
        socket::fits(path).map_err(failed)?;
        make_directory(path, group)?;
        let lock = lock(path)?;
        let file = SocketFile::bind_for(path, mode, group, BACKLOG).map_err(failed)?;
        Ok(Self { file, _lock: lock })
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// A handle for the server that accepts on it.
    ///
    /// # Errors
    /// The kernel's, when the process has no descriptor left.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.file.listener().try_clone()
    }
}

impl SocketError {
    fn of(path: &Path, error: SocketFileError) -> Self {
        let path = path.to_owned();
        match error {
            SocketFileError::TooLong(length) => Self::TooLong { path, length },
            SocketFileError::InUse => Self::InUse { path, pid: None },
            SocketFileError::NotASocket => Self::NotASocket { path },
            SocketFileError::Probe(source) => Self::Probe { path, source },
            SocketFileError::Bind(source) => Self::Bind { path, source },
            SocketFileError::Group { group, source } => Self::Group { path, group, source },
        }
    }
}

/// Makes the socket's directory where there is none; the group that may use the socket may enter what was made for it.
fn make_directory(socket: &Path, group: Option<u32>) -> Result<(), SocketError> {
    let Some(directory) = socket.parent().filter(|directory| !directory.as_os_str().is_empty()) else { return Ok(()) };
    let failed = |source| SocketError::Directory { path: directory.to_owned(), source };
    let is_new = !directory.exists();
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(failed)?;
    if let Some(group) = group.filter(|_| is_new) {
        let failed = |source| SocketError::Group { path: directory.to_owned(), group, source };
        lchown(directory, None, Some(group)).map_err(failed)?;
    }
    let owner = std::fs::metadata(directory).map_err(failed)?.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(SocketError::ForeignDirectory { path: directory.to_owned(), owner });
    }
    Ok(())
}

/// Takes the lock beside the socket and leaves this process's id in it, for the message of whoever comes second.
fn lock(socket: &Path) -> Result<File, SocketError> {
    let path = lock_path(socket);
    let failed = |source| SocketError::Lock { path: path.clone(), source };
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow);
    let mut file = options.open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(SocketError::InUse { path: socket.to_owned(), pid: holder(&mut file) }),
        Err(error) => return Err(failed(error.into())),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// The lock file of a socket: its path with `.lock` added.
fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// The process id in a lock file; `None` where it cannot be read, which only makes a message shorter.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
