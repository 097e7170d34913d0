//! What a module's queue takes: its size and rate limits, its bounds and the daemon's, and how they change.

use std::{sync::Arc, time::Duration};

use super::{CallFailure, ModuleQueue, QueueSettings, QueuedCall, inner::Inner};
use crate::{
    config::RateLimit,
    host::{CallError, Part},
};

/// When a refused caller should try again: long enough for a small queue to empty, short enough not to idle.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A bound that leaves no room for a call.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Calls,
    Bytes,
    Daemon,
}

impl ModuleQueue {
    /// Changes the bounds and times, from any thread.
    ///
    /// What waits in the queue stays there, under the deadline that it was accepted with, also where a smaller bound would
    /// refuse it now. Callers who wait for room are judged by the new settings, each in its turn. A rate limit that
    /// changes begins with a full burst.
    pub fn configure(&self, settings: QueueSettings) {
        self.inner.lock().configure(settings);
        self.room.notify_waiters();
    }

    /// Says why a call that just came goes no further, before it waits for anything.
    pub(super) fn first_look(&self, inner: &mut Inner, call: &QueuedCall) -> Result<(), CallFailure> {
        check_size(inner, call)?;
        inner.admit(call).map_err(|(RateLimit { calls, per, .. }, retry_after)| {
            let module = Arc::clone(&self.name);
            CallFailure::RateLimited { module, calls, per, retry_after }
        })
    }

    /// Takes the bytes of a call from both budgets, or says which bound is met.
    pub(super) fn full(&self, inner: &Inner, size: u64) -> Option<Bound> {
        let QueueSettings { calls, bytes, .. } = inner.settings;
        if inner.places.calls() >= calls {
            return Some(Bound::Calls);
        }
        if inner.bytes + size > bytes {
            return Some(Bound::Bytes);
        }
        if inner.places.calls() == 0 {
            // The daemon's budget is for all: modules that flood it must not keep another from queueing at all. So the
            // sum is over its limit by one payload of each module at most.
            self.budget.force(size);
        } else if !self.budget.take(size) {
            return Some(Bound::Daemon);
        }
        None
    }

    /// What the caller of a call that finds no room is told.
    pub(super) fn busy(&self, inner: &Inner, bound: Bound) -> CallFailure {
        let QueueSettings { calls, bytes, .. } = inner.settings;
        let what = match bound {
            Bound::Calls => format!("its queue of {calls} calls is"),
            Bound::Bytes => format!("its queue of {bytes} bytes is"),
            Bound::Daemon => format!("the daemon's queue of {} bytes is", self.budget.limit()),
        };
        CallFailure::Busy { module: Arc::clone(&self.name), what, retry_after: RETRY_AFTER }
    }

    pub(super) fn leave_queue(&self, inner: &mut Inner, call: &QueuedCall) {
        let size = call.payload.len() as u64;
        inner.bytes -= size;
        self.budget.give_back(size);
        self.tell_first();
    }

    /// Tells the first of the callers who wait for room that there may be some. To be called under the lock: who comes into
    /// the line unseen then looks at the queue only afterwards.
    pub(super) fn tell_first(&self) {
        if self.line.is_used() {
            self.room.notify_one();
        }
    }
}

/// Refuses a payload that is over its limit.
pub(super) fn check_size(inner: &Inner, call: &QueuedCall) -> Result<(), CallFailure> {
    let (size, limit) = (call.payload.len() as u64, inner.settings.payload);
    if size > limit { Err(CallError::TooLarge { part: Part::Payload, size, limit }.into()) } else { Ok(()) }
}
