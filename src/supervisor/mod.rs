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

mod binding_child;
mod bindings;
mod decide;
pub mod events;
mod groups;
mod handle;
mod handlers;
mod health;
mod instance;
mod loader;
mod messages;
mod module_child;
mod modules;
pub mod status;
mod topology;
mod tree;
mod workers;

pub use self::{
    decide::{Decision, Exit, Histories, decide},
    handle::{EndReason, NoAnswer, SETTLE, StartError, SupervisorHandle, engine_settings, start},
    loader::{ModuleError, compile},
    topology::{Branch, Node, Topology},
};

/// A restart that waits for longer is told to whoever waits for a module to start, instead of waited for.
const LONG_WAIT: std::time::Duration = std::time::Duration::from_secs(2);
