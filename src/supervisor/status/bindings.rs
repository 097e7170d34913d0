//! One binding: what it is doing, what is behind it, and what its host calls came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ExitStatus, ServiceState};
use crate::bindings::BackendState;

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
    /// How the cache in front of its backend does, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStatus>,
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

/// How the cache in front of a binding's backend does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub struct CacheStatus {
    /// Reads that were answered from it, since the backend was opened.
    pub hits: u64,
    /// Reads that had to ask the backend.
    pub misses: u64,
    /// Entries in it.
    pub entries: u64,
    /// Bytes of its limit that they take.
    pub bytes: u64,
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
