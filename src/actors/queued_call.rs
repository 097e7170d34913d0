//! One accepted call on its way to an instance. Whatever happens to it, its caller gets exactly one reply.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::{CallFailure, CallReply, Counters, Origin, RanOn};
use crate::bindings::Chain;

/// A call that was accepted and not yet answered.
#[derive(Debug)]
pub struct QueuedCall {
    /// Its id, unique in this process.
    pub id: u64,
    /// The guest's operation.
    pub operation: String,
    /// The payload.
    pub payload: Bytes,
    /// When it was accepted.
    pub accepted: Instant,
    /// When it must have ended.
    pub deadline: Instant,
    /// When it is no longer worth starting.
    pub expires: Instant,
    /// Who made it.
    pub origin: Origin,
    /// The modules that wait for it.
    pub chain: Chain,
    /// Where a calling instance's wait is kept up to date with the instance that took the call.
    pub(super) dispatched: Option<Arc<AtomicU64>>,
    /// Counts it among the calls that run while an instance has it.
    pub(super) running: Option<Running>,
    pub(super) reply: Option<oneshot::Sender<CallReply>>,
}

impl QueuedCall {
    /// Whether nobody waits for the reply any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Notes which instance has it now. To be called under the queue's lock, so that a call that leaves the queue is
    /// seen to run at once.
    pub(super) fn dispatched_to(&mut self, instance: u64, counters: &Arc<Counters>) {
        self.running = Some(Running::new(counters));
        self.note(instance);
    }

    /// Notes that no instance has it any more.
    pub(super) fn taken_back(&mut self) {
        self.running = None;
        self.note(0);
    }

    fn note(&self, instance: u64) {
        if let Some(dispatched) = &self.dispatched {
            dispatched.store(instance, Ordering::SeqCst);
        }
    }

    /// Answers the caller.
    pub(super) fn answer(mut self, ran_on: Option<RanOn>, outcome: Result<Bytes, CallFailure>) {
        self.send(ran_on, outcome);
    }

    fn send(&mut self, ran_on: Option<RanOn>, outcome: Result<Bytes, CallFailure>) {
        // Before the reply, so that whoever has it does not see its call running.
        self.running = None;
        if let Some(reply) = self.reply.take() {
            // A caller that has gone does not want the reply.
            drop(reply.send(CallReply { call: self.id, ran_on, outcome }));
        }
    }
}

impl Drop for QueuedCall {
    /// A call that is dropped without an answer was lost with whatever held it.
    fn drop(&mut self) {
        let what = "the instance that had it was ended from outside".to_owned();
        self.send(None, Err(CallFailure::Lost(what)));
    }
}

/// One running call in the counters, however it ends.
#[derive(Debug)]
pub(super) struct Running(Arc<Counters>);

impl Running {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of payload that may wait in all queues together.
#[derive(Debug)]
pub struct QueueBudget {
    limit: u64,
    used: AtomicU64,
    /// Told whenever bytes are given back: a caller may wait for those of another module's queue.
    room: Notify,
}

impl QueueBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0), room: Notify::new() }
    }

    /// Bytes that wait now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
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
