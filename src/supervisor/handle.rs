//! The daemon's parts put together, and the handle by which everyone else reaches them.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, AsyncContext, Message, dev::ToEnvelope};
use bytes::Bytes;
use parking_lot::RwLock;
use thiserror::Error;
use tokio::{
    sync::{oneshot, watch},
    time::timeout_at,
};

use super::{
    children::Children,
    decide::Histories,
    drop_in::{Settled, make_directory, scan},
    engines::{Engines, Room},
    events::Events,
    follow::Follower,
    groups::Groups,
    keeper::Keeper,
    kept::Kept,
    loader::Stores,
    messages::{
        Act, Backends, Drain, EndModule, EndWorkers, GetModule, GetOrder, GetStatus, IsBusy, Reload, RollBack, Sent,
        Swap, Want,
    },
    planner::with_dropped,
    reload::{ReloadOutcome, Reloads, Surroundings},
    status::{BindingStatus, ModuleStatus, RefusedFile, Status, SwapReport},
    swaps::SwapError,
    topology::Topology,
    tree::Supervisor,
    workers::Stalls,
};
use crate::{
    actors::{CallReply, CallRequest, How, Modules, QueueBudget, Workers},
    bindings::BindingContext,
    config::{CODE_DIRECTORY, Config, Declared},
    host::{CacheError, CodeCache, EngineError, EngineSettings, MappingLimit, chain},
};

/// How long the supervisor may take to answer. It never waits for anything, so this is met only when its thread starves.
const ANSWER: Duration = Duration::from_secs(2);

/// How long an operator's action may take to show its effect before the answer says how far it got: a large module
/// compiles in some seconds.
pub const SETTLE: Duration = Duration::from_secs(60);

/// Instances for which the first engine has room beyond what is configured: modules that come by a reload or are dropped
/// need no further engine, and ones that get more instances can stay on theirs.
const SPARE_INSTANCES: u32 = 32;

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
    /// A thread could not be made.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
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
    /// The configuration that holds.
    config: Arc<RwLock<Arc<Config>>>,
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
/// [`StartError`] when so many instances do not fit this machine, or a thread could not be made.
pub async fn start(base: Config, surroundings: Surroundings) -> Result<SupervisorHandle, StartError> {
    make_directory(&base);
    let scan = scan(&base, &[], &Settled::new());
    let (mut config, mut refused, acceptance) = with_dropped(&base, scan);
    let mut engines = match engines(&config) {
        // What was dropped has room on further engines, as far as there is any.
        Err(StartError::Engine { .. }) if config.modules.len() > base.modules.len() => engines(&base)?,
        made => made?,
    };
    let rooms = rooms(&mut config, &mut refused, &mut engines)?;
    let stores = stores(&config);
    let keeper = Keeper::start(Arc::clone(&stores.kept)).map_err(StartError::Thread)?;
    let config = Arc::new(config);
    let (modules, shared) = (Modules::default(), Arc::new(RwLock::new(Arc::clone(&config))));
    let (ended, end) = watch::channel(None);
    let events = Events::default();
    let handle = (modules.clone(), events.clone(), Arc::clone(&shared));
    let supervisor = Supervisor::create(move |ctx| {
        let workers = Workers::start(config.daemon.workers.max(1), ctx.address().recipient());
        let mut supervisor = Supervisor {
            stalls: Stalls::new(workers.count()),
            workers,
            bindings: Children::default(),
            modules: Children::default(),
            groups: Groups::default(),
            tree: Topology::default(),
            histories: Histories::default(),
            parked: HashSet::new(),
            waiting: BTreeMap::new(),
            engines,
            next_worker: 0,
            budget: Arc::new(QueueBudget::new(config.daemon.queue_bytes)),
            config: Arc::clone(&config),
            shared,
            reloads: Reloads::new(base, surroundings),
            reload_id: 0,
            follower: Follower::default(),
            acceptance,
            context: BindingContext { modules: Arc::new(modules.clone()) },
            known: modules,
            stores,
            keeper,
            events,
            started: Instant::now(),
            loader: None,
            draining: false,
            ended,
        };
        for binding in &config.bindings {
            supervisor.add_binding(binding, ctx);
        }
        config.groups.iter().for_each(|group| supervisor.groups.set(group.clone()));
        for (module, room) in config.modules.iter().zip(rooms) {
            supervisor.add_module(module, Some(room), ctx);
        }
        supervisor.tree = Topology::new(&config, |member| supervisor.place(member));
        supervisor.note_refused(&refused);
        supervisor
    });
    let (modules, events, config) = handle;
    Ok(SupervisorHandle { supervisor, modules, config, events, ended: end })
}

/// The engines, of which the first has room for everything that is configured.
fn engines(config: &Config) -> Result<Engines, StartError> {
    let settings = engine_settings(config);
    let instances = settings.instances;
    let spare = EngineSettings { instances: instances.saturating_add(SPARE_INSTANCES), ..settings.clone() };
    match Engines::new(spare) {
        // Where more does not fit, what is configured still may.
        Err(EngineError::TooManyMappings(_)) => {
            Engines::new(settings).map_err(|source| StartError::Engine { instances, source })
        }
        made => made.map_err(|source| StartError::Engine { instances, source }),
    }
}

/// Room for each module. A dropped one that finds none is refused, and keeps nothing else from starting.
fn rooms(config: &mut Config, refused: &mut Vec<RefusedFile>, engines: &mut Engines) -> Result<Vec<Room>, StartError> {
    let mut rooms = Vec::new();
    for module in std::mem::take(&mut config.modules) {
        let instances = u32::try_from(module.instances.count(config.daemon.workers) + 1).unwrap_or(u32::MAX);
        match engines.room(instances) {
            Ok(room) => {
                rooms.push(room);
                config.modules.push(module);
            }
            Err(error) if module.declared == Declared::Dropped => {
                refused.push(RefusedFile { file: format!("{}.wasm", module.name), why: chain(&error) });
            }
            Err(source) => return Err(StartError::Engine { instances, source }),
        }
    }
    Ok(rooms)
}

/// Where code is kept.
fn stores(config: &Config) -> Stores {
    let state_dir = &config.daemon.state_dir;
    let cache = match config.daemon.code_cache {
        0 => None,
        bytes => {
            // Compiling anew costs time and nothing else.
            let said = |error: &CacheError| tracing::error!(error = chain(error), "compiled code is not kept");
            CodeCache::open(&state_dir.join(CODE_DIRECTORY), bytes).inspect_err(said).ok().map(Arc::new)
        }
    };
    Stores { kept: Arc::new(Kept::new(state_dir)), cache }
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
        let drained = self.drain(deadline, why).await;
        let how = if drained { How::WhenFree } else { How::Now };
        if !drained {
            tracing::warn!(grace_ms = grace.as_millis(), "grace time is over, ending calls that still run");
        }
        // Nothing runs any more, or is ended now: this only waits for workers that hang, together and not in turn.
        let until = tokio::time::Instant::now() + LAST_WAIT;
        for (module, name) in self.ask(GetOrder).await.unwrap_or_default().into_iter().rev() {
            if let Ok(Some(gone)) = self.ask(EndModule { module, how }).await
                && timeout_at(until, gone).await.is_err()
            {
                tracing::error!(module = &*name, "module did not end in time");
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
