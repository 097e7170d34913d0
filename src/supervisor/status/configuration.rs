//! What the daemon says about its configuration, reloads and the drop-in directory.

use serde::{Deserialize, Serialize};

/// The configuration that holds, and what became of the last reload.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct ConfigurationStatus {
    /// Path of its file.
    pub path: String,
    /// When it was loaded, in seconds since the Unix epoch.
    pub loaded_at: f64,
    /// Reloads that were applied since the daemon started.
    pub reloads: u64,
    /// Reloads that were refused.
    pub reloads_refused: u64,
    /// Why the last reload changed nothing, until one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ReloadError>,
}

/// Why a reload changed nothing.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ReloadError {
    /// When, in seconds since the Unix epoch.
    pub at: f64,
    /// Every problem.
    pub problems: Vec<String>,
}

/// The drop-in directory.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct DropInStatus {
    /// Its path.
    pub path: String,
    /// Files that are not accepted, by name.
    pub refused: Vec<RefusedFile>,
}

/// A file of the drop-in directory that is not accepted.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct RefusedFile {
    /// Its name.
    pub file: String,
    /// Why.
    pub why: String,
}

/// What a reload does, or would do.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct ReloadReport {
    /// Whether it was only planned.
    pub dry_run: bool,
    /// The differences; empty where the configuration is the same.
    pub changes: Vec<ChangeStatus>,
}

/// One difference.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ChangeStatus {
    /// What differs, as `modules.orders`, `bindings.cache`, `groups.shop` or `logging`.
    pub subject: String,
    /// What that takes: `add`, `remove`, `adjust`, `swap` or `restart`.
    pub action: String,
    /// The keys that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What went wrong with it after the configuration was taken over, as a new module that failed in its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
