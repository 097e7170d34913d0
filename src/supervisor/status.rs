//! What the daemon says about itself. One source for status, tables and JSON.

use serde::{Deserialize, Serialize};

/// The whole daemon.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: f64,
    /// Threads that run guests.
    pub workers: usize,
    /// Whether it is stopping.
    pub draining: bool,
    /// Bytes waiting in all queues.
    pub queue_bytes: u64,
    /// Every module, in file order.
    pub modules: Vec<ModuleStatus>,
    /// Every binding, in file order.
    pub bindings: Vec<BindingStatus>,
}

/// One module.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ModuleStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: ModuleState,
    /// Path of its file.
    pub path: String,
    /// SHA-256 of the code that runs, in hexadecimal; `None` before it was loaded.
    pub sha256: Option<String>,
    /// Which load of the code runs; 0 before the first.
    pub generation: u64,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
    /// Calls that wait.
    pub queued: u64,
    /// Bytes of payload that wait.
    pub queued_bytes: u64,
    /// Calls that run.
    pub in_flight: u64,
    /// Calls that ended in a response.
    pub calls_ok: u64,
    /// Calls that ended otherwise, refusals included.
    pub calls_failed: u64,
    /// Restarts since the daemon started.
    pub restarts: u64,
    /// Restarts that count towards the intensity now.
    pub restarts_in_window: u32,
    /// How the last instance ended, or why the module could not be loaded.
    pub last_exit: Option<ExitStatus>,
    /// Seconds since the module last became `running`.
    pub uptime_s: Option<f64>,
}

/// The state of a module.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// Lazy, and not called yet.
    Idle,
    /// Being compiled or started.
    Starting,
    /// At least one instance takes calls.
    Running,
    /// Finishes what runs.
    Draining,
    /// Stopped by an operator or ended normally.
    Stopped,
    /// Could not be loaded, or failed too often.
    Failed,
}

/// One instance.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct InstanceStatus {
    /// Its id, unique in this process.
    pub id: u64,
    /// The worker it lives on.
    pub worker: usize,
}

/// How something ended.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ExitStatus {
    /// The reason's stable name: `trapped`, `deadline_exceeded`, `limit_exceeded`, `exited`, `panicked`, `load_failed`, `start_failed`, `stopped`.
    pub reason: String,
    /// The error and its causes, outermost first.
    pub causes: Vec<String>,
    /// The guest's backtrace, innermost frame first; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// The operation that was being called.
    pub operation: Option<String>,
    /// Id of the call.
    pub call: Option<u64>,
    /// Who made the call.
    pub origin: Option<String>,
    /// When, in seconds since the Unix epoch.
    pub at: f64,
}

/// One binding.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct BindingStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether it answers, or why not.
    pub state: BindingState,
    /// Host calls answered with a response.
    pub calls_ok: u64,
    /// Host calls answered with an error.
    pub calls_failed: u64,
    /// How often it was started anew after a panic.
    pub restarts: u64,
    /// The message of the last panic, or why it could not start.
    pub last_error: Option<String>,
}

/// The state of a binding.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum BindingState {
    /// It answers.
    Running,
    /// It could not be started: guests get `unavailable`.
    Failed,
}
