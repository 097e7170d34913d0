//! The embedded backend: a SQLite database file, never touched by a worker.
//!
//! ```text
//!  workers ── query ──────────▶ queue ──▶ readers: each a connection that cannot write
//!                                            │ a query that changes something (INSERT ... RETURNING)
//!          ── execute, batch ─▶ queue ◀──────┘
//!                                 └─────▶ writer: one transaction for each command, answered after its commit
//!  health check ──────────────▶ queue ──▶ a reader of its own, since busy readers are well
//! ```
//!
//! In the write-ahead log readers and the writer do not wait for each other. Every command ends when nobody waits for it
//! any longer: SQLite asks between its steps. The authorizer decides about statements ([`mod@authorizer`]).

mod authorizer;
mod error;
mod file;
mod functions;
mod queue;
mod session;
mod values;

use std::{
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use self::{
    file::{Place, Role},
    queue::{Job, Queue},
    session::{Session, Stop},
};
use super::{
    command::{Command, Outcome},
    store::{Store, Waiting, pair},
};
use crate::{
    bindings::{BindingError, Check, guard},
    config::Durability,
    host::{HostCallError, HostErrorKind, chain},
};

/// Threads that read. One endless query holds one of them until its deadline; twice as many would need twice the caches,
/// and half of them stand still when two guests misbehave.
const READERS: usize = 4;

/// After which time a check is not worth its answer any more: whoever asks has given up before.
const CHECKED_WITHIN: Duration = Duration::from_secs(60);

/// A database file with the threads that may touch it.
pub(super) struct SqliteStore {
    reads: Arc<Queue>,
    writes: Arc<Queue>,
    checks: Arc<Queue>,
    readers: Mutex<Vec<JoinHandle<()>>>,
    checker: Mutex<Vec<JoinHandle<()>>>,
    writer: Mutex<Vec<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens or creates the database.
    pub(super) fn open(
        binding: Arc<str>,
        path: &Path,
        durability: Durability,
        busy_timeout: Duration,
    ) -> Result<Self, BindingError> {
        let place = Place { binding: Arc::clone(&binding), path: path.to_owned(), durability, busy_timeout };
        place.make()?;
        // The writer first: it makes the write-ahead log that readers need.
        let writer = place.open(Role::Writer)?;
        let store = Self {
            reads: Arc::new(Queue::new(Arc::clone(&binding), "queries")),
            writes: Arc::new(Queue::new(Arc::clone(&binding), "changes")),
            checks: Arc::new(Queue::new(Arc::clone(&binding), "checks")),
            readers: Mutex::default(),
            checker: Mutex::default(),
            writer: Mutex::default(),
        };
        let worker = |role, queue: &Arc<Queue>| Worker {
            place: place.clone(),
            role,
            queue: Arc::clone(queue),
            writes: Arc::clone(&store.writes),
        };
        for _ in 0..READERS {
            let reader = place.open(Role::Reader)?;
            spawn(&store.readers, "sql-read", worker(Role::Reader, &store.reads), reader)?;
        }
        let checker = place.open(Role::Reader)?;
        spawn(&store.checker, "sql-check", worker(Role::Reader, &store.checks), checker)?;
        spawn(&store.writer, "sql-write", worker(Role::Writer, &store.writes), writer)?;
        Ok(store)
    }

    /// The name of a thread that ended, though nobody stopped it. While somebody stops it, nothing is said.
    fn ended_thread(&self) -> Option<String> {
        [&self.readers, &self.checker, &self.writer].into_iter().find_map(|threads| {
            let threads = threads.try_lock()?;
            let ended = threads.iter().find(|thread| thread.is_finished())?;
            Some(ended.thread().name().unwrap_or_default().to_owned())
        })
    }
}

impl Store for SqliteStore {
    fn submit(&self, command: Command, deadline: Instant) -> Result<Waiting, HostCallError> {
        submit(if command.is_query() { &self.reads } else { &self.writes }, command, deadline)
    }

    /// One read goes the way of all queries, through a thread to the file. The other threads are only looked at: they may be
    /// busy, and a write would wake the disk.
    fn check(&self) -> Check {
        let ended = self.ended_thread();
        let submitted = submit(&self.checks, Command::probe(), Instant::now() + CHECKED_WITHIN);
        Box::pin(async move {
            if let Some(thread) = ended {
                return Err(format!("the thread `{thread}` has ended"));
            }
            let waiting = submitted.map_err(|error| chain(&error))?;
            let reply = waiting.await.map_err(|gone| format!("the database ended before it answered: {gone}"))?;
            reply.map(drop).map_err(|error| chain(&error))
        })
    }

    fn stop(&self) {
        // Held to the end: whoever asks for a second stop returns when the file is free as well. Readers first, since
        // they hand work on to the writer.
        let all = [(&self.readers, &self.reads), (&self.checker, &self.checks), (&self.writer, &self.writes)];
        for (threads, queue) in all {
            let mut threads = threads.lock();
            queue.end();
            for thread in threads.drain(..) {
                // The threads catch the panics of their work; one that still ended by a panic has nothing left to do.
                thread.join().ok();
            }
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.stop();
    }
}

fn submit(queue: &Queue, command: Command, deadline: Instant) -> Result<Waiting, HostCallError> {
    let (caller, waiting) = pair();
    queue.push(Job { command, caller, deadline }).map_err(|(_, error)| error)?;
    Ok(waiting)
}

fn spawn(
    threads: &Mutex<Vec<JoinHandle<()>>>,
    thread: &'static str,
    worker: Worker,
    connection: rusqlite::Connection,
) -> Result<(), BindingError> {
    let binding = Arc::clone(&worker.place.binding);
    let session = Session { binding: Arc::clone(&binding), connection, role: worker.role };
    let started = thread::Builder::new().name(format!("{thread}:{binding}")).spawn(move || worker.run(session));
    threads.lock().push(started.map_err(|source| BindingError::Thread { binding, thread, source })?);
    Ok(())
}

/// One thread.
struct Worker {
    place: Place,
    role: Role,
    queue: Arc<Queue>,
    writes: Arc<Queue>,
}

impl Worker {
    fn run(self, session: Session) {
        let mut session = Some(session);
        while let Some(job) = self.queue.next() {
            let outcome = match self.usable(&mut session) {
                Ok(usable) => self.serve(usable, &job),
                Err(error) => Err(Stop::Refused(error)),
            };
            if session.as_ref().is_some_and(|session| !session.is_clean()) {
                session = None;
            }
            match outcome {
                Ok(outcome) => {
                    let reply = job.command.reply(&outcome);
                    job.caller.send(reply);
                }
                Err(Stop::Refused(error)) => job.caller.send(Err(error)),
                Err(Stop::Writes) => {
                    if let Err((job, error)) = self.writes.push(job) {
                        job.caller.send(Err(error));
                    }
                }
            }
        }
    }

    /// The connection, or a new one where the old one was thrown away.
    fn usable<'s>(&self, session: &'s mut Option<Session>) -> Result<&'s mut Session, HostCallError> {
        if session.is_none() {
            let opened = self.place.open(self.role).map_err(|error| {
                let text = format!("the database of binding `{}` failed", self.place.binding);
                HostCallError::with_source(HostErrorKind::Unavailable, text, error)
            })?;
            *session = Some(Session { binding: Arc::clone(&self.place.binding), connection: opened, role: self.role });
        }
        let missing = || HostCallError::new(HostErrorKind::Internal, "there is no connection");
        session.as_mut().ok_or_else(missing)
    }

    fn serve(&self, session: &mut Session, job: &Job) -> Result<Outcome, Stop> {
        guard::catch(|| session.serve(job)).unwrap_or_else(|panic| {
            tracing::error!(binding = &*self.place.binding, panic, "database panicked");
            Err(Stop::Refused(session::panicked(&self.place.binding, &panic)))
        })
    }
}
