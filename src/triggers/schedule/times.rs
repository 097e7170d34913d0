//! The times of a schedule: the one after another, and those that have passed.

use std::time::{Duration, SystemTime};

use crate::config::When;

/// Times of an expression that passed are counted one after the other, and no further than that: a machine that slept for a
/// day has missed 86,400 times of one that comes every second, and nobody asks for the last digit.
const COUNTED: u64 = 10_000;

/// Times that have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// The last of them.
    pub(super) last: SystemTime,
    /// How many, the first and the last included.
    pub(super) times: u64,
}

/// The time after another.
pub(super) fn after(when: &When, time: SystemTime) -> Option<SystemTime> {
    match when {
        When::Every(every) => time.checked_add(*every),
        When::Cron(calendar) => calendar.after(time),
    }
}

/// The next times, that one included.
pub(super) fn coming(when: &When, next: Option<SystemTime>, count: usize) -> Vec<SystemTime> {
    std::iter::successors(next, |time| after(when, *time)).take(count).collect()
}

/// What has passed from a time on until now, which is not before it.
pub(super) fn passed(when: &When, first: SystemTime, now: SystemTime) -> Passed {
    match when {
        When::Every(every) => {
            let nanos = now.duration_since(first).unwrap_or_default().as_nanos();
            let further = nanos.checked_div(every.as_nanos()).unwrap_or_default();
            let further = u64::try_from(further).unwrap_or(u64::MAX - 1);
            let last = first.checked_add(times(*every, further)).unwrap_or(now);
            Passed { last, times: further + 1 }
        }
        When::Cron(_) => {
            let (mut last, mut times) = (first, 1);
            while let Some(next) = after(when, last).filter(|next| *next <= now) {
                if times == COUNTED {
                    // Whatever else there was until now is done with it.
                    return Passed { last: now, times };
                }
                (last, times) = (next, times + 1);
            }
            Passed { last, times }
        }
    }
}

/// So often that length of time; a multiplication of its own kind, because a factor of the standard's has 32 bits.
fn times(every: Duration, factor: u64) -> Duration {
    let nanos = every.as_nanos().saturating_mul(u128::from(factor));
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or_default())
}
