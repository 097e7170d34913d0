//! One live instance as its module's queue sees it: where it is, and which caller waits for it.
//!
//! An instance has one call at a time. The duty to answer that call does not travel with it into the instance's mailbox
//! but lies here, where it can be reached when the instance's worker does not turn over any more. Whoever takes it
//! answers; there is only one to take.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};

use parking_lot::Mutex;

use super::{QueuedCall, queued_call::Pledge};

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) instance: u64,
    pub(super) worker: usize,
    /// Set when the queue has forgotten the instance: it gets nothing any more.
    gone: AtomicBool,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    pledge: Pledge,
    deadline: Instant,
}

impl Desk {
    pub(super) fn new(instance: u64, worker: usize) -> Self {
        Self { instance, worker, gone: AtomicBool::new(false), held: Mutex::new(None) }
    }

    /// Takes over the duty to answer the call, which the instance gets next. To be called under the queue's lock, so that
    /// an instance that is forgotten later loses none.
    pub(super) fn take_on(&self, call: &mut QueuedCall) {
        if let Some(mut pledge) = call.pledge.take() {
            pledge.taken_by(self.instance);
            *self.held.lock() = Some(Held { pledge, deadline: call.deadline });
        }
    }

    /// Whether the call still has to be answered.
    pub(super) fn owes(&self, call: u64) -> bool {
        self.held.lock().as_ref().is_some_and(|held| held.pledge.call() == call)
    }

    /// Hands out the duty to answer the call; `None` where someone else has done so.
    pub(super) fn release(&self, call: u64) -> Option<Pledge> {
        self.held.lock().take_if(|held| held.pledge.call() == call).map(|held| held.pledge)
    }

    /// Hands out the duty to answer a call whose deadline has passed.
    pub(super) fn overdue(&self, now: Instant) -> Option<Pledge> {
        self.held.lock().take_if(|held| held.deadline <= now).map(|held| held.pledge)
    }

    /// Ends the desk: the instance gets nothing any more, and the caller that waits for it gets an answer from whoever
    /// asks.
    pub(super) fn end(&self) -> Option<Pledge> {
        self.gone.store(true, Relaxed);
        self.held.lock().take().map(|held| held.pledge)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}
