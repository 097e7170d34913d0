//! The `metrics` binding.

use std::sync::Arc;

use super::{BindingContext, BindingError, BindingFactory};
use crate::config::MetricsSettings;

/// The operations.
pub(super) const OPERATIONS: [&str; 3] = ["counter", "gauge", "histogram"];

/// What guests count.
#[derive(Debug, Default)]
pub struct GuestMetrics;

/// Opens the backend that the settings name.
pub(super) fn start(
    binding: Arc<str>,
    _settings: &MetricsSettings,
    _context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    Err(BindingError::Backend { binding, what: "start yet".to_owned(), source: "it is being written".into() })
}
