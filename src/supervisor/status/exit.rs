//! How an instance, a backend or a load ended.

use serde::{Deserialize, Serialize};

use crate::{actors::ExitReport, supervisor::moments::unix};

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

impl ExitStatus {
    /// What a report says.
    pub(in crate::supervisor) fn of(report: &ExitReport) -> Self {
        let (operation, call, origin) = match &report.call {
            Some((operation, call, origin)) => (Some(operation.clone()), Some(*call), Some(origin.to_string())),
            None => (None, None, None),
        };
        Self {
            reason: report.reason.as_str().to_owned(),
            causes: report.causes.clone(),
            backtrace: report.backtrace.iter().map(ToString::to_string).collect(),
            operation,
            call,
            origin,
            at: unix(report.at),
        }
    }
}
