//! What the supervisor is told and asked, by whom, and what the answer means.
//!
//! What instances and loaders tell it stands beside them: `InstanceExited`, `InstanceStarted`, `ModuleLoaded`.

use actix::Message;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    binding_child::Backend,
    ending::Leaving,
    reloads::ReloadOutcome,
    status::{ModuleStatus, ServiceState, Status},
    swaps::SwapError,
};
use crate::{actors::How, bindings::messaging::Broker, triggers::RunError};

/// Asks what everything is. Answered at once.
#[derive(Message)]
#[rtype(result = "Status")]
pub(super) struct GetStatus;

/// Asks for the way to whoever carries the messages of a binding.
#[derive(Message)]
#[rtype(result = "Result<std::sync::Arc<dyn Broker>, NoBroker>")]
pub(super) struct GetBroker(pub(super) String);

/// Why a binding carries no messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoBroker {
    /// There is no binding of that name.
    NoSuchBinding,
    /// It is of this type, which has none.
    NotMessaging(&'static str),
    /// It is in this state, and its backend is not open.
    NotRunning(ServiceState),
}

/// Asks what one module is; `None` for one that does not exist.
#[derive(Message)]
#[rtype(result = "Option<ModuleStatus>")]
pub(super) struct GetModule(pub(super) String);

/// Starts, stops or restarts a module. The answer, at once, is a receiver that hears when the module has settled; `None`
/// for a module that does not exist or when the daemon stops.
#[derive(Message)]
#[rtype(result = "Option<oneshot::Receiver<()>>")]
pub(super) struct Act {
    pub(super) module: String,
    pub(super) action: Want,
}

/// Starts, stops or restarts a trigger. Answered as [`Act`].
#[derive(Message)]
#[rtype(result = "Option<oneshot::Receiver<()>>")]
pub(super) struct ActOnTrigger {
    pub(super) trigger: String,
    pub(super) action: Want,
}

/// Lets a trigger begin a call at once.
#[derive(Message)]
#[rtype(result = "Result<(), NoRun>")]
pub(super) struct RunTrigger(pub(super) String);

/// Why a trigger begins no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRun {
    /// There is no trigger of that name.
    NoSuchTrigger,
    /// It is in this state, and not at work.
    NotRunning(ServiceState),
    /// It cannot.
    Refused(RunError),
}

/// What an operator wants of a module or trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Start,
    Stop,
    Restart,
}

impl Want {
    /// The name in events.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// A lazy module got its first call. Sent by its queue.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ModuleWanted(pub(super) usize);

/// The daemon stops: from now on only calls from module to module are taken.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drain {
    /// What asked for it.
    pub(super) why: String,
}

/// Gives a module code that an operator sent. The answer, at once, is a receiver that hears how the swap ended; `None` for a
/// module that does not exist.
#[derive(Message)]
#[rtype(result = "Option<oneshot::Receiver<Result<bool, SwapError>>>")]
pub(super) struct Swap {
    pub(super) module: String,
    pub(super) sent: Sent,
}

/// What an operator sent.
pub(super) struct Sent {
    pub(super) code: Bytes,
    /// Whether it is taken though it was rolled back before.
    pub(super) force: bool,
}

/// Gives a module the code back that ran before. Answered as [`Swap`].
#[derive(Message)]
#[rtype(result = "Option<oneshot::Receiver<Result<bool, SwapError>>>")]
pub(super) struct RollBack(pub(super) String);

/// Reads the configuration again. The answer, at once, is a receiver that hears what differs, or every problem.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<ReloadOutcome>")]
pub(super) struct Reload {
    /// Whether it is only planned.
    pub(super) dry_run: bool,
    /// What asked for it.
    pub(super) why: String,
}

/// Lets all triggers take nothing new. The answer is those that have to finish what they began.
#[derive(Message)]
#[rtype(result = "Vec<Leaving>")]
pub(super) struct DrainTriggers;

/// Asks for all modules in the order of their start.
#[derive(Message)]
#[rtype(result = "Vec<ToEnd>")]
pub(super) struct GetOrder;

/// A module that is to be ended with the daemon.
#[derive(Debug)]
pub(super) struct ToEnd {
    pub(super) module: usize,
    pub(super) name: std::sync::Arc<str>,
    /// Whether its last instance makes a call before: then its end may take as long as that.
    pub(super) calls: bool,
}

/// Whether a call runs or waits anywhere.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct IsBusy;

/// Stops one module for good: in peace, or at once. The answer is a receiver that hears when it is gone.
#[derive(Message)]
#[rtype(result = "Option<oneshot::Receiver<()>>")]
pub(super) struct EndModule {
    pub(super) module: usize,
    pub(super) how: How,
}

/// Ends a worker's thread, as nothing in a released daemon does.
#[cfg(feature = "fault-injection")]
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct EndWorker(pub(super) usize);

/// Gives out the backends of the bindings, last started first, and ends the workers.
#[derive(Message)]
#[rtype(result = "Backends")]
pub(super) struct EndWorkers;

/// Backends that whoever may block stops.
#[derive(actix::MessageResponse)]
pub(super) struct Backends(pub(super) Vec<Backend>);
