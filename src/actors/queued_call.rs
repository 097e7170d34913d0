//! One accepted call on its way to an instance, and the duty to answer it: exactly once, whatever happens.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{CallFailure, CallReply, Counters, Origin, Outcome, RanOn};
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
    /// The duty to answer it; on the instance's desk while one has the call.
    pub(super) pledge: Option<Pledge>,
}

impl QueuedCall {
    /// Whether nobody waits for the reply any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.pledge.as_ref().is_none_or(Pledge::is_abandoned)
    }

    /// Notes where the reply goes.
    pub(super) fn reply_to(&mut self, sender: oneshot::Sender<CallReply>) {
        if let Some(pledge) = &mut self.pledge {
            pledge.reply = Some(sender);
        }
    }

    /// Answers a caller who waits elsewhere.
    pub(super) fn fail(mut self, failure: CallFailure) {
        if let Some(pledge) = self.pledge.take() {
            pledge.answer(None, Err(failure));
        }
    }

    /// Ends a call whose caller is going away.
    pub(super) fn abandon(mut self) {
        if let Some(mut pledge) = self.pledge.take() {
            pledge.count(Outcome::Abandoned);
        }
    }

    /// The reply for a caller who is there and gets it as a value.
    pub(super) fn refuse(mut self, failure: CallFailure) -> CallReply {
        if let Some(mut pledge) = self.pledge.take() {
            pledge.count(Outcome::of(&failure));
        }
        CallReply { call: self.id, ran_on: None, outcome: Err(failure) }
    }
}

/// The duty to answer one call and to count it, both exactly once. One that is dropped says that the call was lost.
#[derive(Debug)]
pub(super) struct Pledge {
    call: u64,
    accepted: Instant,
    counters: Arc<Counters>,
    /// Whether an instance has the call.
    taken: bool,
    counted: bool,
    /// Where a calling instance's wait is kept up to date with the instance that took the call.
    dispatched: Option<Arc<AtomicU64>>,
    reply: Option<oneshot::Sender<CallReply>>,
}

impl Pledge {
    pub(super) fn new(
        call: u64,
        accepted: Instant,
        counters: &Arc<Counters>,
        dispatched: Option<Arc<AtomicU64>>,
    ) -> Self {
        let counters = Arc::clone(counters);
        Self { call, accepted, counters, taken: false, counted: false, dispatched, reply: None }
    }

    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// The id of the call.
    pub(super) fn call(&self) -> u64 {
        self.call
    }

    /// Notes which instance has the call now. To be called under the queue's lock, so that a call that leaves the queue
    /// is seen to run at once.
    pub(super) fn taken_by(&mut self, instance: u64) {
        self.counters.in_flight.fetch_add(u64::from(!self.taken), Relaxed);
        self.taken = true;
        self.note(instance);
    }

    /// Notes that no instance has the call any more.
    pub(super) fn taken_back(&mut self) {
        self.counters.in_flight.fetch_sub(u64::from(self.taken), Relaxed);
        self.taken = false;
        self.note(0);
    }

    fn note(&self, instance: u64) {
        if let Some(dispatched) = &self.dispatched {
            dispatched.store(instance, SeqCst);
        }
    }

    /// Counts the call and answers its caller.
    pub(super) fn answer(mut self, ran_on: Option<RanOn>, outcome: Result<Bytes, CallFailure>) {
        self.count(outcome.as_ref().map_or_else(Outcome::of, |_response| Outcome::Ok));
        self.send(ran_on, outcome);
    }

    /// Says that the call was lost, and why.
    pub(super) fn lose(self, why: String) {
        self.answer(None, Err(CallFailure::Lost(why)));
    }

    /// Before the reply, so that whoever has it finds its call counted, and not among those that run.
    fn count(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        if self.taken {
            self.counters.ended(outcome, self.accepted.elapsed());
            self.counters.in_flight.fetch_sub(1, Relaxed);
        } else {
            self.counters.refused(outcome);
        }
    }

    fn send(&mut self, ran_on: Option<RanOn>, outcome: Result<Bytes, CallFailure>) {
        if let Some(reply) = self.reply.take() {
            // A caller that has gone does not want the reply.
            drop(reply.send(CallReply { call: self.call, ran_on, outcome }));
        }
    }
}

impl Drop for Pledge {
    fn drop(&mut self) {
        if self.counted {
            return;
        }
        let abandoned = !self.taken && self.is_abandoned();
        self.count(if abandoned { Outcome::Abandoned } else { Outcome::Lost });
        self.send(None, Err(CallFailure::Lost("what had it was dropped".to_owned())));
    }
}
