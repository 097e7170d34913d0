//! The backend with a server: PostgreSQL, over connections that all workers share.
//!
//! ```text
//!  workers ── Job ──▶ a task on the threads for connections
//!                       a turn ─▶ circuit ─▶ a connection of the pool ─▶ BEGIN, statements, COMMIT ─▶ answer
//!                                                    │ nobody waits any longer: cancelled at the server
//!                                                    └─ afterwards what the guest left in the session is cleared
//! ```
//!
//! The task outlives its caller for as long as the server takes to cancel: so no connection goes back to the pool while a
//! statement runs on it, and the circuit learns whether the server is slow or only the statement.

mod columns;
mod connect;
mod error;
mod keyword;
mod parameters;
mod run;
mod tables;

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{Object, Pool};
use parking_lot::{Condvar, Mutex};
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{CancelToken, SimpleQueryMessage};

use self::connect::Target;
use super::{
    command::{Command, Outcome},
    store::{Awaited, Store, Waiting, pair},
};
use crate::{
    bindings::{
        BackendStatus, BindingContext, BindingError, Check, Io,
        circuit::{Circuit, Failure},
        turnstile::{Entry, Permit, Turnstile},
    },
    config::{BindingLimits, Server},
    host::{HostCallError, HostErrorKind},
};

/// Clears what a guest may have left in a session: cursors, roles, settings, subscriptions, locks, temporary tables and
/// the last values of sequences. What `DISCARD ALL` does, but for the statements that the client keeps for itself.
const CLEAR: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; UNLISTEN *; \
                     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// Statements that a function has prepared: they would stand in the way of those that the client prepares, and nothing
/// takes away only them. What comes back says that the connection is in no state for another caller.
const LEFT_PREPARED: &str = "SELECT 1 FROM pg_catalog.pg_prepared_statement() WHERE from_sql LIMIT 1";

/// How often the server is told again to cancel a statement: it may be told between two statements of a batch.
const TELL_AGAIN: Duration = Duration::from_millis(250);

/// A database of a server.
pub(super) struct PostgresStore {
    shared: Arc<Shared>,
    io: Handle,
    /// Keeps the threads on which the connections live.
    _threads: Io,
}

struct Shared {
    binding: Arc<str>,
    target: Target,
    pool: Pool,
    /// As many as there are connections, in turns of the modules; taken before one is, so that waiting is never the server's
    /// failure.
    turns: Arc<Turnstile>,
    circuit: Circuit,
    stopped: AtomicBool,
    running: Running,
}

impl PostgresStore {
    /// Gets ready for the server, which need not be there.
    pub(super) fn open(binding: Arc<str>, server: &Server, context: &BindingContext) -> Result<Self, BindingError> {
        let target = Target::new(&binding, server, context)?;
        let connections = usize::try_from(server.connections).unwrap_or(usize::MAX).max(1);
        let pool = target.pool(&binding, connections)?;
        let io = context.io.handle_for(&binding)?;
        let circuit = Circuit::new(
            Arc::clone(&binding),
            server.circuit.clone(),
            server.connect_timeout,
            Arc::clone(&context.observer),
            io.clone(),
            target.probe(),
        );
        let shared = Shared {
            binding,
            target,
            pool,
            turns: Turnstile::new(BindingLimits {
                concurrent: server.connections.max(1),
                queue: u32::MAX,
                ..BindingLimits::default()
            }),
            circuit,
            stopped: AtomicBool::new(false),
            running: Running::default(),
        };
        Ok(Self { shared: Arc::new(shared), io, _threads: context.io.clone() })
    }
}

impl Store for PostgresStore {
    fn submit(&self, command: Command, deadline: Instant) -> Result<Waiting, HostCallError> {
        let running = RunningOne::of(&self.shared);
        if self.shared.stopped.load(Relaxed) {
            return Err(self.shared.stopped());
        }
        let (caller, waiting) = pair();
        self.io.spawn(async move { running.shared().serve(&command, caller, deadline).await });
        Ok(waiting)
    }

    fn check(&self) -> Check {
        self.shared.circuit.check()
    }

    fn backend(&self) -> Option<BackendStatus> {
        Some(self.shared.circuit.status())
    }

    fn stop(&self) {
        self.shared.stopped.store(true, Relaxed);
        self.shared.running.wait_for_none();
        self.shared.pool.close();
    }
}

impl Shared {
    /// Waits for the module's turn, unless the server is down.
    async fn turn(&self, module: &Arc<str>) -> Result<Permit, HostCallError> {
        self.circuit.admit().await?;
        match self.turns.enter(module) {
            Entry::Now(turn) => Ok(turn),
            Entry::Wait(turn) => turn.await.map_err(|_closed| self.stopped()),
            Entry::Full => {
                let text = format!("binding `{}` is busy", self.binding);
                Err(HostCallError::new(HostErrorKind::Unavailable, text))
            }
        }
    }

    /// Does a command, answers, and leaves the connection as it found it.
    async fn serve(&self, command: &Command, mut caller: Awaited, deadline: Instant) {
        let turn = tokio::select! {
            turn = self.turn(&command.module) => turn,
            // Nobody waits for an answer, and the server was asked nothing that would speak for it or against it.
            () = caller.gone() => return,
        };
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) => return caller.send(Err(error)),
        };
        let mut lease = None;
        let outcome = self.circuit.run(self.attempt(command, &mut caller, (deadline, turn), &mut lease)).await;
        caller.send(outcome.and_then(|outcome| command.reply(&outcome)));
        if let Some(mut lease) = lease {
            lease.clear(self.target.patience).await;
        }
    }

    async fn attempt(
        &self,
        command: &Command,
        caller: &mut Awaited,
        (deadline, turn): (Instant, Permit),
        lease: &mut Option<Lease>,
    ) -> Result<Outcome, Failure> {
        let connection = self.pool.get().await.map_err(|error| Failure::Server(error.into()))?;
        let lease = lease.insert(Lease { connection: Some(connection), _turn: turn });
        let Some(connection) = &mut lease.connection else { return Err(self.stopped().into()) };
        let (cancel, left) = (connection.cancel_token(), caller.left());
        let outcome = {
            let mut work = pin!(run::run(connection, command, left, deadline));
            tokio::select! {
                outcome = &mut work => Some(outcome),
                () = caller.gone() => self.cancel(&cancel, work).await,
            }
        };
        match outcome {
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(failure)) => {
                // What is left of a large answer would have to be read to its end.
                let too_large = matches!(&failure, Failure::Request(error) if error.kind == HostErrorKind::TooLarge);
                if too_large || matches!(failure, Failure::Server(_)) {
                    lease.break_off();
                }
                Err(failure)
            }
            None => {
                lease.break_off();
                let waited = self.target.patience.as_millis();
                Err(Failure::Server(format!("it does not even cancel a statement within {waited} ms").into()))
            }
        }
    }

    /// Has the server end the work, whose outcome is then that it was cancelled; `None` where it does not answer.
    async fn cancel<T>(&self, token: &CancelToken, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let told = async {
            loop {
                // Whether it was told shows in the work, which ends or does not.
                token.cancel_query(self.target.tls.clone()).await.ok();
                tokio::time::sleep(TELL_AGAIN).await;
            }
        };
        tokio::select! {
            outcome = &mut work => Some(outcome),
            () = told => None,
            () = tokio::time::sleep(self.target.patience) => None,
        }
    }

    fn stopped(&self) -> HostCallError {
        HostCallError::new(HostErrorKind::Unavailable, format!("binding `{}` was stopped", self.binding))
    }
}

/// A connection that a caller has, with its turn.
struct Lease {
    connection: Option<Object>,
    _turn: Permit,
}

impl Lease {
    /// Closes the connection: it is in no state for another caller.
    fn break_off(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Out of the pool first, then closed.
            drop(Object::take(connection));
        }
    }

    /// Clears the session for the next caller, and closes the connection where that fails.
    async fn clear(&mut self, patience: Duration) {
        let Some(connection) = &self.connection else { return };
        let clear = format!("{CLEAR}; {LEFT_PREPARED}");
        // The only rows of text are those of the last statement, and of the one that unlocks, which is always one.
        let cleared = match timeout(patience, connection.simple_query(&clear)).await {
            Ok(Ok(said)) => said.iter().filter(|one| matches!(one, SimpleQueryMessage::Row(_))).count() <= 1,
            Ok(Err(_)) | Err(_) => false,
        };
        if !cleared {
            self.break_off();
        }
    }
}

/// How many commands are being done.
#[derive(Default)]
struct Running {
    count: Mutex<usize>,
    fewer: Condvar,
}

impl Running {
    fn wait_for_none(&self) {
        let mut count = self.count.lock();
        while *count > 0 {
            self.fewer.wait(&mut count);
        }
    }
}

/// One of them.
struct RunningOne(Arc<Shared>);

impl RunningOne {
    fn of(shared: &Arc<Shared>) -> Self {
        *shared.running.count.lock() += 1;
        Self(Arc::clone(shared))
    }

    fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for RunningOne {
    fn drop(&mut self) {
        *self.0.running.count.lock() -= 1;
        self.0.running.fewer.notify_all();
    }
}
