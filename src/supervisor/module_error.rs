//! Why a module has no code.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::read::ReadError;
use crate::host::LoadError;

/// Why a module's file, or what an operator sent, did not become code.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The file cannot be read.
    #[error("cannot read module file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody writes the file.
    #[error("module file `{}` is being written", path.display())]
    BeingWritten {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than the module may be.
    #[error("module file `{}` of {size} bytes is over the module_size limit of {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file in the drop-in directory is not accepted.
    #[error("module file `{}` is not accepted: {why}", path.display())]
    NotAccepted {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The file was read and is not a module that can run here.
    #[error("cannot load module file `{}`", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: LoadError,
    },
    /// What was sent is larger than the module may be.
    #[error("the code of {size} bytes is over the module_size limit of {limit} bytes")]
    SentTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// What was sent is not a module that can run here.
    #[error("cannot load the code that was sent")]
    Sent(#[source] LoadError),
    /// Code that shall outlive the daemon cannot be kept.
    #[error("cannot keep the code in the state directory")]
    Keep(#[source] io::Error),
}

impl ModuleError {
    pub(super) fn of_read(error: ReadError) -> Self {
        match error {
            ReadError::Io { path, source } => Self::Read { path, source },
            ReadError::NotAFile { path } => Self::Read { path, source: io::Error::other("it is not a regular file") },
            ReadError::TooLarge { path, size, limit } => Self::TooLarge { path, size, limit },
            ReadError::BeingWritten { path } => Self::BeingWritten { path },
        }
    }
}
