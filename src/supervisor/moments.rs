//! Moments as status and events tell them: in seconds since the Unix epoch.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment in seconds since the Unix epoch; 0 for what was before.
pub(super) fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A moment of the monotonic clock, by that clock and the wall's now; `now` for one that has passed.
pub(super) fn wall(at: Instant, now: Instant) -> f64 {
    unix(SystemTime::now()) + at.saturating_duration_since(now).as_secs_f64()
}
