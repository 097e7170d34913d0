//! Keeps modules and bindings running: starts them in order, hears of every exit, decides, and stops them in reverse.
//!
//! ```text
//!   wapcd, control ── SupervisorHandle ──▶ Supervisor (actor on the main thread, never waits for a worker)
//!                                            │  children: bindings, then modules, in file order
//!                      compile (bounded) ◀───┤
//!                      ModuleLoaded ────────▶│
//!                                            ├── starts an instance on a worker ──▶ GuestActor
//!                      InstanceStarted ─────▶│                                         │
//!                      InstanceExited ──────▶│ ◀───────────────────────────────────────┘
//!                                            │ decide(): restart or give up
//! ```
//!
//! Every decision is a pure function in `decide.rs`; the actor only carries it out. A module is the supervised child;
//! each exit of any of its instances counts once.

mod bindings;
mod child;
mod decide;
pub mod events;
mod handle;
mod handlers;
mod instance;
mod loader;
mod messages;
pub mod status;
mod tree;

pub use self::{
    decide::{Decision, History, decide},
    handle::{NoAnswer, SETTLE, StartError, SupervisorHandle, engine_settings, start},
    loader::{ModuleError, compile},
};
