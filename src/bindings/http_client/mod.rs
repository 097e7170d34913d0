//! The `http_client` binding.

use std::sync::Arc;

use super::{BindingContext, BindingError, BindingFactory};
use crate::config::HttpClientSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 1] = ["request"];

/// Opens the backend that the settings name.
pub(super) fn start(
    binding: Arc<str>,
    _settings: &HttpClientSettings,
    _context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Err(BindingError::Backend { binding, what: "start yet".to_owned(), source: "it is being written".into() })
}
