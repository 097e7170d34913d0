//! How many lines an instance may log: one budget, whatever way a line takes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Lines that an instance may log at once. A guest that dumps its state after a failure writes some hundred.
const BURST: f64 = 1_000.0;

/// Lines a second in the long run: more than a person reads, little enough that ten flooding guests leave the log usable.
const LINES_PER_SECOND: f64 = 200.0;

/// The budget of one instance, shared by everyone who logs for it.
#[derive(Clone, Default)]
pub struct LineLimit(Arc<Budget>);

#[derive(Default)]
struct Budget {
    bucket: Mutex<Bucket>,
    /// Lines dropped since the last report; beside the lock, so that a quiet guest's call costs one load.
    dropped: AtomicU64,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl fmt::Debug for LineLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineLimit").field("dropped", &self.0.dropped).finish_non_exhaustive()
    }
}

impl LineLimit {
    /// Whether a line may pass now; one that may not is counted as dropped.
    #[must_use]
    pub fn admit(&self) -> bool {
        let admitted = self.0.bucket.lock().admit(Instant::now());
        if !admitted {
            self.0.dropped.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Lines dropped since this was asked last, to be reported by who asks.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        // A load costs less than the exchange, and mostly there is nothing.
        if self.0.dropped.load(Relaxed) == 0 { 0 } else { self.0.dropped.swap(0, Relaxed) }
    }

    /// The same at the rate of lines: a report is a line too, and 0 while none may pass.
    #[inline]
    #[must_use]
    pub fn take_dropped_in_rate(&self) -> u64 {
        if self.0.dropped.load(Relaxed) > 0 && self.0.bucket.lock().admit(Instant::now()) {
            return self.take_dropped();
        }
        0
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self { tokens: BURST, filled: Instant::now() }
    }
}

impl Bucket {
    /// Whether a line may pass at `now`.
    fn admit(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).min(Duration::from_secs(3600));
        self.tokens = (self.tokens + elapsed.as_secs_f64() * LINES_PER_SECOND).min(BURST);
        self.filled = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_rate_and_counted() {
        let start = Instant::now();
        let mut bucket = Bucket { tokens: BURST, filled: start };
        let passed = (0..5_000).filter(|_| bucket.admit(start)).count();
        assert_eq!(passed, 1_000);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5_000).filter(|_| bucket.admit(later)).count(), 200);
    }

    #[test]
    fn those_who_share_a_limit_share_its_lines_and_what_is_dropped() {
        let limit = LineLimit::default();
        let other = limit.clone();
        let passed = (0..2_000).filter(|_| limit.admit()).count() + (0..500).filter(|_| other.admit()).count();
        let dropped = usize::try_from(other.take_dropped()).unwrap_or_default();
        assert_eq!((passed + dropped, limit.take_dropped()), (2_500, 0));
        assert!((1_000..2_400).contains(&passed), "{passed}");
    }
}
