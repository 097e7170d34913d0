//! The time up to which a schedule is done, kept in `schedules/NAME.json` of the state directory, so that a daemon that
//! starts again knows what passed meanwhile.
//!
//! A file is replaced as a whole. It is written when a call begins, at most once a second, and never by a thread that
//! guests run on.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

/// From one write to the next. A daemon that is killed forgets as much of a faster schedule; more often, a thousand schedules
/// would keep a disk busy that others need.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes at a time, of all schedules: each waits for the disk on a thread of its own.
static WRITERS: Semaphore = Semaphore::const_new(2);

/// Larger is no file of ours.
const LARGEST: u64 = 4096;

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub(super) enum KeptError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is none of ours.
    #[error("`{}` is not what a schedule writes: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// How long it is silent about further writes that fail, which on a full disk all schedules do every second.
const SILENCE: Duration = Duration::from_secs(60);

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Name of the trigger.
    trigger: String,
    /// Milliseconds since the Unix epoch.
    done_ms: u64,
}

/// The file of one schedule.
#[derive(Debug)]
pub(super) struct Kept {
    trigger: Arc<str>,
    path: PathBuf,
    /// What is to be written; the inner `None`: the file is to go.
    waiting: Option<Option<SystemTime>>,
    /// When there was a write last.
    last: Option<Instant>,
    writing: Option<JoinHandle<Result<(), KeptError>>>,
    /// When it was told last that a write failed.
    told: Option<Instant>,
    /// Whether writes do not wait for their time any more.
    hurry: bool,
}

impl Kept {
    /// The file of that trigger.
    pub(super) fn new(trigger: &Arc<str>, state_dir: &Path) -> Self {
        let path = state_dir.join("schedules").join(format!("{trigger}.json"));
        Self { trigger: Arc::clone(trigger), path, waiting: None, last: None, writing: None, told: None, hurry: false }
    }

    /// What it says; `None` where there is none. Waits for the disk.
    pub(super) fn read(&self) -> Result<Option<SystemTime>, KeptError> {
        let cannot = |source| KeptError::Read { path: self.path.clone(), source };
        let foreign = |why: String| KeptError::Foreign { path: self.path.clone(), why };
        let text = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
            Ok(facts) if !facts.is_file() => return Err(foreign("no file".to_owned())),
            Ok(facts) if facts.len() > LARGEST => return Err(foreign(format!("{} bytes", facts.len()))),
            Ok(_) => fs::read(&self.path).map_err(cannot)?,
        };
        let written: Written = serde_json::from_slice(&text).map_err(|error| foreign(error.to_string()))?;
        if written.trigger != *self.trigger {
            return Err(foreign(format!("it is that of `{}`", written.trigger)));
        }
        UNIX_EPOCH
            .checked_add(Duration::from_millis(written.done_ms))
            .map(Some)
            .ok_or_else(|| foreign("no such time".to_owned()))
    }

    /// Everything up to then is done: it is written soon. `None`: nothing is made up for, so that there is to be no file, by
    /// which it would be made up for later.
    pub(super) fn keep(&mut self, done: Option<SystemTime>) {
        self.waiting = Some(done);
    }

    /// What waits is written at once.
    pub(super) fn hurry(&mut self) {
        self.hurry = true;
    }

    /// Whether everything is on the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_none() && self.writing.is_none()
    }

    /// Does what is next: a write that has ended, or begins. For ever where there is nothing. May be dropped at any time.
    pub(super) async fn turn(&mut self) {
        if let Some(writing) = &mut self.writing {
            let outcome = writing.await;
            self.writing = None;
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(_)) if self.told.is_some_and(|told| told.elapsed() < SILENCE) => {}
                Ok(Err(error)) => {
                    self.told = Some(Instant::now());
                    let error = crate::host::chain(&error);
                    tracing::error!(trigger = &*self.trigger, error, "time of a schedule not kept");
                }
                // Its message is in the log.
                Err(_) => tracing::error!(trigger = &*self.trigger, "time of a schedule not kept: writing it panicked"),
            }
            return;
        }
        if self.waiting.is_none() {
            return std::future::pending().await;
        }
        if let Some(last) = self.last.filter(|_| !self.hurry) {
            tokio::time::sleep_until(last + PAUSE).await;
        }
        if let Some(done) = self.waiting.take() {
            self.last = Some(Instant::now());
            let (path, trigger) = (self.path.clone(), self.trigger.to_string());
            self.writing = Some(tokio::spawn(async move {
                // Never closed.
                let permit = WRITERS.acquire().await.ok();
                let at = path.clone();
                let written = tokio::task::spawn_blocking(move || write(&path, trigger, done)).await;
                drop(permit);
                let lost = |error| KeptError::Write { path: at.clone(), source: io::Error::other(error) };
                written.map_err(lost)?.map_err(|source| KeptError::Write { path: at.clone(), source })
            }));
        }
    }
}

fn write(path: &Path, trigger: String, done: Option<SystemTime>) -> io::Result<()> {
    let Some(done) = done else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let since = done.duration_since(UNIX_EPOCH).unwrap_or_default();
    let written = Written { trigger, done_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) };
    let text = serde_json::to_vec(&written)?;
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&text)?;
    // Else a machine that loses its power may keep the name and lose what it stands for.
    file.sync_data()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests;
