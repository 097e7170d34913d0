//! A module's queue: the calls that wait, the instances that are idle, and the rule that brings them together.
//!
//! All of it sits behind one short lock, so that a call can neither be lost between a busy instance and the queue nor
//! wait while an instance is idle. Nothing is awaited and no message is sent while the lock is held.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use actix::Addr;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    CallFailure, CallReply, GuestActor, GuestCall, Origin, Refusal,
    queued_call::{QueueBudget, QueuedCall},
    workers::current_worker,
};
use crate::config::{Module, OnFull};

/// Bounds and times of a queue, from the module's configuration.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Calls that may wait.
    pub calls: usize,
    /// Bytes of payload that may wait.
    pub bytes: u64,
    /// How long a call may wait before it starts.
    pub timeout: Option<Duration>,
    /// What happens to a call that finds the queue full.
    pub on_full: OnFull,
    /// Time of a call, waiting included.
    pub call_timeout: Duration,
    /// Bytes of one payload.
    pub payload: u64,
}

impl From<&Module> for QueueSettings {
    fn from(module: &Module) -> Self {
        Self {
            calls: module.queue as usize,
            bytes: module.queue_bytes,
            timeout: module.queue_timeout,
            on_full: module.on_full,
            call_timeout: module.limits.call_timeout,
            payload: module.limits.payload,
        }
    }
}

/// Whether a module takes calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It does; they wait where no instance is idle.
    Open,
    /// It does, and the first one loads it.
    Lazy,
    /// Only calls from modules that are finishing their own: the daemon stops.
    Finishing,
    /// It does not.
    Refusing(Refusal),
}

/// What a module has counted since the daemon started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls that ended in a response.
    pub ok: AtomicU64,
    /// Calls that ended otherwise.
    pub failed: AtomicU64,
    /// Calls that an instance has: no longer in the queue, not answered yet.
    pub in_flight: AtomicU64,
    /// Whether a call has succeeded since the last exit.
    pub succeeded: AtomicBool,
}

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
    inner: Mutex<Inner>,
    /// Told whenever a call could be placed that could not be before: a place in the queue is free, an instance is idle,
    /// the gate has changed.
    pub(super) room: Notify,
    pub(super) counters: Arc<Counters>,
}

struct Inner {
    gate: Gate,
    waiting: VecDeque<QueuedCall>,
    bytes: u64,
    idle: Vec<Idle>,
    /// Ids of the live instances, busy ones included.
    members: Vec<u64>,
}

struct Idle {
    instance: u64,
    worker: usize,
    addr: Addr<GuestActor>,
}

/// What happened to a call that was offered.
pub(super) enum Placed {
    /// An instance has it.
    Direct(oneshot::Receiver<CallReply>),
    /// It waits.
    Waiting(oneshot::Receiver<CallReply>),
    /// There is no room.
    Full(QueuedCall, String),
    /// It was refused.
    Refused(CallFailure),
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
        let inner = Inner { gate, waiting: VecDeque::new(), bytes: 0, idle: Vec::new(), members: Vec::new() };
        Self {
            name,
            settings,
            budget,
            wanted: Box::new(wanted),
            inner: Mutex::new(inner),
            room: Notify::new(),
            counters: Arc::default(),
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

    /// Ids of the live instances.
    #[must_use]
    pub(super) fn members(&self) -> Vec<u64> {
        self.inner.lock().members.clone()
    }

    /// Gives the call to an idle instance, or puts it into the queue, or says why not.
    pub(super) fn offer(&self, mut call: QueuedCall) -> Placed {
        let mut inner = self.inner.lock();
        let lazy = match &inner.gate {
            Gate::Open => false,
            Gate::Lazy => true,
            Gate::Finishing if matches!(call.origin, Origin::Module { .. }) => false,
            Gate::Finishing => return self.refuse(Refusal::ShuttingDown),
            Gate::Refusing(refusal) => {
                let refusal = refusal.clone();
                return self.refuse(refusal);
            }
        };
        let (sender, receiver) = oneshot::channel();
        if let Some(idle) = inner.take_idle(current_worker()) {
            call.reply = Some(sender);
            call.dispatched_to(idle.instance, &self.counters);
            drop(inner);
            self.send(&idle, call);
            return Placed::Direct(receiver);
        }
        // Wanted also by a call that finds no room: it comes again or waits.
        if lazy {
            inner.gate = Gate::Open;
        }
        let size = call.payload.len() as u64;
        let placed = match self.full(&inner, size) {
            Some(what) => Placed::Full(call, what),
            None => {
                call.reply = Some(sender);
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

    /// Hands the call to an instance that was idle. One that is gone by now never gets it: it goes to the queue's head.
    fn send(&self, idle: &Idle, call: QueuedCall) {
        if let Err(error) = idle.addr.try_send(GuestCall(call)) {
            let (actix::dev::SendError::Full(GuestCall(call)) | actix::dev::SendError::Closed(GuestCall(call))) = error;
            self.put_back(call);
        }
    }

    /// Puts a call that was not started at the head of the queue, past all bounds: it was accepted before.
    pub(super) fn put_back(&self, mut call: QueuedCall) {
        let mut inner = self.inner.lock();
        call.taken_back();
        if let Gate::Refusing(refusal) = &inner.gate {
            let refusal = refusal.clone();
            drop(inner);
            call.answer(None, Err(CallFailure::Refused { module: Arc::clone(&self.name), refusal }));
            return;
        }
        let next = inner.take_idle(current_worker());
        match next {
            Some(idle) => {
                call.dispatched_to(idle.instance, &self.counters);
                drop(inner);
                self.send(&idle, call);
            }
            None => {
                let size = call.payload.len() as u64;
                // Accepted before, so it fits or the daemon is a little over its budget for a moment.
                self.budget.force(size);
                inner.bytes += size;
                inner.waiting.push_front(call);
            }
        }
    }

    fn refuse(&self, refusal: Refusal) -> Placed {
        Placed::Refused(CallFailure::Refused { module: Arc::clone(&self.name), refusal })
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
        if !self.budget.take(size) {
            return Some(format!("the daemon's queue of {} bytes is", self.budget.limit()));
        }
        None
    }

    pub(super) fn withdraw(&self, id: u64) -> bool {
        let mut inner = self.inner.lock();
        let Some(at) = inner.waiting.iter().position(|call| call.id == id) else { return false };
        if let Some(mut call) = inner.waiting.remove(at) {
            self.leave_queue(&mut inner, &call);
            call.reply = None;
        }
        true
    }

    fn leave_queue(&self, inner: &mut Inner, call: &QueuedCall) {
        let size = call.payload.len() as u64;
        inner.bytes -= size;
        self.budget.give_back(size);
        self.room.notify_one();
    }

    pub(super) fn expired(&self, accepted: Instant) -> CallFailure {
        CallFailure::Expired { module: Arc::clone(&self.name), waited: accepted.elapsed() }
    }

    /// The next call for an instance that is free; without one, the instance counts as idle from now on, unless it is
    /// `leaving`.
    pub(super) fn next(
        &self,
        instance: u64,
        worker: usize,
        addr: &Addr<GuestActor>,
        leaving: bool,
    ) -> Option<QueuedCall> {
        let mut inner = self.inner.lock();
        while let Some(mut call) = inner.waiting.pop_front() {
            self.leave_queue(&mut inner, &call);
            if call.expires <= Instant::now() {
                let failure = self.expired(call.accepted);
                call.answer(None, Err(failure));
            } else if !call.is_abandoned() {
                call.dispatched_to(instance, &self.counters);
                return Some(call);
            }
        }
        if !leaving {
            inner.idle.push(Idle { instance, worker, addr: addr.clone() });
            // A caller that waits for room may have the instance, also one whose payload would never fit the queue.
            self.room.notify_one();
        }
        None
    }

    /// Adds a live instance.
    pub(super) fn join(&self, instance: u64) {
        self.inner.lock().members.push(instance);
    }

    /// Forgets an instance that is gone.
    pub fn part(&self, instance: u64) {
        let mut inner = self.inner.lock();
        inner.members.retain(|member| *member != instance);
        inner.idle.retain(|idle| idle.instance != instance);
    }

    /// Takes an idle instance out, so that no call reaches it any more; `false` where it is busy.
    pub(super) fn retire(&self, instance: u64) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.idle.len();
        inner.idle.retain(|idle| idle.instance != instance);
        inner.idle.len() < before
    }

    /// Opens or closes the module. Closing it for good answers everything that waits.
    pub fn set_gate(&self, gate: Gate) {
        let mut inner = self.inner.lock();
        let refused = match &gate {
            Gate::Refusing(refusal) => Some((refusal.clone(), std::mem::take(&mut inner.waiting))),
            _ => None,
        };
        inner.gate = gate;
        // Callers that wait for room ask again, and are refused.
        self.room.notify_waiters();
        let Some((refusal, waiting)) = refused else { return };
        for call in &waiting {
            self.leave_queue(&mut inner, call);
        }
        drop(inner);
        for call in waiting {
            let refusal = refusal.clone();
            call.answer(None, Err(CallFailure::Refused { module: Arc::clone(&self.name), refusal }));
        }
    }

    /// Takes no new calls, but lets what waits run to its end.
    pub fn close(&self, refusal: Refusal) {
        self.inner.lock().gate = Gate::Refusing(refusal);
        self.room.notify_waiters();
    }

    /// The gate at this moment.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.inner.lock().gate.clone()
    }
}

impl Inner {
    /// An idle instance, on the given worker where there is one; the one that was busy last, whose memory is warm.
    fn take_idle(&mut self, worker: Option<usize>) -> Option<Idle> {
        let local = worker.and_then(|worker| self.idle.iter().rposition(|idle| idle.worker == worker));
        match local {
            Some(at) => Some(self.idle.swap_remove(at)),
            None => self.idle.pop(),
        }
    }
}
