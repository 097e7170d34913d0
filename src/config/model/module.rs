//! `[modules.NAME]`: what runs, within which limits, and how other code takes over.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{HealthCheck, Link, OnStart, OnStop, Restart, Shutdown};

/// One `[modules.NAME]`, or a file of the drop-in directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is declared.
    pub declared: Declared,
    /// The wasm file; absolute.
    pub path: PathBuf,
    /// Which engine runs it.
    pub engine: EngineKind,
    /// Whether it is loaded at the first call only.
    pub lazy: bool,
    /// How many instances.
    pub instances: Instances,
    /// Calls that may wait.
    pub queue: u32,
    /// Bytes of payload that may wait.
    pub queue_bytes: u64,
    /// How long a call may wait before it starts; `None`: until its deadline.
    pub queue_timeout: Option<Duration>,
    /// What happens to a call that finds the queue full.
    pub on_full: OnFull,
    /// How many calls it takes in a time; `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// How long its first instances wait for the bindings that it links to.
    pub binding_wait: Duration,
    /// How long a running call may take to finish when the module is stopped.
    pub shutdown: Shutdown,
    /// How its instances are asked whether they are well; `None`: not at all.
    pub health: Option<ModuleHealth>,
    /// Its limits.
    pub limits: ModuleLimits,
    /// What it may reach, in file order.
    pub links: Vec<Arc<Link>>,
    /// `[modules.NAME.config]`, an object: what its guest reads over a `config` binding.
    pub config: Arc<serde_json::Value>,
    /// How it is restarted.
    pub restart: Restart,
    /// What WASI grants it.
    pub wasi: Wasi,
    /// How new code takes over.
    pub swap: Swap,
    /// What its guest is called with once when it starts or is swapped; `None`: nothing.
    pub on_start: Option<OnStart>,
    /// What its guest is called with once when it stops in order; `None`: nothing.
    pub on_stop: Option<OnStop>,
}

/// Where a module is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// In the configuration.
    Configured,
    /// By its file in the drop-in directory.
    Dropped,
}

impl Declared {
    /// The name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Dropped => "dropped",
        }
    }
}

/// `[modules.NAME.swap]`: how new code of a running module takes over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swap {
    /// What a new instance must answer before it takes over.
    pub probe: Option<Probe>,
    /// How long new code is watched.
    pub probation: Option<Probation>,
    /// How an instance hands its state to the one that follows.
    pub hand_over: Option<HandOver>,
}

/// A call that a new instance must answer before it takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The guest's operation.
    pub operation: String,
    /// Its payload.
    pub payload: String,
    /// The response, byte for byte; `None`: any that is no error.
    pub expect: Option<String>,
}

/// How long new code is watched, and what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probation {
    /// For so long after the swap ...
    pub time: Duration,
    /// ... so many of its instances may fail; one more rolls it back.
    pub max_failures: u32,
}

/// The operations by which state is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// Called on the old instance with an empty payload; its response is the state.
    pub export: String,
    /// Called on the new instance with the state.
    pub import: String,
}

/// Engines that can be named in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// wasmtime with its optimising compiler.
    Cranelift,
    /// wasmtime with its interpreter: slower, and without any memory that is executable.
    Pulley,
}

impl EngineKind {
    /// The name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cranelift => "cranelift",
            Self::Pulley => "pulley",
        }
    }
}

/// How many instances a module has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// So many, spread over the workers.
    Count(u32),
    /// One on every worker.
    PerWorker,
}

impl Instances {
    /// The number of instances on a daemon with so many workers.
    #[must_use]
    pub fn count(self, workers: usize) -> usize {
        match self {
            Self::Count(n) => n as usize,
            Self::PerWorker => workers,
        }
    }
}

/// What happens to a call that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// It is refused at once.
    Reject,
    /// It waits for room, until its deadline.
    Wait,
}

/// How many calls a module takes in a time: `calls` in `per` on average, and `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// So many calls ...
    pub calls: u32,
    /// ... in this time.
    pub per: Duration,
    /// Calls that may come at once after a rest; at least 1.
    pub burst: u32,
}

/// `[modules.NAME] health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleHealth {
    /// The guest's operation that is called, with an empty payload; an error is a failed check.
    pub operation: String,
    /// When.
    pub check: HealthCheck,
}

/// `[modules.NAME.limits]` over `[defaults.limits]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleLimits {
    /// Bytes of the wasm file.
    pub module_size: u64,
    /// Bytes of linear memory of one instance.
    pub memory: u64,
    /// Elements of all tables of one instance.
    pub table_elements: u64,
    /// Wall-clock time of one call, waiting included.
    pub call_timeout: Duration,
    /// Bytes of a call's payload.
    pub payload: u64,
    /// Bytes of a call's response or error text.
    pub response: u64,
}

/// `[modules.NAME.wasi]`: nothing is granted by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wasi {
    /// Arguments, the program's name first.
    pub argv: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Directories that guests see under their own absolute path.
    pub preopened_dirs: Vec<PathBuf>,
    /// Guest path and directory of the host.
    pub map_dirs: Vec<(String, PathBuf)>,
}
