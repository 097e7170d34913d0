//! The `system` binding.

use std::sync::Arc;

use super::{BindingContext, BindingError, BindingFactory};

/// The operations.
pub(super) const OPERATIONS: [&str; 5] = ["now", "monotonic", "random", "uuid", "identity"];

/// Opens the backend that the settings name.
pub(super) fn start(binding: Arc<str>, _context: &BindingContext) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Err(BindingError::Backend { binding, what: "start yet".to_owned(), source: "it is being written".into() })
}
