//! What the daemon says about itself. One source for status, tables, JSON and metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{bindings::BackendState, triggers::TriggerFacts};

mod code;
mod configuration;

pub use self::{
    code::{GenerationOrigin, GenerationOutcome, GenerationStatus, SwapCounts, SwapErrorStatus, SwapReport},
    configuration::{ChangeStatus, ConfigurationStatus, DropInStatus, RefusedFile, ReloadError, ReloadReport},
};

/// The whole daemon.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: f64,
    /// Whether it is stopping.
    pub draining: bool,
    /// Bytes waiting in all queues.
    pub queue_bytes: u64,
    /// The threads that run guests and bindings.
    pub workers: Vec<WorkerStatus>,
    /// Every module, in file order.
    pub modules: Vec<ModuleStatus>,
    /// Every binding, in file order.
    pub bindings: Vec<BindingStatus>,
    /// Every group, in file order.
    pub groups: Vec<GroupStatus>,
    /// Every trigger, in file order.
    #[serde(default)]
    pub triggers: Vec<TriggerStatus>,
    /// The configuration that holds.
    pub configuration: ConfigurationStatus,
    /// The drop-in directory, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_in: Option<DropInStatus>,
}

impl Status {
    /// The same without what is left out of lists: latencies, backtraces, generations that do not run, and host calls by
    /// operation.
    #[must_use]
    pub fn summary(mut self) -> Self {
        for module in &mut self.modules {
            module.latency = None;
            module.generations.retain(|generation| generation.outcome.runs());
            module.last_exit.iter_mut().for_each(|exit| exit.backtrace.clear());
        }
        for binding in &mut self.bindings {
            binding.host_calls.clear();
            binding.last_exit.iter_mut().for_each(|exit| exit.backtrace.clear());
        }
        self
    }
}

/// One worker.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct WorkerStatus {
    /// Its index; a replacement has that of the one before.
    pub index: usize,
    /// Whether it turns over.
    pub state: WorkerState,
    /// Seconds since it last turned over, where it is stalled.
    pub stalled_s: Option<f64>,
    /// Instances that live on it.
    pub instances: usize,
    /// How often its thread ended and was replaced.
    pub replaced: u64,
}

/// The state of a worker.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It turns over.
    Running,
    /// It has not turned over for more than a second: something blocks its thread.
    Stalled,
}

impl WorkerState {
    /// The name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stalled => "stalled",
        }
    }
}

/// One module.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ModuleStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: ModuleState,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// What its start waits for: bindings, or members before it in its group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
    /// How far the `on_start` has got that its start or its swap waits for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_start: Option<String>,
    /// When it is started next, in seconds since the Unix epoch: after a back-off, or from `failed`.
    pub next_try: Option<f64>,
    /// Path of its file.
    pub path: String,
    /// Where it is declared: `configured` or `dropped`.
    pub declared: String,
    /// SHA-256 of the code that runs, in hexadecimal; `None` before it was loaded.
    pub sha256: Option<String>,
    /// Which load of the code runs; 0 before the first.
    pub generation: u64,
    /// Why the code that runs is not that of the file, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
    /// The swap that is under way, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapping: Option<String>,
    /// Why the last swap kept the old code, until one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_swap_error: Option<SwapErrorStatus>,
    /// Swaps since the daemon started, by the origin of the code: `file`, `operator`, `roll_back`.
    pub swaps: BTreeMap<String, SwapCounts>,
    /// The last generations, newest first; in lists only the one that runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<GenerationStatus>,
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
    /// Calls that an instance took and that ended otherwise.
    pub calls_failed: u64,
    /// Calls that no instance took.
    pub calls_refused: u64,
    /// All of them by their outcome: `ok`, `guest_error`, `trapped`, `busy`, ...
    pub calls: BTreeMap<String, u64>,
    /// How long calls took that an instance had, from their acceptance to their answer; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Restarts since the daemon started.
    pub restarts: u64,
    /// The same by the reason of the exit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restarts_by_reason: BTreeMap<String, u64>,
    /// Restarts that count towards the intensity now, its own or its group's.
    pub restarts_in_window: u32,
    /// How the last instance ended, or why the module could not be loaded.
    pub last_exit: Option<ExitStatus>,
    /// Seconds since the module last became `running`.
    pub uptime_s: Option<f64>,
}

/// The state of a module.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// Lazy, and not called yet.
    Idle,
    /// Being compiled or started, or waiting for its bindings.
    Starting,
    /// At least one instance takes calls.
    Running,
    /// Nothing runs until the next try.
    Backoff,
    /// Finishes what runs.
    Draining,
    /// Stopped by an operator or ended normally.
    Stopped,
    /// Could not be loaded, or failed too often.
    Failed,
}

impl ModuleState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Idle, Self::Starting, Self::Running, Self::Backoff, Self::Draining, Self::Stopped, Self::Failed];

    /// The name in JSON, tables, events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// One instance.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct InstanceStatus {
    /// Its id, unique in this process.
    pub id: u64,
    /// Its place in the module, from 0; a fresh instance takes the place of the one before.
    pub slot: usize,
    /// The worker it lives on.
    pub worker: usize,
    /// Generation of the code that it runs; during a swap instances differ.
    pub generation: u64,
    /// Seconds since it takes calls.
    pub uptime_s: f64,
    /// Bytes of linear memory, as they were after its last call.
    pub memory_bytes: u64,
}

/// How long calls took.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Latency {
    /// Calls.
    pub count: u64,
    /// Their times together, in seconds.
    pub sum_s: f64,
    /// Upper bounds in seconds, each with the number of calls that took no longer; calls beyond the last are in `count` only.
    pub buckets: Vec<(f64, u64)>,
}

/// How something ended.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ExitStatus {
    /// The reason's stable name: `trapped`, `deadline_exceeded`, `limit_exceeded`, `exited`, `panicked`, `load_failed`,
    /// `start_failed`, `unhealthy`, `backend_ended`, `ended`, `binding_ended`, `stopped`.
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
    pub state: ServiceState,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// When it is started next, in seconds since the Unix epoch.
    pub next_try: Option<f64>,
    /// Host calls answered with a response.
    pub calls_ok: u64,
    /// Host calls answered with an error.
    pub calls_failed: u64,
    /// Host calls by operation and outcome; operations that its type does not have are `other`. Left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_calls: Vec<HostCallCount>,
    /// How often it was started anew.
    pub restarts: u64,
    /// The same by the reason of the exit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restarts_by_reason: BTreeMap<String, u64>,
    /// Restarts that count towards the intensity now, its own or its group's.
    pub restarts_in_window: u32,
    /// How it ended last, or why it did not start.
    pub last_exit: Option<ExitStatus>,
    /// How it stands with the server or process behind it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendStatus>,
    /// How full it is, where its type has a backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadStatus>,
    /// Seconds since it last became `running`.
    pub uptime_s: Option<f64>,
}

/// The states of what is behind a binding.
pub const BACKEND_STATES: [&str; 3] = {
    let [first, second, third] = BackendState::ALL;
    [first.as_str(), second.as_str(), third.as_str()]
};

/// How a binding stands with the server or process behind it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct BackendStatus {
    /// `connecting`: tried for the first time, calls wait. `connected`. `disconnected`: calls get `unavailable` at once, and
    /// it is tried again and again.
    pub state: String,
    /// Since when, in seconds since the Unix epoch.
    pub since: f64,
    /// Why it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it is tried next, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<f64>,
    /// Tries that have failed since it was connected last.
    pub tries: u32,
}

/// How full a binding is, over all workers. What answers at once is never full.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub struct LoadStatus {
    /// Host calls that its backend has.
    pub running: u64,
    /// Host calls that wait for that.
    pub waiting: u64,
    /// Host calls that were refused because too many waited, since the backend was opened.
    pub refused: u64,
}

/// How often an operation of a binding ended so.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct HostCallCount {
    /// The operation.
    pub operation: String,
    /// `ok`, or the kind of the error.
    pub outcome: String,
    /// How often.
    pub count: u64,
}

/// One trigger.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct TriggerStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What its calls come from, as configured: sockets, an expression or a time, topics, a directory.
    pub sources: Vec<String>,
    /// The time zone of its expression, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Modules that it calls, without those that only a request names.
    pub modules: Vec<String>,
    /// Whether it is at work, or why not.
    pub state: ServiceState,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// Whom its start waits for: a module that it calls, or the binding that it stands on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
    /// When it is started next, in seconds since the Unix epoch.
    pub next_try: Option<f64>,
    /// How often it was started anew.
    pub restarts: u64,
    /// The same by the reason of the exit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restarts_by_reason: BTreeMap<String, u64>,
    /// Restarts that count towards the intensity now, its own or its group's.
    pub restarts_in_window: u32,
    /// How it ended last, or why it did not start.
    pub last_exit: Option<ExitStatus>,
    /// Seconds since it last became `running`.
    pub uptime_s: Option<f64>,
    /// What it says about itself, while it is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<TriggerFacts>,
}

/// The state of a binding or of a trigger.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Its backend is being opened; or those that a trigger calls are.
    Starting,
    /// It answers, or is at work.
    Running,
    /// Nothing runs until the next try; guests that call it wait.
    Backoff,
    /// Its backend is being closed; or a trigger finishes what it began.
    Draining,
    /// It ended and is not restarted.
    Stopped,
    /// It failed too often: guests get `unavailable`.
    Failed,
}

impl ServiceState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Running, Self::Backoff, Self::Draining, Self::Stopped, Self::Failed];

    /// The name in JSON, tables, events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// One group.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: GroupState,
    /// `one_for_one`, `one_for_all` or `rest_for_one`.
    pub strategy: String,
    /// Its members in the order of their start, as `modules.NAME`, `bindings.NAME` or `groups.NAME`.
    pub members: Vec<String>,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// Whether the daemon stops when it has failed for good.
    pub critical: bool,
    /// Restarts of members since the daemon started.
    pub restarts: u64,
    /// Restarts that count towards its intensity now.
    pub restarts_in_window: u32,
    /// When a failed group gets its next chance, in seconds since the Unix epoch.
    pub next_try: Option<f64>,
}

/// The state of a group.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum GroupState {
    /// Its members run, as far as each of them does.
    Running,
    /// Members are being stopped and started again.
    Restarting,
    /// It restarted too often, and all of its members have failed with it.
    Failed,
}

impl GroupState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Running, Self::Restarting, Self::Failed];

    /// The name in JSON, tables, events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
        }
    }
}
