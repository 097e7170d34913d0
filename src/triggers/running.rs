//! What every trigger does, whatever its type, and how one is made.

use std::{path::Path, sync::Arc};

use futures_util::future::BoxFuture;

use super::{RunError, TriggerContext, TriggerError, TriggerFacts, files, http, messages, schedule};
use crate::config::{Trigger, TriggerSettings, Watch};

/// A trigger that is at work. Shared; every method may be called from any thread and returns at once. Dropping the last use
/// of it stops it.
pub trait RunningTrigger: Send + Sync + 'static {
    /// Does what could fail before other settings hold, and keeps nothing of it unless [`RunningTrigger::adjust`] follows.
    ///
    /// # Errors
    /// Why the settings cannot hold.
    fn prepare(&self, _config: Arc<Trigger>) -> BoxFuture<'static, Result<Groundwork, TriggerError>> {
        Box::pin(async { Ok(Groundwork::None) })
    }

    /// Goes on with other settings of the same type; what began before ends as it began.
    fn adjust(&self, config: Arc<Trigger>, groundwork: Groundwork);

    /// Notices changes of files otherwise than before.
    fn watch(&self, _settings: Watch) {}

    /// What it says about itself.
    fn facts(&self) -> TriggerFacts;

    /// Begins a call at once as if its time had come, and counts it as such.
    ///
    /// # Errors
    /// Why there is none; no type but a schedule has times.
    fn run_now(&self) -> Result<(), RunError> {
        Err(RunError::NoSchedule)
    }

    /// Takes nothing new; the future ends when what it began has ended. It goes on also where the future is dropped.
    fn drain(&self) -> BoxFuture<'static, ()>;

    /// Ends it and what it began. Calls that run end in their modules, without anybody to hear the answer.
    fn stop(&self);

    /// Waits until it has ended by itself, with why. For ever where it does not.
    fn ended(&self) -> BoxFuture<'static, TriggerEnd>;
}

/// Why a trigger ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerEnd {
    /// What it is made of failed; what that was.
    Fault(String),
    /// The binding that it stands on ended or is being restarted, which says nothing about the trigger; which one.
    WithBinding(String),
}

/// What was done before a trigger starts, or goes on with other settings. Dropping it undoes that.
#[derive(Debug)]
pub enum Groundwork {
    /// There was nothing to do.
    None,
    /// Sockets that are bound, certificates and credentials that were read.
    Http(http::Groundwork),
}

/// Does what could fail before a trigger starts.
///
/// # Errors
/// Why it cannot start.
pub async fn prepare(config: Arc<Trigger>, context: TriggerContext) -> Result<Groundwork, TriggerError> {
    match &config.settings {
        TriggerSettings::Http(_) => http::prepare(config, context).await.map(Groundwork::Http),
        TriggerSettings::Files(_) => files::prepare(&config).await.map(|()| Groundwork::None),
        TriggerSettings::Schedule(_) | TriggerSettings::Messages(_) => Ok(Groundwork::None),
    }
}

/// What is known to be wrong with a trigger before anything of it is started: files that a start reads. Nothing is bound
/// or connected. Blocks while files are read.
#[must_use]
pub fn problems(config: &Trigger, credentials: Option<&Path>) -> Vec<TriggerError> {
    match &config.settings {
        TriggerSettings::Http(settings) => http::problems(settings, credentials),
        TriggerSettings::Schedule(_) | TriggerSettings::Messages(_) | TriggerSettings::Files(_) => Vec::new(),
    }
}

/// Starts a trigger.
///
/// # Errors
/// Why it does not start.
pub async fn start(
    config: Arc<Trigger>,
    groundwork: Groundwork,
    context: TriggerContext,
) -> Result<Arc<dyn RunningTrigger>, TriggerError> {
    match (&config.settings, groundwork) {
        (TriggerSettings::Http(_), Groundwork::Http(groundwork)) => http::start(config, groundwork, context).await,
        (TriggerSettings::Http(_), Groundwork::None) => {
            let groundwork = http::prepare(Arc::clone(&config), context.clone()).await?;
            http::start(config, groundwork, context).await
        }
        (TriggerSettings::Schedule(_), _) => schedule::start(config, context).await,
        (TriggerSettings::Messages(_), _) => messages::start(config, context).await,
        (TriggerSettings::Files(_), _) => files::start(config, context).await,
    }
}
