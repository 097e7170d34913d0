//! The `http` trigger.

mod access;
mod answer;
mod authenticate;
mod complaints;
mod cors;
mod head;
mod problem;
mod request;
mod response;
mod route;
mod trace;

use std::sync::Arc;

use super::{RunningTrigger, TriggerContext, TriggerError};
use crate::config::Trigger;

/// What was done before it starts or takes other settings.
#[derive(Debug)]
pub struct Groundwork {}

/// Binds sockets, reads certificates and credentials.
pub(super) async fn prepare(_config: Arc<Trigger>, _context: TriggerContext) -> Result<Groundwork, TriggerError> {
    Err(TriggerError::Settings("not there yet".to_owned()))
}

/// Starts it.
///
/// # Errors
/// Why it does not start.
pub(super) async fn start(
    _config: Arc<Trigger>,
    _groundwork: Groundwork,
    _context: TriggerContext,
) -> Result<Arc<dyn RunningTrigger>, TriggerError> {
    Err(TriggerError::Settings("not there yet".to_owned()))
}
