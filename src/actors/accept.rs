//! The caller's side of a module's queue: a request becomes a call, and its caller waits for the one reply.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use tokio::{sync::oneshot, time::timeout_at};

use super::{
    CallFailure, CallReply, CallRequest, ModuleQueue, QueueSettings, QueuedCall, crossings::patience, places::Home,
    queue::Placed, queued_call::Pledge,
};

/// Id of the next call.
static NEXT_CALL: AtomicU64 = AtomicU64::new(1);

/// Takes the id of a call.
pub(crate) fn next_call_id() -> u64 {
    NEXT_CALL.fetch_add(1, Relaxed)
}

impl ModuleQueue {
    /// Calls the module and waits for the reply: the instance's, or why there is none.
    ///
    /// Dropping the future means that nobody waits any more: a call that has not started is then never started, one
    /// that runs goes on to its end.
    pub async fn call(&self, request: CallRequest, dispatched: Option<Arc<AtomicU64>>) -> CallReply {
        let (id, placed) = self.arrive(request, dispatched);
        match placed {
            // Boxed, since the future of every call would have room for them, and is moved several times on its way.
            Placed::NoRoom(call) => Box::pin(self.place_in_turn(call)).await,
            Placed::Refused(call, failure) => call.refuse(failure),
            Placed::Direct(reply) => id.reply(reply).await,
            Placed::Waiting(reply, home) => Box::pin(self.wait(id, reply, home)).await,
        }
    }

    /// Waits for room behind those who came before.
    async fn place_in_turn(&self, mut call: QueuedCall) -> CallReply {
        let id = Ticket::of(&call);
        let Ok(turn) = timeout_at(id.expires.into(), self.line.enter()).await else {
            return call.refuse(self.expired(id.accepted));
        };
        loop {
            // Registered before the queue is looked at, so that no place that becomes free in between is missed.
            let (room, bytes) = (self.room.notified(), self.budget.room().notified());
            tokio::pin!(room, bytes);
            room.as_mut().enable();
            bytes.as_mut().enable();
            call = match self.offer(call) {
                Placed::NoRoom(call) => call,
                Placed::Refused(call, failure) => return call.refuse(failure),
                Placed::Direct(reply) => {
                    drop(turn);
                    return id.reply(reply).await;
                }
                Placed::Waiting(reply, home) => {
                    drop(turn);
                    return self.wait(id, reply, home).await;
                }
            };
            let either = futures_util::future::select(room, bytes);
            if timeout_at(id.expires.into(), either).await.is_err() {
                return call.refuse(self.expired(id.accepted));
            }
        }
    }

    /// Waits for the reply of a call in the queue; takes it out again when it expires there. One that has waited at home for
    /// long enough goes to any idle instance.
    async fn wait(&self, id: Ticket, mut reply: oneshot::Receiver<CallReply>, home: Home) -> CallReply {
        let mut place = Place { queue: self, id: id.call, left: false };
        let mut until = home.map_or(id.expires, |_worker| id.expires.min(id.accepted + patience()));
        loop {
            let replied = timeout_at(until.into(), &mut reply).await;
            if let Ok(reply) = replied {
                place.left = true;
                return reply.unwrap_or_else(|_closed| id.lost());
            }
            if until == id.expires {
                break;
            }
            self.spread();
            until = id.expires;
        }
        place.left = true;
        match self.withdraw(id.call) {
            Some(call) => call.refuse(self.expired(id.accepted)),
            // It has started and runs under its own deadline.
            None => id.reply(reply).await,
        }
    }

    /// Makes a call of a request that came at `accepted`.
    pub(super) fn accept(
        &self,
        settings: &QueueSettings,
        request: CallRequest,
        accepted: Instant,
        dispatched: Option<Arc<AtomicU64>>,
    ) -> QueuedCall {
        let own = accepted + settings.call_timeout;
        let deadline = request.deadline.map_or(own, |deadline| deadline.min(own));
        let expires = settings.timeout.map_or(deadline, |timeout| deadline.min(accepted + timeout));
        let id = next_call_id();
        QueuedCall {
            id,
            operation: request.operation,
            payload: request.payload,
            accepted,
            deadline,
            expires,
            origin: request.origin,
            chain: request.chain,
            pledge: Some(Pledge::new(id, accepted, &self.counters, dispatched)),
        }
    }
}

/// What a caller keeps of its call.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    call: u64,
    accepted: Instant,
    expires: Instant,
}

impl Ticket {
    pub(super) fn of(call: &QueuedCall) -> Self {
        Self { call: call.id, accepted: call.accepted, expires: call.expires }
    }

    async fn reply(self, reply: oneshot::Receiver<CallReply>) -> CallReply {
        reply.await.unwrap_or_else(|_closed| self.lost())
    }

    /// The reply where none came. Not met: a duty to answer that is dropped answers.
    fn lost(self) -> CallReply {
        let failure = CallFailure::Lost("the worker that had it ended".to_owned());
        CallReply { call: self.call, ran_on: None, outcome: Err(failure) }
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
            if let Some(call) = self.queue.withdraw(self.id) {
                call.abandon();
            }
        }
    }
}
