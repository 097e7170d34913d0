//! The handle by which everyone else reaches the supervisor: what is asked of the daemon as a whole.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Message, dev::ToEnvelope};
use parking_lot::RwLock;
use thiserror::Error;
use tokio::sync::watch;

use super::{
    events::Events,
    messages::{GetBroker, GetStatus, NoBroker, Reload},
    reloads::ReloadOutcome,
    standing::{GetStanding, Standing},
    status::{BindingStatus, Status},
    tree::Supervisor,
    workers::{AskTurns, ThreadTurns},
};
use crate::{
    actors::{CallReply, CallRequest, Modules},
    bindings::{
        messaging::Broker,
        metrics::{GuestFamily, GuestMetrics},
    },
    config::Config,
};

mod modules;
mod shutdown;
mod triggers;

/// How long the supervisor may take to answer. It never waits for anything, so this is met only when its thread starves.
const ANSWER: Duration = Duration::from_secs(2);

/// How long an operator's action may take to show its effect before the answer says how far it got: a large module
/// compiles in some seconds.
pub const SETTLE: Duration = Duration::from_secs(60);

/// The supervisor did not answer: it is gone, or its thread starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the supervisor did not answer within {} ms", ANSWER.as_millis())]
pub struct NoAnswer;

impl NoAnswer {
    /// How long the answer was waited for.
    pub const WAITED: Duration = ANSWER;
}

/// Why the daemon ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndReason {
    /// A group failed whose failing, or that of one below it, the configuration calls critical.
    #[error("{group} gave up after {because} ended, which is critical")]
    Critical {
        /// The group that gave up.
        group: String,
        /// The child that ended last.
        because: String,
    },
    /// The supervisor is gone: only a fault of its own does that. Nothing would be restarted any more.
    #[error("the supervisor has ended")]
    SupervisorEnded,
}

/// The way to a running daemon. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct SupervisorHandle {
    supervisor: Addr<Supervisor>,
    modules: Modules,
    /// The configuration that holds.
    config: Arc<RwLock<Arc<Config>>>,
    events: Events,
    guests: Arc<GuestMetrics>,
    ended: watch::Receiver<Option<EndReason>>,
}

impl SupervisorHandle {
    /// The way to a supervisor that was started.
    pub(super) fn new(
        supervisor: Addr<Supervisor>,
        (modules, config, events, guests): (Modules, Arc<RwLock<Arc<Config>>>, Events, Arc<GuestMetrics>),
        ended: watch::Receiver<Option<EndReason>>,
    ) -> Self {
        Self { supervisor, modules, config, events, guests, ended }
    }

    async fn ask<M>(&self, message: M) -> Result<M::Result, NoAnswer>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Supervisor: actix::Handler<M>,
        <Supervisor as Actor>::Context: ToEnvelope<Supervisor, M>,
    {
        match tokio::time::timeout(ANSWER, self.supervisor.send(message)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(NoAnswer),
        }
    }

    /// Describes the whole daemon.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn status(&self) -> Result<Status, NoAnswer> {
        self.ask(GetStatus).await
    }

    /// How the daemon stands, in few words.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn standing(&self) -> Result<Standing, NoAnswer> {
        self.ask(GetStanding).await
    }

    /// Asks every worker and the threads of connections to turn over once more, and tells what they have done until now.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn ask_turns(&self) -> Result<ThreadTurns, NoAnswer> {
        self.ask(AskTurns).await
    }

    /// Describes every binding.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn bindings(&self) -> Result<Vec<BindingStatus>, NoAnswer> {
        Ok(self.ask(GetStatus).await?.bindings)
    }

    /// What guests count now.
    #[must_use]
    pub fn guest_metrics(&self) -> Vec<GuestFamily> {
        self.guests.families()
    }

    /// Who carries the messages of a binding, until that is stopped or restarted.
    ///
    /// # Errors
    /// [`NoAnswer`]; the inner one is why nobody does.
    pub async fn broker(&self, binding: &str) -> Result<Result<Arc<dyn Broker>, NoBroker>, NoAnswer> {
        self.ask(GetBroker(binding.to_owned())).await
    }

    /// Reads the configuration again and applies what differs, or only plans that; `why` is for the event. Answers when
    /// what is new has started, or has not.
    ///
    /// # Errors
    /// [`NoAnswer`]; the inner one is every reason why nothing has changed.
    pub async fn reload(&self, dry_run: bool, why: &str) -> Result<ReloadOutcome, NoAnswer> {
        let reloaded = self.ask(Reload { dry_run, why: why.to_owned() }).await?;
        Ok(reloaded.await.unwrap_or_else(|_gone| Err(vec!["the daemon is stopping".to_owned()])))
    }

    /// The configuration that holds, with what was dropped.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }

    /// Calls a guest and waits for the reply.
    pub async fn call(&self, module: &str, request: CallRequest) -> CallReply {
        self.modules.call(module, request).await
    }

    /// Ends a worker's thread, for tests of what follows.
    ///
    /// # Errors
    /// [`NoAnswer`].
    #[cfg(feature = "fault-injection")]
    pub async fn end_worker(&self, worker: usize) -> Result<(), NoAnswer> {
        self.ask(super::messages::EndWorker(worker)).await
    }

    /// Every change of state.
    #[must_use]
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// Waits until the daemon should end by itself. Otherwise for ever.
    pub async fn ended(&self) -> EndReason {
        let mut ended = self.ended.clone();
        loop {
            if let Some(reason) = ended.borrow_and_update().clone() {
                return reason;
            }
            if ended.changed().await.is_err() {
                return EndReason::SupervisorEnded;
            }
        }
    }
}
