//! The daemon's parts put together: engines with room for every module, what the state directory keeps, and the supervisor
//! with all of its children.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::Arc,
    time::Instant,
};

use actix::{Actor, AsyncContext, Context};
use parking_lot::RwLock;
use thiserror::Error;
use tokio::sync::watch;

use super::{
    children::Children,
    decide::Histories,
    drop_in::{Settled, make_directory, scan},
    engines::{Engines, Room, instances_of},
    events::Events,
    follow::Follower,
    groups::Groups,
    handle::SupervisorHandle,
    keeper::Keeper,
    kept::Kept,
    loader::Stores,
    observer::Ear,
    planner::with_dropped,
    reloads::{Reloads, Surroundings},
    standing::Undecided,
    status::RefusedFile,
    topology::Topology,
    tree::Supervisor,
    workers::Stalls,
};
use crate::{
    actors::{Modules, QueueBudget, Workers},
    bindings::{BindingContext, metrics::GuestMetrics},
    config::{Config, Declared, EngineKind, Environment},
    host::{CacheError, CodeCache, EngineError, EngineSettings, Execution, MappingLimit, chain},
    triggers::TriggerObserver,
};

/// Instances for which the first engine has room beyond what is configured: modules that come by a reload or are dropped
/// need no further engine, and ones that get more instances can stay on theirs.
const SPARE_INSTANCES: u32 = 32;

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

/// How many instances the engine must have room for: those of every module.
fn engine_instances(config: &Config) -> u32 {
    let of = |module| instances_of(module, config.daemon.workers);
    config.modules.iter().map(of).fold(0, u32::saturating_add)
}

/// How guests run on an engine of the configuration.
#[must_use]
pub fn execution(engine: EngineKind) -> Execution {
    match engine {
        EngineKind::Cranelift => Execution::Compiled,
        EngineKind::Pulley => Execution::Interpreted,
    }
}

/// Settings of the engine that a configuration asks for.
#[must_use]
pub fn engine_settings(config: &Config) -> EngineSettings {
    EngineSettings {
        execution: execution(config.daemon.engine),
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
    let mut engines = engines(&config, &base)?;
    let rooms = rooms(&mut config, &mut refused, &mut engines)?;
    let stores = stores(&config);
    let keeper = Keeper::start(Arc::clone(&stores.kept)).map_err(StartError::Thread)?;
    let config = Arc::new(config);
    let (modules, shared) = (Modules::default(), Arc::new(RwLock::new(Arc::clone(&config))));
    let (ended, end) = watch::channel(None);
    let (events, guests) = (Events::default(), Arc::new(GuestMetrics::default()));
    let handle = (modules.clone(), events.clone(), Arc::clone(&shared), Arc::clone(&guests));
    let supervisor = Supervisor::create(move |ctx| {
        let workers = Workers::start(config.daemon.workers.max(1), ctx.address().recipient());
        let ear = Arc::new(Ear::new(events.clone(), ctx.address().recipient()));
        let (sockets, environment) = (Arc::clone(&surroundings.sockets), &surroundings.environment);
        let context = binding_context(&config, environment, &modules, Arc::clone(&ear), guests);
        let mut supervisor = Supervisor {
            stalls: Stalls::new(workers.count()),
            undecided: Undecided::default(),
            workers,
            bindings: Children::default(),
            modules: Children::default(),
            triggers: Children::default(),
            waiting_triggers: BTreeMap::new(),
            trigger_ends: Vec::new(),
            triggers_end: false,
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
            follower: Follower::default(),
            acceptance,
            sockets,
            trigger_observer: ear as Arc<dyn TriggerObserver>,
            context,
            known: modules,
            stores,
            keeper,
            events,
            started: Instant::now(),
            loader: None,
            draining: false,
            ended,
        };
        supervisor.add_children(&config, rooms, ctx);
        supervisor.note_refused(&refused);
        supervisor
    });
    let (modules, events, config, guests) = handle;
    Ok(SupervisorHandle::new(supervisor, (modules, config, events, guests), end))
}

/// What bindings get from the daemon.
fn binding_context(
    config: &Config,
    environment: &Environment,
    modules: &Modules,
    ear: Arc<Ear>,
    guests: Arc<GuestMetrics>,
) -> BindingContext {
    BindingContext {
        observer: ear,
        credentials: environment.credentials_directory.clone(),
        state_dir: config.daemon.state_dir.clone(),
        metrics: guests,
        ..BindingContext::new(Arc::new(modules.clone()))
    }
}

impl Supervisor {
    /// Adds everything that is configured, before anything runs.
    fn add_children(&mut self, config: &Config, rooms: Vec<Room>, ctx: &mut Context<Self>) {
        for binding in &config.bindings {
            self.add_binding(binding, ctx);
        }
        config.groups.iter().for_each(|group| self.groups.set(group.clone()));
        for (module, room) in config.modules.iter().zip(rooms) {
            self.add_module(module, Some(room), ctx);
        }
        config.triggers.iter().for_each(|trigger| {
            self.add_trigger(trigger);
        });
        self.tree = Topology::new(config, |member| self.place(member));
    }
}

/// The engines, of which the first has room for everything, or for what is configured in the file.
fn engines(config: &Config, base: &Config) -> Result<Engines, StartError> {
    match first_engine(config) {
        // What was dropped has room on further engines, as far as there is any.
        Err(StartError::Engine { .. }) if config.modules.len() > base.modules.len() => first_engine(base),
        made => made,
    }
}

fn first_engine(config: &Config) -> Result<Engines, StartError> {
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
        let instances = instances_of(&module, config.daemon.workers);
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
    let cache = match config.daemon.code_cache {
        0 => None,
        bytes => {
            // Compiling anew costs time and nothing else.
            let said = |error: &CacheError| tracing::error!(error = chain(error), "compiled code is not kept");
            CodeCache::open(&config.daemon.code_dir, bytes).inspect_err(said).ok().map(Arc::new)
        }
    };
    Stores { kept: Arc::new(Kept::new(&config.daemon.state_dir)), cache }
}
