//! The `system` binding: clocks, random bytes, identifiers, and who is asking.
//!
//! | operation | request | answer |
//! |---|---|---|
//! | `now` | `{}` | `{unix_ms: int, rfc3339: str}` |
//! | `monotonic` | `{}` | `{ns: int}` |
//! | `random` | `{length: int}` | `{bytes: bytes}` |
//! | `uuid` | `{version?: int}` | `{uuid: str}` |
//! | `identity` | `{}` | `{module: str, instance: int, generation: int, call: int}` |
//!
//! `now` is the wall clock in UTC, which may jump; `monotonic` never goes back, counts from some moment in the life of the
//! daemon, and is the same for all modules and over restarts of the binding. `random` gives 1 byte to 64 KiB of a generator
//! that is fit for keys, seeded by the system. `uuid` is of version 4 (random) or 7 (sorted by time); 4 where nothing is said.
//!
//! Errors: `bad_request`. There are no settings, no backend, no rules of links and no state.

mod actor;
mod clock;
mod operations;

use std::sync::Arc;

use self::actor::SystemFactory;
use super::{BindingContext, BindingError, BindingFactory};

/// The operations.
pub(super) const OPERATIONS: [&str; 5] = ["now", "monotonic", "random", "uuid", "identity"];

/// Starts the binding, which needs nothing.
pub(super) fn start(name: Arc<str>, _context: &BindingContext) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Ok(Arc::new(SystemFactory::new(name)))
}
