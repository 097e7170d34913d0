//! What a binding's actor and the answers that it owes share: the binding of the worker, or what is done without one.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use actix::Recipient;

use super::{
    MAX_IN_FLIGHT,
    messages::BindingExited,
    reply::{Ends, Held, Pending, Queued, Reply, deliver},
    subject::Subject,
    waiting::{Waiting, next_deadline, take_expired},
};
use crate::{
    bindings::{
        Answer, Binding, BindingCall, BindingCounters, BindingFactory, BindingReply, Denial, Observer, guard,
        turnstile::{Entry, Permit, Turnstile},
    },
    host::{HostCallError, HostErrorKind},
};

/// Everything of one binding on one worker.
pub(super) struct State {
    pub(super) binding: usize,
    pub(super) name: Arc<str>,
    pub(super) worker: usize,
    pub(super) counters: Arc<BindingCounters>,
    pub(super) supervisor: Recipient<BindingExited>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) phase: RefCell<Phase>,
    pub(super) waiting: RefCell<VecDeque<Waiting>>,
    /// When the calls that wait are looked through next.
    pub(super) alarm: Cell<Option<Instant>>,
    pub(super) in_flight: Cell<usize>,
    /// Counts the bindings that were made, so that the panic of an earlier one is told apart.
    pub(super) generation: Cell<u64>,
}

/// What happens to a call.
pub(super) enum Phase {
    /// It waits for what comes.
    Holding,
    /// The binding of this worker answers it.
    Serving { binding: Box<dyn Binding>, generation: u64, turnstile: Arc<Turnstile> },
    /// It is answered with `unavailable` and this reason.
    Refusing(String),
}

impl State {
    /// Answers a call, or says how it will be answered.
    pub(super) fn take(this: &Rc<Self>, mut call: BindingCall) -> Reply {
        let phase = this.phase.borrow();
        let turnstile = match &*phase {
            Phase::Serving { turnstile, .. } => turnstile,
            Phase::Holding => return Reply::Held(Box::new(Held { state: Rc::clone(this), call })),
            Phase::Refusing(why) => {
                return Reply::Now(this.refuse(&call, HostErrorKind::Unavailable, &format!(": {why}")));
            }
        };
        let now = Instant::now();
        // A call that comes by again, since its binding was replaced while it waited, has its limit as its deadline.
        let limit = turnstile.timeout().map(|timeout| call.caller.deadline.min(now + timeout));
        if let Some(limit) = limit {
            call.caller.deadline = limit;
        }
        if let Err(error) = this.admit(&call, turnstile, now) {
            return Reply::Now(this.refused(&call, error));
        }
        match turnstile.enter(&call.caller.module) {
            Entry::Now(permit) => {
                // What the call does may put another binding in this one's place.
                drop(phase);
                Self::take_admitted(this, call, permit, limit)
            }
            Entry::Wait(turn) => Reply::Queued(Box::new(Queued::new(Rc::clone(this), call, turn, limit))),
            Entry::Full => Reply::Now(this.refuse(&call, HostErrorKind::Unavailable, &full(turnstile))),
        }
    }

    /// Hands a call that has its place to the binding. `limit` is where the binding's own time ends, where it has one, at
    /// the guest's deadline at the latest.
    pub(super) fn take_admitted(this: &Rc<Self>, call: BindingCall, permit: Permit, limit: Option<Instant>) -> Reply {
        let phase = this.phase.borrow();
        let (binding, generation, turnstile) = match &*phase {
            Phase::Serving { binding, generation, turnstile } if permit.is_of(turnstile) => {
                (binding, generation, turnstile)
            }
            // It went away, or another came, while the call waited for its place, which is given back.
            _ => {
                drop((phase, permit));
                return Self::take(this, call);
            }
        };
        let subject = Subject::of(&call, &this.counters);
        let (generation, max_response) = (*generation, turnstile.limits().max_response);
        let answer = guard::catch(|| binding.call(call));
        drop(phase);
        match answer {
            Ok(Answer::Later(work)) => {
                let ends = Ends { max_response, limit, _permit: permit };
                Reply::Later(Pending::new(work, subject, generation, ends, this))
            }
            Ok(Answer::Now(reply)) => {
                Reply::Now(this.settle(Ok(this.within(max_response, reply)), generation, &subject))
            }
            Err(panic) => Reply::Now(this.settle(Err(panic), generation, &subject)),
        }
    }

    fn admit(&self, call: &BindingCall, turnstile: &Turnstile, now: Instant) -> Result<(), HostCallError> {
        if call.caller.deadline <= now {
            return Err(self.error(HostErrorKind::TimedOut, LATE));
        }
        // What counts has a bound of its own, in which modules take turns.
        if !turnstile.counts() && self.in_flight.get() >= MAX_IN_FLIGHT {
            return Err(self.error(HostErrorKind::Unavailable, &busy()));
        }
        let (size, most) = (call.payload.len() as u64, turnstile.limits().max_request);
        if size > most {
            let why = format!(" takes requests of at most {most} bytes, this one has {size}");
            return Err(self.error(HostErrorKind::TooLarge, &why));
        }
        Ok(())
    }

    /// The reply, unless it is larger than the binding may answer.
    pub(super) fn within(&self, most: u64, reply: BindingReply) -> BindingReply {
        match reply {
            Ok(response) if response.len() as u64 > most => {
                let why = format!(" may answer with at most {most} bytes, these are {}", response.len());
                Err(self.error(HostErrorKind::TooLarge, &why))
            }
            reply => reply,
        }
    }

    /// Counts an error of the actor itself.
    pub(super) fn refused(&self, call: &BindingCall, error: HostCallError) -> BindingReply {
        let reply = Err(error);
        self.counters.answered(self.counters.operation(&call.operation), &reply);
        reply
    }

    /// Turns what came of a call into its answer, and counts it.
    pub(super) fn settle(
        &self,
        outcome: Result<BindingReply, String>,
        generation: u64,
        subject: &Subject,
    ) -> BindingReply {
        let reply = match outcome {
            Ok(reply) => {
                self.counters.note_success();
                reply
            }
            Err(panic) => {
                self.panicked(generation, Some(subject), &panic);
                Err(self.error(HostErrorKind::Internal, &format!(" panicked: {panic}")))
            }
        };
        self.counted(subject, reply)
    }

    fn counted(&self, subject: &Subject, reply: BindingReply) -> BindingReply {
        if let Err(error) = &reply
            && error.kind == HostErrorKind::NotAllowed
        {
            let Subject { module, instance, call, .. } = subject;
            let (binding, operation) = (&*self.name, subject.name());
            self.observer.denied(Denial { module, instance: *instance, call: *call, binding, operation, error });
        }
        self.counters.answered(subject.operation, &reply);
        reply
    }

    /// Ends the binding that panicked, unless that has happened, and tells the supervisor.
    pub(super) fn panicked(&self, generation: u64, subject: Option<&Subject>, panic: &str) {
        let (module, instance) = subject.map_or(("", 0), |subject| (&*subject.module, subject.instance));
        let (call, operation) = subject.map_or((0, ""), |subject| (subject.call, subject.name()));
        let (binding, worker) = (&*self.name, self.worker);
        tracing::error!(binding, worker, module, instance, call, operation, panic, "binding panicked");
        let is_current =
            matches!(&*self.phase.borrow(), Phase::Serving { generation: current, .. } if *current == generation);
        if is_current {
            // Whatever the broken one says when it is dropped adds nothing.
            self.replace(Phase::Holding).ok();
            self.report(panic, subject, false);
        }
    }

    /// Tells the supervisor that there is no binding any more.
    pub(super) fn report(&self, panic: &str, subject: Option<&Subject>, gone: bool) {
        let caller = subject
            .map(|subject| (Arc::clone(&subject.module), subject.instance, subject.call, subject.name().to_owned()));
        let (binding, worker, panic) = (self.binding, self.worker, panic.to_owned());
        // A notice past the bound of the mailbox: an exit must never be lost, and each is followed by an order.
        self.supervisor.do_send(BindingExited { binding, worker, panic, caller, gone, at: Instant::now() });
    }

    /// Makes the binding of this worker and answers what waits.
    pub(super) fn serve(this: &Rc<Self>, factory: &Arc<dyn BindingFactory>, turnstile: Arc<Turnstile>) {
        if !this.leave_binding(Phase::Holding) {
            return;
        }
        match guard::catch(|| factory.make(this.worker)) {
            Ok(binding) => {
                this.generation.set(this.generation.get() + 1);
                *this.phase.borrow_mut() = Phase::Serving { binding, generation: this.generation.get(), turnstile };
                Self::release(this);
            }
            Err(panic) => {
                tracing::error!(binding = %this.name, worker = this.worker, panic, "binding could not be made");
                this.report(&panic, None, false);
            }
        }
    }

    /// Answers what waits and what comes with `unavailable`.
    pub(super) fn refuse_all(this: &Rc<Self>, why: String) {
        this.leave_binding(Phase::Refusing(why));
        Self::release(this);
    }

    /// Changes the phase; whether the binding that was there went in peace. If not, the supervisor is told.
    pub(super) fn leave_binding(&self, next: Phase) -> bool {
        match self.replace(next) {
            Ok(()) => true,
            Err(panic) => {
                let (binding, worker) = (&*self.name, self.worker);
                tracing::error!(binding, worker, panic, "binding panicked while it was dropped");
                self.report(&panic, None, false);
                false
            }
        }
    }

    pub(super) fn replace(&self, next: Phase) -> Result<(), String> {
        let old = self.phase.replace(next);
        guard::catch(|| drop(old))
    }

    /// Answers the calls that wait, in their order, as long as there is somebody to answer them.
    fn release(this: &Rc<Self>) {
        while !matches!(&*this.phase.borrow(), Phase::Holding) {
            let Some(Waiting { call, tx }) = this.next_waiting() else { return };
            Self::take(this, call).send(tx);
        }
    }

    /// The next call that somebody waits for.
    fn next_waiting(&self) -> Option<Waiting> {
        loop {
            let waiting = self.waiting.borrow_mut().pop_front()?;
            if !waiting.is_given_up() {
                return Some(waiting);
            }
            self.counters.given_up(self.counters.operation(&waiting.call.operation));
        }
    }

    /// Lets a call wait for a binding until its deadline, within the bound.
    pub(super) fn hold(this: &Rc<Self>, waiting: Waiting) {
        let full = || this.in_flight.get() + this.waiting.borrow().len() >= MAX_IN_FLIGHT;
        if full() {
            this.sweep();
        }
        let deadline = waiting.call.caller.deadline;
        let refusal = match () {
            () if deadline <= Instant::now() => Some((HostErrorKind::TimedOut, LATE.to_owned())),
            () if full() => Some((HostErrorKind::Unavailable, busy())),
            () => None,
        };
        if let Some((kind, why)) = refusal {
            return deliver(waiting.tx, this.refuse(&waiting.call, kind, &why));
        }
        this.waiting.borrow_mut().push_back(waiting);
        Self::wake_at(this, deadline);
    }

    /// Looks through what waits at that moment, or earlier.
    fn wake_at(this: &Rc<Self>, deadline: Instant) {
        if this.alarm.get().is_some_and(|alarm| alarm <= deadline) {
            return;
        }
        this.alarm.set(Some(deadline));
        let state = Rc::downgrade(this);
        actix::spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            let Some(state) = state.upgrade() else { return };
            // An alarm that was set for an earlier moment has taken this one's place.
            if state.alarm.get() == Some(deadline) {
                state.alarm.set(None);
                state.sweep();
                let next = next_deadline(&state.waiting.borrow());
                if let Some(next) = next {
                    Self::wake_at(&state, next);
                }
            }
        });
    }

    /// Answers the calls that waited until their deadline.
    fn sweep(&self) {
        let over = take_expired(&mut self.waiting.borrow_mut(), Instant::now());
        for Waiting { call, tx } in over {
            let reply =
                self.refuse(&call, HostErrorKind::TimedOut, " did not come back before the deadline of the call");
            deliver(tx, reply);
        }
    }

    /// An error of the actor itself, counted.
    pub(super) fn refuse(&self, call: &BindingCall, kind: HostErrorKind, why: &str) -> BindingReply {
        self.refused(call, self.error(kind, why))
    }

    pub(super) fn error(&self, kind: HostErrorKind, why: &str) -> HostCallError {
        HostCallError::new(kind, format!("binding `{}`{why}", self.name))
    }
}

/// Why a call was not started.
pub(super) const LATE: &str = " was not reached before the deadline of the call";

fn full(turnstile: &Turnstile) -> String {
    let limits = turnstile.limits();
    format!(" is busy: it has {} host calls, and {} wait", limits.concurrent, limits.queue)
}

fn busy() -> String {
    format!(" is busy: {MAX_IN_FLIGHT} host calls wait for it here")
}
