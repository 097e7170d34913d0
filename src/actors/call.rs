//! A guest call from outside: what the caller gives, what it gets.

use std::{fmt, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use thiserror::Error;

use crate::{bindings::Chain, host::CallError};

/// What a caller asks of a module.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// The guest's operation.
    pub operation: String,
    /// The payload.
    pub payload: Bytes,
    /// When the caller stops waiting, where that is earlier than the module's `call_timeout` from now.
    pub deadline: Option<Instant>,
    /// Who asks, for events: `control`, a trigger, or the calling module.
    pub origin: Origin,
    /// The modules that wait for this call.
    pub chain: Chain,
}

/// Who makes a guest call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An operator, over the control socket.
    Control,
    /// The supervisor, which asks whether the instance is well.
    Health,
    /// The supervisor, which hands an instance's state over to new code.
    Swap,
    /// The supervisor, which starts the module: its `on_start`.
    Start,
    /// The trigger of this name.
    Trigger(Arc<str>),
    /// Another module: the instance that waits.
    Module {
        /// Name of the calling module.
        module: Arc<str>,
        /// Id of its instance.
        instance: u64,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("control"),
            Self::Health => f.write_str("health check"),
            Self::Swap => f.write_str("swap"),
            Self::Start => f.write_str("start"),
            Self::Trigger(name) => write!(f, "trigger {name}"),
            Self::Module { module, .. } => write!(f, "module {module}"),
        }
    }
}

/// How a guest call ended, and where it ran.
#[derive(Debug)]
pub struct CallReply {
    /// Id of the call, unique in this process.
    pub call: u64,
    /// The instance that took it, with its generation; `None` where none did.
    pub ran_on: Option<RanOn>,
    /// The response, or why there is none.
    pub outcome: Result<Bytes, CallFailure>,
}

/// The instance that took a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RanOn {
    /// Id of the instance.
    pub instance: u64,
    /// Generation of the module's code.
    pub generation: u64,
}

/// Why a guest call has no response. Each call ends in a response or in one of these, exactly once.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallFailure {
    /// There is no module of that name.
    #[error("no module `{0}`")]
    NoSuchModule(String),
    /// The module takes no calls in its present state.
    #[error("module `{module}` is {refusal}")]
    Refused {
        /// Name of the module.
        module: Arc<str>,
        /// Its state.
        refusal: Refusal,
    },
    /// The queue is full.
    #[error("module `{module}` is busy: {what} full")]
    Busy {
        /// Name of the module.
        module: Arc<str>,
        /// Which bound was met, as `its queue of 1024 calls is`.
        what: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The module has had as many calls as its `rate_limit` allows.
    #[error("module `{module}` has had the {calls} calls in {} ms that its rate limit allows", per.as_millis())]
    RateLimited {
        /// Name of the module.
        module: Arc<str>,
        /// So many calls ...
        calls: u32,
        /// ... in this time.
        per: Duration,
        /// When a call fits again.
        retry_after: Duration,
    },
    /// The call waited until its deadline or `queue_timeout` and was never started.
    #[error("the call to module `{module}` waited {} ms and was not started", waited.as_millis())]
    Expired {
        /// Name of the module.
        module: Arc<str>,
        /// How long it waited.
        waited: Duration,
    },
    /// The call would wait for itself.
    #[error("calling module `{target}` would close the cycle {path}")]
    Cycle {
        /// The module that was called.
        target: String,
        /// The modules in the cycle.
        path: String,
    },
    /// The guest was called, or its size limits were met before.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Code of the host panicked or its worker ended while it had the call.
    #[error("the call was lost: {0}")]
    Lost(String),
}

impl CallFailure {
    /// Whether the guest never had the call, for a reason that passes: what it was called for is none the worse, and no
    /// attempt was made of it.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::NoSuchModule(_)
            | Self::Refused { .. }
            | Self::Busy { .. }
            | Self::RateLimited { .. }
            | Self::Expired { .. }
            | Self::Call(CallError::Restart(_)) => true,
            Self::Cycle { .. }
            | Self::Lost(_)
            | Self::Call(CallError::Guest(_) | CallError::TooLarge { .. } | CallError::Exit(_)) => false,
        }
    }
}

/// Why a module refuses calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// An operator stopped it, or it ended normally and is not restarted.
    Stopped,
    /// It failed too often, or could not be loaded; the text says how.
    Failed(String),
    /// The daemon is stopping.
    ShuttingDown,
    /// It is no longer part of the configuration.
    Removed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::ShuttingDown => f.write_str("draining, the daemon is stopping"),
            Self::Removed => f.write_str("removed from the configuration"),
        }
    }
}
