//! How an instance ended, for whoever decides what happens next.

use std::{
    fmt,
    time::{Instant, SystemTime},
};

use actix::Message;

use super::Origin;
use crate::host::{CallError, Frame, GuestExit, LoadError};

/// Every way in which an instance, or a binding, can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was asked to leave, by an operator, a restart or the end of the daemon.
    Stopped,
    /// The guest trapped in a call.
    Trapped,
    /// A call ran into its deadline.
    DeadlineExceeded {
        /// Whether the guest was waiting for a host call: the fault of what it waited for.
        in_host_call: bool,
    },
    /// The guest ran into its memory, table or stack limit.
    LimitExceeded,
    /// The guest called `proc_exit` in a call.
    Exited(u32),
    /// Code of the host panicked while it worked for the guest.
    Panicked,
    /// The module could not be read, compiled or checked.
    LoadFailed,
    /// A start function failed, or the instance or the backend could not be made.
    StartFailed,
    /// Its health checks failed too often in a row.
    Unhealthy,
    /// What is behind a binding ended by itself.
    BackendEnded,
    /// A trigger ended by itself.
    Ended,
    /// A trigger ended because the binding that it stands on did.
    BindingEnded,
}

impl ExitReason {
    /// The stable name, as status, events and logs use it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Trapped => "trapped",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::LimitExceeded => "limit_exceeded",
            Self::Exited(_) => "exited",
            Self::Panicked => "panicked",
            Self::LoadFailed => "load_failed",
            Self::StartFailed => "start_failed",
            Self::Unhealthy => "unhealthy",
            Self::BackendEnded => "backend_ended",
            Self::Ended => "ended",
            Self::BindingEnded => "binding_ended",
        }
    }

    /// The reason of an exit of the guest.
    #[must_use]
    pub fn of(exit: &GuestExit) -> Self {
        match exit {
            GuestExit::Trapped(_) => Self::Trapped,
            GuestExit::DeadlineExceeded { in_host_call, .. } => Self::DeadlineExceeded { in_host_call: *in_host_call },
            GuestExit::LimitExceeded { .. } => Self::LimitExceeded,
            GuestExit::Exited(code) => Self::Exited(*code),
            GuestExit::HostPanicked(_) => Self::Panicked,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An exit with everything that helps to find its cause.
#[derive(Debug, Clone)]
pub struct ExitReport {
    /// Why it ended.
    pub reason: ExitReason,
    /// The error and its causes, outermost first.
    pub causes: Vec<String>,
    /// The guest's backtrace, innermost frame first.
    pub backtrace: Vec<Frame>,
    /// The operation that was being called, its call id, and who made it.
    pub call: Option<(String, u64, Origin)>,
    /// When, for people.
    pub at: SystemTime,
}

impl ExitReport {
    /// A report without a call.
    #[must_use]
    pub fn new(reason: ExitReason, causes: Vec<String>) -> Self {
        Self { reason, causes, backtrace: Vec::new(), call: None, at: SystemTime::now() }
    }

    /// Reason and causes in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}: {}", self.reason, self.causes.join(": "))
    }

    /// The report of a module that did not load or start.
    #[must_use]
    pub fn of_load(error: &LoadError) -> Self {
        let (reason, backtrace) = match error {
            LoadError::Start { exit, .. } => (ExitReason::StartFailed, exit.backtrace().to_vec()),
            LoadError::NoRoom { .. } | LoadError::Wasi { .. } => (ExitReason::StartFailed, Vec::new()),
            _ => (ExitReason::LoadFailed, Vec::new()),
        };
        Self { backtrace, ..Self::new(reason, causes_of(error)) }
    }

    /// The report of a call that ended its instance; `None` for errors after which the instance lives on.
    #[must_use]
    pub fn of_call(error: &CallError) -> Option<Self> {
        match error {
            CallError::Exit(exit) => {
                Some(Self { backtrace: exit.backtrace().to_vec(), ..Self::new(ExitReason::of(exit), causes_of(exit)) })
            }
            CallError::Restart(error) => Some(Self::of_load(error)),
            _ => None,
        }
    }
}

/// An error and its causes, each as its own text.
pub(crate) fn causes_of(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source()).map(|error| cut(error.to_string())).collect()
}

/// Bytes of one cause in status and logs. An operator reads a sentence; a guest can make megabytes of it.
const MAX_CAUSE: usize = 8 * 1024;

fn cut(mut text: String) -> String {
    if text.len() > MAX_CAUSE {
        text.truncate(text.floor_char_boundary(MAX_CAUSE));
        text.push('…');
    }
    text
}

/// Sent by an instance to the supervisor when it is gone; nobody answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct InstanceExited {
    /// Index of the module.
    pub module: usize,
    /// Index of the module's instance.
    pub slot: usize,
    /// Id of the instance.
    pub instance: u64,
    /// How it ended.
    pub report: ExitReport,
    /// When, for decisions.
    pub at: Instant,
}
