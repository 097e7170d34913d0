//! A `schedule` trigger: calls at certain times.

use std::time::Duration;

use super::{Calendar, Target};

/// `[triggers.NAME]` of type `schedule`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSettings {
    /// When.
    pub when: When,
    /// Whom.
    pub target: Target,
    /// With what.
    pub payload: String,
    /// What happens at a time at which the call before still runs.
    pub overlap: Overlap,
    /// By how much each call is put off at random, at most, and never past the next time.
    pub jitter: Duration,
    /// Whether there is a call as soon as the trigger has started.
    pub run_on_start: bool,
    /// Whether times that passed while the daemon was down or the machine asleep are made up for, by one call.
    pub catch_up: bool,
}

/// When there are calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// At the times of an expression, with seconds, in a time zone.
    Cron(Box<Calendar>),
    /// From one call to the next.
    Every(Duration),
}

/// What happens at a time at which the call before still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// There is no call.
    Skip,
    /// There is one as soon as that has ended; at most one waits.
    Queue,
}
