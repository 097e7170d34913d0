//! One module: what it is doing, what it runs, and what its calls came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ExitStatus, GenerationStatus, SwapCounts, SwapErrorStatus};

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
