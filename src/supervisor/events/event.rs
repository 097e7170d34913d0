//! What an event is: its number, whose state changed, and what happened.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    supervisor::status::{ExitStatus, GenerationOrigin},
    triggers::Notice,
};

/// One change of state.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Event {
    /// Its number, from 1 on without gaps.
    pub seq: u64,
    /// When, in seconds since the Unix epoch.
    pub at: f64,
    /// Whose.
    pub subject: Subject,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// Whose state changed.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The daemon's.
    Daemon,
    /// That of the module of this name.
    Module(Arc<str>),
    /// That of the binding of this name.
    Binding(Arc<str>),
    /// That of the group of this name.
    Group(Arc<str>),
    /// That of the trigger of this name.
    Trigger(Arc<str>),
    /// That of the worker of this index.
    Worker(usize),
}

/// For serde, which hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("daemon"),
            Self::Module(name) => write!(f, "module {name}"),
            Self::Binding(name) => write!(f, "binding {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Trigger(name) => write!(f, "trigger {name}"),
            Self::Worker(index) => write!(f, "worker {index}"),
        }
    }
}

/// What happened. The names in JSON are stable.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The daemon started, or began to stop.
    DaemonStarted {
        /// Its version.
        version: String,
    },
    /// The daemon takes no new calls and finishes what runs.
    DaemonDraining {
        /// What asked for it.
        why: String,
    },
    /// A child is now in another state.
    StateChanged {
        /// The state before.
        from: String,
        /// The state now.
        to: String,
        /// Why, where that is not plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// When it is started next, in seconds since the Unix epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_try: Option<f64>,
    },
    /// A module's code was read and compiled.
    Loaded {
        /// Which load it is.
        generation: u64,
        /// SHA-256 of the file.
        sha256: String,
    },
    /// A swap begins: the code was read, compiled and checked.
    SwapBegan {
        /// The generation that it will be.
        generation: u64,
        /// SHA-256 of the code.
        sha256: String,
        /// Where it came from.
        origin: GenerationOrigin,
    },
    /// An instance took the code of another generation between two calls.
    InstanceSwapped {
        /// Its id.
        instance: u64,
        /// Generation of its code from now on.
        generation: u64,
        /// Its worker.
        worker: usize,
    },
    /// All instances have the new generation, which is now the module's.
    Swapped {
        /// The generation.
        generation: u64,
        /// The one before.
        before: u64,
        /// SHA-256 of the code.
        sha256: String,
        /// Where it came from.
        origin: GenerationOrigin,
    },
    /// New code did not take over: the old goes on.
    SwapFailed {
        /// Where it came from.
        origin: GenerationOrigin,
        /// SHA-256 of the code, where it could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// Why.
        why: String,
    },
    /// A generation failed too often in its probation; a swap back to the one before follows.
    ProbationFailed {
        /// The generation.
        generation: u64,
        /// How often its instances failed.
        failures: u32,
        /// How often they might have.
        of: u32,
    },
    /// A generation has stood its probation.
    ProbationPassed {
        /// The generation.
        generation: u64,
    },
    /// A module, binding or group is part of the daemon from now on.
    Added,
    /// A module, binding or group is no longer part of the daemon.
    Removed,
    /// A module, binding or group goes on with other settings.
    Adjusted {
        /// The keys that differ.
        keys: Vec<String>,
    },
    /// Another configuration holds from now on.
    Reloaded {
        /// What asked for it.
        why: String,
        /// What differs, as `swap modules.orders`.
        changes: Vec<String>,
    },
    /// A configuration was refused: nothing has changed.
    ReloadRefused {
        /// What asked for it.
        why: String,
        /// Every problem.
        problems: Vec<String>,
    },
    /// A file of the drop-in directory is not accepted.
    FileRefused {
        /// Its name.
        file: String,
        /// Why.
        why: String,
    },
    /// An instance takes calls.
    InstanceStarted {
        /// Its id.
        instance: u64,
        /// Generation of its code.
        generation: u64,
        /// Its worker.
        worker: usize,
    },
    /// A module's `on_start` failed; it is called again.
    OnStartFailed {
        /// Id of the instance that is being started, or that takes another guest.
        instance: u64,
        /// The operation.
        operation: String,
        /// Id of the call.
        call: u64,
        /// Which attempt of this start it was ...
        attempt: u32,
        /// ... of so many.
        of: u32,
        /// The guest's error, or how the guest ended.
        why: String,
        /// When it is called again, in seconds from then.
        retry_s: f64,
    },
    /// A module's `on_stop` failed or was not reached; the module stops all the same.
    OnStopFailed {
        /// Id of the instance.
        instance: u64,
        /// The operation.
        operation: String,
        /// Id of the call, where it was made to its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<u64>,
        /// The guest's error, or how the instance ended.
        why: String,
    },
    /// An instance, a binding's actor or a backend ended.
    Exited {
        /// Id of the instance; none for bindings and loads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<u64>,
        /// Where it lived.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<usize>,
        /// How it ended.
        exit: ExitStatus,
        /// What follows: `restart`, `restart_group`, `stop` or `fail`.
        decision: String,
        /// How long the restart waits, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backoff_s: Option<f64>,
    },
    /// A health check failed.
    HealthFailed {
        /// Id of the instance; none for bindings.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<u64>,
        /// How often in a row.
        failures: u32,
        /// How often it takes to be unhealthy.
        of: u32,
        /// What the check said.
        why: String,
    },
    /// A group restarts members because one of them ended.
    GroupRestarts {
        /// The member that ended.
        because: String,
        /// The members that are started, in this order; they were stopped in reverse.
        members: Vec<String>,
    },
    /// A group has restarted too often.
    GroupGaveUp {
        /// The member that ended last.
        because: String,
        /// What follows: `restart_group`, by the group above, `fail`, or `stop_daemon`.
        decision: String,
    },
    /// A binding stands otherwise with the server or process behind it.
    BackendChanged {
        /// `connecting`, `connected` or `disconnected`.
        state: String,
        /// Why it is not connected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Something happened in a trigger.
    Noticed {
        /// What.
        #[serde(flatten)]
        notice: Notice,
        /// How much more happened in it since the last one that was told: of many only some are.
        #[serde(default, skip_serializing_if = "is_zero")]
        untold: u64,
    },
    /// A module's host call was not allowed. The same one is told again after a while, with how often it happened.
    Denied {
        /// Id of the instance.
        instance: u64,
        /// Id of the guest call.
        call: u64,
        /// The binding.
        binding: String,
        /// The operation.
        operation: String,
        /// Why not: `kind: message`, as the guest reads it.
        why: String,
        /// How often it happened since it was told last, this time included.
        times: u64,
    },
    /// An operator asked for something.
    Asked {
        /// `start`, `stop`, `restart`, `swap`, `rollback` or `reload`.
        action: String,
    },
    /// A worker no longer turns over.
    WorkerStalled {
        /// For how long, in seconds.
        stalled_s: f64,
    },
    /// A worker turns over again.
    WorkerRecovered {
        /// For how long it did not, in seconds.
        stalled_s: f64,
    },
    /// A worker's thread ended and another took its place.
    WorkerReplaced {
        /// How often that happened to this worker.
        replaced: u64,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_event_is_read_back_from_its_json() {
        let event = Event {
            seq: 7,
            at: 1.5,
            subject: Subject::Module("orders".into()),
            what: What::StateChanged {
                from: "running".into(),
                to: "backoff".into(),
                why: Some("trapped".into()),
                next_try: Some(2.5),
            },
        };
        let json = serde_json::to_value(&event).unwrap();
        let expected = serde_json::json!({
            "seq": 7, "at": 1.5, "subject": { "module": "orders" }, "event": "state_changed",
            "from": "running", "to": "backoff", "why": "trapped", "next_try": 2.5
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }
}
