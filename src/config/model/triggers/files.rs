//! A `files` trigger: a directory as an inbox.

use std::{path::PathBuf, time::Duration};

use super::{PayloadFormat, Target};

/// `[triggers.NAME]` of type `files`.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesSettings {
    /// The inbox; absolute. `done` and `failed` are made in it.
    pub dir: PathBuf,
    /// Whom.
    pub target: Target,
    /// A map of name and content in place of the content.
    pub envelope: Option<PayloadFormat>,
    /// Bytes of a file.
    pub max_size: u64,
    /// Calls at once.
    pub concurrency: u32,
    /// Calls for one file at most.
    pub attempts: u32,
    /// How long after a failure a file is tried again.
    pub retry_delay: Duration,
    /// What becomes of a file that was done.
    pub after: AfterFile,
}

/// What becomes of a file that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFile {
    /// It is moved to `done`.
    Keep,
    /// It is removed.
    Delete,
}
