//! How many guest calls each worker has, in all modules: what "least loaded" means.
//!
//! Calls, and not connections or time: they are what keeps a worker from its other guests, the number is true the moment a
//! call is handed out, so that a burst spreads before the first of it has run, and it costs two additions on a cache line
//! that is the worker's own in nearly all calls. A call that waits for a binding counts too, though it needs no processor:
//! it will.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::RwLock;

/// How loaded each of a daemon's workers is. Belongs to those workers: another daemon in the same process has its own.
#[derive(Debug, Default)]
pub struct Loads(RwLock<Vec<Arc<Load>>>);

impl Loads {
    /// The one of that worker.
    pub(super) fn of(&self, worker: usize) -> Arc<Load> {
        if let Some(load) = self.0.read().get(worker) {
            return Arc::clone(load);
        }
        let mut loads = self.0.write();
        while loads.len() <= worker {
            loads.push(Arc::default());
        }
        loads.get(worker).map(Arc::clone).unwrap_or_default()
    }
}

/// The guest calls that instances of one worker have.
///
/// On two cache lines of its own, since processors fetch them in pairs: workers would slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Load(AtomicUsize);

impl Load {
    /// Counts a call that an instance gets.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Counts a call that an instance has no more.
    pub(super) fn sub(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// How many there are.
    pub(super) fn calls(&self) -> usize {
        self.0.load(Relaxed)
    }
}
