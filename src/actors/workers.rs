//! The threads on which instances and bindings live.

use std::cell::Cell;

use actix::{Arbiter, ArbiterHandle};

thread_local! {
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Index of the worker on which the caller runs; `None` on any other thread.
#[must_use]
pub fn current_worker() -> Option<usize> {
    WORKER.get()
}

/// All workers: one thread with one arbiter each.
#[derive(Debug)]
pub struct Workers(Vec<Arbiter>);

impl Workers {
    /// Starts so many workers, at least one. Must be called within an actix system.
    #[must_use]
    pub fn start(count: usize) -> Self {
        let start = |index| {
            let arbiter = Arbiter::new();
            // Refused only by an arbiter that has ended, and this one has just begun.
            arbiter.spawn_fn(move || WORKER.set(Some(index)));
            arbiter
        };
        Self((0..count.max(1)).map(start).collect())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The worker of that index, counted round.
    #[must_use]
    pub fn handle(&self, index: usize) -> Option<ArbiterHandle> {
        self.0.get(index % self.0.len().max(1)).map(Arbiter::handle)
    }

    /// Asks every worker to end. What still lives there is dropped.
    pub fn stop(&self) {
        for arbiter in &self.0 {
            arbiter.stop();
        }
    }
}
