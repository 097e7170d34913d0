//! What the control API needs of the daemon: the one trait between the server and the supervisor.
//!
//! The server knows no actor and no worker; whoever implements [`Daemon`] does, and a test implements it in memory.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::{
    actors::{CallReply, CallRequest},
    bindings::{messaging::Broker, metrics::GuestFamily},
    supervisor::{
        events::Events,
        status::{BindingStatus, ModuleStatus, ReloadReport, Status, SwapReport, TriggerStatus},
    },
};

/// What the control API needs of the daemon.
///
/// The futures are polled on the control server's thread. Each answers within a bound also when every worker hangs;
/// the server has a bound of its own for one that does not.
pub trait Daemon: Send + Sync + 'static {
    /// Describes the whole daemon.
    fn status(&self) -> BoxFuture<'static, Result<Status, ControlError>>;
    /// Describes one module.
    fn module(&self, name: String) -> BoxFuture<'static, Result<ModuleStatus, ControlError>>;
    /// Who carries the messages of a binding.
    fn broker(&self, binding: String) -> BoxFuture<'static, Result<Arc<dyn Broker>, ControlError>>;
    /// Describes every binding, in file order.
    fn bindings(&self) -> BoxFuture<'static, Result<Vec<BindingStatus>, ControlError>>;
    /// What guests count. Answers at once.
    fn guest_metrics(&self) -> Vec<GuestFamily>;
    /// The log of what happened. Answers at once.
    fn events(&self) -> Events;
    /// Starts, stops or restarts a module, and answers with what it is afterwards.
    fn act(&self, name: String, action: Action) -> BoxFuture<'static, Result<ModuleStatus, ControlError>>;
    /// Describes one trigger.
    fn trigger(&self, name: String) -> BoxFuture<'static, Result<TriggerStatus, ControlError>>;
    /// Starts, stops or restarts a trigger, and answers with what it is afterwards.
    fn act_on_trigger(&self, name: String, action: Action) -> BoxFuture<'static, Result<TriggerStatus, ControlError>>;
    /// Lets a schedule begin a call at once, and answers with what the trigger is then.
    fn run_trigger(&self, name: String) -> BoxFuture<'static, Result<TriggerStatus, ControlError>>;
    /// Ends a worker's thread, for tests of what follows.
    #[cfg(feature = "fault-injection")]
    fn end_worker(&self, worker: usize) -> BoxFuture<'static, Result<(), ControlError>> {
        let what = format!("the end of worker {worker}");
        Box::pin(std::future::ready(Err(ControlError::NoAnswer { what, waited: Duration::ZERO })))
    }
    /// Gives a module other code, which it keeps until its file changes. `force` takes code that was rolled back before.
    fn swap(&self, name: String, code: Bytes, force: bool) -> BoxFuture<'static, Result<SwapReport, ControlError>>;
    /// Gives a module the code back that ran before.
    fn roll_back(&self, name: String) -> BoxFuture<'static, Result<SwapReport, ControlError>>;
    /// Reads the configuration again and applies what differs, or only says what would be applied.
    fn reload(&self, dry_run: bool) -> BoxFuture<'static, Result<ReloadReport, ControlError>>;
    /// What requests may have now; a reload may change it.
    fn bounds(&self) -> Bounds;
    /// Calls a guest. Dropping the future means that nobody waits for the reply any more.
    fn call(&self, module: String, request: CallRequest) -> BoxFuture<'static, CallReply>;
}

/// What requests may have, from the configuration that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the largest payload that any module takes.
    pub payload: u64,
    /// Bytes of the largest file that any module takes.
    pub module_size: u64,
    /// The longest `call_timeout` of any module.
    pub call: Duration,
    /// The daemon's `shutdown_grace`.
    pub grace: Duration,
}

/// What an operator may ask of a module or trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Take calls again, or make them, after a stop or a failure.
    Start,
    /// Finish what runs and take or make no calls until a start.
    Stop,
    /// Fresh instances of the same code; or a trigger begun anew.
    Restart,
}

impl Action {
    /// The action's name in paths and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Start, Self::Stop, Self::Restart].into_iter().find(|action| action.as_str() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the daemon did not answer a request of the control API.
#[derive(Debug, Error)]
pub enum ControlError {
    /// There is no module of that name.
    #[error("no module `{0}`")]
    NoSuchModule(String),
    /// There is no binding of that name.
    #[error("no binding `{0}`")]
    NoSuchBinding(String),
    /// There is no trigger of that name.
    #[error("no trigger `{0}`")]
    NoSuchTrigger(String),
    /// The trigger begins no call now.
    #[error("trigger `{trigger}` begins no call now: {why}")]
    TriggerRefused {
        /// Its name.
        trigger: String,
        /// Why not.
        why: String,
    },
    /// The binding is of a type that carries no messages.
    #[error("binding `{binding}` is of type \"{type_name}\" and carries no messages: that is what \"messaging\" does")]
    NoMessages {
        /// Its name.
        binding: String,
        /// Its type.
        type_name: &'static str,
    },
    /// The binding's backend is not open.
    #[error("binding `{binding}` is {state}")]
    BindingUnavailable {
        /// Its name.
        binding: String,
        /// What it is instead.
        state: &'static str,
    },
    /// The part of the daemon that was asked did not answer in time.
    #[error("no answer to {what} within {} ms", waited.as_millis())]
    NoAnswer {
        /// What was asked, as `the status`.
        what: String,
        /// How long the answer was waited for.
        waited: Duration,
    },
    /// The daemon is stopping and changes nothing any more.
    #[error("the daemon is stopping")]
    ShuttingDown,
    /// New code did not take over: the old goes on.
    #[error("module `{module}` keeps its code: {}", causes.join(": "))]
    SwapFailed {
        /// Name of the module.
        module: String,
        /// The error and its causes, outermost first.
        causes: Vec<String>,
    },
    /// The module runs the code that was asked for, which could not be written down.
    #[error("module `{module}` runs the code, but not after a restart of the daemon: {}", causes.join(": "))]
    SwapNotKept {
        /// Name of the module.
        module: String,
        /// The error and its causes, outermost first.
        causes: Vec<String>,
    },
    /// The module is in no state for a swap, has no other code to go back to, or the code was rolled back before.
    #[error("module `{module}` cannot be swapped now: {why}")]
    SwapRefused {
        /// Name of the module.
        module: String,
        /// Why not.
        why: String,
    },
    /// The new configuration is refused, and nothing has changed.
    #[error("the configuration is refused and nothing has changed:\n{}", problems.join("\n"))]
    ReloadRefused {
        /// Every problem.
        problems: Vec<String>,
    },
}
