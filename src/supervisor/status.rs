//! What the daemon says about itself. One source for status, tables, JSON and metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::triggers::TriggerFacts;

mod bindings;
mod code;
mod configuration;
mod exit;
mod modules;

pub use self::{
    bindings::{BACKEND_STATES, BackendStatus, BindingStatus, CacheStatus, HostCallCount, LoadStatus},
    code::{GenerationOrigin, GenerationOutcome, GenerationStatus, SwapCounts, SwapErrorStatus, SwapReport},
    configuration::{ChangeStatus, ConfigurationStatus, DropInStatus, RefusedFile, ReloadError, ReloadReport},
    exit::ExitStatus,
    modules::{InstanceStatus, Latency, ModuleState, ModuleStatus},
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
    /// What all guests run on: `cranelift` or `pulley`.
    pub engine: String,
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
