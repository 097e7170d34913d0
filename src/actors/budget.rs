//! The daemon's bound on what waits in all queues together.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Bytes of payload that may wait in all queues together.
#[derive(Debug)]
pub struct QueueBudget {
    limit: AtomicU64,
    used: AtomicU64,
    /// Told whenever bytes are given back or there are more: a caller may wait for those of another module's queue.
    room: Notify,
}

impl QueueBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), room: Notify::new() }
    }

    /// Bytes that wait now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit, from any thread. A smaller one refuses what is new; what waits, waits on.
    pub fn set_limit(&self, limit: u64) {
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if before < limit {
            self.room.notify_waiters();
        }
    }

    pub(super) fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit());
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Takes bytes past the limit, for a call that was accepted before.
    pub(super) fn force(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        // All of those who wait: only they know how many bytes they need.
        self.room.notify_waiters();
    }

    pub(super) fn room(&self) -> &Notify {
        &self.room
    }
}
