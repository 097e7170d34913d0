//! The caller's side of a module's queue: a request becomes a call, and its caller waits for the one reply.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    CallFailure, CallReply, CallRequest,
    queue::{Counters, ModuleQueue, Placed},
    queued_call::QueuedCall,
};
use crate::{
    config::OnFull,
    host::{CallError, Part},
};

/// Id of the next call.
static NEXT_CALL: AtomicU64 = AtomicU64::new(1);

/// Takes the id of a call.
pub(super) fn next_call_id() -> u64 {
    NEXT_CALL.fetch_add(1, Relaxed)
}

/// When a refused caller should try again: long enough for a small queue to empty, short enough not to idle.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl ModuleQueue {
    /// Calls the module and waits for the reply: the instance's, or why there is none.
    ///
    /// Dropping the future means that nobody waits any more: a call that has not started is then never started, one
    /// that runs goes on to its end.
    pub async fn call(&self, request: CallRequest, dispatched: Option<Arc<AtomicU64>>) -> CallReply {
        let mut counted = Counted { counters: &self.counters, ok: false };
        let reply = self.place(request, dispatched).await;
        counted.ok = reply.outcome.is_ok();
        reply
    }

    async fn place(&self, request: CallRequest, dispatched: Option<Arc<AtomicU64>>) -> CallReply {
        let mut call = self.accept(request, dispatched);
        let (id, accepted, expires) = (call.id, call.accepted, call.expires);
        let refused = |outcome| CallReply { call: id, ran_on: None, outcome: Err(outcome) };
        let size = call.payload.len() as u64;
        if size > self.settings.payload {
            let (part, limit) = (Part::Payload, self.settings.payload);
            call.reply = None;
            return refused(CallError::TooLarge { part, size, limit }.into());
        }
        loop {
            // Registered before the queue is looked at, so that no place that becomes free in between is missed.
            let (room, bytes) = (self.room.notified(), self.budget.room().notified());
            tokio::pin!(room, bytes);
            room.as_mut().enable();
            bytes.as_mut().enable();
            let what;
            (call, what) = match self.offer(call) {
                Placed::Direct(reply) => return reply.await.unwrap_or_else(|_closed| refused(lost())),
                Placed::Waiting(reply) => return self.wait(id, accepted, expires, reply).await,
                Placed::Refused(failure) => return refused(failure),
                Placed::Full(call, what) => (call, what),
            };
            if self.settings.on_full == OnFull::Reject {
                call.reply = None;
                return refused(CallFailure::Busy { module: Arc::clone(self.name()), what, retry_after: RETRY_AFTER });
            }
            let either = futures_util::future::select(room, bytes);
            if tokio::time::timeout_at(expires.into(), either).await.is_err() {
                call.reply = None;
                return refused(self.expired(accepted));
            }
        }
    }

    /// Waits for the reply of a call in the queue; takes it out again when it expires there.
    async fn wait(
        &self,
        id: u64,
        accepted: Instant,
        expires: Instant,
        mut reply: oneshot::Receiver<CallReply>,
    ) -> CallReply {
        let refused = |outcome| CallReply { call: id, ran_on: None, outcome: Err(outcome) };
        let mut place = Place { queue: self, id, left: false };
        if let Ok(reply) = tokio::time::timeout_at(expires.into(), &mut reply).await {
            place.left = true;
            return reply.unwrap_or_else(|_closed| refused(lost()));
        }
        place.left = true;
        if self.withdraw(id) {
            return refused(self.expired(accepted));
        }
        // It has started and runs under its own deadline.
        reply.await.unwrap_or_else(|_closed| refused(lost()))
    }

    fn accept(&self, request: CallRequest, dispatched: Option<Arc<AtomicU64>>) -> QueuedCall {
        let accepted = Instant::now();
        let own = accepted + self.settings.call_timeout;
        let deadline = request.deadline.map_or(own, |deadline| deadline.min(own));
        let expires = self.settings.timeout.map_or(deadline, |timeout| deadline.min(accepted + timeout));
        QueuedCall {
            id: next_call_id(),
            operation: request.operation,
            payload: request.payload,
            accepted,
            deadline,
            expires,
            origin: request.origin,
            chain: request.chain,
            dispatched,
            running: None,
            reply: None,
        }
    }
}

/// Counts a call when it ends; one whose caller has gone counts as failed.
struct Counted<'a> {
    counters: &'a Counters,
    ok: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let counter = if self.ok { &self.counters.ok } else { &self.counters.failed };
        counter.fetch_add(1, Relaxed);
    }
}

/// A caller's place in the queue, given back when the caller goes away before its call was taken.
struct Place<'a> {
    queue: &'a ModuleQueue,
    id: u64,
    left: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.left {
            // Taken by now or withdrawn: either way it is in the queue no more.
            self.queue.withdraw(self.id);
        }
    }
}

fn lost() -> CallFailure {
    CallFailure::Lost("the worker that had it ended".to_owned())
}
