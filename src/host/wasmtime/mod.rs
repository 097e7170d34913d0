//! The first engine: wasmtime. Nothing outside of this folder names it.
//!
//! ```text
//! WasmtimeEngine ── compile(bytes) ──> CompiledModule ── provider(wasi) ──> WasmtimeProvider ── init ──> Instance
//!   engine, pool,                        code, checks,                        (the trait)              store, exports
//!   ticker, linkers                      InstancePre                                                   (one pool slot)
//! ```
//!
//! `compile_cached` takes the code from a directory where it was compiled before (`cache.rs`).
//!
//! One compilation serves any number of instances. Whether an instance runs plainly or on fibers is decided when it is
//! made, by its callback and its imports; the host functions are the same.

mod cache;
mod exit;
mod instance;
mod linker;
mod module;
mod pool;
mod stdio;
mod ticker;

use std::{
    fmt,
    sync::{Arc, Weak},
};

use thiserror::Error;
use wasmtime::{Config, Engine, InstanceAllocationStrategy};

pub use self::{
    cache::{CacheError, CodeCache},
    instance::WasmtimeProvider,
    module::CompiledModule,
    pool::{MappingLimit, TooManyMappings},
};
use self::{linker::Linkers, pool::Planned, ticker::Ticker};
use super::error::{BoxError, LoadError};

/// How guests run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Execution {
    /// As machine code, which Cranelift makes of them.
    #[default]
    Compiled,
    /// By wasmtime's interpreter, Pulley, whose instructions Cranelift makes of them. Nothing is ever made executable.
    Interpreted,
}

/// What is fixed when an engine is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// How guests run.
    pub execution: Execution,
    /// Instances that can live at the same time, a replacement that starts beside the old one counted too.
    pub instances: u32,
    /// Bytes of wasm stack of every guest. Host functions have 1 MiB beyond this on a fiber; a guest with a plain
    /// callback runs on its caller's stack, which must have room for both.
    pub guest_stack: u64,
    /// How many memory mappings the engine may use.
    pub mappings: MappingLimit,
}

impl Default for EngineSettings {
    /// Compiled guests, and room for 100 instances with 512 KiB of wasm stack, within 80 % of what the kernel allows a process.
    fn default() -> Self {
        Self {
            execution: Execution::Compiled,
            instances: 100,
            guest_stack: 512 << 10,
            mappings: MappingLimit::OfKernel,
        }
    }
}

/// Why an engine could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// So many instances would need more mappings than the kernel allows.
    #[error(transparent)]
    TooManyMappings(#[from] TooManyMappings),
    /// wasmtime refused the settings.
    #[error("the engine does not start")]
    Start(#[source] BoxError),
}

/// Compiles modules and holds the memory for their instances. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct WasmtimeEngine(Arc<Shared>);

struct Shared {
    engine: Engine,
    ticker: Arc<Ticker>,
    linkers: Linkers,
    settings: EngineSettings,
}

impl WasmtimeEngine {
    /// Makes an engine: reserves address space for its instances and starts its ticker, which sleeps until a guest runs.
    ///
    /// # Errors
    /// [`EngineError::TooManyMappings`] when so many instances do not fit what the kernel allows.
    pub fn new(settings: EngineSettings) -> Result<Self, EngineError> {
        Self::beside(settings, &[])
    }

    /// Makes a further engine in a process that has others already: what they planned with is theirs, also where it is not
    /// mapped yet. Code is compiled for one engine; another one cannot run it.
    ///
    /// # Errors
    /// [`EngineError::TooManyMappings`] when so many instances do not fit beside those of the others.
    pub fn beside(settings: EngineSettings, others: &[Self]) -> Result<Self, EngineError> {
        pool::check(&settings, others.iter().map(Self::planned).sum())?;
        let start = |error: wasmtime::Error| EngineError::Start(error.into());
        let engine = Engine::new(&config(&settings).map_err(start)?).map_err(start)?;
        let linkers = Linkers::new(&engine).map_err(start)?;
        let ticker = Ticker::start(&engine).map_err(|error| EngineError::Start(error.into()))?;
        Ok(Self(Arc::new(Shared { engine, ticker, linkers, settings })))
    }

    /// Compiles a module and checks what waPC demands of it. Takes milliseconds to seconds, on all cores.
    ///
    /// # Errors
    /// [`LoadError`] that names what is wrong: not wasm, truncated, a component, exports that are missing or of another
    /// type, all unknown imports.
    pub fn compile(&self, bytes: &[u8]) -> Result<CompiledModule, LoadError> {
        CompiledModule::new(self.clone(), bytes)
    }

    /// Returns the sizes that it was made with.
    #[must_use]
    pub fn settings(&self) -> &EngineSettings {
        &self.0.settings
    }

    /// Whether both are the same engine, so that what one compiled the other can run.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns a reference that does not keep the engine alive. Its clones do, and modules that it compiled.
    #[must_use]
    pub fn downgrade(&self) -> WeakEngine {
        WeakEngine(Arc::downgrade(&self.0))
    }

    fn planned(&self) -> Planned {
        let metrics = self.0.engine.pooling_allocator_metrics();
        // A place that an instance left keeps its mappings.
        let lived_in = metrics.map_or(0, |pool| pool.memories() as u64 + u64::from(pool.unused_warm_memories()));
        Planned::new(self.0.settings.instances, lived_in)
    }
}

/// Finds an engine for as long as someone uses it.
#[derive(Debug, Clone)]
pub struct WeakEngine(Weak<Shared>);

impl WeakEngine {
    /// The engine; `None` when nothing uses it any more.
    #[must_use]
    pub fn upgrade(&self) -> Option<WasmtimeEngine> {
        self.0.upgrade().map(WasmtimeEngine)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmtimeEngine").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for WasmtimeEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Room on each fiber for host functions, beyond the wasm stack: callbacks, formatting of errors, log subscribers.
/// wasmtime's own default is 1.5 MiB for both; untouched pages cost address space only.
const HOST_STACK: u64 = 1 << 20;

/// The interpreter for machines as this one is: its instructions know the width of addresses and the order of bytes.
const INTERPRETER: &str = match (cfg!(target_pointer_width = "64"), cfg!(target_endian = "little")) {
    (true, true) => "pulley64",
    (true, false) => "pulley64be",
    (false, true) => "pulley32",
    (false, false) => "pulley32be",
};

fn config(settings: &EngineSettings) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    config
        .max_wasm_stack(size(settings.guest_stack))
        .async_stack_size(size(settings.guest_stack.saturating_add(HOST_STACK)))
        .epoch_interruption(true)
        .memory_init_cow(true)
        .memory_reservation(pool::reservation(settings.instances))
        // waPC pointers are 32 bits wide, and a guest has one memory.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool::config(settings)));
    if settings.execution == Execution::Interpreted {
        config.target(INTERPRETER)?;
    }
    Ok(config)
}
