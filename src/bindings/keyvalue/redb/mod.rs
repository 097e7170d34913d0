//! The durable backend: a redb database file, never touched by a worker.
//!
//! ```text
//!  workers ──Job<Write>──▶ queue ──▶ writer: all that waits in one transaction, answered after its commit
//!          ──Job<Read>───▶ queue ──▶ reader: all that waits from one snapshot, taken after the last of them came
//! ```
//!
//! The writer commits in groups: while one transaction is being synced to the disk the next requests gather. An answer
//! leaves after its commit, and a snapshot is taken after a read arrived, so that who got an answer reads what it wrote.
//! Whatever fails or panics in a transaction answers all requests of its group with an error; the database is then
//! opened anew, since redb refuses everything after a failed access to its file.

mod database;
mod file;
mod queue;
mod reader;
mod table;
mod writer;

use std::{
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::{
    database::{Database, Opener},
    queue::Queue,
};
use super::{
    command::{Command, Read, Write},
    store::{Clock, Store, Submitted, wall_clock},
};
use crate::bindings::BindingError;

/// A database file with the two threads that may touch it.
pub(super) struct RedbStore {
    writes: Queue<Write>,
    reads: Queue<Read>,
    database: Arc<Database>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl RedbStore {
    /// Opens or creates the database.
    pub(super) fn open(name: Arc<str>, path: &Path) -> Result<Self, BindingError> {
        Self::open_with_clock(name, path, wall_clock())
    }

    /// The same with another clock.
    pub(super) fn open_with_clock(name: Arc<str>, path: &Path, clock: Clock) -> Result<Self, BindingError> {
        let opener = file::opener(Arc::clone(&name), path);
        Self::start(name, opener, clock)
    }

    fn start(name: Arc<str>, opener: Opener, clock: Clock) -> Result<Self, BindingError> {
        let database = Arc::new(Database::open(Arc::clone(&name), opener)?);
        let (writes, write_jobs) = queue::queue(Arc::clone(&name), "writes");
        let (reads, read_jobs) = queue::queue(Arc::clone(&name), "reads");
        let store = Self { writes, reads, database, threads: Mutex::default() };
        let (database, now) = (Arc::clone(&store.database), Arc::clone(&clock));
        store.spawn(&name, "kv-write", move || write_jobs.serve(|jobs| writer::commit(&database, jobs, now())))?;
        let database = Arc::clone(&store.database);
        store.spawn(&name, "kv-read", move || read_jobs.serve(|jobs| reader::answer(&database, jobs, clock())))?;
        Ok(store)
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

    fn stop(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        self.writes.end();
        self.reads.end();
        for thread in threads {
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
mod tests;
