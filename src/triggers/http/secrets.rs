//! The files of certificates and credentials, read again when they change. What cannot be used leaves everything as it was.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle, time};

use super::{
    connection::Current,
    server::{self, State},
};
use crate::{
    config::Watch,
    files::{
        fingerprint::Fingerprint,
        watch::{self, Target, TargetKind, Watcher},
    },
    host::chain,
    triggers::{Notice, TriggerContext, TriggerError},
};

/// How often files that cannot be used are tried again, before that is told.
const TRIES: u32 = 6;

/// The time between two tries. Whoever writes a certificate and then its key is done within a second or two.
const PAUSE: Duration = Duration::from_millis(500);

/// Watches the files of a trigger.
pub(super) struct Secrets {
    changed: Arc<Changed>,
    /// None before there is a file.
    watcher: Mutex<Option<Watcher>>,
    task: JoinHandle<()>,
}

/// Files that have changed.
#[derive(Debug, Default)]
struct Changed {
    files: Mutex<BTreeSet<PathBuf>>,
    told: Notify,
}

/// Reads again what has changed.
struct Reader {
    changed: Arc<Changed>,
    /// Gone when the trigger is.
    state: Weak<State>,
    context: TriggerContext,
}

/// A file that is watched from its present state on.
pub(super) fn target(path: PathBuf) -> Target {
    // What cannot be looked at is told by whoever reads it.
    let seen = Fingerprint::at(&path).unwrap_or_default();
    Target { path, kind: TargetKind::File { seen } }
}

impl Secrets {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The threads of connections could not be started.
    pub(super) fn new(state: &Arc<State>, context: &TriggerContext) -> Result<Self, TriggerError> {
        let changed = Arc::new(Changed::default());
        let reader = Reader { changed: Arc::clone(&changed), state: Arc::downgrade(state), context: context.clone() };
        let task = context.io.handle().map_err(TriggerError::Thread)?.spawn(reader.follow());
        Ok(Self { changed, watcher: Mutex::default(), task })
    }

    /// Watches these files instead of those before.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(super) fn watch(&self, targets: Vec<Target>, settings: &Watch) -> Result<(), TriggerError> {
        let mut watcher = self.watcher.lock();
        if targets.is_empty() {
            *watcher = None;
            return Ok(());
        }
        if let Some(watcher) = &*watcher {
            watcher.set(targets);
            return Ok(());
        }
        let changed = Arc::clone(&self.changed);
        let notify = move |notice| {
            // Of files nothing else is told.
            if let watch::Notice::Settled { path, .. } = notice {
                changed.files.lock().insert(path);
                changed.told.notify_one();
            }
        };
        let started = Watcher::start(settings.clone(), notify).map_err(TriggerError::Thread)?;
        started.set(targets);
        *watcher = Some(started);
        Ok(())
    }

    /// Watches otherwise than before.
    pub(super) fn configure(&self, settings: Watch) {
        if let Some(watcher) = &*self.watcher.lock() {
            watcher.configure(settings);
        }
    }

    /// Watches nothing any more.
    pub(super) fn stop(&self) {
        self.task.abort();
        *self.watcher.lock() = None;
    }
}

impl Reader {
    async fn follow(self) {
        loop {
            self.changed.told.notified().await;
            let mut files = BTreeSet::new();
            for tries in 1..=TRIES {
                files.append(&mut self.changed.files.lock());
                let Some(state) = self.state.upgrade() else { return };
                let failed = self.read(&state, &mut files).await;
                if failed.is_empty() {
                    break;
                }
                if tries == TRIES {
                    failed.into_iter().for_each(|error| self.refused(&state, &files, error));
                    break;
                }
                drop(state);
                // Another file that changes may be what was missing.
                time::timeout(PAUSE, self.changed.told.notified()).await.unwrap_or_default();
            }
        }
    }

    /// Reads again what these files are part of, and takes those out that are used now.
    async fn read(&self, state: &Arc<State>, files: &mut BTreeSet<PathBuf>) -> Vec<TriggerError> {
        let mut failed = Vec::new();
        let identities = state.identities();
        for identity in identities {
            let own: Vec<PathBuf> =
                identity.files().into_iter().filter(|file| files.contains(*file)).map(Path::to_owned).collect();
            let Some(first) = own.first() else { continue };
            let read = tokio::task::spawn_blocking(move || identity.read_again()).await;
            match read.unwrap_or(Err(TriggerError::Lost("what reads a certificate"))) {
                Ok(changed) => {
                    if changed {
                        self.holds(state, first);
                    }
                    own.iter().for_each(|file| {
                        files.remove(file);
                    });
                }
                Err(error) => failed.push(error),
            }
        }
        if let Err(error) = self.read_site(state, files).await {
            failed.push(error);
        }
        failed
    }

    /// Makes the site anew where its files are among these.
    async fn read_site(&self, state: &Arc<State>, files: &mut BTreeSet<PathBuf>) -> Result<(), TriggerError> {
        let before = state.serving.current.load_full();
        let own: Vec<_> = before.site.secret_files().into_iter().filter(|file| files.contains(file)).collect();
        if own.is_empty() {
            return Ok(());
        }
        let config = Arc::clone(&state.config.lock());
        let credentials = self.context.credentials.clone();
        let made = tokio::task::spawn_blocking({
            let config = Arc::clone(&config);
            move || server::site(&config, credentials.as_deref())
        });
        let made = made.await.unwrap_or(Err(TriggerError::Lost("what reads credentials")));
        // Other settings were read later than this.
        let held = state.config.lock();
        if !Arc::ptr_eq(&held, &config) {
            return Ok(());
        }
        let (site, _) = made?;
        state.serving.current.store(Arc::new(Current { site, limits: before.limits.clone() }));
        drop(held);
        for file in own {
            self.holds(state, &file);
            files.remove(&file);
        }
        Ok(())
    }

    fn holds(&self, state: &State, file: &Path) {
        self.notice(state, Notice::SecretChanged { file: file.display().to_string() });
    }

    fn refused(&self, state: &State, files: &BTreeSet<PathBuf>, error: TriggerError) {
        let (file, why) = match error {
            TriggerError::Secret { file, why } => (file, why),
            error => {
                let file = files.first().map(|file| file.display().to_string()).unwrap_or_default();
                (file, chain(&error))
            }
        };
        self.notice(state, Notice::SecretRefused { file, why });
    }

    fn notice(&self, state: &State, notice: Notice) {
        let name = Arc::clone(&state.config.lock().name);
        self.context.observer.noticed(&name, notice);
    }
}
