//! How an answer reaches the guest: at once, from a future beside the actor, or after a wait for the binding.

use std::rc::Rc;

use actix::{Context, dev::MessageResponse, dev::OneshotSender};

use super::{BindingActor, state::State, subject::Subject, waiting::Waiting};
use crate::bindings::{BindingCall, BindingFuture, BindingReply, guard::Guarded};

/// What the handler gives to actix.
pub enum Reply {
    /// Sent at once.
    Now(BindingReply),
    /// Sent when it is there.
    Later(Pending),
    /// Nobody answers at the moment; the call waits.
    Held(Box<Held>),
}

/// A call that has to wait for a binding.
pub struct Held {
    pub(super) state: Rc<State>,
    pub(super) call: BindingCall,
}

impl MessageResponse<BindingActor, BindingCall> for Reply {
    fn handle(self, _: &mut Context<BindingActor>, tx: Option<OneshotSender<BindingReply>>) {
        self.send(tx);
    }
}

impl Reply {
    pub(super) fn send(self, tx: Option<OneshotSender<BindingReply>>) {
        match self {
            Self::Now(reply) => deliver(tx, reply),
            Self::Later(pending) => {
                actix::spawn(pending.run(tx));
            }
            Self::Held(held) => {
                let Held { state, call } = *held;
                State::hold(&state, Waiting { call, tx });
            }
        }
    }
}

/// Sends the answer to a guest.
pub(super) fn deliver(tx: Option<OneshotSender<BindingReply>>, reply: BindingReply) {
    // A guest that no longer waits was ended at its deadline and has its own error.
    tx.and_then(|tx| tx.send(reply).err());
}

/// A reply that is waited for.
pub struct Pending {
    work: Guarded<BindingFuture>,
    subject: Subject,
    /// Which of the worker's bindings made it.
    generation: u64,
    in_flight: InFlight,
}

impl Pending {
    pub(super) fn new(work: BindingFuture, subject: Subject, generation: u64, state: &Rc<State>) -> Self {
        Self { work: Guarded::new(work), subject, generation, in_flight: InFlight::enter(state) }
    }

    /// Waits for the reply, or until nobody waits for it any more.
    async fn run(self, tx: Option<OneshotSender<BindingReply>>) {
        let Self { mut work, subject, generation, in_flight } = self;
        let state = &in_flight.0;
        let (outcome, tx) = match tx {
            None => (Some(work.await), None),
            Some(mut tx) => {
                let outcome = tokio::select! {
                    biased;
                    outcome = &mut work => Some(outcome),
                    () = tx.closed() => None,
                };
                if outcome.is_none()
                    && let Err(panic) = work.end()
                {
                    state.panicked(generation, Some(&subject), &panic);
                }
                (outcome, Some(tx))
            }
        };
        match outcome {
            Some(outcome) => deliver(tx, state.settle(outcome, generation, &subject)),
            None => state.counters.given_up(subject.operation),
        }
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
