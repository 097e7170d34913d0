//! The `sql` binding.

use std::sync::Arc;

use super::{BindingContext, BindingError, BindingFactory};
use crate::config::SqlSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 3] = ["query", "execute", "batch"];

/// Opens the backend that the settings name.
pub(super) fn start(
    binding: Arc<str>,
    _settings: &SqlSettings,
    _context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Err(BindingError::Backend { binding, what: "start yet".to_owned(), source: "it is being written".into() })
}
