//! The callers who wait for room in a queue that is full, first come, first served.
//!
//! Only the first of them looks for room; the others wait for their turn. A caller who comes while others wait goes to
//! the end of the line, however fast it is.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: AtomicUsize,
    /// Fair: its waiters get it in the order in which they came.
    turn: Mutex<()>,
}

/// The first place in the line, left when this is dropped.
pub(super) struct Turn<'a> {
    _first: MutexGuard<'a, ()>,
    _place: Place<'a>,
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Line {
    /// Whether someone waits.
    pub(super) fn is_used(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Waits until everyone who came before has left.
    pub(super) async fn enter(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Relaxed);
        let place = Place(&self.waiting);
        Turn { _first: self.turn.lock().await, _place: place }
    }
}
