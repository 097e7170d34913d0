//! What is known of reloads: who wants one, the one that is under way, and what became of those before.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::sync::oneshot;

use super::{
    fingerprint::Fingerprint,
    moments::unix,
    planner::{Draft, look_at},
    prepare::Prepared,
    status::{ConfigurationStatus, DropInStatus, RefusedFile, ReloadError, ReloadReport},
};
use crate::{
    config::{Config, Environment, LogLevel},
    triggers::Sockets,
};

/// What a reload did or would do, or every reason why it changed nothing.
pub type ReloadOutcome = Result<ReloadReport, Vec<String>>;

/// What the supervisor has to do with that is not its own.
pub struct Surroundings {
    /// From which the configuration was read.
    pub environment: Environment,
    /// Sets the level of the log.
    pub set_level: Box<dyn Fn(LogLevel) + Send>,
    /// Sockets that connections come in at.
    pub sockets: Arc<Sockets>,
    /// Told of every reload of the whole configuration that is more than a plan. Called on the supervisor's thread, which it
    /// must not hold up.
    pub on_reload: Box<dyn Fn(ReloadStep<'_>) + Send>,
}

/// A step of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadStep<'a> {
    /// The configuration is being read.
    Began,
    /// Another configuration holds, with so many changes.
    Done(usize),
    /// Nothing has changed, for these reasons.
    Refused(&'a [String]),
}

impl Default for Surroundings {
    /// No environment, no sockets, a log whose level does not change, and nobody who is told of reloads.
    fn default() -> Self {
        let (set_level, on_reload) = (Box::new(|_level| ()), Box::new(|_step: ReloadStep<'_>| ()));
        Self { environment: Environment::default(), set_level, sockets: Arc::default(), on_reload }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// Someone wants the configuration to be read again.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) what: Extent,
    /// Whether it is only planned.
    pub(super) dry_run: bool,
    /// What asked for it.
    pub(super) why: String,
    pub(super) replies: Vec<oneshot::Sender<ReloadOutcome>>,
}

/// How much is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything.
    Whole,
    /// The drop-in directory.
    DropIn,
}

impl Request {
    /// The drop-in directory has changed.
    pub(super) fn dropped() -> Self {
        Self { what: Extent::DropIn, dry_run: false, why: "the drop-in directory".to_owned(), replies: Vec::new() }
    }

    /// A file of the configuration has changed.
    pub(super) fn file(path: &Path) -> Self {
        let why = format!("`{}` has changed", path.display());
        Self { what: Extent::Whole, dry_run: false, why, replies: Vec::new() }
    }

    /// Whether the whole configuration is to be another.
    fn is_of_all(&self) -> bool {
        self.what == Extent::Whole && !self.dry_run
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.what == other.what && self.dry_run == other.dry_run
    }
}

/// The reloads of a daemon.
#[derive(Debug)]
pub(super) struct Reloads {
    pub(super) surroundings: Surroundings,
    /// The configuration of the file, without what was dropped.
    pub(super) base: Arc<Config>,
    /// States of the configuration's files when they were read.
    pub(super) seen: HashMap<PathBuf, Option<Fingerprint>>,
    /// Files of the drop-in directory that are not accepted.
    pub(super) refused: Vec<RefusedFile>,
    /// Whether the directory is looked through again after a time, because it could not be.
    pub(super) retries: bool,
    /// Number of the last run, so that what comes late for another is known.
    pub(super) number: u64,
    pub(super) run: Option<Run>,
    pub(super) waiting: VecDeque<Request>,
    pub(super) loaded_at: SystemTime,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) last_error: Option<ReloadError>,
}

/// The reload that is under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: u64,
    pub(super) request: Request,
    /// What it will be, when it is known.
    pub(super) draft: Option<Draft>,
    /// New code that is not there yet.
    pub(super) missing: usize,
    pub(super) prepared: Prepared,
    pub(super) problems: Vec<String>,
}

impl Reloads {
    /// With the configuration that the daemon starts with.
    pub(super) fn new(base: Config, surroundings: Surroundings) -> Self {
        let seen = look_at(&base);
        Self {
            surroundings,
            base: Arc::new(base),
            seen,
            refused: Vec::new(),
            retries: false,
            number: 0,
            run: None,
            waiting: VecDeque::new(),
            loaded_at: SystemTime::now(),
            done: 0,
            failed: 0,
            last_error: None,
        }
    }

    /// State of a file of the configuration when it was read.
    pub(super) fn seen(&self, file: &Path) -> Option<Fingerprint> {
        self.seen.get(file).copied().flatten()
    }

    /// Whether a file of the configuration is not as it was read.
    pub(super) fn is_news(&self, path: &Path, file: Option<Fingerprint>) -> bool {
        self.seen.get(path) != Some(&file)
    }

    /// Sets the level of the log.
    pub(super) fn set_level(&self, level: LogLevel) {
        (self.surroundings.set_level)(level);
    }

    /// Tells who wants to know of reloads.
    pub(super) fn tell(&self, request: &Request, step: ReloadStep<'_>) {
        if request.is_of_all() {
            (self.surroundings.on_reload)(step);
        }
    }

    /// New code that the one under way waits for.
    pub(super) fn lacks(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.missing)
    }

    pub(super) fn status(&self, config: &Config) -> ConfigurationStatus {
        ConfigurationStatus {
            path: config.source.display().to_string(),
            loaded_at: unix(self.loaded_at),
            reloads: self.done,
            reloads_refused: self.failed,
            last_error: self.last_error.clone(),
        }
    }

    pub(super) fn drop_in_status(&self, config: &Config) -> Option<DropInStatus> {
        let drop_in = config.drop_in.as_ref()?;
        Some(DropInStatus { path: drop_in.dir.display().to_string(), refused: self.refused.clone() })
    }
}
