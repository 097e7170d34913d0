//! What a binding counts, over all workers: the source of its line in the status and of its metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::host::{HostCallError, HostErrorKind};

/// Outcomes that are told apart: `ok`, then every kind of error.
const OUTCOMES: [&str; 13] = [
    "ok",
    HostErrorKind::NotGranted.as_str(),
    HostErrorKind::NotAllowed.as_str(),
    HostErrorKind::NoSuchBinding.as_str(),
    HostErrorKind::NoSuchOperation.as_str(),
    HostErrorKind::BadRequest.as_str(),
    HostErrorKind::NotFound.as_str(),
    HostErrorKind::Conflict.as_str(),
    HostErrorKind::TooLarge.as_str(),
    HostErrorKind::TimedOut.as_str(),
    HostErrorKind::Unavailable.as_str(),
    HostErrorKind::Cycle.as_str(),
    HostErrorKind::Internal.as_str(),
];

/// What operations are counted as that the binding's type does not list: guests choose names, and must not be able to
/// make counters without end.
const OTHER: &str = "other";

/// Counters of one binding, shared by its actors on all workers.
///
/// Each counter only grows and none orders anything else, hence the relaxed accesses.
#[derive(Debug)]
pub struct BindingCounters {
    operations: &'static [&'static str],
    /// A row for each operation, and one for all others; in each a counter for every outcome.
    calls: Box<[[AtomicU64; OUTCOMES.len()]]>,
    succeeded: AtomicBool,
}

/// What the counters said at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingCounts {
    /// Host calls answered with a response.
    pub calls_ok: u64,
    /// Host calls answered with an error, or given up by the guest before there was an answer.
    pub calls_failed: u64,
    /// Host calls by operation and outcome; only what happened at least once.
    pub host_calls: Vec<(&'static str, &'static str, u64)>,
}

/// An operation, as the counters know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OperationId(usize);

impl BindingCounters {
    /// Counters for a type with these operations.
    #[must_use]
    pub fn new(operations: &'static [&'static str]) -> Self {
        let calls = (0..=operations.len()).map(|_| Default::default()).collect();
        Self { operations, calls, succeeded: AtomicBool::new(false) }
    }

    /// Reads all counters.
    #[must_use]
    pub fn read(&self) -> BindingCounts {
        let mut counts = BindingCounts::default();
        let names = self.operations.iter().chain(std::iter::once(&OTHER));
        for (operation, row) in names.zip(&self.calls) {
            for (outcome, counter) in OUTCOMES.iter().zip(row) {
                let count = counter.load(Relaxed);
                if count > 0 {
                    let sum = if *outcome == "ok" { &mut counts.calls_ok } else { &mut counts.calls_failed };
                    *sum += count;
                    counts.host_calls.push((operation, outcome, count));
                }
            }
        }
        counts
    }

    /// Whether the binding itself answered a call since this was asked last; any answer but a panic is one.
    #[must_use]
    pub fn take_succeeded(&self) -> bool {
        self.succeeded.swap(false, Relaxed)
    }

    /// The same without forgetting it.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.succeeded.load(Relaxed)
    }

    /// Notes that the binding itself gave an answer.
    pub(super) fn note_success(&self) {
        // Read first: written by every call, the flag would travel between the workers all the time.
        if !self.succeeded.load(Relaxed) {
            self.succeeded.store(true, Relaxed);
        }
    }

    /// Finds the operation; the lists are short.
    pub(super) fn operation(&self, name: &str) -> OperationId {
        OperationId(self.operations.iter().position(|known| *known == name).unwrap_or(self.operations.len()))
    }

    /// The operation's name; `None` for one that the type does not list.
    pub(super) fn name(&self, operation: OperationId) -> Option<&'static str> {
        self.operations.get(operation.0).copied()
    }

    pub(super) fn answered<T>(&self, operation: OperationId, reply: &Result<T, HostCallError>) {
        self.count(operation, reply.as_ref().map_or_else(|error| slot(error.kind), |_| 0));
    }

    /// The guest did not wait for the answer until there was one.
    pub(super) fn given_up(&self, operation: OperationId) {
        self.count(operation, slot(HostErrorKind::TimedOut));
    }

    fn count(&self, operation: OperationId, slot: usize) {
        if let Some(counter) = self.calls.get(operation.0).and_then(|row| row.get(slot)) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

impl Default for BindingCounters {
    /// Counters that tell no operations apart.
    fn default() -> Self {
        Self::new(&[])
    }
}

/// Where a kind is in [`OUTCOMES`].
fn slot(kind: HostErrorKind) -> usize {
    match kind {
        HostErrorKind::NotGranted => 1,
        HostErrorKind::NotAllowed => 2,
        HostErrorKind::NoSuchBinding => 3,
        HostErrorKind::NoSuchOperation => 4,
        HostErrorKind::BadRequest => 5,
        HostErrorKind::NotFound => 6,
        HostErrorKind::Conflict => 7,
        HostErrorKind::TooLarge => 8,
        HostErrorKind::TimedOut => 9,
        HostErrorKind::Unavailable => 10,
        HostErrorKind::Cycle => 11,
        HostErrorKind::Internal => 12,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_kind_of_error_is_counted_under_its_own_name() {
        let kinds = [
            HostErrorKind::NotGranted,
            HostErrorKind::NotAllowed,
            HostErrorKind::NoSuchBinding,
            HostErrorKind::NoSuchOperation,
            HostErrorKind::BadRequest,
            HostErrorKind::NotFound,
            HostErrorKind::Conflict,
            HostErrorKind::TooLarge,
            HostErrorKind::TimedOut,
            HostErrorKind::Unavailable,
            HostErrorKind::Cycle,
            HostErrorKind::Internal,
        ];
        assert_eq!(kinds.len() + 1, OUTCOMES.len());
        for kind in kinds {
            assert_eq!(OUTCOMES[slot(kind)], kind.as_str());
        }
    }

    #[test]
    fn operations_that_the_type_does_not_list_share_one_name() {
        let counters = BindingCounters::new(&["get", "set"]);
        counters.answered(counters.operation("set"), &Ok(()));
        for name in ["a", "b", "sets", "other", ""] {
            let error = HostCallError::new(HostErrorKind::NoSuchOperation, "no");
            counters.answered(counters.operation(name), &Err::<(), _>(error));
        }
        counters.given_up(counters.operation("get"));
        let counts = counters.read();
        assert_eq!((counts.calls_ok, counts.calls_failed), (1, 6));
        assert_eq!(counts.host_calls, [("get", "timed_out", 1), ("set", "ok", 1), ("other", "no_such_operation", 5)]);
    }

    #[test]
    fn a_success_is_taken_once() {
        let counters = BindingCounters::default();
        assert!(!counters.take_succeeded());
        counters.note_success();
        counters.note_success();
        assert!(counters.take_succeeded());
        assert!(!counters.take_succeeded());
    }
}
