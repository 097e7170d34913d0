//! The `messages` trigger: a guest call for each message of a messaging binding.
//!
//! ```text
//!            ┌ live.rs: one task a topic, Broker::subscribe ──┐             ┌ Caller ──▶ module
//!  Broker ──▶│                                                ├─▶ work.rs ──┤
//!            └ durable.rs: one task, Broker::consume ─────────┘  (permits)  └ answer, verdict ──▶ Broker
//! ```
//!
//! * `state.rs`: what the tasks share: settings, permits, counts, whether they hear anything, and the end.
//! * `live.rs`: messages that are gone once delivered; `durable.rs`: those that a stream keeps until they are done.
//! * `work.rs`: one message, from its payload to its answer or verdict; `payload.rs`: what the guest gets; `answer.rs`: what
//!   whoever asked gets.
//! * `pause.rs`: waits before another try.
//!
//! Everything lives on the threads of connections. A call that starts there wakes the worker of an idle instance once. To go
//! to the workers in turn and call from there was measured for local topics: it costs the same CPU time, within the noise.

mod answer;
mod durable;
mod live;
mod pause;
mod payload;
mod state;
mod work;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use self::state::{Phase, Shared};
use super::{Groundwork, RunningTrigger, TriggerContext, TriggerEnd, TriggerError, TriggerFacts};
use crate::config::{Trigger, TriggerSettings};

/// How long a start waits for the first try to listen, so that who is told that the trigger runs is heard by it. Longer than
/// a server in reach takes; one that is not is waited for while the trigger is up.
const FIRST_TRY: Duration = Duration::from_secs(1);

/// Starts it.
///
/// # Errors
/// The binding carries no messages.
pub(super) async fn start(
    config: Arc<Trigger>,
    context: TriggerContext,
) -> Result<Arc<dyn RunningTrigger>, TriggerError> {
    let TriggerSettings::Messages(settings) = &config.settings else {
        return Err(TriggerError::Settings("these are not settings of messages".to_owned()));
    };
    let Some(broker) = context.broker.clone() else {
        let why = "it is not being served".to_owned();
        return Err(TriggerError::NoBroker { binding: settings.binding.to_string(), why });
    };
    let shared = Arc::new(Shared::new(&config.name, settings.clone(), broker, &context));
    let (tried, first) = oneshot::channel();
    let task = match settings.durable.clone() {
        Some(consumer) => tokio::spawn(durable::run(Arc::clone(&shared), consumer, tried)),
        None => tokio::spawn(live::run(Arc::clone(&shared), tried)),
    };
    let watched = Arc::clone(&shared);
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            watched.lost();
        }
    });
    // Whatever came of it: the trigger is up, and goes on trying.
    tokio::time::timeout(FIRST_TRY, first).await.map(drop).unwrap_or_default();
    Ok(Arc::new(Messages(shared)))
}

/// A `messages` trigger at work.
struct Messages(Arc<Shared>);

impl RunningTrigger for Messages {
    fn adjust(&self, config: Arc<Trigger>, _groundwork: Groundwork) {
        if let TriggerSettings::Messages(settings) = &config.settings {
            self.0.adjust(settings.clone());
        }
    }

    fn facts(&self) -> TriggerFacts {
        self.0.facts()
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        self.0.enter(Phase::Draining);
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.drained().await })
    }

    fn stop(&self) {
        self.0.enter(Phase::Stopped);
    }

    fn ended(&self) -> BoxFuture<'static, TriggerEnd> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.ended().await })
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.0.enter(Phase::Stopped);
    }
}
