//! What the supervisor is told and asked, by whom, and what the answer means.
//!
//! What instances and loaders tell it stands beside them: `InstanceExited`, `InstanceStarted`, `ModuleLoaded`.

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use super::{
    binding_child::Backend,
    status::{ModuleStatus, Status},
};
use crate::actors::How;

/// Asks what everything is. Answered at once.
#[derive(Message)]
#[rtype(result = "Status")]
pub(super) struct GetStatus;

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

/// What an operator wants of a module.
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

/// Addresses of the supervisor, as others hold them.
pub(super) type Wanted = Recipient<ModuleWanted>;
