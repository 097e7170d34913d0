//! A module's queue: the calls that wait, the instances that are idle, and the rule that brings them together.
//!
//! All of it sits behind one short lock, so that a call can neither be lost between a busy instance and the queue nor
//! wait while an instance is idle. Nothing is awaited and no message is sent while the lock is held.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    CallFailure, CallReply, Counters, Gate, QueueBudget, QueueSettings, QueuedCall, Refusal, inner::Inner, line::Line,
    rate::Rate, workers::current_worker,
};
use crate::config::RateLimit;

/// A queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueNumbers {
    /// Calls that wait.
    pub calls: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Instances that wait for a call.
    pub idle: usize,
}

/// The queue of one module. It outlives every instance.
pub struct ModuleQueue {
    name: Arc<str>,
    pub(super) settings: QueueSettings,
    pub(super) budget: Arc<QueueBudget>,
    /// Called when a lazy module gets its first call. Must not block.
    wanted: Box<dyn Fn() + Send + Sync>,
    pub(super) inner: Mutex<Inner>,
    /// Told whenever a call could be placed that could not be before: a place in the queue is free, an instance is idle,
    /// the gate has changed.
    pub(super) room: Notify,
    /// Callers who wait for room.
    pub(super) line: Line,
    pub(super) counters: Arc<Counters>,
    rate: Option<Rate>,
    /// What the rate limit's times count from.
    made: Instant,
}

/// What happened to a call that was offered.
pub(super) enum Placed {
    /// An instance has it.
    Direct(oneshot::Receiver<CallReply>),
    /// It waits.
    Waiting(oneshot::Receiver<CallReply>),
    /// There is no room.
    Full(QueuedCall, String),
    /// The module takes no calls.
    Refused(QueuedCall, CallFailure),
}

impl std::fmt::Debug for ModuleQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleQueue").field("name", &self.name).field("numbers", &self.numbers()).finish()
    }
}

impl ModuleQueue {
    /// Makes an empty queue.
    pub fn new(
        name: Arc<str>,
        settings: QueueSettings,
        gate: Gate,
        budget: Arc<QueueBudget>,
        wanted: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let rate = settings.rate.map(Rate::from);
        Self {
            name,
            settings,
            budget,
            wanted: Box::new(wanted),
            inner: Mutex::new(Inner::new(gate)),
            room: Notify::new(),
            line: Line::default(),
            counters: Arc::default(),
            rate,
            made: Instant::now(),
        }
    }

    /// The module's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The queue at this moment.
    #[must_use]
    pub fn numbers(&self) -> QueueNumbers {
        let inner = self.inner.lock();
        QueueNumbers { calls: inner.waiting.len(), bytes: inner.bytes, idle: inner.idle.len() }
    }

    /// Says why a call that just came goes no further, before it waits for anything: the rate limit.
    pub(super) fn admit(&self, call: &QueuedCall) -> Result<(), CallFailure> {
        let (Some(rate), Some(limit)) = (self.rate, self.settings.rate) else { return Ok(()) };
        let mut inner = self.inner.lock();
        // What the module refuses anyway it does not count.
        if inner.refusal(&call.origin).is_some() {
            return Ok(());
        }
        // Calls are accepted before the lock is taken, and so not quite in the order of their times.
        let now = call.accepted.saturating_duration_since(self.made);
        match rate.admit(inner.due, now) {
            Ok(due) => inner.due = due,
            Err(retry_after) => {
                let (module, RateLimit { calls, per, .. }) = (Arc::clone(&self.name), limit);
                return Err(CallFailure::RateLimited { module, calls, per, retry_after });
            }
        }
        Ok(())
    }

    /// Gives the call to an idle instance, or puts it into the queue, or says why not.
    pub(super) fn offer(&self, mut call: QueuedCall) -> Placed {
        let mut inner = self.inner.lock();
        if let Some(refusal) = inner.refusal(&call.origin) {
            drop(inner);
            return Placed::Refused(call, self.refused(refusal));
        }
        let (sender, receiver) = oneshot::channel();
        if let Some(idle) = inner.take_idle(current_worker()) {
            call.reply_to(sender);
            idle.desk.take_on(&mut call);
            drop(inner);
            self.send(&idle, call);
            return Placed::Direct(receiver);
        }
        // Wanted also by a call that finds no room: it comes again or waits.
        let lazy = inner.gate == Gate::Lazy;
        if lazy {
            inner.gate = Gate::Open;
        }
        let size = call.payload.len() as u64;
        let placed = match self.full(&inner, size) {
            Some(what) => Placed::Full(call, what),
            None => {
                call.reply_to(sender);
                inner.bytes += size;
                inner.waiting.push_back(call);
                Placed::Waiting(receiver)
            }
        };
        drop(inner);
        if lazy {
            (self.wanted)();
        }
        placed
    }

    pub(super) fn refused(&self, refusal: Refusal) -> CallFailure {
        CallFailure::Refused { module: Arc::clone(&self.name), refusal }
    }

    /// Takes the bytes of a call from both budgets, or says which bound is met.
    fn full(&self, inner: &Inner, size: u64) -> Option<String> {
        let QueueSettings { calls, bytes, .. } = self.settings;
        if inner.waiting.len() >= calls {
            return Some(format!("its queue of {calls} calls is"));
        }
        if inner.bytes + size > bytes {
            return Some(format!("its queue of {bytes} bytes is"));
        }
        if inner.waiting.is_empty() {
            // The daemon's budget is for all: modules that flood it must not keep another from queueing at all. So the
            // sum is over its limit by one payload of each module at most.
            self.budget.force(size);
        } else if !self.budget.take(size) {
            return Some(format!("the daemon's queue of {} bytes is", self.budget.limit()));
        }
        None
    }

    /// Takes a call out of the queue; `None` where it is not there any more.
    pub(super) fn withdraw(&self, id: u64) -> Option<QueuedCall> {
        let mut inner = self.inner.lock();
        let at = inner.waiting.iter().position(|call| call.id == id)?;
        let call = inner.waiting.remove(at)?;
        self.leave_queue(&mut inner, &call);
        Some(call)
    }

    pub(super) fn leave_queue(&self, inner: &mut Inner, call: &QueuedCall) {
        let size = call.payload.len() as u64;
        inner.bytes -= size;
        self.budget.give_back(size);
        self.room.notify_one();
    }

    pub(super) fn expired(&self, accepted: Instant) -> CallFailure {
        CallFailure::Expired { module: Arc::clone(&self.name), waited: accepted.elapsed() }
    }

    /// Opens or closes the module. Closing it for good answers everything that waits.
    pub fn set_gate(&self, gate: Gate) {
        let mut inner = self.inner.lock();
        let refused = match &gate {
            Gate::Refusing(refusal) => Some((refusal.clone(), std::mem::take(&mut inner.waiting))),
            _ => None,
        };
        inner.gate = gate;
        inner.closing = false;
        // Callers that wait for room ask again, and are refused.
        self.room.notify_waiters();
        let Some((refusal, waiting)) = refused else { return };
        for call in &waiting {
            self.leave_queue(&mut inner, call);
        }
        drop(inner);
        for call in waiting {
            call.fail(self.refused(refusal.clone()));
        }
    }

    /// Takes no new calls, but lets what waits run to its end.
    pub fn close(&self, refusal: Refusal) {
        let mut inner = self.inner.lock();
        inner.gate = Gate::Refusing(refusal);
        inner.closing = true;
        drop(inner);
        self.room.notify_waiters();
    }

    /// The gate at this moment.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.inner.lock().gate.clone()
    }
}
