//! The wall clock of one call. It covers computing, waiting and host calls alike.

use std::time::{Duration, Instant};

use super::error::GuestExit;

/// When a call began and when it must end.
///
/// A call that is over before anyone asks never reads the clock: reading it costs a third of a small call. The first
/// question starts it, which the engine asks at its first tick at the latest, so a deadline is late by a tick
/// and never early. Only where a thread was off its core as the ticker fell asleep can it be late by the ticker's sleep.
#[derive(Debug, Default)]
pub(super) struct CallClock {
    limit: Option<Duration>,
    started: Option<Instant>,
    deadline: Option<Instant>,
    /// Whether the guest waits for a host call at the moment.
    pub(super) in_host_call: bool,
}

impl CallClock {
    /// A call that may take `limit`, from its first question on.
    pub(super) fn within(limit: Option<Duration>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// A call that was accepted at `started` and must end at `deadline`.
    pub(super) fn until(started: Instant, deadline: Instant) -> Self {
        Self {
            limit: Some(deadline.saturating_duration_since(started)),
            started: Some(started),
            deadline: Some(deadline),
            in_host_call: false,
        }
    }

    /// When the call must end; starts the clock.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let limit = self.limit?;
        if self.deadline.is_none() {
            let started = Instant::now();
            self.started = Some(started);
            self.deadline = started.checked_add(limit);
        }
        self.deadline
    }

    /// Fails when the deadline has passed; starts the clock.
    pub(super) fn check(&mut self) -> Result<(), GuestExit> {
        match self.deadline() {
            Some(deadline) if Instant::now() >= deadline => Err(self.exceeded()),
            _ => Ok(()),
        }
    }

    /// The exit of a call whose deadline has passed. Where the timer knew it before the clock, as with a guest that
    /// slept from its start, the limit is what was used.
    pub(super) fn exceeded(&self) -> GuestExit {
        let limit = self.limit.unwrap_or_default();
        GuestExit::DeadlineExceeded {
            limit,
            elapsed: self.started.map_or(limit, |started| started.elapsed().max(limit)),
            in_host_call: self.in_host_call,
        }
    }
}
