//! `[modules.NAME] on_start` and `on_stop`: calls that the daemon makes itself when a module starts and stops.

use std::time::Duration;

/// The call that a module's first guest must answer before the module runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnStart {
    /// The guest's operation.
    pub operation: String,
    /// Its payload.
    pub payload: String,
    /// How often it is called in one start until it succeeds; at least 1.
    pub attempts: u32,
    /// How long to wait after a call that failed.
    pub retry_delay: Duration,
    /// Time of one call; `None`: the module's `call_timeout`.
    pub timeout: Option<Duration>,
}

/// The call that a module's last guest gets before the module stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnStop {
    /// The guest's operation.
    pub operation: String,
    /// Its payload.
    pub payload: String,
    /// Time of the call; `None`: the module's `call_timeout`. The module's `shutdown` bounds it too.
    pub timeout: Option<Duration>,
}
