//! How connections are spread over the workers: each new one goes to the worker that has the fewest.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;

use crate::actors::WorkerHandles;

/// Connections of each worker, of all triggers together.
#[derive(Debug, Default)]
pub(in crate::triggers) struct Shares(Mutex<Vec<Arc<AtomicUsize>>>);

/// A connection that a worker has; dropping it says that it has it no more.
#[derive(Debug)]
pub(in crate::triggers) struct Share {
    worker: usize,
    connections: Arc<AtomicUsize>,
}

impl Shares {
    /// One more connection for the worker that has the fewest, among those that turn over.
    pub(in crate::triggers) fn take(&self, workers: &WorkerHandles) -> Share {
        self.among(workers.count(), |worker| workers.turns_over(worker))
    }

    fn among(&self, workers: usize, turns_over: impl Fn(usize) -> bool) -> Share {
        let mut shares = self.0.lock();
        let known = shares.len().max(workers).max(1);
        shares.resize_with(known, Arc::default);
        // Where no worker turns over, any will do as soon as it does.
        let rank = |(worker, share): &(usize, &Arc<AtomicUsize>)| (!turns_over(*worker), share.load(Relaxed));
        let least = shares.iter().take(workers.max(1)).enumerate().min_by_key(rank);
        let (worker, connections) = least.map(|(worker, share)| (worker, Arc::clone(share))).unwrap_or_default();
        connections.fetch_add(1, Relaxed);
        Share { worker, connections }
    }
}

impl Share {
    /// The worker's index.
    pub(in crate::triggers) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_to_the_worker_with_the_fewest_that_turns_over() {
        let shares = Shares::default();
        let all = |_: usize| true;
        let first = shares.among(3, all);
        let second = shares.among(3, all);
        let third = shares.among(3, all);
        assert_eq!([first.worker(), second.worker(), third.worker()], [0, 1, 2]);
        drop(second);
        assert_eq!(shares.among(3, |worker| worker != 1).worker(), 0);
        assert_eq!(shares.among(3, all).worker(), 1);
        assert_eq!(shares.among(3, |_| false).worker(), 1);
    }
}
