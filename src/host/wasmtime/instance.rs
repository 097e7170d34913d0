//! One instance: a store with its limits and its way to the host, and the engine trait over it.

use std::{path::Path as FilePath, sync::Arc};

use wasmtime::{
    AsContextMut, Caller, Instance as WasmInstance, Memory, PoolConcurrencyLimitError, ResourceLimiter, Store,
    TypedFunc, UpdateDeadline,
};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, p1::WasiP1Ctx};

use super::{
    exit::exit_of,
    linker::Path,
    module::CompiledModule,
    pool::{MAX_TABLE_ELEMENTS, reservation},
    stdio::LineStream,
    ticker::Ticker,
};
use crate::host::{
    console::{GuestConsole, Stream},
    engine::{Running, WebAssemblyEngineProvider},
    error::{BoxError, GuestExit, LoadError, Resource},
    functions as names,
    limits::Limits,
    state::{Callback, ModuleState},
    turns::{self, Place},
    wasi::WasiParams,
};

/// wasmtime as an engine of one host.
pub struct WasmtimeProvider {
    compiled: CompiledModule,
    wasi: WasiParams,
    instance: Option<Instance>,
}

struct Instance {
    store: Store<StoreData>,
    guest_call: TypedFunc<(u32, u32), i32>,
    path: Path,
}

/// What a store carries.
#[derive(Default)]
pub(super) struct StoreData {
    state: Option<ModuleState>,
    pub(super) memory: Option<Memory>,
    pub(super) limiter: Limiter,
    slice: Slice,
    /// Present in every store in which a guest runs.
    ticker: Option<Arc<Ticker>>,
    wasi: Option<Box<Wasi>>,
}

/// What interruptions tell of a guest: they come at the engine's ticks, so the first finds a guest that has computed
/// for any part of a slice, and only the next one, without a wait in between, shows that it used all of it.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// Interruptions in a row.
    interrupted: u8,
    /// Whether one of them came since the guest last waited.
    since_wait: bool,
}

impl Slice {
    /// The guest has waited. A wait between two interruptions is no excuse: who computes for most of a slice, calls the
    /// host and computes again is interrupted in either half.
    fn waited(&mut self) {
        if !std::mem::take(&mut self.since_wait) {
            self.interrupted = 0;
        }
    }

    /// The guest is interrupted; returns whether it computes as long as it may.
    fn is_used_up(&mut self) -> bool {
        self.since_wait = true;
        self.interrupted = self.interrupted.saturating_add(1);
        self.interrupted > 1
    }
}

struct Wasi {
    context: WasiP1Ctx,
    output: Output,
}

/// Passes on the lines that have no end yet when it is dropped: a call or a start is over, however it ended.
#[derive(Clone)]
struct Output {
    stdout: LineStream,
    stderr: LineStream,
}

impl Drop for Output {
    fn drop(&mut self) {
        self.stdout.flush_line();
        self.stderr.flush_line();
    }
}

impl StoreData {
    /// The protocol's state. Present in every store in which a guest runs.
    pub(super) fn state(&mut self) -> wasmtime::Result<&mut ModuleState> {
        self.state.as_mut().ok_or_else(|| wasmtime::Error::msg("a store without a host"))
    }

    pub(super) fn said_error(&self) -> Option<String> {
        self.state.as_ref()?.said_error()
    }

    #[expect(clippy::expect_used, reason = "the linker with WASI is only used for stores that have it")]
    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        &mut self.wasi.as_mut().expect("a store whose guest imports WASI has its context").context
    }

    /// Flushes the guest's output when it is dropped; `None` for guests without WASI.
    fn lines(&self) -> Option<Output> {
        self.wasi.as_ref().map(|wasi| wasi.output.clone())
    }
}

/// Keeps an instance within its limits and remembers what it refused: a guest that traps after a refusal shows no trace
/// of it.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    memory: u64,
    table_elements: u64,
    /// Elements of all tables so far.
    table_used: u64,
    pub(super) refused: Option<Refusal>,
}

/// A growth that was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) resource: Resource,
    pub(super) limit: u64,
    pub(super) asked: u64,
}

impl Limiter {
    /// Limits of one instance, in a pool whose memories have so much address space.
    fn new(limits: &Limits, reservation: u64) -> Self {
        let mut limiter = Self::default();
        limiter.set(limits, reservation);
        limiter
    }

    /// Takes other limits; what the instance has is not taken away.
    fn set(&mut self, limits: &Limits, reservation: u64) {
        (self.memory, self.table_elements) = (limits.memory.min(reservation), limits.table_elements);
    }

    fn refuse(&mut self, resource: Resource, limit: u64, asked: u64) -> bool {
        self.refused = Some(Refusal { resource, limit, asked });
        false
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // A guest asks for its size so, and may have more than a limit that came later.
        if desired == current {
            return Ok(true);
        }
        let desired = desired as u64;
        // Past the guest's own maximum it is the guest that limits itself.
        if desired > self.memory && maximum.is_none_or(|maximum| desired <= maximum as u64) {
            return Ok(self.refuse(Resource::Memory, self.memory, desired));
        }
        Ok(desired <= self.memory)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired == current {
            return Ok(true);
        }
        let asked = self.table_used + desired.saturating_sub(current) as u64;
        if let Some(maximum) = maximum.filter(|maximum| desired > *maximum) {
            // The guest's own maximum, unless it is where the pool's tables end.
            let of_pool = maximum == MAX_TABLE_ELEMENTS as usize;
            return Ok(of_pool && self.refuse(Resource::Table, maximum as u64, asked));
        }
        if asked > self.table_elements {
            return Ok(self.refuse(Resource::Table, self.table_elements, asked));
        }
        self.table_used = asked;
        Ok(true)
    }
}

impl WasmtimeProvider {
    pub(super) fn new(compiled: CompiledModule, wasi: WasiParams) -> Self {
        Self { compiled, wasi, instance: None }
    }

    fn path(&self, compiled: &CompiledModule, state: &ModuleState) -> Result<Path, LoadError> {
        match (state.callback(), compiled.imports_wasi()) {
            (Callback::Async(_), _) => Ok(Path::Fiber),
            (_, true) => Err(LoadError::NeedsAsync("it imports WASI, whose functions can wait")),
            (_, false) => Ok(Path::Plain),
        }
    }
}

impl WebAssemblyEngineProvider for WasmtimeProvider {
    fn init(&mut self, state: ModuleState) -> Running<'_, (), LoadError> {
        // First, so that the fresh instance finds the old one's place in the pool.
        self.instance = None;
        let compiled = self.compiled.clone();
        start(self, compiled, state)
    }

    fn call(&mut self, operation_len: u32, payload_len: u32) -> Running<'_, i32, GuestExit> {
        let Some(instance) = &mut self.instance else {
            return Running::Done(Err(GuestExit::HostPanicked("a call before the start".to_owned())));
        };
        let shared = &self.compiled.engine().0;
        let stack = shared.settings.guest_stack;
        arm(&mut instance.store, &shared.ticker);
        instance.store.data_mut().slice = Slice::default();
        // A growth that was refused in an earlier call has nothing to do with how this one ends.
        instance.store.data_mut().limiter.refused = None;
        match instance.path {
            Path::Plain => {
                let returned = instance.guest_call.call(&mut instance.store, (operation_len, payload_len));
                Running::Done(returned.map_err(|error| exit_of(error, instance.store.data_mut(), stack)))
            }
            Path::Fiber => Running::Pending(Box::pin(async move {
                // Also when this future is dropped, at the deadline.
                let _flushed = instance.store.data().lines();
                let returned = instance.guest_call.call_async(&mut instance.store, (operation_len, payload_len)).await;
                returned.map_err(|error| exit_of(error, instance.store.data_mut(), stack))
            })),
        }
    }

    fn replace(&mut self, bytes: &[u8], state: ModuleState) -> Running<'_, (), LoadError> {
        match self.compiled.engine().compile(bytes) {
            Ok(compiled) => start(self, compiled, state),
            Err(error) => Running::Done(Err(error)),
        }
    }

    fn state(&mut self) -> Option<&mut ModuleState> {
        self.instance.as_mut()?.store.data_mut().state.as_mut()
    }

    fn set_limits(&mut self, limits: &Limits) {
        let reservation = reservation(self.compiled.engine().0.settings.instances);
        if let Some(instance) = &mut self.instance {
            instance.store.data_mut().limiter.set(limits, reservation);
        }
    }

    fn memory_bytes(&mut self) -> u64 {
        let size = |instance: &Instance| Some(instance.store.data().memory?.data_size(&instance.store) as u64);
        self.instance.as_ref().and_then(size).unwrap_or(0)
    }
}

/// Starts `compiled` in a new store and, when that has succeeded, makes it the provider's instance.
fn start(provider: &mut WasmtimeProvider, compiled: CompiledModule, state: ModuleState) -> Running<'_, (), LoadError> {
    let path = match provider.path(&compiled, &state) {
        Ok(path) => path,
        Err(error) => return Running::Done(Err(error)),
    };
    let store = match store_for(&compiled, &provider.wasi, path, state) {
        Ok(store) => store,
        Err(error) => return Running::Done(Err(error)),
    };
    match path {
        Path::Plain => {
            let started = start_plain(store, &compiled);
            Running::Done(started.map(|instance| provider.take(compiled, instance)))
        }
        Path::Fiber => Running::Pending(Box::pin(async move {
            let instance = start_fiber(store, &compiled).await?;
            provider.take(compiled, instance);
            Ok(())
        })),
    }
}

impl WasmtimeProvider {
    fn take(&mut self, compiled: CompiledModule, instance: Instance) {
        self.compiled = compiled;
        self.instance = Some(instance);
    }
}

/// A store for one instance: limits, interruption and WASI are in place before anything of the guest runs.
fn store_for(
    compiled: &CompiledModule,
    wasi: &WasiParams,
    path: Path,
    state: ModuleState,
) -> Result<Store<StoreData>, LoadError> {
    compiled.check_limits(state.limits())?;
    let wasi = match compiled.imports_wasi() {
        true => Some(Box::new(grant(wasi, state.console())?)),
        false => None,
    };
    let limiter = Limiter::new(state.limits(), reservation(compiled.engine().0.settings.instances));
    let ticker = Arc::clone(&compiled.engine().0.ticker);
    let (slice, ticking) = (Slice::default(), Some(Arc::clone(&ticker)));
    let data = StoreData { state: Some(state), memory: None, limiter, slice, ticker: ticking, wasi };
    let mut store = Store::new(&compiled.engine().0.engine, data);
    store.limiter(|data| &mut data.limiter);
    arm(&mut store, &ticker);
    store.epoch_deadline_callback(move |mut context| {
        ticker.touch();
        let data = context.data_mut();
        data.state()?.check_deadline()?;
        Ok(match (path, data.slice.is_used_up()) {
            (Path::Plain, _) => UpdateDeadline::Continue(1),
            (Path::Fiber, false) => UpdateDeadline::YieldCustom(1, Box::pin(turns::give_way())),
            (Path::Fiber, true) => {
                let (place, ticker) = (Place::take(), Arc::clone(&ticker));
                UpdateDeadline::YieldCustom(
                    1,
                    Box::pin(async move {
                        place.turn().await;
                        // It may have waited for longer than the ticker stays awake.
                        ticker.touch();
                    }),
                )
            }
        })
    });
    Ok(store)
}

/// Lets a guest that waited compute again: the ticks that came meanwhile are not its own.
pub(super) fn waited(caller: &mut Caller<'_, StoreData>) {
    caller.as_context_mut().set_epoch_deadline(1);
    let data = caller.data_mut();
    data.slice.waited();
    if let Some(ticker) = &data.ticker {
        ticker.touch();
    }
}

/// Sets the next interruption one tick from now, since the epoch has gone on without this store, and only then tells the
/// ticker: it goes on for many ticks after that, so the interruption comes.
fn arm(store: &mut Store<StoreData>, ticker: &Ticker) {
    store.set_epoch_deadline(1);
    ticker.touch();
}

fn start_plain(mut store: Store<StoreData>, compiled: &CompiledModule) -> Result<Instance, LoadError> {
    let prepared = compiled.prepared(Path::Plain)?;
    let instance = prepared.instantiate(&mut store);
    let instance = instance.map_err(|error| instantiate_error(error, &mut store, compiled))?;
    for &name in compiled.starts() {
        let returned = instance.get_typed_func::<(), ()>(&mut store, name).and_then(|f| f.call(&mut store, ()));
        started(name, returned, &mut store, compiled)?;
    }
    ready(store, instance, Path::Plain)
}

async fn start_fiber(mut store: Store<StoreData>, compiled: &CompiledModule) -> Result<Instance, LoadError> {
    let _flushed = store.data().lines();
    let prepared = compiled.prepared(Path::Fiber)?;
    let instance = prepared.instantiate_async(&mut store).await;
    let instance = instance.map_err(|error| instantiate_error(error, &mut store, compiled))?;
    for &name in compiled.starts() {
        let returned = match instance.get_typed_func::<(), ()>(&mut store, name) {
            Ok(function) => function.call_async(&mut store, ()).await,
            Err(error) => Err(error),
        };
        started(name, returned, &mut store, compiled)?;
    }
    ready(store, instance, Path::Fiber)
}

/// What a start function's end means: exit code 0 is fine, everything else is not.
fn started(
    function: &'static str,
    returned: wasmtime::Result<()>,
    store: &mut Store<StoreData>,
    compiled: &CompiledModule,
) -> Result<(), LoadError> {
    let Err(error) = returned else { return Ok(()) };
    match exit_of(error, store.data_mut(), compiled.engine().0.settings.guest_stack) {
        GuestExit::Exited(0) => Ok(()),
        exit => Err(LoadError::Start { function, exit }),
    }
}

fn ready(mut store: Store<StoreData>, instance: WasmInstance, path: Path) -> Result<Instance, LoadError> {
    let guest_call = instance.get_typed_func(&mut store, names::GUEST_CALL);
    let guest_call = guest_call.map_err(|error| LoadError::Engine(error.into()))?;
    let memory = instance.get_memory(store.as_context_mut(), names::MEMORY);
    store.data_mut().memory = memory;
    Ok(Instance { store, guest_call, path })
}

/// Instantiating fails for want of room, or because the start section failed.
fn instantiate_error(error: wasmtime::Error, store: &mut Store<StoreData>, compiled: &CompiledModule) -> LoadError {
    let settings = &compiled.engine().0.settings;
    if error.is::<PoolConcurrencyLimitError>() {
        return LoadError::NoRoom { limit: settings.instances };
    }
    let in_guest = error.is::<GuestExit>() || error.is::<wasmtime::Trap>() || error.is::<wasmtime::WasmBacktrace>();
    if in_guest {
        let exit = exit_of(error, store.data_mut(), settings.guest_stack);
        return LoadError::Start { function: "(start section)", exit };
    }
    if let Some(Refusal { resource, limit, asked }) = store.data_mut().limiter.refused.take() {
        return LoadError::InitialSize { resource, asked, limit };
    }
    LoadError::Engine(error.into())
}

/// Grants what the parameters list, and nothing else.
fn grant(params: &WasiParams, console: &GuestConsole) -> Result<Wasi, LoadError> {
    let output = Output {
        stdout: LineStream::new(console.clone(), Stream::Stdout),
        stderr: LineStream::new(console.clone(), Stream::Stderr),
    };
    let mut builder = WasiCtxBuilder::new();
    builder.args(&params.argv).envs(&params.env_vars).stdout(output.stdout.clone()).stderr(output.stderr.clone());
    let own = params.preopened_dirs.iter().map(|dir| (dir, dir));
    for (guest, host) in own.chain(params.map_dirs.iter().map(|(guest, host)| (guest, host))) {
        let opened = builder.preopened_dir(FilePath::new(host), guest, FsPerms::ReadWrite);
        opened
            .map_err(|source| LoadError::Wasi { what: format!("directory {host}"), source: BoxError::from(source) })?;
    }
    Ok(Wasi { context: builder.build_p1(), output })
}
