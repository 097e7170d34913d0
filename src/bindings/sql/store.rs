//! What a backend is: something that takes commands and answers each exactly once.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use tokio::sync::oneshot;

use super::command::Command;
use crate::{
    bindings::{BackendStatus, BindingReply, Check},
    host::HostCallError,
};

/// A backend, shared by all workers.
pub(super) trait Store: Send + Sync + 'static {
    /// Takes a command; never blocks. The work ends at `deadline`, or when the waiting is dropped.
    ///
    /// # Errors
    /// It is not taken: the backend is busy, or was stopped.
    fn submit(&self, command: Command, deadline: Instant) -> Result<Waiting, HostCallError>;

    /// Asks whether it is well. Never blocks.
    fn check(&self) -> Check;

    /// How it stands with the server behind it; `None` where there is none.
    fn backend(&self) -> Option<BackendStatus> {
        None
    }

    /// Finishes what was taken, then ends; may block.
    fn stop(&self);
}

/// The caller's side of a command; when it is dropped the work ends.
pub(super) struct Waiting {
    outcome: oneshot::Receiver<BindingReply>,
    left: Arc<AtomicBool>,
}

/// The backend's side of a command.
pub(super) struct Awaited {
    reply: oneshot::Sender<BindingReply>,
    left: Arc<AtomicBool>,
}

/// Both sides.
pub(super) fn pair() -> (Awaited, Waiting) {
    let (reply, outcome) = oneshot::channel();
    let left = Arc::new(AtomicBool::new(false));
    (Awaited { reply, left: Arc::clone(&left) }, Waiting { outcome, left })
}

impl Awaited {
    /// Sends the answer; a guest that no longer waits has its own error.
    pub(super) fn send(self, reply: BindingReply) {
        self.reply.send(reply).ok();
    }

    /// A flag that is set when nobody waits any longer.
    pub(super) fn left(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.left)
    }

    /// Whether nobody waits any longer.
    pub(super) fn is_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    /// Resolves when nobody waits any longer.
    pub(super) async fn gone(&mut self) {
        self.reply.closed().await;
    }
}

impl Future for Waiting {
    /// The answer; an error where the backend ended before.
    type Output = Result<BindingReply, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.left.store(true, Relaxed);
    }
}
