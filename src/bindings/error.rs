//! Why a binding could not be started: each names the binding, the file and what to do.

use std::{io, path::PathBuf, sync::Arc};

use thiserror::Error;

use crate::host::BoxError;

/// Why the backend of a binding could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindingError {
    /// Somebody else has the database open.
    #[error(
        "binding `{binding}`: database `{}` is already open: is another wapcd, or another binding, running on it?",
        path.display()
    )]
    AlreadyOpen {
        /// Name of the binding.
        binding: Arc<str>,
        /// The database file.
        path: PathBuf,
    },
    /// The directory of the database is not there and could not be made.
    #[error("binding `{binding}`: cannot create directory `{}` for its database", path.display())]
    Directory {
        /// Name of the binding.
        binding: Arc<str>,
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The path names something that is no file.
    #[error("binding `{binding}`: database `{}` is {found}, expected a file or nothing", path.display())]
    NotAFile {
        /// Name of the binding.
        binding: Arc<str>,
        /// The path in the configuration.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The file could not be opened for reading and writing, created or extended.
    #[error("binding `{binding}`: cannot open database `{}` for reading and writing", path.display())]
    Open {
        /// Name of the binding.
        binding: Arc<str>,
        /// The database file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no room for the file.
    #[error("binding `{binding}`: no space left for database `{}`", path.display())]
    NoSpace {
        /// Name of the binding.
        binding: Arc<str>,
        /// The database file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no database of this kind, or its content is damaged.
    #[error(
        "binding `{binding}`: `{}` is not a keyvalue database, or is damaged: restore it or move it away",
        path.display()
    )]
    Damaged {
        /// Name of the binding.
        binding: Arc<str>,
        /// The file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: BoxError,
    },
    /// A secret could not be read.
    #[error("binding `{binding}`: cannot read the secret in {place}")]
    Secret {
        /// Name of the binding.
        binding: Arc<str>,
        /// Where the secret should be.
        place: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of TLS is not what it should be.
    #[error("binding `{binding}`: cannot use `{}` for TLS", path.display())]
    Tls {
        /// Name of the binding.
        binding: Arc<str>,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// Something else that the backend needs is not there.
    #[error("binding `{binding}`: cannot {what}")]
    Backend {
        /// Name of the binding.
        binding: Arc<str>,
        /// What could not be done, as in "start the program `/opt/geo`".
        what: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// A test told it to fail.
    #[cfg(feature = "fault-injection")]
    #[error("binding `{binding}`: told not to start")]
    Injected {
        /// Name of the binding.
        binding: Arc<str>,
    },
    /// A thread of the backend could not be started.
    #[error("binding `{binding}`: cannot start its thread `{thread}`")]
    Thread {
        /// Name of the binding.
        binding: Arc<str>,
        /// What the thread is for.
        thread: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}
