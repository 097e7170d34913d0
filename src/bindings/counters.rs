//! What a binding counts, over all workers: the source of its line in the status.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// Counters of one binding, shared by its actors on all workers.
///
/// Each counter only grows and none orders anything else, hence the relaxed accesses.
#[derive(Debug, Default)]
pub struct BindingCounters {
    calls_ok: AtomicU64,
    calls_failed: AtomicU64,
    restarts: AtomicU64,
    last_panic: Mutex<Option<String>>,
}

/// What the counters said at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingCounts {
    /// Host calls answered with a response.
    pub calls_ok: u64,
    /// Host calls answered with an error, or given up by the guest before there was an answer.
    pub calls_failed: u64,
    /// How often an actor made its binding anew after a panic.
    pub restarts: u64,
    /// Message of the last panic.
    pub last_panic: Option<String>,
}

impl BindingCounters {
    /// Reads all counters.
    #[must_use]
    pub fn read(&self) -> BindingCounts {
        BindingCounts {
            calls_ok: self.calls_ok.load(Relaxed),
            calls_failed: self.calls_failed.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            last_panic: self.last_panic.lock().clone(),
        }
    }

    pub(super) fn answered<T, E>(&self, reply: &Result<T, E>) {
        let counter = if reply.is_ok() { &self.calls_ok } else { &self.calls_failed };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn given_up(&self) {
        self.calls_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn restarted(&self, panic: &str) {
        self.restarts.fetch_add(1, Relaxed);
        *self.last_panic.lock() = Some(panic.to_owned());
    }
}
