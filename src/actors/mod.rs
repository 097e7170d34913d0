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
//! The queue belongs to the module: it outlives every instance. A call goes straight to an idle instance, on the
//! caller's worker where there is one; else it waits in the queue and the instance that is free next takes it. An
//! instance whose guest ended reports its exit to the supervisor and is gone; what waits runs on the next one.
//!
//! Read in this order: [`call`](self) (what a caller gives and gets), `accept.rs`, `queue.rs`, `guest_actor.rs`, `links.rs`,
//! `modules.rs` (calls by name, also from module to module), `waits.rs` (who waits for whom).

mod accept;
mod call;
mod console;
mod exit;
mod guest_actor;
mod links;
mod modules;
mod queue;
mod queued_call;
mod waits;
mod workers;

pub(crate) use self::exit::causes_of;
pub use self::{
    call::{CallFailure, CallReply, CallRequest, Origin, RanOn, Refusal},
    console::GuestLines,
    exit::{ExitReason, ExitReport, InstanceExited},
    guest_actor::{GuestActor, GuestCall, InstanceParts, Leave},
    links::Links,
    modules::Modules,
    queue::{Counters, Gate, ModuleQueue, QueueNumbers, QueueSettings},
    queued_call::{QueueBudget, QueuedCall},
    workers::{Workers, current_worker},
};
