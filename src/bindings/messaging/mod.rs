//! The `messaging` binding.

use std::sync::Arc;

use super::{BindingContext, BindingError, BindingFactory};
use crate::config::MessagingSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 2] = ["publish", "request"];

/// Opens the backend that the settings name.
pub(super) fn start(
    binding: Arc<str>,
    _settings: &MessagingSettings,
    _context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Err(BindingError::Backend { binding, what: "start yet".to_owned(), source: "it is being written".into() })
}
