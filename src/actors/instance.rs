//! What is said to and about one instance: how it is made, asked whether it is well, and asked to end.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use actix::{Message, Recipient};

use super::{ExitReason, InstanceExited, Links, ModuleQueue, QueuedCall};
use crate::{
    config::HandOver,
    host::{Limits, WapcHostAsync},
};

/// A started guest with what is its own. An instance has one, and gets another with each swap.
pub struct Guest {
    /// The started guest.
    pub host: WapcHostAsync,
    /// Its way to bindings; the host's callback is made from it.
    pub links: Arc<Links>,
    /// Generation of its code.
    pub generation: u64,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// What an instance is made of.
pub struct InstanceParts {
    /// Its first guest.
    pub guest: Guest,
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

/// Tells an instance that a run of it has begun on its desk, which it takes over. Sent by whoever began it, on the same
/// worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct GoOn;

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

/// Gives an instance another guest, which it takes between two calls, before those that wait. Sent by the task that
/// started that guest.
///
/// It is answered by [`TookOver`], or by the [`InstanceExited`] of an instance that ends before. Where two are sent, only
/// the second is taken.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TakeOver {
    /// The guest, started and tried.
    pub guest: Guest,
    /// How the old guest hands its state to it.
    pub hand_over: Option<HandOver>,
    /// How long each of the two calls of the hand-over may take.
    pub timeout: Duration,
    /// Who learns of the outcome.
    pub reply: Recipient<TookOver>,
}

/// How the attempt of an instance to take another guest ended. Nobody answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TookOver {
    /// Index of the module.
    pub module: usize,
    /// Id of the instance.
    pub instance: u64,
    /// Generation of the guest.
    pub generation: u64,
    /// The new guest's way to bindings, or why the old guest stays: an error and its causes, outermost first.
    pub outcome: Result<Arc<Links>, Vec<String>>,
}

/// Gives an instance other limits, from its next call on. Sent by the supervisor; nobody answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetLimits(pub Limits);

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
