//! Why a file of the drop-in directory is not accepted, with what would be.

use std::path::PathBuf;

use thiserror::Error;

/// Why a file is not accepted.
#[derive(Debug, Error, PartialEq, Eq)]
pub(in crate::supervisor) enum Refusal {
    /// It cannot name a module.
    #[error("file `{file}` names no module: a name has 1 to 64 of a-z, 0-9, `_` and `-` before its ending")]
    Name {
        /// The file's name.
        file: String,
    },
    /// Its owner is not trusted.
    #[error("file `{file}` belongs to {owner}; accepted are files of {accepted}")]
    Owner {
        /// The file's name.
        file: String,
        /// Whose it is.
        owner: String,
        /// Whose it could be.
        accepted: String,
    },
    /// It is a link that somebody made who is not trusted.
    #[error("file `{file}` is a link that belongs to {owner}; accepted are links of {accepted}")]
    LinkOwner {
        /// The link's name.
        file: String,
        /// Whose it is.
        owner: String,
        /// Whose it could be.
        accepted: String,
    },
    /// Everybody may write it.
    #[error("file `{file}` of {owner} can be written by everybody (mode {mode:04o}); accepted after `chmod o-w`")]
    Writable {
        /// The file's name.
        file: String,
        /// Whose it is.
        owner: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Everybody may replace what is in the directory.
    #[error(
        "everybody can replace files in directory `{}` (mode {mode:04o}): none of them is accepted before `chmod o-w` \
         or `chmod +t`",
        directory.display()
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}
