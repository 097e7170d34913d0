//! The durable backend: a redb database file, never touched by a worker.
//!
//! ```text
//!  workers ──Job<Write>──▶ queue ──▶ writer: all that waits in one transaction, answered after its commit
//!          ──────────────▶ cache ──▶ a value that was read or written lately: answered at once, by the worker
//!          ──Job<Read>───▶ queue ──▶ reader: all that waits from one snapshot, taken after the last of them came
//! ```
//!
//! The writer commits in groups: while one transaction is being synced to the disk the next requests gather. An answer
//! leaves after its commit (which `durability` may let go to the disk a moment later), and a snapshot is taken after a read arrived, so that who got an answer reads what it wrote.
//! Whatever fails or panics in a transaction answers all requests of its group with an error; the database is then
//! opened anew, since redb refuses everything after a failed access to its file.

mod cache;
mod database;
mod file;
mod queue;
mod reader;
mod table;
mod weigh;
mod writer;

use std::{
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::{
    cache::Cache,
    database::{Database, Opener},
    queue::{Batch, Queue},
    writer::Writer,
};
use super::{
    command::{Command, Read, Write},
    store::{Clock, Store, Submitted, wall_clock},
};
use crate::{
    bindings::{BindingError, CacheStatus, Check},
    config::Durability,
    host::chain,
};

/// After which time a check is not worth its answer any more. Whoever asks has given up before; a queue that nobody
/// empties must not fill with questions.
const CHECKED_WITHIN: Duration = Duration::from_secs(60);

/// A database file with the two threads that may touch it.
pub(super) struct RedbStore {
    writes: Queue<Write>,
    reads: Queue<Read>,
    database: Arc<Database>,
    clock: Clock,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl RedbStore {
    /// Opens or creates the database, with so many bytes of it in memory.
    pub(super) fn open(name: Arc<str>, path: &Path, durability: Durability, cache: u64) -> Result<Self, BindingError> {
        Self::open_with_clock(name, path, durability, cache, wall_clock())
    }

    /// The same with another clock.
    pub(super) fn open_with_clock(
        name: Arc<str>,
        path: &Path,
        durability: Durability,
        cache: u64,
        clock: Clock,
    ) -> Result<Self, BindingError> {
        let opener = file::opener(Arc::clone(&name), path);
        Self::start(name, opener, durability, cache, clock)
    }

    fn start(
        name: Arc<str>,
        opener: Opener,
        durability: Durability,
        cache: u64,
        clock: Clock,
    ) -> Result<Self, BindingError> {
        let database = Arc::new(Database::open(Arc::clone(&name), opener, Cache::new(cache))?);
        let (writes, write_jobs) = queue::queue(Arc::clone(&name), "writes");
        let (reads, read_jobs) = queue::queue(Arc::clone(&name), "reads");
        let store = Self { writes, reads, database, clock: Arc::clone(&clock), threads: Mutex::default() };
        let writer = Writer::new(Arc::clone(&store.database), Arc::clone(&clock), durability);
        store.spawn(&name, "kv-write", move || write_jobs.serve(writer))?;
        let database = Arc::clone(&store.database);
        let read = move |jobs: Batch<Read>| reader::answer(&database, jobs, clock());
        store.spawn(&name, "kv-read", move || read_jobs.serve(read))?;
        Ok(store)
    }

    /// The name of a thread that ended, though nobody stopped it. While somebody stops it, nothing is said.
    fn ended_thread(&self) -> Option<String> {
        let threads = self.threads.try_lock()?;
        let ended = threads.iter().find(|thread| thread.is_finished())?;
        Some(ended.thread().name().unwrap_or_default().to_owned())
    }

    fn spawn(
        &self,
        name: &Arc<str>,
        role: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), BindingError> {
        let started = thread::Builder::new().name(format!("{role}:{name}")).spawn(work);
        let thread =
            started.map_err(|source| BindingError::Thread { binding: Arc::clone(name), thread: role, source })?;
        self.threads.lock().push(thread);
        Ok(())
    }
}

impl Store for RedbStore {
    fn submit(&self, command: Command, deadline: Instant) -> Submitted {
        if let Command::Read(read) = &command
            && let Some(outcome) = self.database.cache().answer(read, &self.clock)
        {
            return Submitted::Done(outcome);
        }
        let (reply, outcome) = oneshot::channel();
        let queued = match command {
            Command::Write(write) => self.writes.push(write, deadline, reply),
            Command::Read(read) => self.reads.push(read, deadline, reply),
        };
        match queued {
            Ok(()) => Submitted::Waiting(outcome),
            Err(error) => Submitted::Done(Err(error)),
        }
    }

    /// One read goes the way of all reads, through the thread to the file. The thread that writes is only looked at: a
    /// write would wake the disk, and whoever is told of a failed one has it opened anew.
    fn check(&self) -> Option<Check> {
        let ended = self.ended_thread();
        let (reply, outcome) = oneshot::channel();
        let queued = self.reads.push(Read::Probe, Instant::now() + CHECKED_WITHIN, reply);
        Some(Box::pin(async move {
            if let Some(thread) = ended {
                return Err(format!("the thread `{thread}` has ended"));
            }
            queued.map_err(|error| chain(&error))?;
            let outcome = outcome.await.map_err(|gone| format!("the database ended before it answered: {gone}"))?;
            outcome.map(|_| ()).map_err(|error| chain(&error))
        }))
    }

    fn cache(&self) -> Option<CacheStatus> {
        self.database.cache().status()
    }

    fn stop(&self) {
        self.database.cache().end();
        // Held to the end: whoever asks for a second stop returns when the file is free as well.
        let mut threads = self.threads.lock();
        if threads.is_empty() {
            return;
        }
        self.writes.end();
        self.reads.end();
        for thread in threads.drain(..) {
            // The threads catch the panics of their work; one that still ended by a panic has nothing left to do.
            thread.join().ok();
        }
        self.database.close();
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod cached_tests;
#[cfg(test)]
mod tests;
