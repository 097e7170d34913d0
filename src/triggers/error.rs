//! Why a trigger does not start, or cannot take other settings.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

use crate::{config::TimeSpan, host::BoxError};

/// Why a trigger does not start, or cannot take other settings. Each names what it is about.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// A socket cannot be listened at.
    #[error("cannot listen at `{at}`")]
    Listen {
        /// The socket, as the configuration has it.
        at: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A Unix socket cannot be had at its path.
    #[error("cannot listen at `{at}`")]
    SocketFile {
        /// The socket, as the configuration has it.
        at: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// The daemon was not started with a socket of that name.
    #[error("the daemon was started without a socket called `{name}`; it has {}", list(.known))]
    NotInherited {
        /// The name.
        name: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// A certificate, a key or credentials cannot be used.
    #[error("cannot use `{file}`: {why}")]
    Secret {
        /// The file, or the name of the credential.
        file: String,
        /// Why not, without what is secret.
        why: String,
    },
    /// A directory cannot be made or read.
    #[error("cannot use the directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The settings cannot hold.
    #[error("{0}")]
    Settings(String),
    /// The binding that it stands on does not carry messages now.
    #[error("binding `{binding}` carries no messages now: {why}")]
    NoBroker {
        /// Name of the binding.
        binding: String,
        /// Why not.
        why: String,
    },
    /// The threads of connections could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// What it takes to start it, or to give it other settings, does not end.
    #[error("{what} did not end within {}", TimeSpan::new(*.within))]
    Late {
        /// What does not end.
        what: &'static str,
        /// How long it was waited for.
        within: Duration,
    },
    /// What was to start it panicked, or its worker has ended.
    #[error("{0} ended before it had started")]
    Lost(&'static str),
}

/// Why a trigger begins no call when it is asked to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// Something else than a time causes its calls.
    #[error("its calls are caused by what comes from outside, and not by times")]
    NoSchedule,
    /// As many calls wait or run as there may be.
    #[error("the call before still runs")]
    Overlap,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
