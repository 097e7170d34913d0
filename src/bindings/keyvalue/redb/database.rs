//! The open database, and how it comes back after a failure.
//!
//! redb refuses every access after one to the file has failed, until the database is opened again; a panic can leave
//! its locks unusable. So whatever fails here closes the database and opens it anew, at most once a second where that
//! fails as well.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use super::cache::Cache;
use crate::{
    bindings::{BindingError, guard},
    host::{HostCallError, HostErrorKind, chain},
};

/// How often a database that cannot be opened is tried again, when somebody asks for it. Each attempt may read the
/// whole file; half as long would keep a failing disk busy, and the double lets guests wait for a disk that is back.
const RETRY: Duration = Duration::from_secs(1);

/// Opens the database.
pub(super) type Opener = Box<dyn Fn(Opening) -> Result<::redb::Database, BindingError> + Send + Sync>;

/// Whether a database may be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// At the start: what is not there is made.
    First,
    /// After a failure: it must be there.
    Again,
}

/// A database that is opened anew when it fails.
pub(super) struct Database {
    name: Arc<str>,
    opener: Opener,
    /// What is kept of it in memory, cleared whenever it is opened anew.
    cache: Cache,
    state: RwLock<State>,
}

struct State {
    /// Counts the openings, so that two threads that see the same failure open it once.
    generation: u64,
    access: Access,
}

enum Access {
    Open(::redb::Database),
    /// It could not be opened again, and is not tried before that moment.
    Closed {
        cause: Cause,
        retry: Instant,
    },
    /// It was stopped.
    Ended,
}

/// Why a transaction did not happen.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The storage failed.
    Storage(Cause),
    /// Code panicked, with that message.
    Panicked(String),
    /// The binding was stopped.
    Ended,
}

/// A cause that every request of a group gets.
#[derive(Clone)]
pub(super) struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Failure {
    /// A failure of the storage.
    pub(super) fn storage(error: impl Into<::redb::Error>) -> Self {
        Self::Storage(Cause(Arc::new(error.into())))
    }
}

impl Database {
    /// Opens or creates it.
    pub(super) fn open(name: Arc<str>, opener: Opener, cache: Cache) -> Result<Self, BindingError> {
        let access = Access::Open(opener(Opening::First)?);
        Ok(Self { name, opener, cache, state: RwLock::new(State { generation: 0, access }) })
    }

    /// The binding whose it is.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is kept of it in memory.
    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Does something with the database; after a failure it is opened anew before this returns.
    pub(super) fn with<T>(&self, work: impl FnOnce(&::redb::Database) -> Result<T, Failure>) -> Result<T, Failure> {
        self.retry();
        let (generation, outcome) = {
            let state = self.state.read();
            match &state.access {
                Access::Open(database) => (state.generation, guard::catch(|| work(database))),
                Access::Closed { cause, .. } => return Err(Failure::Storage(cause.clone())),
                Access::Ended => return Err(Failure::Ended),
            }
        };
        let outcome = outcome.unwrap_or_else(|panic| Err(Failure::Panicked(panic)));
        if let Err(failure) = &outcome {
            tracing::error!(binding = %self.name, error = chain(&self.error(failure)), "database failed");
            self.open_again(generation);
        }
        outcome
    }

    /// The error that a guest gets for a failure.
    pub(super) fn error(&self, failure: &Failure) -> HostCallError {
        let name = &self.name;
        match failure {
            Failure::Storage(cause) => HostCallError::with_source(
                HostErrorKind::Unavailable,
                format!("the database of binding `{name}` failed"),
                cause.clone(),
            ),
            Failure::Panicked(panic) => HostCallError::new(
                HostErrorKind::Internal,
                format!("the database of binding `{name}` panicked: {panic}"),
            ),
            Failure::Ended => HostCallError::new(HostErrorKind::Unavailable, format!("binding `{name}` was stopped")),
        }
    }

    /// Closes the file in order. Nothing opens it again.
    pub(super) fn close(&self) {
        let mut state = self.state.write();
        self.cache.clear();
        self.close_as(&mut state.access, Access::Ended);
    }

    fn retry(&self) {
        let due = match &*self.state.read() {
            State { access: Access::Closed { retry, .. }, generation } if *retry <= Instant::now() => *generation,
            _ => return,
        };
        self.open_again(due);
    }

    fn open_again(&self, generation: u64) {
        let mut state = self.state.write();
        if state.generation != generation {
            return;
        }
        state.generation += 1;
        // The lock on the file goes with the old one, so it is closed before.
        self.cache.clear();
        self.close_as(&mut state.access, Access::Ended);
        state.access = match (self.opener)(Opening::Again) {
            Ok(database) => {
                tracing::info!(binding = %self.name, "database opened again");
                Access::Open(database)
            }
            Err(error) => {
                tracing::error!(binding = %self.name, error = chain(&error), "database cannot be opened again");
                Access::Closed { cause: Cause(Arc::new(error)), retry: Instant::now() + RETRY }
            }
        };
    }

    fn close_as(&self, access: &mut Access, next: Access) {
        let old = std::mem::replace(access, next);
        if let Err(panic) = guard::catch(|| drop(old)) {
            tracing::error!(binding = %self.name, panic, "database panicked while it was closed");
        }
    }
}
