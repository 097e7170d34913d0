//! The `secret` binding: passwords, tokens and keys, out of files and of the service's credentials.
//!
//! | operation | request | answer | errors besides `bad_request` |
//! |---|---|---|---|
//! | `get` | `{name: str}` | `{value: bytes}` | `not_found`, `not_allowed`, `unavailable` |
//!
//! A link names the secrets that its module may read (`secrets`); every other one is `not_allowed`, also where there is none.
//! A secret is read anew by each `get`, off the workers, so that one that was exchanged is given out at once and none is kept
//! in memory. At the start all of them are read once, and a missing one keeps the binding from starting. One that cannot be
//! read later is `unavailable`: the guest reads its name, the log the reason. One line end at its end is not part of it.
//!
//! Values appear in no log line, status, error or debug output.

mod actor;
mod operations;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::actor::SecretFactory;
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::SecretSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 1] = ["get"];

/// Reads every secret once, and starts the binding if all are there.
pub(super) fn start(
    binding: Arc<str>,
    settings: &SecretSettings,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Ok(Arc::new(SecretFactory::open(binding, settings, context)?))
}
