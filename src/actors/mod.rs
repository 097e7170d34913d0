//! Guests as actors, and the way of a call to them.
//!
//! ```text
//!  caller ── Modules::call ──▶ ModuleQueue ── GuestCall ──▶ GuestActor (idle)      one per instance, on one worker
//!                                 │  ▲                          │ owns
//!                          waiting│  │next call                 ▼
//!                                 └──┴─────────────────── WapcHostAsync ── guest
//!                                                               │ host call
//!                                                             Links ── BindingCall ──▶ BindingActor (same worker)
//! ```
//!
//! The queue belongs to the module: it outlives every instance. A call goes straight to an idle instance: on its caller's
//! own worker it begins there and then, on another it is sent as a message. Else it waits in the queue: at home on its
//! caller's worker first, then for whichever instance is free next. An instance whose guest ended reports its exit to the
//! supervisor and is gone; what waits runs on the next one. Instances on a worker that stalls get no calls, and a call that
//! one has is answered as lost at its deadline.
//!
//! Read in this order: [`call`](self) (what a caller gives and gets), `accept.rs`, `queue.rs`, `places.rs` (who waits
//! where, and which instance takes what), `members.rs`, `guest_actor.rs`, `run.rs`, `at_once.rs` (calls that begin where
//! they are made), `links.rs`, `modules.rs` (calls by name, also from module to module), `waits.rs` (who waits for whom).
//! Beside them: `bounds.rs`, `rate.rs`, `line.rs` and `budget.rs` bound what is taken, `desk.rs` and `queued_call.rs` keep
//! the duty to answer, `load.rs` and `counters.rs` count, `crossings.rs` does so for tests, `exit.rs` has every way to end,
//! `instance.rs` and `own_call.rs` what is said to an instance, and `workers.rs` the threads.

mod accept;
mod at_once;
mod bounds;
mod budget;
mod call;
mod console;
mod counters;
mod crossings;
mod desk;
mod exit;
mod guest_actor;
mod inner;
mod instance;
mod line;
mod links;
mod load;
mod members;
mod modules;
mod own_call;
mod places;
mod queue;
mod queued_call;
mod rate;
mod run;
mod settings;
#[cfg(test)]
mod tests;
mod waits;
mod workers;

#[cfg(feature = "fault-injection")]
pub use self::crossings::{crossings, set_patience};
use self::instance::GoOn;
pub(crate) use self::{accept::next_call_id, crossings::watched, exit::causes_of};
pub use self::{
    budget::QueueBudget,
    call::{CallFailure, CallReply, CallRequest, Origin, RanOn, Refusal},
    console::GuestLines,
    counters::{CallCounts, Counters, LatencyCounts, Outcome},
    exit::{ExitReason, ExitReport, InstanceExited},
    guest_actor::GuestActor,
    instance::{
        CheckHealth, Guest, GuestCall, HealthChecked, How, InstanceFacts, InstanceParts, Leave, SetLimits, TakeOver,
        TookOver,
    },
    links::Links,
    load::Loads,
    modules::Modules,
    own_call::{FinalCall, FinalCallEnded},
    queue::{ModuleQueue, QueueNumbers},
    queued_call::QueuedCall,
    settings::{Gate, QueueSettings},
    workers::{Turns, WorkerEnded, WorkerHandles, Workers, current_worker},
};
