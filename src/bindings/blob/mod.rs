//! The `blob` binding.

use std::sync::Arc;

use super::{BindingContext, BindingError, BindingFactory};
use crate::config::BlobSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 6] = ["put", "get", "head", "list", "delete", "copy"];

/// Opens the backend that the settings name.
pub(super) fn start(
    binding: Arc<str>,
    _settings: &BlobSettings,
    _context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Err(BindingError::Backend { binding, what: "start yet".to_owned(), source: "it is being written".into() })
}
