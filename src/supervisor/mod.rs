//! Keeps modules and bindings running: starts them in order, hears of every exit, decides, and stops them in reverse.
//!
//! ```text
//!   wapcd, control ── SupervisorHandle ──▶ Supervisor (actor on the main thread, never waits for a worker)
//!                                            │  children: bindings, groups, modules, triggers, in the order of `Topology`
//!           loader (two threads) ◀───────────┤
//!               ModuleLoaded ───────────────▶│
//!                                            ├── starts an instance on a worker ──▶ GuestActor
//!               InstanceStarted ────────────▶│                                         │
//!               InstanceExited ─────────────▶│ ◀───────────────────────────────────────┘
//!               BindingOpened, BindingClosed ▶│ ◀── threads that may block
//!               BindingExited ──────────────▶│ ◀── BindingActor, one per worker
//!               HealthChecked ──────────────▶│ ◀── GuestActor, backend
//!               WorkerEnded ────────────────▶│ ◀── a worker's thread; beats find one that stalls
//!                                            │
//!                         child_ended ── decide() ──▶ restart, restart members, stop, or fail
//! ```
//!
//! A module is the supervised child; each exit of any of its instances counts once. A binding is one too, with its backend
//! and an actor on every worker. A group is no actor: it is a place in the tree, a count and, while members are stopped and
//! started, a `Run`.
//!
//! Code changes in `swap.rs` (from a request to its end), `roll.rs` (one instance after the other) and `probation.rs`, with
//! `swaps.rs` and `generations.rs` as plain values; `keeper.rs` and `kept.rs` write down what runs instead of a file. The
//! configuration changes in `reload.rs` (from a request, one of `reloads.rs`, to a plan, made by `planner.rs`), `prepare.rs` (what
//! can fail) and `apply.rs` (children come, change and go). `follow.rs` is told by `files::watch` that a file rests, `drop_in.rs`
//! with `accept.rs` finds modules in a directory, `files::read` reads none by halves.
//!
//! `openings.rs` decides which instance makes the call of `on_start`, which `on_start.rs` makes and repeats; `farewell.rs`
//! has that of `on_stop`.
//!
//! Read in this order: `topology.rs` (the tree) and `decide.rs` (what follows from an exit), both plain values; `tree.rs` (the
//! actor), `exits.rs` (the way from an exit to its consequence) with `failures.rs` (what failed for good, and new chances), `states.rs`
//! (what follows when a state has changed); `modules.rs` with `instances.rs` and `stops.rs`, `bindings.rs`, `groups.rs` (what happens
//! to a child of each kind), with `module_child.rs`, `slot.rs` and `binding_child.rs` (what a child is); `handlers.rs` with
//! `messages.rs` (what is asked from outside). Beside them: `loader.rs` and `instance.rs` make code and instances, `health.rs` and
//! `workers.rs` notice what does not end by itself, `events.rs` and `status.rs` say what happened and what is, `standing.rs` says
//! that in few words, `start.rs` puts all together, `handle.rs` is the way in and the order of the end.
//!
//! A trigger is a child as well, and the last to start: `triggers.rs` lets it wait for those that it calls and starts it on
//! the threads of connections, `trigger_changes.rs` gives it other settings, `trigger_ends.rs` drains it, and waits for its
//! `ending.rs`; `trigger_child.rs` is what it is, `operated.rs` what operators ask of it. What a module is called with at its start and end is in `openings.rs`, `on_start.rs` and `farewell.rs`.
//!
//! Timers (`timers.rs`) act only on the life that they were set for: every start and stop of a child is a new `era`. After every
//! change of a leaf `touched` records its new state, goes on with groups, and lets modules start that waited.

mod accept;
mod apply;
mod binding_child;
mod bindings;
mod children;
mod decide;
mod drop_in;
mod ending;
mod engines;
pub mod events;
mod exits;
mod failures;
mod farewell;
mod follow;
mod generations;
mod groups;
mod handle;
mod handlers;
mod health;
mod instance;
mod instances;
mod keeper;
mod kept;
mod loader;
mod messages;
mod module_child;
mod module_error;
mod modules;
mod moments;
mod observer;
mod on_start;
mod openings;
mod operated;
mod outcomes;
mod planner;
mod prepare;
mod probation;
mod reload;
mod reloads;
mod restarts;
mod roll;
mod slot;
mod standing;
mod start;
mod states;
pub mod status;
mod stops;
mod swap;
mod swaps;
mod timers;
mod topology;
mod tree;
mod trigger_changes;
mod trigger_child;
mod trigger_ends;
mod triggers;
mod waiters;
mod workers;

use crate::files::{fingerprint, read, watch};

pub use self::{
    decide::{Decision, Exit, Histories, decide},
    drop_in::dropped_modules,
    handle::{EndReason, NoAnswer, SETTLE, SupervisorHandle},
    loader::compile,
    messages::{NoBroker, NoRun},
    module_error::ModuleError,
    reloads::{ReloadOutcome, ReloadStep, Surroundings},
    standing::{Standing, Start, Unwell},
    start::{StartError, engine_settings, execution, start},
    swaps::SwapError,
    topology::{Branch, Node, Topology},
    workers::ThreadTurns,
};

/// A restart that waits for longer is told to whoever waits for a module to start, instead of waited for.
const LONG_WAIT: std::time::Duration = std::time::Duration::from_secs(2);
