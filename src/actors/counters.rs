//! What a module counts of its calls: how they ended and how long they took.
//!
//! Counting a call costs three relaxed additions and one look at the clock. It is done before the caller has its reply,
//! so that whoever has the reply finds the call in the numbers.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{CallFailure, Refusal};
use crate::host::{CallError, GuestExit};

/// Every way in which a call ends, as status and metrics name it. The names are never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A response.
    Ok,
    /// The guest answered with an error.
    GuestError,
    /// The guest trapped.
    Trapped,
    /// It ran into its deadline.
    DeadlineExceeded,
    /// The guest ran into a limit.
    LimitExceeded,
    /// The guest exited.
    Exited,
    /// Code of the host panicked.
    HostPanicked,
    /// The instance had ended and no fresh one could be started.
    RestartFailed,
    /// Payload, response or error text is over its limit.
    TooLarge,
    /// The module is stopped.
    Stopped,
    /// The module has failed.
    Failed,
    /// The daemon is stopping.
    ShuttingDown,
    /// The queue was full.
    Busy,
    /// It was beyond the rate limit.
    RateLimited,
    /// It waited too long and was not started.
    Expired,
    /// It would have waited for itself.
    Cycle,
    /// It was lost with what had it.
    Lost,
    /// Its caller went away before it was started.
    Abandoned,
}

impl Outcome {
    /// Every outcome, each at the place of its discriminant.
    pub const ALL: [Self; 18] = [
        Self::Ok,
        Self::GuestError,
        Self::Trapped,
        Self::DeadlineExceeded,
        Self::LimitExceeded,
        Self::Exited,
        Self::HostPanicked,
        Self::RestartFailed,
        Self::TooLarge,
        Self::Stopped,
        Self::Failed,
        Self::ShuttingDown,
        Self::Busy,
        Self::RateLimited,
        Self::Expired,
        Self::Cycle,
        Self::Lost,
        Self::Abandoned,
    ];

    /// The stable name, as status, logs and metrics use it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::GuestError => "guest_error",
            Self::Trapped => "trapped",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::LimitExceeded => "limit_exceeded",
            Self::Exited => "exited",
            Self::HostPanicked => "host_panicked",
            Self::RestartFailed => "restart_failed",
            Self::TooLarge => "too_large",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::ShuttingDown => "shutting_down",
            Self::Busy => "busy",
            Self::RateLimited => "rate_limited",
            Self::Expired => "expired",
            Self::Cycle => "cycle",
            Self::Lost => "lost",
            Self::Abandoned => "abandoned",
        }
    }

    /// The outcome of a call that has no response.
    #[must_use]
    pub fn of(failure: &CallFailure) -> Self {
        match failure {
            // Without a module there are no counters; as a word for people it is one that failed.
            CallFailure::NoSuchModule(_) => Self::Failed,
            // A removed module's numbers go with it.
            CallFailure::Refused { refusal: Refusal::Stopped | Refusal::Removed, .. } => Self::Stopped,
            CallFailure::Refused { refusal: Refusal::Failed(_), .. } => Self::Failed,
            CallFailure::Refused { refusal: Refusal::ShuttingDown, .. } => Self::ShuttingDown,
            CallFailure::Busy { .. } => Self::Busy,
            CallFailure::RateLimited { .. } => Self::RateLimited,
            CallFailure::Expired { .. } => Self::Expired,
            CallFailure::Cycle { .. } => Self::Cycle,
            CallFailure::Lost(_) => Self::Lost,
            CallFailure::Call(CallError::Guest(_)) => Self::GuestError,
            CallFailure::Call(CallError::TooLarge { .. }) => Self::TooLarge,
            CallFailure::Call(CallError::Restart(_)) => Self::RestartFailed,
            CallFailure::Call(CallError::Exit(exit)) => match exit {
                GuestExit::Trapped(_) => Self::Trapped,
                GuestExit::DeadlineExceeded { .. } => Self::DeadlineExceeded,
                GuestExit::LimitExceeded { .. } => Self::LimitExceeded,
                GuestExit::Exited(_) => Self::Exited,
                GuestExit::HostPanicked(_) => Self::HostPanicked,
            },
        }
    }
}

const OUTCOMES: usize = Outcome::ALL.len();

/// What a module has counted since the daemon started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls that an instance took, by their outcome.
    taken: [AtomicU64; OUTCOMES],
    /// Calls that no instance took, by their outcome.
    refused: [AtomicU64; OUTCOMES],
    latency: Latencies,
    /// Calls that an instance has: no longer in the queue, not answered yet.
    pub in_flight: AtomicU64,
    /// Whether a call has succeeded since the last exit.
    pub succeeded: AtomicBool,
}

/// What was counted, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls by their outcome, all outcomes in the order of [`Outcome::ALL`].
    pub by_outcome: Vec<(&'static str, u64)>,
    /// Calls that ended in a response.
    pub ok: u64,
    /// Calls that an instance took and that ended otherwise.
    pub failed: u64,
    /// Calls that no instance took.
    pub refused: u64,
    /// How long calls took that an instance had.
    pub latency: LatencyCounts,
}

/// How long calls took that an instance had, from their acceptance to their answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatencyCounts {
    /// Calls.
    pub count: u64,
    /// Their times together.
    pub sum: Duration,
    /// Upper bounds, each with the number of calls that took no longer. Slower calls are in `count` only.
    pub buckets: Vec<(Duration, u64)>,
}

impl Counters {
    /// Counts a call that an instance took.
    pub(super) fn ended(&self, outcome: Outcome, took: Duration) {
        self.latency.observe(took);
        add(&self.taken, outcome);
    }

    /// Counts a call that no instance took.
    pub(super) fn refused(&self, outcome: Outcome) {
        add(&self.refused, outcome);
    }

    /// Reads everything. Calls that end meanwhile may be in one number and not yet in another.
    #[must_use]
    pub fn read(&self) -> CallCounts {
        let load = |counts: &[AtomicU64; OUTCOMES]| counts.each_ref().map(|count| count.load(Relaxed));
        let (taken, refused) = (load(&self.taken), load(&self.refused));
        let both = taken.iter().zip(&refused).map(|(taken, refused)| taken + refused);
        let [ok, ..] = taken;
        CallCounts {
            by_outcome: Outcome::ALL.into_iter().map(Outcome::as_str).zip(both).collect(),
            ok,
            failed: taken.iter().skip(1).sum(),
            refused: refused.iter().sum(),
            latency: self.latency.read(),
        }
    }
}

fn add(counts: &[AtomicU64; OUTCOMES], outcome: Outcome) {
    if let Some(count) = counts.get(outcome as usize) {
        count.fetch_add(1, Relaxed);
    }
}

/// Upper bounds of the histogram in microseconds, three a decade. The fastest calls from one thread to another take
/// about 50 µs; the slowest are ended by their `call_timeout`, 5 s where nothing else is set. Twice as many would double
/// what every module adds to a scrape and would show no more to the eye.
const BOUNDS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

#[derive(Debug, Default)]
struct Latencies {
    /// Calls up to each bound, without those up to the bound before.
    buckets: [AtomicU64; BOUNDS.len()],
    /// Calls beyond the last bound.
    slower: AtomicU64,
    /// Nanoseconds of all of them: enough for 584 years of calls.
    sum: AtomicU64,
}

impl Latencies {
    fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound * 1_000 < nanos);
        self.buckets.get(bucket).unwrap_or(&self.slower).fetch_add(1, Relaxed);
        self.sum.fetch_add(nanos, Relaxed);
    }

    fn read(&self) -> LatencyCounts {
        let mut count = 0;
        let buckets = BOUNDS.iter().zip(&self.buckets).map(|(bound, bucket)| {
            count += bucket.load(Relaxed);
            (Duration::from_micros(*bound), count)
        });
        let buckets = buckets.collect();
        let sum = Duration::from_nanos(self.sum.load(Relaxed));
        LatencyCounts { count: count + self.slower.load(Relaxed), sum, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_stands_at_its_own_place_under_a_name_of_its_own() {
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
            assert!(Outcome::ALL.iter().filter(|other| other.as_str() == outcome.as_str()).count() == 1);
        }
    }

    #[test]
    fn calls_are_told_apart_by_whether_an_instance_took_them() {
        let counters = Counters::default();
        counters.ended(Outcome::Ok, Duration::from_millis(1));
        counters.ended(Outcome::TooLarge, Duration::from_millis(1));
        counters.refused(Outcome::TooLarge);
        let counts = counters.read();
        assert_eq!((counts.ok, counts.failed, counts.refused), (1, 1, 1));
        assert!(counts.by_outcome.contains(&("too_large", 2)));
        assert_eq!(counts.latency.count, 2, "a refused call took no time");
    }

    #[test]
    fn a_call_is_in_every_bucket_from_its_own_on() {
        let counters = Counters::default();
        for micros in [50, 51, 10_000_000, 10_000_001] {
            counters.ended(Outcome::Ok, Duration::from_micros(micros));
        }
        let LatencyCounts { count, sum, buckets } = counters.read().latency;
        assert_eq!((count, sum), (4, Duration::from_micros(20_000_102)));
        let of = |micros| buckets.iter().find(|(bound, _)| *bound == Duration::from_micros(micros)).map(|(_, n)| *n);
        assert_eq!((of(50), of(100), of(5_000_000), of(10_000_000)), (Some(1), Some(2), Some(2), Some(3)));
    }
}
