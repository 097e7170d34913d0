//! The `config` binding: what the operator wrote into `[modules.NAME.config]` for the module that asks.
//!
//! | operation | request | answer | errors besides `bad_request` |
//! |---|---|---|---|
//! | `get` | `{key: str or [str]}` | `{value: any}` | `not_found` |
//! | `all` | `{}` | `{config: map}` | |
//!
//! A key is a path into nested tables: `"a.b.c"`, or a list of its parts where a part has dots of its own. Values keep their
//! types: text, integers, floats, booleans, lists and tables; dates are text. What a list holds is not addressed.
//!
//! The table comes with the link ([`Rules::Config`](crate::config::Rules::Config)), so that a module can see no other's, and a
//! reload changes what the next host call reads. There are no settings, no backend and no state.

mod actor;
mod operations;

use std::sync::Arc;

use self::actor::ConfigFactory;
use super::{BindingContext, BindingError, BindingFactory};

/// The operations.
pub(super) const OPERATIONS: [&str; 2] = ["get", "all"];

/// Starts the binding, which needs nothing.
pub(super) fn start(name: Arc<str>, _context: &BindingContext) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Ok(Arc::new(ConfigFactory::new(name)))
}
