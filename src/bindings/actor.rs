//! The actor around a binding: one per binding and worker.
//!
//! It owns the [`Binding`] of its worker and the rules that hold for every type: nothing is started past its
//! deadline, the calls in flight are bounded, a panic ends one call and is followed by a fresh binding. It knows no
//! operation.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use actix::{Actor, Context, Handler, dev::MessageResponse, dev::OneshotSender};

use super::{Answer, Binding, BindingCall, BindingCounters, BindingFactory, BindingFuture, BindingReply, guard};
use crate::host::{HostCallError, HostErrorKind};

/// Host calls that may lie in the mailbox of one actor, at some 200 bytes each.
///
/// Senders beyond it wait for room, under their own deadlines. The actor empties its mailbox whenever its worker polls
/// it, so this only needs to hold what the instances of one worker send in between; a half would make bursts of
/// more than 128 instances wait a round, and the double gains nothing.
const MAILBOX: usize = 256;

/// Host calls of one binding that may be waiting for their answer on one worker; beyond it they are `unavailable`.
///
/// Each holds its payload and a future. With 1024 the backend's own queues are full long before; twice as many would
/// only wait for their deadlines.
const MAX_IN_FLIGHT: usize = 1024;

/// Answers the host calls of the guests on one worker with one binding.
pub struct BindingActor {
    state: Rc<State>,
}

/// Shared by the actor and the answers that it still owes.
struct State {
    name: Arc<str>,
    worker: usize,
    factory: Arc<dyn BindingFactory>,
    counters: Arc<BindingCounters>,
    current: RefCell<Current>,
    in_flight: Cell<usize>,
}

/// The binding of this worker.
#[derive(Clone)]
enum Current {
    /// It answers.
    Ready(Rc<dyn Binding>),
    /// The factory panicked, with this message; the next call tries again.
    Broken(String),
}

impl BindingActor {
    /// Makes the actor with its binding, ready to answer.
    pub fn new(
        name: Arc<str>,
        worker: usize,
        factory: Arc<dyn BindingFactory>,
        counters: Arc<BindingCounters>,
    ) -> Self {
        let current = RefCell::new(Current::Broken("not made yet".to_owned()));
        let state = State { name, worker, factory, counters, current, in_flight: Cell::new(0) };
        state.make();
        Self { state: Rc::new(state) }
    }
}

impl Actor for BindingActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<BindingCall> for BindingActor {
    type Result = Reply;

    fn handle(&mut self, call: BindingCall, _: &mut Self::Context) -> Reply {
        let reply = State::take(&self.state, call);
        if let Reply::Now(reply) = &reply {
            self.state.counters.answered(reply);
        }
        reply
    }
}

/// What the handler gives to actix: a reply that is sent, or one that is waited for beside the actor.
pub enum Reply {
    /// Sent at once.
    Now(BindingReply),
    /// Sent when it is there.
    Later(Pending),
}

impl MessageResponse<BindingActor, BindingCall> for Reply {
    fn handle(self, _: &mut Context<BindingActor>, tx: Option<OneshotSender<BindingReply>>) {
        match self {
            Self::Now(reply) => deliver(tx, reply),
            Self::Later(pending) => {
                actix::spawn(pending.run(tx));
            }
        }
    }
}

fn deliver(tx: Option<OneshotSender<BindingReply>>, reply: BindingReply) {
    // A guest that no longer waits was ended at its deadline and has its own error.
    tx.and_then(|tx| tx.send(reply).err());
}

/// The call that a panic is reported with.
struct Subject {
    module: Arc<str>,
    instance: u64,
    call: u64,
}

impl State {
    /// Checks what holds for every binding, then calls it.
    fn take(this: &Rc<Self>, call: BindingCall) -> Reply {
        let binding = match this.admit(&call) {
            Ok(binding) => binding,
            Err(error) => return Reply::Now(Err(error)),
        };
        let subject =
            Subject { module: Arc::clone(&call.caller.module), instance: call.caller.instance, call: call.caller.call };
        match guard::catch(|| binding.call(call)) {
            Ok(Answer::Now(reply)) => Reply::Now(reply),
            Ok(Answer::Later(work)) => {
                Reply::Later(Pending { work, subject, binding, in_flight: InFlight::enter(this) })
            }
            Err(panic) => Reply::Now(Err(this.panicked(&binding, &subject, &panic))),
        }
    }

    fn admit(&self, call: &BindingCall) -> Result<Rc<dyn Binding>, HostCallError> {
        let refuse = |kind, why: String| Err(HostCallError::new(kind, format!("binding `{}` {why}", self.name)));
        if call.caller.deadline <= Instant::now() {
            return refuse(HostErrorKind::TimedOut, "was not reached before the deadline of the call".to_owned());
        }
        if self.in_flight.get() >= MAX_IN_FLIGHT {
            return refuse(HostErrorKind::Unavailable, format!("is busy: {MAX_IN_FLIGHT} host calls wait for it here"));
        }
        if matches!(&*self.current.borrow(), Current::Broken(_)) {
            self.make();
        }
        match &*self.current.borrow() {
            Current::Ready(binding) => Ok(Rc::clone(binding)),
            Current::Broken(why) => refuse(HostErrorKind::Unavailable, format!("could not be started: {why}")),
        }
    }

    /// Puts a fresh binding in place of what is there.
    fn make(&self) {
        let fresh = match guard::catch(|| self.factory.make(self.worker)) {
            Ok(binding) => Current::Ready(Rc::from(binding)),
            Err(panic) => {
                tracing::error!(binding = %self.name, worker = self.worker, panic, "binding could not be made");
                Current::Broken(panic)
            }
        };
        self.replace(fresh);
    }

    fn replace(&self, fresh: Current) {
        let old = self.current.replace(fresh);
        if let Err(panic) = guard::catch(|| drop(old)) {
            tracing::error!(binding = %self.name, worker = self.worker, panic, "binding panicked while it was dropped");
        }
    }

    /// Reports a panic and starts the binding anew, once for all calls that it had in flight.
    fn panicked(&self, binding: &Rc<dyn Binding>, subject: &Subject, panic: &str) -> HostCallError {
        tracing::error!(
            binding = %self.name,
            worker = self.worker,
            module = %subject.module,
            instance = subject.instance,
            call = subject.call,
            panic,
            "binding panicked"
        );
        let still_current = matches!(&*self.current.borrow(), Current::Ready(current) if Rc::ptr_eq(current, binding));
        if still_current {
            self.counters.restarted(panic);
            self.make();
        }
        HostCallError::new(HostErrorKind::Internal, format!("binding `{}` panicked: {panic}", self.name))
    }
}

/// A reply that is waited for.
pub struct Pending {
    work: BindingFuture,
    subject: Subject,
    binding: Rc<dyn Binding>,
    in_flight: InFlight,
}

impl Pending {
    /// Waits for the reply, or until nobody waits for it any more.
    async fn run(self, tx: Option<OneshotSender<BindingReply>>) {
        let Self { work, subject, binding, in_flight } = self;
        let state = &in_flight.0;
        let work = guard::catch_future(work);
        let (outcome, tx) = match tx {
            None => (Some(work.await), None),
            Some(mut tx) => {
                let outcome = tokio::select! {
                    biased;
                    outcome = work => Some(outcome),
                    () = tx.closed() => None,
                };
                (outcome, Some(tx))
            }
        };
        let Some(outcome) = outcome else { return state.counters.given_up() };
        let reply = outcome.unwrap_or_else(|panic| Err(state.panicked(&binding, &subject, &panic)));
        state.counters.answered(&reply);
        deliver(tx, reply);
    }
}

/// One call in flight; counted until it is dropped, however it ends.
struct InFlight(Rc<State>);

impl InFlight {
    fn enter(state: &Rc<State>) -> Self {
        state.in_flight.set(state.in_flight.get() + 1);
        Self(Rc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

#[cfg(test)]
mod tests;
