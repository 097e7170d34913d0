//! The actor around a binding: one per binding and worker, at the same address for the life of the worker.
//!
//! It owns the [`Binding`](super::Binding) of its worker, where there is one, and the rules that hold for every type:
//! nothing is started past its deadline, the calls in flight are bounded and modules take turns, sizes and times have limits,
//! a panic ends one call. It knows no operation
//! and decides nothing: what follows a panic is the supervisor's order.
//!
//! ```text
//!              ┌──────────────── Hold, panic ────────────────┐
//!              ▼                                             │
//!  new ──▶ Holding ────────────── Serve ─────────────────▶ Serving
//!              │ ▲                                           │ ▲
//!       Refuse │ └── Hold ── Refusing ◀────── Refuse ────────┘ │
//!              └───────────────▶ └──────────── Serve ──────────┘
//! ```
//!
//! Host calls come from guests on the same worker, who ask it directly where they can (`here.rs`), or by its mailbox.
//! Calls that come while it holds wait, each until its own deadline and within the same bound as calls in flight.

pub(crate) mod here;
mod messages;
mod reply;
mod state;
mod subject;
mod waiting;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use actix::{Actor, AsyncContext, Context, Handler, Recipient};

use self::state::{Phase, State};
pub use self::{
    messages::{BindingExited, Hold, Refuse, Serve},
    reply::{Held, Pending, Queued, Reply},
};
use super::{BindingCall, BindingCounters, Observer};

/// Host calls that may lie in the mailbox of one actor, at some 200 bytes each.
///
/// Senders beyond it wait for room, under their own deadlines. The actor empties its mailbox whenever its worker polls
/// it, so this only needs to hold what the instances of one worker send in between; a half would make bursts of
/// more than 128 instances wait a round, and the double gains nothing.
const MAILBOX: usize = 256;

/// Host calls that may wait for a binding on one worker while there is none, or be in one that counts nothing itself; beyond it
/// they are `unavailable`.
///
/// Each holds its payload and a future. With 1024 the backend's own queues are full long before; twice as many would
/// only wait for their deadlines.
const MAX_IN_FLIGHT: usize = 1024;

/// Answers the host calls of the guests on one worker with one binding.
pub struct BindingActor {
    state: Rc<State>,
}

impl BindingActor {
    /// Makes the actor of the binding with that index and name; calls wait until it is told what to do.
    #[must_use]
    pub fn new(
        binding: usize,
        name: Arc<str>,
        worker: usize,
        counters: Arc<BindingCounters>,
        supervisor: Recipient<BindingExited>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let state = State {
            binding,
            name,
            worker,
            counters,
            supervisor,
            observer,
            phase: RefCell::new(Phase::Holding),
            waiting: RefCell::default(),
            alarm: Cell::new(None),
            in_flight: Cell::new(0),
            generation: Cell::new(0),
        };
        Self { state: Rc::new(state) }
    }
}

impl Actor for BindingActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        here::enter(ctx.address(), &self.state);
    }
}

impl Drop for BindingActor {
    /// The last word of an actor: its worker ends, or code of the actor panicked.
    fn drop(&mut self) {
        let what = if std::thread::panicking() { "code of the actor panicked" } else { "its worker ended" };
        // Gone with the worker either way.
        self.state.replace(Phase::Holding).ok();
        self.state.report(what, None, true);
    }
}

impl Handler<BindingCall> for BindingActor {
    type Result = Reply;

    fn handle(&mut self, call: BindingCall, _: &mut Self::Context) -> Reply {
        State::take(&self.state, call)
    }
}

impl Handler<Serve> for BindingActor {
    type Result = ();

    fn handle(&mut self, Serve { backend, turnstile }: Serve, _: &mut Self::Context) {
        State::serve(&self.state, &backend, turnstile);
    }
}

impl Handler<Hold> for BindingActor {
    type Result = ();

    fn handle(&mut self, _: Hold, _: &mut Self::Context) {
        self.state.leave_binding(Phase::Holding);
    }
}

impl Handler<Refuse> for BindingActor {
    type Result = ();

    fn handle(&mut self, Refuse(why): Refuse, _: &mut Self::Context) {
        State::refuse_all(&self.state, why);
    }
}

#[cfg(test)]
mod tests;
