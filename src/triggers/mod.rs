//! Triggers: what outside causes guest calls. Each is a supervised child of its own; whom it calls it reaches by the
//! module's name, as everybody does, so that calls wait, are counted and end as all others.
//!
//! ```text
//!   supervisor ── prepare ──▶ Groundwork ── start ──▶ RunningTrigger ── adjust, drain, stop ──▶ …
//!                 (whatever can be refused:                │
//!                  sockets, certificates)                  └── Caller ──▶ Modules ──▶ the module's queue
//! ```
//!
//! * `running.rs`: what every type does, and the ways to make one; `context.rs`: what it gets for that.
//! * `caller.rs`: one guest call of a trigger, counted; `facts.rs`: what it says about itself; `notice.rs`: what it says
//!   has happened.
//! * A folder for each type: `http`, `schedule`, `messages`, `files`. `sockets`: where connections come in.

mod caller;
mod context;
mod error;
mod facts;
pub mod files;
pub mod http;
pub mod messages;
mod notice;
mod running;
pub mod schedule;
mod sockets;

pub use self::{
    caller::Caller,
    context::TriggerContext,
    error::{RunError, TriggerError},
    facts::{Detail, ListenerFacts, TriggerFacts},
    notice::{Notice, TriggerObserver},
    running::{Groundwork, RunningTrigger, TriggerEnd, prepare, problems, start},
    sockets::{SocketKeeper, Sockets, raise_descriptor_limit},
};
