//! One live instance as its module's queue sees it: where it is, which caller waits for it, and its guest while that rests.
//!
//! An instance has one call at a time. The duty to answer that call does not travel with it into the instance's mailbox
//! but lies here, where it can be reached when the instance's worker does not turn over any more. Whoever takes it
//! answers; there is only one to take.
//!
//! The guest lies here between two runs, for its actor and for callers on the same worker (`at_once.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    QueuedCall,
    at_once::Resting,
    load::{Load, Loads},
    queued_call::Pledge,
};

pub(super) struct Desk {
    pub(super) instance: u64,
    pub(super) worker: usize,
    /// Set when the queue has forgotten the instance: it gets nothing any more.
    gone: AtomicBool,
    /// Id of the call in `held`, 0 without one: what an instance asks first needs no lock. Written under the lock.
    owed: AtomicU64,
    held: Mutex<Option<Held>>,
    /// Counts the call in `held`.
    load: Arc<Load>,
    /// What nobody runs at the moment; touched by the instance's own worker only.
    pub(super) resting: Mutex<Option<Resting>>,
}

#[derive(Debug)]
struct Held {
    pledge: Pledge,
    since: Instant,
    deadline: Instant,
}

impl Desk {
    pub(super) fn new(instance: u64, worker: usize, loads: &Loads) -> Self {
        Self {
            instance,
            worker,
            gone: AtomicBool::new(false),
            owed: AtomicU64::new(0),
            held: Mutex::new(None),
            load: loads.of(worker),
            resting: Mutex::new(None),
        }
    }

    /// Takes over the duty to answer the call, which the instance gets next. To be called under the queue's lock, so that
    /// an instance that is forgotten later loses none.
    pub(super) fn take_on(&self, call: &mut QueuedCall, now: Instant) {
        if let Some(mut pledge) = call.pledge.take() {
            pledge.taken_by(self.instance);
            let mut held = self.held.lock();
            self.owed.store(call.id, Relaxed);
            if held.replace(Held { pledge, since: now, deadline: call.deadline }).is_none() {
                self.load.add();
            }
        }
    }

    /// Whether the instance has had its call for so long; `false` without a call.
    pub(super) fn has_run_for(&self, time: Duration, now: Instant) -> bool {
        self.held.lock().as_ref().is_some_and(|held| now.saturating_duration_since(held.since) >= time)
    }

    /// Whether the call still has to be answered.
    pub(super) fn owes(&self, call: u64) -> bool {
        self.owed.load(Relaxed) == call
    }

    /// Hands out the duty to answer the call; `None` where someone else has done so.
    pub(super) fn release(&self, call: u64) -> Option<Pledge> {
        self.take_if(|held| held.pledge.call() == call)
    }

    /// Hands out the duty to answer a call whose deadline has passed.
    pub(super) fn overdue(&self, now: Instant) -> Option<Pledge> {
        self.take_if(|held| held.deadline <= now)
    }

    /// Ends the desk: the instance gets nothing any more, and the caller that waits for it gets an answer from whoever
    /// asks.
    pub(super) fn end(&self) -> Option<Pledge> {
        self.gone.store(true, Relaxed);
        self.take_if(|_held| true)
    }

    fn take_if(&self, wanted: impl FnOnce(&mut Held) -> bool) -> Option<Pledge> {
        let mut held = self.held.lock();
        let taken = held.take_if(wanted)?;
        self.owed.store(0, Relaxed);
        self.load.sub();
        Some(taken.pledge)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if self.held.get_mut().is_some() {
            self.load.sub();
        }
    }
}
