//! What a backend is: something that takes commands and answers each exactly once.

use std::{sync::Arc, time::Instant};

use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::{command::Command, operations::Outcome, record::Millis};
use crate::{
    bindings::{BackendStatus, CacheStatus, Check},
    host::HostCallError,
};

/// The answer to a command.
pub(super) type Outcomes = Result<Outcome, HostCallError>;

/// An answer, or the place where it arrives.
pub(super) enum Submitted {
    /// It is there.
    Done(Outcomes),
    /// It comes from another thread; nothing comes when the backend was stopped.
    Waiting(oneshot::Receiver<Outcomes>),
    /// It comes from a server; whoever drops this no longer waits.
    Later(LocalBoxFuture<'static, Outcomes>),
}

/// A backend, shared by all workers.
pub(super) trait Store: Send + Sync + 'static {
    /// Takes a command; never blocks. One that waits until `deadline` is answered without being started.
    fn submit(&self, command: Command, deadline: Instant) -> Submitted;

    /// Whether every command is done at once.
    fn answers_at_once(&self) -> bool {
        false
    }

    /// Asks whether it is well; `None` where it cannot be otherwise. Never blocks.
    fn check(&self) -> Option<Check> {
        None
    }

    /// How it stands with its server, where it has one.
    fn backend(&self) -> Option<BackendStatus> {
        None
    }

    /// How its cache does, where it has one.
    fn cache(&self) -> Option<CacheStatus> {
        None
    }

    /// Finishes what was taken, then ends; may block.
    fn stop(&self) {}
}

/// The wall clock, so that a time to live means the same after a restart; another one in tests.
pub(super) type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The system's wall clock.
pub(super) fn wall_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
