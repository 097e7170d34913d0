//! How an answer reaches the guest: at once, from a future beside the actor, or after a wait for the binding.

use std::{rc::Rc, time::Instant};

use actix::{Context, dev::MessageResponse, dev::OneshotSender};
use tokio::sync::oneshot;

use super::{
    BindingActor,
    state::{LATE, State},
    subject::Subject,
    waiting::Waiting,
};
use crate::{
    bindings::{BindingCall, BindingFuture, BindingReply, guard::Guarded, turnstile::Permit},
    host::HostErrorKind,
};

/// What the handler gives to actix.
pub enum Reply {
    /// Sent at once.
    Now(BindingReply),
    /// Sent when it is there.
    Later(Pending),
    /// There is no place in the backend at the moment; the call waits for its turn.
    Queued(Box<Queued>),
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
            Self::Queued(queued) => {
                actix::spawn(queued.run(tx));
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
    ends: Ends,
    in_flight: InFlight,
}

/// Where a call ends by the binding's limits, and what it holds until then.
pub(super) struct Ends {
    pub(super) max_response: u64,
    /// When its time is over, if that is sooner than its guest call's.
    pub(super) limit: Option<Instant>,
    pub(super) _permit: Permit,
}

impl Pending {
    pub(super) fn new(work: BindingFuture, subject: Subject, generation: u64, ends: Ends, state: &Rc<State>) -> Self {
        Self { work: Guarded::new(work), subject, generation, ends, in_flight: InFlight::enter(state) }
    }

    /// Waits for the reply, or until nobody waits for it any more, or until the binding's time for it is over.
    async fn run(self, tx: Option<OneshotSender<BindingReply>>) {
        let Self { mut work, subject, generation, ends, in_flight } = self;
        let state = &in_flight.0;
        let Some(mut tx) = tx else {
            let outcome = work.await;
            state.settle(outcome, generation, &subject).ok();
            return;
        };
        let outcome = tokio::select! {
            biased;
            outcome = &mut work => Ok(outcome),
            () = tx.closed() => Err(Ended::GivenUp),
            () = passed(ends.limit) => Err(Ended::TimedOut),
        };
        if outcome.is_err()
            && let Err(panic) = work.end()
        {
            state.panicked(generation, Some(&subject), &panic);
        }
        match outcome {
            Ok(outcome) => {
                let outcome = outcome.map(|reply| state.within(ends.max_response, reply));
                deliver(Some(tx), state.settle(outcome, generation, &subject));
            }
            Err(Ended::TimedOut) => {
                let error = state.error(HostErrorKind::TimedOut, " did not answer within its `limits.timeout`");
                let reply = Err(error);
                state.counters.answered(subject.operation, &reply);
                deliver(Some(tx), reply);
            }
            Err(Ended::GivenUp) => state.counters.given_up(subject.operation),
        }
    }
}

/// Why a call ended without its answer.
enum Ended {
    GivenUp,
    TimedOut,
}

/// Resolves at that moment; never without one.
async fn passed(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit.into()).await,
        None => std::future::pending().await,
    }
}

/// A call that waits for its place in the backend.
pub struct Queued {
    state: Rc<State>,
    call: BindingCall,
    turn: oneshot::Receiver<Permit>,
    limit: Option<Instant>,
    in_flight: InFlight,
}

impl Queued {
    pub(super) fn new(
        state: Rc<State>,
        call: BindingCall,
        turn: oneshot::Receiver<Permit>,
        limit: Option<Instant>,
    ) -> Self {
        let in_flight = InFlight::enter(&state);
        Self { state, call, turn, limit, in_flight }
    }

    /// Waits for the place, and takes it.
    async fn run(self, tx: Option<OneshotSender<BindingReply>>) {
        let Self { state, call, turn, limit, in_flight } = self;
        let Some(mut tx) = tx else { return };
        let turn = tokio::select! {
            biased;
            () = tx.closed() => {
                return state.counters.given_up(state.counters.operation(&call.operation));
            }
            turn = turn => turn.map_err(|_evicted| (HostErrorKind::Unavailable, EVICTED)),
            () = passed(Some(call.caller.deadline)) => Err((HostErrorKind::TimedOut, LATE)),
        };
        drop(in_flight);
        match turn {
            Ok(permit) => State::take_admitted(&state, call, permit, limit).send(Some(tx)),
            Err((kind, why)) => deliver(Some(tx), state.refuse(&call, kind, why)),
        }
    }
}

/// Why a call that waited was given up.
const EVICTED: &str = " is busy: the module has more host calls waiting for it than any other, and others wait too";

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
