//! What a module's queue is told: its bounds, and whether it takes calls.

use std::time::Duration;

use super::Refusal;
use crate::config::{Module, OnFull, RateLimit};

/// Bounds and times of a queue, from the module's configuration.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Calls that may wait.
    pub calls: usize,
    /// Bytes of payload that may wait.
    pub bytes: u64,
    /// How long a call may wait before it starts.
    pub timeout: Option<Duration>,
    /// What happens to a call that finds the queue full.
    pub on_full: OnFull,
    /// How many calls it takes in a time; `None`: no limit.
    pub rate: Option<RateLimit>,
    /// Time of a call, waiting included.
    pub call_timeout: Duration,
    /// Bytes of one payload.
    pub payload: u64,
}

impl From<&Module> for QueueSettings {
    fn from(module: &Module) -> Self {
        Self {
            calls: module.queue as usize,
            bytes: module.queue_bytes,
            timeout: module.queue_timeout,
            on_full: module.on_full,
            rate: module.rate_limit,
            call_timeout: module.limits.call_timeout,
            payload: module.limits.payload,
        }
    }
}

/// Whether a module takes calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It does; they wait where no instance is idle.
    Open,
    /// It does, and the first one loads it.
    Lazy,
    /// Only calls from modules that are finishing their own: the daemon stops.
    Finishing,
    /// It does not.
    Refusing(Refusal),
}
