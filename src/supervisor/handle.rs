//! The handle by which everyone else reaches the supervisor, and the order of the end.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Message, dev::ToEnvelope};
use bytes::Bytes;
use parking_lot::RwLock;
use thiserror::Error;
use tokio::{
    sync::{oneshot, watch},
    time::timeout_at,
};

use super::{
    events::Events,
    messages::{
        Act, ActOnTrigger, Backends, Drain, DrainTriggers, EndModule, EndWorkers, GetBroker, GetModule, GetOrder,
        GetStatus, IsBusy, NoBroker, NoRun, Reload, RollBack, RunTrigger, Sent, Swap, ToEnd, Want,
    },
    reloads::ReloadOutcome,
    standing::{GetStanding, Standing},
    status::{BindingStatus, ModuleStatus, Status, SwapReport, TriggerStatus},
    swaps::SwapError,
    tree::Supervisor,
    workers::AskTurns,
};
use crate::{
    actors::{CallReply, CallRequest, How, Modules, Turns},
    bindings::{
        messaging::Broker,
        metrics::{GuestFamily, GuestMetrics},
    },
    config::Config,
};

/// How long the supervisor may take to answer. It never waits for anything, so this is met only when its thread starves.
const ANSWER: Duration = Duration::from_secs(2);

/// How long an operator's action may take to show its effect before the answer says how far it got: a large module
/// compiles in some seconds.
pub const SETTLE: Duration = Duration::from_secs(60);

/// How often a stopping daemon looks whether calls still run.
const DRAIN_CHECK: Duration = Duration::from_millis(10);

/// What each stage of a stop gets after the grace time, so that a hung worker or disk cannot hold the process.
const LAST_WAIT: Duration = Duration::from_secs(2);

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

    /// Asks every worker to turn over once more, and tells how often each has until now. None while they end.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn ask_turns(&self) -> Result<Vec<Turns>, NoAnswer> {
        self.ask(AskTurns).await
    }

    /// Describes one module; `None` for one that does not exist.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.ask(GetModule(name.to_owned())).await
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

    /// Loads a module that does not run, with a clear history. Answers when it runs or has failed; `None` for a module
    /// that does not exist, or when the daemon stops.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn start_module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.act(name, Want::Start).await
    }

    /// Lets a module finish what it has and stops it. Answers when it has stopped; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn stop_module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.act(name, Want::Stop).await
    }

    /// Gives a module fresh instances, each after its running call. Answers when they run; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn restart_module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.act(name, Want::Restart).await
    }

    /// Describes one trigger; `None` for one that does not exist.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        Ok(self.ask(GetStatus).await?.triggers.into_iter().find(|trigger| trigger.name == name))
    }

    /// Starts a trigger that is not at work, with a clear history. Answers when it is at work or has failed; `None` for a
    /// trigger that does not exist, or when the daemon stops.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn start_trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        self.act_on_trigger(name, Want::Start).await
    }

    /// Lets a trigger finish what it began and stops it. Answers when it has stopped; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn stop_trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        self.act_on_trigger(name, Want::Stop).await
    }

    /// Drains a trigger and starts it anew. Answers when it is at work; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn restart_trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        self.act_on_trigger(name, Want::Restart).await
    }

    /// Lets a schedule begin a call at once.
    ///
    /// # Errors
    /// [`NoAnswer`]; the inner one is why there is no call.
    pub async fn run_trigger(&self, name: &str) -> Result<Result<(), NoRun>, NoAnswer> {
        self.ask(RunTrigger(name.to_owned())).await
    }

    async fn act_on_trigger(&self, name: &str, action: Want) -> Result<Option<TriggerStatus>, NoAnswer> {
        let asked = ActOnTrigger { trigger: name.to_owned(), action };
        let Some(settled) = self.ask(asked).await? else { return Ok(None) };
        // Settled or not, the status says how far it got.
        drop(tokio::time::timeout(SETTLE, settled).await);
        self.trigger(name).await
    }

    async fn act(&self, name: &str, action: Want) -> Result<Option<ModuleStatus>, NoAnswer> {
        let Some(settled) = self.ask(Act { module: name.to_owned(), action }).await? else { return Ok(None) };
        // Settled or not, the status says how far it got.
        drop(tokio::time::timeout(SETTLE, settled).await);
        self.module(name).await
    }

    /// Gives a module code that an operator sent, and waits until all instances have it, or the old goes on; `None` for a
    /// module that does not exist. The code holds until the module's file changes, also when the daemon is started anew.
    ///
    /// # Errors
    /// [`NoAnswer`]; the inner one is why the old code goes on.
    pub async fn swap(
        &self,
        name: &str,
        code: Bytes,
        force: bool,
    ) -> Result<Option<Result<SwapReport, SwapError>>, NoAnswer> {
        let sent = Sent { code, force };
        let swapped = self.ask(Swap { module: name.to_owned(), sent }).await?;
        self.swapped(name, swapped).await
    }

    /// Gives a module the code back that ran before; otherwise as a swap. No state is handed over.
    ///
    /// # Errors
    /// As [`SupervisorHandle::swap`].
    pub async fn roll_back(&self, name: &str) -> Result<Option<Result<SwapReport, SwapError>>, NoAnswer> {
        let swapped = self.ask(RollBack(name.to_owned())).await?;
        self.swapped(name, swapped).await
    }

    async fn swapped(
        &self,
        name: &str,
        swapped: Option<oneshot::Receiver<Result<bool, SwapError>>>,
    ) -> Result<Option<Result<SwapReport, SwapError>>, NoAnswer> {
        let Some(swapped) = swapped else { return Ok(None) };
        let changed = match swapped.await {
            Ok(Ok(changed)) => changed,
            Ok(Err(error)) => return Ok(Some(Err(error))),
            Err(_gone) => return Ok(Some(Err(SwapError::Refused("the module is gone".to_owned())))),
        };
        Ok(self.module(name).await?.map(|module| Ok(SwapReport { changed, module })))
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

    /// Stops the daemon's children: takes no new calls, finishes what was accepted, ends modules and bindings in the
    /// reverse order of their start. What still runs after `grace`, or after a module's own `shutdown`, is ended with an
    /// error to its caller. `why` is for the event.
    pub async fn shutdown(&self, grace: Duration, why: &str) {
        let deadline = tokio::time::Instant::now() + grace;
        self.drain_triggers(deadline).await;
        let drained = self.drain(deadline, why).await;
        if !drained {
            tracing::warn!(grace_ms = grace.as_millis(), "grace time is over, ending calls that still run");
        }
        // Nothing runs any more, or is ended now: this only waits for workers that hang, together and not in turn. What is
        // waited for besides is the last call of a module, which may take what is left of the grace time.
        let mut until = tokio::time::Instant::now() + LAST_WAIT;
        for ToEnd { module, name, calls } in self.ask(GetOrder).await.unwrap_or_default().into_iter().rev() {
            let began = tokio::time::Instant::now();
            let in_order = drained && began < deadline;
            if in_order && calls {
                let ended = self.end_module(module, How::WhenFree, deadline).await;
                until += began.elapsed();
                if ended {
                    continue;
                }
                tracing::warn!(module = &*name, "grace time is over, ending the module's last call");
            }
            let how = if in_order && !calls { How::WhenFree } else { How::Now };
            if !self.end_module(module, how, until).await {
                tracing::error!(module = &*name, "module did not end in time");
            }
        }
        self.end_bindings().await;
    }

    /// Ends a module and waits for that; `false` where it has not ended by then.
    async fn end_module(&self, module: usize, how: How, until: tokio::time::Instant) -> bool {
        match self.ask(EndModule { module, how }).await {
            Ok(Some(gone)) => timeout_at(until, gone).await.is_ok(),
            Ok(None) | Err(NoAnswer) => true,
        }
    }

    /// Lets triggers take nothing new and finish what they began, while everything that they call is still there.
    async fn drain_triggers(&self, deadline: tokio::time::Instant) {
        let endings = self.ask(DrainTriggers).await.unwrap_or_default();
        let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
        futures_util::future::join_all(endings.into_iter().map(|ending| ending.end(left()))).await;
    }

    /// Waits until no call runs or waits; `false` when the deadline came first.
    async fn drain(&self, deadline: tokio::time::Instant, why: &str) -> bool {
        if self.ask(Drain { why: why.to_owned() }).await.is_err() {
            return false;
        }
        while self.ask(IsBusy).await.unwrap_or(false) {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(DRAIN_CHECK).await;
        }
        true
    }

    /// Closes the backends one after the other, last started first, each within its `shutdown`.
    async fn end_bindings(&self) {
        let Ok(Backends(backends)) = self.ask(EndWorkers).await else { return };
        for backend in backends {
            backend.close().await;
        }
    }
}
