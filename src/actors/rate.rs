//! A module's rate limit: the generic cell rate algorithm (ITU-T I.371) as a pure function of its state and the time.
//!
//! Each call moves the time at which the next one is due one interval on. A call may come before it is due by as much as
//! the burst allows. One time is the whole state, and nothing has to be refilled.

use std::time::Duration;

use crate::config::RateLimit;

/// A rate limit, ready to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// From one call to the next. Rounded up, so that no window ever has more calls than the limit says.
    interval: Duration,
    /// By how much a call may come too early.
    tolerance: Duration,
}

impl From<RateLimit> for Rate {
    fn from(limit: RateLimit) -> Self {
        let nanos = limit.per.as_nanos().div_ceil(u128::from(limit.calls.max(1)));
        let interval = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Self { interval, tolerance: interval.saturating_mul(limit.burst.saturating_sub(1)) }
    }
}

impl Rate {
    /// When the call after this one is due, if this one may come `now`; otherwise how long it is too early.
    ///
    /// Both times count from the same moment, whichever that is; `due` is zero before the first call.
    pub(super) fn admit(self, due: Duration, now: Duration) -> Result<Duration, Duration> {
        match due.saturating_sub(self.tolerance).checked_sub(now) {
            Some(early) if !early.is_zero() => Err(early),
            _ => Ok(due.max(now).saturating_add(self.interval)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn rate(calls: u32, per: Duration, burst: u32) -> Rate {
        RateLimit { calls, per, burst }.into()
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The times in milliseconds at which calls come, each with how long the caller is told to wait, if at all.
    fn check(rate: Rate, calls: &[(u64, Option<u64>)]) {
        let mut due = Duration::ZERO;
        for (at, expected) in calls {
            let refused = match rate.admit(due, ms(*at)) {
                Ok(next) => {
                    due = next;
                    None
                }
                Err(early) => Some(early),
            };
            assert_eq!(refused, expected.map(ms), "at {at} ms of {calls:?}");
        }
    }

    #[test]
    fn a_burst_passes_at_once_and_then_calls_come_at_their_interval() {
        check(rate(10, ms(1000), 3), &[(0, None), (0, None), (0, None), (0, Some(100)), (99, Some(1)), (100, None)]);
    }

    #[test]
    fn without_a_burst_each_call_waits_for_its_interval() {
        check(rate(10, ms(1000), 1), &[(5, None), (6, Some(99)), (104, Some(1)), (105, None), (305, None)]);
    }

    #[test]
    fn a_rest_gives_the_burst_back_and_no_more() {
        let rested = 60_000;
        check(
            rate(1, ms(1000), 2),
            &[(0, None), (0, None), (0, Some(1000)), (rested, None), (rested, None), (rested, Some(1000))],
        );
    }

    #[test]
    fn a_refused_call_counts_for_nothing() {
        check(rate(1, ms(100), 1), &[(0, None), (50, Some(50)), (99, Some(1)), (100, None)]);
    }

    #[test]
    fn extreme_limits_neither_overflow_nor_let_everything_pass() {
        let endless = rate(1, Duration::MAX, u32::MAX);
        assert!(endless.admit(Duration::MAX, Duration::ZERO).is_ok());
        let fast = rate(u32::MAX, ms(1), 1);
        let due = fast.admit(Duration::ZERO, Duration::ZERO).unwrap();
        assert_eq!(fast.admit(due, Duration::ZERO), Err(Duration::from_nanos(1)));
    }

    proptest! {
        #[test]
        fn no_window_has_more_calls_than_burst_and_rate_allow(
            calls in 1_u32..1000,
            per in 1_u64..10_000_000_000,
            burst in 1_u32..20,
            steps in prop::collection::vec(0_u64..100_000_000, 1..200),
        ) {
            let rate = rate(calls, Duration::from_nanos(per), burst);
            let (mut due, mut now, mut admitted) = (Duration::ZERO, Duration::ZERO, Vec::new());
            for step in steps {
                now += Duration::from_nanos(step);
                match rate.admit(due, now) {
                    Ok(next) => {
                        due = next;
                        admitted.push(now);
                    }
                    Err(early) => prop_assert!(rate.admit(due, now + early).is_ok(), "the wait that was named is enough"),
                }
            }
            for from in 0..admitted.len() {
                for to in from..admitted.len() {
                    let window = (admitted[to] - admitted[from]).as_nanos();
                    let allowed = u128::from(burst) + window * u128::from(calls) / u128::from(per);
                    prop_assert!((to - from + 1) as u128 <= allowed, "{} calls in {window} ns", to - from + 1);
                }
            }
        }
    }
}
