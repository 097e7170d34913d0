//! A module's queue: the calls that wait, the instances that are idle, and the rule that brings them together.
//!
//! All of it sits behind one short lock, so that a call can neither be lost between a busy instance and the queue nor
//! wait while an instance is idle. Nothing is awaited and no message is sent while the lock is held.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::{
    CallFailure, CallReply, CallRequest, Counters, Gate, Loads, QueueBudget, QueueSettings, QueuedCall, Refusal,
    accept::Ticket,
    at_once::run_here,
    bounds::check_size,
    inner::{Idle, Inner},
    line::Line,
    places::Home,
    workers::current_worker,
};
use crate::config::OnFull;

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
    pub(super) name: Arc<str>,
    pub(super) budget: Arc<QueueBudget>,
    pub(super) loads: Arc<Loads>,
    /// Called when a lazy module gets its first call. Must not block.
    wanted: Box<dyn Fn() + Send + Sync>,
    pub(super) inner: Mutex<Inner>,
    /// Told whenever a call could be placed that could not be before: a place in the queue is free, an instance is idle,
    /// the gate has changed.
    pub(super) room: Notify,
    /// Callers who wait for room.
    pub(super) line: Line,
    pub(super) counters: Arc<Counters>,
}

/// What happened to a call that was offered.
pub(super) enum Placed {
    /// An instance has it.
    Direct(oneshot::Receiver<CallReply>),
    /// It waits; at home where there is one, until another instance may have it too.
    Waiting(oneshot::Receiver<CallReply>, Home),
    /// It has to wait for room.
    NoRoom(QueuedCall),
    /// It goes no further.
    Refused(QueuedCall, CallFailure),
}

/// Both ends of the way that a reply takes. Made before the lock is taken.
type Reply = (oneshot::Sender<CallReply>, oneshot::Receiver<CallReply>);

impl std::fmt::Debug for ModuleQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleQueue").field("name", &self.name).field("numbers", &self.numbers()).finish()
    }
}

impl ModuleQueue {
    /// Makes an empty queue. Budget and loads are those of the daemon, the same for all of its queues.
    pub fn new(
        name: Arc<str>,
        settings: QueueSettings,
        gate: Gate,
        budget: Arc<QueueBudget>,
        loads: Arc<Loads>,
        wanted: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            budget,
            wanted: Box::new(wanted),
            inner: Mutex::new(Inner::new(gate, settings, Arc::clone(&loads))),
            loads,
            room: Notify::new(),
            line: Line::default(),
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
        QueueNumbers { calls: inner.places.calls(), bytes: inner.bytes, idle: inner.places.idle() }
    }

    /// Looks at a call that just came, and gives it to an idle instance or puts it into the queue unless something is
    /// against it.
    pub(super) fn arrive(&self, request: CallRequest, dispatched: Option<Arc<AtomicU64>>) -> (Ticket, Placed) {
        let (accepted, reply) = (Instant::now(), oneshot::channel());
        let mut inner = self.inner.lock();
        let call = self.accept(&inner.settings, request, accepted, dispatched);
        let ticket = Ticket::of(&call);
        let placed = match self.first_look(&mut inner, &call) {
            Err(failure) => Placed::Refused(call, failure),
            // Nobody goes past those who wait for room.
            Ok(()) if inner.settings.on_full == OnFull::Wait && self.line.is_used() => Placed::NoRoom(call),
            Ok(()) => self.place(inner, call, reply, accepted),
        };
        (ticket, placed)
    }

    /// Looks once more at a call that waits for room.
    pub(super) fn offer(&self, call: QueuedCall) -> Placed {
        let (now, reply) = (Instant::now(), oneshot::channel());
        let inner = self.inner.lock();
        match check_size(&inner, &call) {
            Err(failure) => Placed::Refused(call, failure),
            Ok(()) => self.place(inner, call, reply, now),
        }
    }

    /// Gives the call to an idle instance, or puts it into the queue, or says why not.
    fn place(&self, mut inner: MutexGuard<'_, Inner>, mut call: QueuedCall, reply: Reply, now: Instant) -> Placed {
        if let Some(refusal) = inner.refusal(&call.origin) {
            return Placed::Refused(call, self.refused(refusal));
        }
        let worker = current_worker();
        if let Some(idle) = inner.take_idle(worker, call.accepted, now) {
            return self.give(inner, idle, call, reply, now);
        }
        // Wanted also by a call that finds no room: it comes again or waits.
        let lazy = inner.gate == Gate::Lazy;
        if lazy {
            inner.gate = Gate::Open;
        }
        let size = call.payload.len() as u64;
        let placed = match self.full(&inner, size) {
            // Where it cannot wait for an instance of its own worker it has any.
            Some(bound) => match inner.places.take_any() {
                Some(idle) => return self.give(inner, idle, call, reply, now),
                None if inner.settings.on_full == OnFull::Wait => Placed::NoRoom(call),
                None => Placed::Refused(call, self.busy(&inner, bound)),
            },
            None => {
                let (sender, receiver) = reply;
                call.reply_to(sender);
                inner.bytes += size;
                let home = inner.places.home(worker);
                inner.places.wait(home, call);
                Placed::Waiting(receiver, home)
            }
        };
        drop(inner);
        if lazy {
            (self.wanted)();
        }
        placed
    }

    /// Gives the call to an instance that was idle.
    fn give(
        &self,
        inner: MutexGuard<'_, Inner>,
        idle: Idle,
        mut call: QueuedCall,
        (sender, receiver): Reply,
        now: Instant,
    ) -> Placed {
        call.reply_to(sender);
        idle.desk.take_on(&mut call, now);
        drop(inner);
        let left = if current_worker() == Some(idle.desk.worker) { run_here(&idle, call) } else { Err(call) };
        if let Err(call) = left {
            self.send(&idle, call);
        }
        Placed::Direct(receiver)
    }

    pub(super) fn refused(&self, refusal: Refusal) -> CallFailure {
        CallFailure::Refused { module: Arc::clone(&self.name), refusal }
    }

    /// Takes a call out of the queue; `None` where it is not there any more.
    pub(super) fn withdraw(&self, id: u64) -> Option<QueuedCall> {
        let mut inner = self.inner.lock();
        let call = inner.places.withdraw(id)?;
        self.leave_queue(&mut inner, &call);
        Some(call)
    }

    pub(super) fn expired(&self, accepted: Instant) -> CallFailure {
        CallFailure::Expired { module: Arc::clone(&self.name), waited: accepted.elapsed() }
    }

    /// Opens or closes the module. Closing it for good answers everything that waits.
    pub fn set_gate(&self, gate: Gate) {
        let mut inner = self.inner.lock();
        let refused = match &gate {
            Gate::Refusing(refusal) => Some((refusal.clone(), inner.places.take_all(|_call| true))),
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
