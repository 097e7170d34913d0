//! What a schedule says about itself.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::times::coming;
use crate::{config::ScheduleSettings, triggers::Detail};

/// So many of the next times are told.
const TOLD: usize = 5;

/// What a schedule has seen so far. Written by its driver, read by whoever asks.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) settings: Arc<ScheduleSettings>,
    /// The next time.
    pub(super) next: Option<SystemTime>,
    /// When a call began last.
    pub(super) last: Option<SystemTime>,
    pub(super) skipped: u64,
    pub(super) missed: u64,
    /// By how much that call was late.
    pub(super) late: Duration,
}

impl Seen {
    /// Nothing so far.
    pub(super) fn new(settings: Arc<ScheduleSettings>) -> Self {
        Self { settings, next: None, last: None, skipped: 0, missed: 0, late: Duration::ZERO }
    }

    /// As people see it. The times after the next are computed here, so that nobody computes them who is not asked.
    pub(super) fn detail(self) -> Detail {
        let next = coming(&self.settings.when, self.next, TOLD);
        Detail::Schedule {
            next: next.into_iter().map(seconds).collect(),
            last: self.last.map(seconds),
            skipped: self.skipped,
            missed: self.missed,
            latest_s: self.late.as_secs_f64(),
        }
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
