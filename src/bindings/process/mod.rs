//! The `process` binding: a program of the user's that answers host calls, in any language.
//!
//! Operations are the program's own; requests and answers go through as they are. The program reads requests from its standard
//! input and writes answers to its standard output, as messages in MessagePack (`docs/bindings/process.md` specifies them);
//! what it writes to its standard error goes to the daemon's log, line by line.
//!
//! ```text
//!  actor.rs, on each worker                        keeper.rs, a task on the threads for connections
//!  Process ── session.rs: who waits for what ────▶ writer ─▶ stdin  ┐
//!     ▲                                                              │ child.rs: the program, in a process group
//!     └─────────────── answers ────────────────── reader ◀─ stdout  │ of its own, which ends with the daemon
//!                                                  stderr.rs ◀ stderr┘
//! ```
//!
//! Whatever the program does wrong (no message, half of one, an answer to nothing) ends it: it is killed, with all of its group,
//! and the supervisor starts it anew, with its back-off ([`ended`](super::BindingFactory::ended)). Host calls that it had are
//! answered with `unavailable` at once. A program that hangs holds up the calls that it has, until their deadlines, and nothing
//! else: what it does not read waits in a queue that the binding's limits bound.
//!
//! Errors besides those of the program: `no_such_operation`, where it says which it has; `unavailable`.

mod actor;
mod child;
mod frames;
mod keeper;
mod protocol;
mod session;
mod stderr;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::actor::ProcessFactory;
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::{Binding, ProcessSettings};

/// The operations: those that guests call and the program knows.
pub(super) const OPERATIONS: [&str; 0] = [];

/// Starts the program, and waits until it is ready.
pub(super) fn start(
    binding: &Binding,
    settings: &ProcessSettings,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Ok(Arc::new(ProcessFactory::start(binding, settings, context)?))
}
