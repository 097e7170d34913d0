//! Host services that guests may call.
//!
//! ```text
//!  worker 0                                       worker 1
//!  GuestActor ──BindingCall──▶ BindingActor       BindingActor ◀──BindingCall── GuestActor
//!      ▲                        │ owns                │ owns                        ▲
//!      └──────── reply ─────────┤                     ├───────── reply ─────────────┘
//!                               ▼                     ▼
//!                            Binding               Binding      made by the factory, when the supervisor says so
//!                               └───────┬─────────────┘
//!                                       ▼
//!                          BindingFactory: the backend, opened once
//! ```
//!
//! Every worker has one [`BindingActor`] for each binding, so that a host call stays on the worker of its guest.
//! [`start_backend`] opens what a `[bindings.NAME]` table asks for: what the workers share (a database, a map) is behind
//! the [`BindingFactory`]. The supervisor hands it to the actors ([`Serve`]), hears of every panic at once
//! ([`BindingExited`]) and decides what follows; meanwhile calls wait. Links, renamed operations and the denial of
//! everything else are resolved by the sender: a [`BindingCall`] that arrives here is allowed.
//!
//! The actor holds the rules that are the same for every type (deadline, bound, panics, counters) in [`mod@actor`]; a
//! [`Binding`] answers at once or with a future, and never blocks. A backend that blocks has threads of its own.
//!
//! Every type is a folder of the same shape: `mod.rs` is its page of documentation, `actor.rs` owns the resource and
//! maps a host call to an operation, `operations.rs` holds the operations as plain functions, and each backend is a
//! file or folder of its own. Payloads with named fields are read and written in [`payload`] alone.

pub mod actor;
mod binding;
pub mod blob;
mod call;
mod circuit;
pub mod config;
mod context;
mod counters;
mod error;
#[cfg(feature = "fault-injection")]
pub mod faulty;
mod guard;
pub mod http_client;
mod io;
pub mod keyvalue;
pub mod log;
pub mod messaging;
pub mod metrics;
pub mod module;
mod needs;
mod observer;
pub mod payload;
pub mod process;
mod registry;
pub mod secret;
mod secret_file;
pub mod sql;
pub mod system;
#[cfg(test)]
mod testing;
mod tls;
mod turns;
mod turnstile;

pub use actor::{BindingActor, BindingExited, Hold, Refuse, Serve};
pub use binding::{Answer, Binding, BindingFactory, BindingFuture, BindingReply, Check, ModuleCaller};
pub use call::{BindingCall, Caller, Chain, Trace};
pub use context::BindingContext;
pub use counters::{BindingCounters, BindingCounts};
pub use error::BindingError;
pub use io::{Io, IoTurn};
pub use needs::problems;
pub use observer::{BackendState, BackendStatus, CacheStatus, Deaf, Denial, Observer};
pub use registry::{operations, start_backend};
pub use turnstile::{Load, Permit, Turnstile};
