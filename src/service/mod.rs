//! What the daemon tells the service manager that started it, in the datagrams of `sd_notify(3)`: that it is ready, what it is
//! doing, that it reloads and stops, that it is alive. Without `NOTIFY_SOCKET` nothing of this happens.
//!
//! ```text
//!   supervisor ── Standing, when events tell of a change ──▶ report.rs ──▶ board.rs ── READY, STATUS, RELOADING, STOPPING ─┐
//!        │  └──── ReloadStep, on its own thread ──────────────────────────────▲ (text.rs: the words)                       ▼
//!        ├─────── turns of workers and threads of connections ──▶ watchdog.rs ── WATCHDOG ──────────────────────────▶ notifier.rs
//!        └─────── how far a start or reload has got ──▶ patience.rs ── EXTEND_TIMEOUT_USEC ────────────────────────────────┘
//! ```
//!
//! `store.rs` lets the service manager keep listening sockets: `triggers::sockets` says which, and goes on with them after a
//! restart.
//!
//! All of it runs on the supervisor's thread: what holds that up keeps the sign of life from being given. Nobody here waits
//! for the service manager: what it does not take at once is sent later.
//!
//! No child process gets the variables: bindings start their programs with an environment of their own.

mod board;
mod notifier;
mod patience;
mod privileges;
mod report;
mod store;
mod text;
mod watchdog;

use std::sync::Arc;

pub use self::privileges::guard;
use self::{board::Board, notifier::Notifier, watchdog::Watchdog};
use crate::{
    control::ServerHandle,
    supervisor::{ReloadStep, SupervisorHandle},
    triggers::{SocketKeeper, Sockets},
};

/// The way to the service manager. Cheap to clone, usable from any thread.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Where somebody wants to be told.
    board: Option<Arc<Board>>,
    /// Where signs of life are wanted.
    watchdog: Option<Watchdog>,
    /// Why somebody who wants to be told is not. For the log, which comes later.
    trouble: Option<Arc<str>>,
}

impl Service {
    /// The service manager that started this process, as its variables say; nobody where there is none.
    #[must_use]
    pub fn from_process() -> Self {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Self::default();
        };
        match Notifier::new(&address) {
            Ok(notifier) => {
                let board = Some(Arc::new(Board::new(notifier)));
                Self { board, watchdog: Watchdog::from_process(), trouble: None }
            }
            Err(error) => {
                let trouble = format!("$NOTIFY_SOCKET is `{}`: {error}", address.to_string_lossy());
                Self { trouble: Some(trouble.into()), ..Self::default() }
            }
        }
    }

    /// Who is to be told of reloads.
    #[must_use]
    pub fn on_reload(&self) -> Box<dyn Fn(ReloadStep<'_>) + Send> {
        let board = self.board.clone();
        Box::new(move |step| board.iter().for_each(|board| board.reload(step)))
    }

    /// Sockets that the service manager keeps beyond the daemon's end, where there is one.
    #[must_use]
    pub fn keep(&self, sockets: Sockets) -> Arc<Sockets> {
        Arc::new(match &self.board {
            Some(board) => sockets.kept_by(Arc::clone(board) as Arc<dyn SocketKeeper>),
            None => sockets,
        })
    }

    /// Tells what becomes of the daemon from now on, and of its sockets. Must be called on the supervisor's thread.
    pub fn attend(&self, running: &SupervisorHandle, control: &ServerHandle, sockets: &Arc<Sockets>) {
        if let Some(trouble) = &self.trouble {
            tracing::warn!(trouble = &**trouble, "the service manager is told nothing");
        }
        let Some(board) = &self.board else { return };
        actix::spawn(report::report(Arc::clone(board), running.clone(), Arc::clone(sockets)));
        actix::spawn(patience::extend(Arc::clone(board), running.clone()));
        if let Some(watchdog) = self.watchdog {
            actix::spawn(watchdog.keep_alive(Arc::clone(board), running.clone(), control.pulse()));
        }
    }

    /// The daemon begins to stop.
    pub fn stopping(&self, why: &str) {
        self.board.iter().for_each(|board| board.stop(why));
    }

    /// The daemon ends because of this.
    pub fn failed(&self, why: &str) {
        self.board.iter().for_each(|board| board.fail(why));
    }
}
