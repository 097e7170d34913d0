//! The `messages` trigger.

use std::sync::Arc;

use super::{RunningTrigger, TriggerContext, TriggerError};
use crate::config::Trigger;

/// Starts it.
///
/// # Errors
/// Why it does not start.
pub(super) async fn start(
    _config: Arc<Trigger>,
    _context: TriggerContext,
) -> Result<Arc<dyn RunningTrigger>, TriggerError> {
    Err(TriggerError::Settings("not there yet".to_owned()))
}
