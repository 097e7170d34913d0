//! What the supervisor tells a binding's actor, and what it hears from it.

use std::{sync::Arc, time::Instant};

use actix::Message;

use crate::bindings::{BindingFactory, Turnstile};

/// Puts the backend's binding to work on this worker: what waits is answered in the order in which it came.
///
/// Sent by the supervisor when the backend is open, also in place of another backend or after a panic.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Serve {
    /// The backend.
    pub backend: Arc<dyn BindingFactory>,
    /// The way to it, shared by all workers.
    pub turnstile: Arc<Turnstile>,
}

/// Lets calls wait for what comes, each until its own deadline. Sent by the supervisor before it starts the backend anew.
/// Calls in flight keep their answers.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Hold;

/// Answers what waits and what comes with `unavailable` and this reason. Sent by the supervisor when it gave the binding
/// up or stopped it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Refuse(pub String);

/// Tells the supervisor that the binding of a worker is gone; its actor lets calls wait until it is told what follows.
///
/// Sent once for each binding that panicked, whatever it had in flight, and once by an actor that its worker took along.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct BindingExited {
    /// Index of the binding.
    pub binding: usize,
    /// The worker.
    pub worker: usize,
    /// Message of the panic, or what else ended it.
    pub panic: String,
    /// The host call that panicked: module, instance, guest call and operation. `None` where there was none, as in the
    /// making of a binding. An operation that the type does not list is cut at some 40 bytes.
    pub caller: Option<(Arc<str>, u64, u64, String)>,
    /// Whether the actor itself is gone, so that nothing can be served at its address any more.
    pub gone: bool,
    /// When.
    pub at: Instant,
}
