//! The `process` binding.

use std::sync::Arc;

use super::{BindingContext, BindingError, BindingFactory};
use crate::config::ProcessSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 0] = [];

/// Opens the backend that the settings name.
pub(super) fn start(
    binding: Arc<str>,
    _settings: &ProcessSettings,
    _context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Err(BindingError::Backend { binding, what: "start yet".to_owned(), source: "it is being written".into() })
}
