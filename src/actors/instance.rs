//! What is said to and about one instance: how it is made, asked whether it is well, and asked to end.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use actix::{Message, Recipient};

use super::{ExitReason, InstanceExited, Links, ModuleQueue, QueuedCall};
use crate::host::WapcHostAsync;

/// What an instance is made of.
pub struct InstanceParts {
    /// The started guest.
    pub host: WapcHostAsync,
    /// The guest's way to bindings; the host's callback is made from it.
    pub links: Arc<Links>,
    /// The module's queue.
    pub queue: Arc<ModuleQueue>,
    /// Who learns of the exit.
    pub supervisor: Recipient<InstanceExited>,
    /// What others can read of the instance while it lives.
    pub facts: Arc<InstanceFacts>,
    /// Index of the module.
    pub module: usize,
    /// Index of the instance in the module.
    pub slot: usize,
    /// Id of the instance.
    pub instance: u64,
    /// Generation of the code.
    pub generation: u64,
    /// The worker it lives on.
    pub worker: usize,
}

/// What can be read of an instance from any thread, whatever its worker does.
#[derive(Debug)]
pub struct InstanceFacts {
    /// Bytes of linear memory, as they were after its start or its last call.
    pub memory: AtomicU64,
    /// When it started.
    pub started: Instant,
    /// Generation of the code that it runs.
    pub generation: AtomicU64,
}

impl Default for InstanceFacts {
    /// The facts of an instance that starts now.
    fn default() -> Self {
        Self { memory: AtomicU64::new(0), started: Instant::now(), generation: AtomicU64::new(0) }
    }
}

/// Gives an idle instance a call. Sent by the module's queue only; the reply goes to the caller.
#[derive(Message)]
#[rtype(result = "()")]
pub struct GuestCall(pub QueuedCall);

/// Asks an instance whether it is well: an operation of its guest, with an empty payload, is called as soon as no call
/// runs, before those that wait. Sent by the supervisor.
///
/// It is answered by [`HealthChecked`], or by the [`InstanceExited`] of an instance that ends before or in the check. One
/// check at a time: what is asked while another is outstanding is ignored.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CheckHealth {
    /// The guest's operation.
    pub operation: String,
    /// How long the check may take, from when it starts to run.
    pub timeout: Duration,
    /// Who learns of the outcome.
    pub reply: Recipient<HealthChecked>,
}

/// How a check of an instance ended that lives on. Nobody answers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct HealthChecked {
    /// Index of the module.
    pub module: usize,
    /// Index of the module's instance.
    pub slot: usize,
    /// Id of the instance.
    pub instance: u64,
    /// Whether it is well, else the guest's error.
    pub outcome: Result<(), String>,
}

/// Asks an instance to end. Sent by the supervisor, which hears of the end through [`InstanceExited`]. An idle instance
/// ends at once. Of several, the last says how and the first says why.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// When it ends.
    pub how: How,
    /// The reason that its report gives.
    pub reason: ExitReason,
    /// The same for people, as the report's cause.
    pub why: String,
}

/// When an instance ends that was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// When nothing waits any more: the module stops.
    WhenFree,
    /// After the running call: what waits is for the instance that follows.
    AfterCall,
    /// Now: a running call is dropped and its caller told so.
    Now,
}

impl From<How> for Leave {
    /// A request without another reason: the instance was [`Stopped`](ExitReason::Stopped).
    fn from(how: How) -> Self {
        Self { how, reason: ExitReason::Stopped, why: "the instance was asked to end".to_owned() }
    }
}
