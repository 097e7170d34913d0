//! The daemon's parts put together, and the handle by which everyone else reaches them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use actix::{Actor, Addr, AsyncContext, Message, dev::ToEnvelope};
use thiserror::Error;
use tokio::{sync::watch, time::timeout_at};

use super::{
    binding_child::BindingChild,
    decide::Histories,
    events::Events,
    groups::Groups,
    messages::{Act, Backends, Drain, EndModule, EndWorkers, GetModule, GetStatus, IsBusy, ModuleWanted, Want, Wanted},
    module_child::ModuleChild,
    status::{BindingStatus, ModuleStatus, Status},
    topology::{Node, Topology},
    tree::Supervisor,
    workers::Stalls,
};
use crate::{
    actors::{CallReply, CallRequest, Gate, How, ModuleQueue, Modules, QueueBudget, QueueSettings, Workers},
    bindings::BindingContext,
    config::{Config, Module},
    host::{EngineError, EngineSettings, MappingLimit, WasmtimeEngine},
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

/// Why the daemon could not be started at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The engine could not be made.
    #[error("cannot make the engine for {instances} instances")]
    Engine {
        /// The instances that the configuration asks for, with room for replacements.
        instances: u32,
        /// Why not.
        #[source]
        source: EngineError,
    },
}

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
    /// Modules in the order of their start.
    order: Arc<[(usize, Arc<str>)]>,
    events: Events,
    ended: watch::Receiver<Option<EndReason>>,
}

/// How many instances the engine must have room for: all that are configured, and a replacement beside each module's.
fn engine_instances(config: &Config) -> u32 {
    let instances: usize = config.modules.iter().map(|module| module.instances.count(config.daemon.workers) + 1).sum();
    u32::try_from(instances).unwrap_or(u32::MAX)
}

/// Settings of the engine that a configuration asks for.
#[must_use]
pub fn engine_settings(config: &Config) -> EngineSettings {
    EngineSettings {
        instances: engine_instances(config),
        guest_stack: config.daemon.guest_stack,
        mappings: MappingLimit::OfKernel,
    }
}

/// Starts workers, bindings and modules, in this order. Must be called within an actix system, whose thread becomes the
/// supervisor's.
///
/// A binding or module that does not start shows that in the status and keeps nothing else from running.
///
/// # Errors
/// [`StartError`] when so many instances do not fit this machine.
pub async fn start(config: Config) -> Result<SupervisorHandle, StartError> {
    let settings = engine_settings(&config);
    let instances = settings.instances;
    let engine = WasmtimeEngine::new(settings).map_err(|source| StartError::Engine { instances, source })?;
    let (modules, wanted) = (Modules::default(), Arc::new(OnceLock::new()));
    let budget = Arc::new(QueueBudget::new(config.daemon.queue_bytes));
    let workers = config.daemon.workers.max(1);
    let children = children(&config, workers, &budget, &wanted);
    for child in &children {
        // Names are unique in a configuration: nobody had it before.
        drop(modules.insert(Arc::clone(&child.queue)));
    }
    let tree = Topology::new(&config);
    let named = |node: &Node| match node {
        Node::Module(at) => children.get(*at).map(|child| (*at, Arc::clone(&child.config.name))),
        Node::Binding(_) | Node::Group(_) => None,
    };
    let order = tree.order().iter().filter_map(named).collect();
    let (ended, end) = watch::channel(None);
    let events = Events::default();
    let parts = (events.clone(), BindingContext { modules: Arc::new(modules.clone()) });
    let supervisor = Supervisor::create(move |ctx| {
        let (events, context) = parts;
        let workers = Workers::start(workers, ctx.address().recipient());
        let exited = ctx.address().recipient();
        let bindings = config.bindings.into_iter().enumerate();
        let bindings = bindings.map(|(at, binding)| BindingChild::new(at, binding, &workers, &exited)).collect();
        Supervisor {
            stalls: Stalls::new(workers.count()),
            workers,
            bindings,
            modules: children,
            groups: Groups::new(config.groups),
            tree,
            histories: Histories::default(),
            parked: HashSet::new(),
            waiting: BTreeMap::new(),
            engine,
            budget,
            context,
            events,
            started: Instant::now(),
            loader: None,
            draining: false,
            ended,
        }
    });
    wanted.get_or_init(|| supervisor.clone().recipient());
    Ok(SupervisorHandle { supervisor, modules, order, events, ended: end })
}

/// A child for every module. Instances are dealt to the workers in turn, so that modules with one instance spread.
fn children(
    config: &Config,
    workers: usize,
    budget: &Arc<QueueBudget>,
    wanted: &Arc<OnceLock<Wanted>>,
) -> Vec<ModuleChild> {
    let mut next_worker = (0..workers).cycle();
    let child = |(index, module): (usize, &Module)| {
        let gate = if module.lazy { Gate::Lazy } else { Gate::Open };
        let wanted = Arc::clone(wanted);
        let want = move || {
            // One notice for each lazy module; it must not be lost.
            if let Some(supervisor) = wanted.get() {
                supervisor.do_send(ModuleWanted(index));
            }
        };
        let settings = QueueSettings::from(module);
        let queue = ModuleQueue::new(Arc::clone(&module.name), settings, gate, Arc::clone(budget), want);
        let count = module.instances.count(workers);
        let places: Vec<usize> = next_worker.by_ref().take(count).collect();
        ModuleChild::new(Arc::new(module.clone()), Arc::new(queue), &places)
    };
    config.modules.iter().enumerate().map(child).collect()
}

impl SupervisorHandle {
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

    async fn act(&self, name: &str, action: Want) -> Result<Option<ModuleStatus>, NoAnswer> {
        let Some(settled) = self.ask(Act { module: name.to_owned(), action }).await? else { return Ok(None) };
        // Settled or not, the status says how far it got.
        drop(tokio::time::timeout(SETTLE, settled).await);
        self.module(name).await
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
        let drained = self.drain(deadline, why).await;
        let how = if drained { How::WhenFree } else { How::Now };
        if !drained {
            tracing::warn!(grace_ms = grace.as_millis(), "grace time is over, ending calls that still run");
        }
        // Nothing runs any more, or is ended now: this only waits for workers that hang, together and not in turn.
        let until = tokio::time::Instant::now() + LAST_WAIT;
        for (module, name) in self.order.iter().rev() {
            if let Ok(Some(gone)) = self.ask(EndModule { module: *module, how }).await
                && timeout_at(until, gone).await.is_err()
            {
                tracing::error!(module = &**name, "module did not end in time");
            }
        }
        self.end_bindings().await;
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
