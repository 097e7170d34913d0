//! `WapcHost` and `WapcHostAsync`: one instance of one guest, and the calls to it.
//!
//! The two differ only in how they wait. Both own a [`Core`], which owns the engine and knows whether the instance may
//! still be called.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;

use super::{
    callback::{HostCallback, HostCallbackAsync},
    clock::CallClock,
    console::{Console, TracingConsole},
    engine::{Running, WebAssemblyEngineProvider},
    error::{CallError, GuestExit, LoadError},
    limits::Limits,
    state::{Callback, HostSide, ModuleState},
    turns,
    waiting::{Deadline, before},
};

/// Id of the next host. Ids start at 1, so that 0 can mean none.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What a host is made with, besides its engine and callback.
#[derive(Clone)]
pub struct HostOptions {
    /// Limits of the instance.
    pub limits: Limits,
    /// Where the guest's lines go.
    pub console: Arc<dyn Console>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), console: Arc::new(TracingConsole) }
    }
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A guest whose host calls are answered by a plain closure.
///
/// Each call runs to its end on the calling thread, without a fiber or an executor. A guest is not re-entrant, and
/// `&mut self` says so: a callback cannot call the host that is calling it, and two threads cannot call it at once.
///
/// ```compile_fail
/// # // protocol: flow.one-at-a-time
/// # fn two_calls(host: &mut wapcd::host::WapcHost) {
/// std::thread::scope(|scope| {
///     scope.spawn(|| host.call("first", ""));
///     scope.spawn(|| host.call("second", ""));
/// });
/// # }
/// ```
///
/// ```
/// use wapcd::host::{EngineSettings, WapcHost, WasmtimeEngine};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let wasm = wapcd::host::doc::ECHO_GUEST;
/// let engine = WasmtimeEngine::new(EngineSettings::default())?;
/// let module = engine.compile(wasm)?;
/// let mut host = WapcHost::new(
///     Box::new(module.provider(Default::default())),
///     Some(Box::new(|_id, _binding, _namespace, _operation, payload| Ok(payload.to_vec().into()))),
/// )?;
/// assert_eq!(host.call("echo", "hello")?, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WapcHost(Core);

/// A guest whose host calls are answered by an asynchronous closure.
///
/// While the guest waits for a host call its thread does other work. A future of this type that is dropped ends the
/// guest where it stands; the next call then runs in a fresh instance. Deadlines need a tokio runtime with its timer
/// enabled.
///
/// ```
/// use wapcd::host::{EngineSettings, WapcHostAsync, WasmtimeEngine};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let wasm = wapcd::host::doc::ECHO_GUEST;
/// let engine = WasmtimeEngine::new(EngineSettings::default())?;
/// let module = engine.compile(wasm)?;
/// let mut host = WapcHostAsync::new(
///     Box::new(module.provider(Default::default())),
///     Some(Box::new(|_id, call| Box::pin(async move { Ok(call.payload) }))),
/// )
/// .await?;
/// assert_eq!(host.call("echo", "hello").await?, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WapcHostAsync(Core);

impl WapcHost {
    /// Starts the engine's module with default limits: 64 MiB of memory, 4 MiB a payload, no deadline.
    ///
    /// # Errors
    /// When the module cannot be instantiated or a start function fails; [`LoadError::NeedsAsync`] for guests that
    /// import WASI.
    pub fn new(
        engine: Box<dyn WebAssemblyEngineProvider>,
        host_callback: Option<Box<HostCallback>>,
    ) -> Result<Self, LoadError> {
        Self::with_options(engine, host_callback, HostOptions::default())
    }

    /// Starts the engine's module with the given options.
    ///
    /// # Errors
    /// As [`WapcHost::new`].
    pub fn with_options(
        engine: Box<dyn WebAssemblyEngineProvider>,
        host_callback: Option<Box<HostCallback>>,
        options: HostOptions,
    ) -> Result<Self, LoadError> {
        let callback = host_callback.map_or(Callback::None, |callback| Callback::Plain(callback.into()));
        let mut host = Self(Core::new(engine, callback, options));
        host.restart()?;
        Ok(host)
    }

    /// Returns the process-wide unique id of this host, as its callback receives it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.host.id
    }

    /// Changes the limits from the next call on, also of instances that are started later.
    ///
    /// A guest that has more memory or table elements than the new limits allow keeps them and gets no more.
    pub fn set_limits(&mut self, limits: Limits) {
        self.0.set_limits(limits);
    }

    /// Calls an operation of the guest. If the instance has ended, a fresh one is started first.
    ///
    /// # Errors
    /// [`CallError::Guest`] and [`CallError::TooLarge`] leave the instance alive; [`CallError::Exit`] ends it.
    pub fn call(&mut self, operation: &str, payload: impl Into<Bytes>) -> Result<Bytes, CallError> {
        self.call_at_once(operation, payload.into())
    }

    fn call_at_once(&mut self, operation: &str, payload: Bytes) -> Result<Bytes, CallError> {
        if !self.0.alive {
            self.restart()?;
        }
        let lengths = self.0.begin(operation, payload, None)?;
        let returned = match self.0.run(lengths) {
            // Taken apart, since moving a whole outcome costs as much as a host function.
            Running::Done(Ok(returned)) => Ok(returned),
            Running::Done(Err(exit)) => Err(exit),
            Running::Pending(_) => {
                Err(GuestExit::HostPanicked("the engine suspended a guest whose callback is plain".to_owned()))
            }
        };
        self.0.finish(returned)
    }

    /// Replaces the module between two calls. If anything fails, the old instance goes on untouched.
    ///
    /// # Errors
    /// Why the new module did not load or start.
    pub fn replace_module(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let replaced = at_once(self.0.replace(bytes)).unwrap_or(Err(SUSPENDED));
        self.0.replaced(replaced)
    }

    /// Drops the instance and starts a fresh one.
    ///
    /// # Errors
    /// Why the fresh instance did not start; the next call tries again.
    pub fn restart(&mut self) -> Result<(), LoadError> {
        let started = at_once(self.0.start()).unwrap_or(Err(SUSPENDED));
        self.0.started(started)
    }
}

impl WapcHostAsync {
    /// Starts the engine's module with default limits: 64 MiB of memory, 4 MiB a payload, no deadline.
    ///
    /// # Errors
    /// When the module cannot be instantiated or a start function fails.
    pub async fn new(
        engine: Box<dyn WebAssemblyEngineProvider>,
        host_callback: Option<Box<HostCallbackAsync>>,
    ) -> Result<Self, LoadError> {
        Self::with_options(engine, host_callback, HostOptions::default()).await
    }

    /// Starts the engine's module with the given options.
    ///
    /// # Errors
    /// As [`WapcHostAsync::new`].
    ///
    /// # Panics
    /// With a deadline, outside of a tokio runtime with its timer enabled, when the guest has to wait.
    pub async fn with_options(
        engine: Box<dyn WebAssemblyEngineProvider>,
        host_callback: Option<Box<HostCallbackAsync>>,
        options: HostOptions,
    ) -> Result<Self, LoadError> {
        // Without a callback nothing waits for the host, but a busy guest must still let others run.
        let callback = host_callback.unwrap_or_else(|| Box::new(|_id, call| Box::pin(super::callback::nobody(call))));
        let mut host = Self(Core::new(engine, Callback::Async(callback.into()), options));
        host.restart().await?;
        Ok(host)
    }

    /// Returns the process-wide unique id of this host, as its callback receives it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.host.id
    }

    /// Whether the instance may still be called; after an exit, or after a call's future was dropped, it may not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.alive
    }

    /// Returns the bytes of the instance's linear memory; 0 where there is no instance or the engine does not tell.
    #[must_use]
    pub fn memory_bytes(&mut self) -> u64 {
        self.0.engine.memory_bytes()
    }

    /// Changes the limits from the next call on, also of instances that are started later.
    ///
    /// A guest that has more memory or table elements than the new limits allow keeps them and gets no more.
    pub fn set_limits(&mut self, limits: Limits) {
        self.0.set_limits(limits);
    }

    /// Calls an operation of the guest under the deadline of its limits. If the instance has ended, a fresh one is
    /// started first.
    ///
    /// # Errors
    /// [`CallError::Guest`] and [`CallError::TooLarge`] leave the instance alive; [`CallError::Exit`] ends it.
    ///
    /// # Panics
    /// With a deadline, outside of a tokio runtime with its timer enabled, when the guest has to wait.
    pub async fn call(&mut self, operation: &str, payload: impl Into<Bytes>) -> Result<Bytes, CallError> {
        self.call_within(operation, payload.into(), None).await
    }

    /// Calls an operation that was accepted at `accepted` and must end at `deadline`, instead of the limits' deadline.
    ///
    /// # Errors
    /// As [`WapcHostAsync::call`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled, when the guest has to wait.
    pub fn call_until(
        &mut self,
        operation: &str,
        payload: impl Into<Bytes>,
        accepted: Instant,
        deadline: Instant,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        self.call_within(operation, payload.into(), Some((accepted, deadline)))
    }

    async fn call_within(
        &mut self,
        operation: &str,
        payload: Bytes,
        within: Option<(Instant, Instant)>,
    ) -> Result<Bytes, CallError> {
        if !self.0.alive {
            // Boxed, since the future of every call would have room for it.
            Box::pin(self.restart()).await?;
        }
        turns::call_began();
        let lengths = self.0.begin(operation, payload, within)?;
        let deadline = self.0.deadline(within);
        let returned = match self.0.run(lengths) {
            Running::Done(returned) => Some(returned),
            Running::Pending(future) => before(deadline, future).await,
        };
        let returned = returned.unwrap_or_else(|| Err(self.0.exceeded()));
        self.0.finish(returned)
    }

    /// Replaces the module between two calls. If anything fails, the old instance goes on untouched.
    ///
    /// Compiling happens on the calling thread; a program that must not wait for it compiles elsewhere and makes a new
    /// host.
    ///
    /// # Errors
    /// Why the new module did not load or start.
    ///
    /// # Panics
    /// As [`WapcHostAsync::with_options`].
    pub async fn replace_module(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let deadline = self.0.deadline(None);
        let replaced = match self.0.replace(bytes) {
            Running::Done(replaced) => Some(replaced),
            Running::Pending(future) => before(deadline, future).await,
        };
        let replaced = replaced.unwrap_or_else(|| Err(self.0.start_exceeded()));
        self.0.replaced(replaced)
    }

    /// Drops the instance and starts a fresh one.
    ///
    /// # Errors
    /// Why the fresh instance did not start; the next call tries again.
    ///
    /// # Panics
    /// As [`WapcHostAsync::with_options`].
    pub async fn restart(&mut self) -> Result<(), LoadError> {
        let deadline = self.0.deadline(None);
        let started = match self.0.start() {
            Running::Done(started) => Some(started),
            Running::Pending(future) => before(deadline, future).await,
        };
        let started = started.unwrap_or_else(|| Err(self.0.start_exceeded()));
        self.0.started(started)
    }
}

const SUSPENDED: LoadError = LoadError::NeedsAsync("the engine suspended it while it started");

/// The engine with its instance, and whether the instance may be called.
struct Core {
    engine: Box<dyn WebAssemblyEngineProvider>,
    host: Arc<HostSide>,
    /// Limits of the next instance; the live one has the same with its state.
    limits: Limits,
    /// False from the moment a guest runs until it has ended a call properly: whatever interrupts in between, be it a
    /// trap, a panic or a dropped future, the instance is never called again.
    alive: bool,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("host", &self.host).field("alive", &self.alive).finish_non_exhaustive()
    }
}

impl Core {
    fn new(engine: Box<dyn WebAssemblyEngineProvider>, callback: Callback, options: HostOptions) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let host = Arc::new(HostSide::new(id, callback, options.console));
        Self { engine, host, limits: options.limits, alive: false }
    }

    fn start(&mut self) -> Running<'_, (), LoadError> {
        self.alive = false;
        self.engine.init(ModuleState::new(Arc::clone(&self.host), self.limits.clone()))
    }

    fn started(&mut self, started: Result<(), LoadError>) -> Result<(), LoadError> {
        self.alive = started.is_ok();
        self.forget_start();
        started
    }

    fn replace(&mut self, bytes: &[u8]) -> Running<'_, (), LoadError> {
        self.engine.replace(bytes, ModuleState::new(Arc::clone(&self.host), self.limits.clone()))
    }

    fn replaced(&mut self, replaced: Result<(), LoadError>) -> Result<(), LoadError> {
        self.alive |= replaced.is_ok();
        self.forget_start();
        replaced
    }

    /// No call is under way: whoever has the host to itself says so.
    fn set_limits(&mut self, limits: Limits) {
        if let Some(state) = self.engine.state() {
            state.limits.clone_from(&limits);
        }
        self.engine.set_limits(&limits);
        self.limits = limits;
    }

    /// Frees what start functions got from the host.
    fn forget_start(&mut self) {
        if let Some(state) = self.engine.state() {
            state.forget_host_call();
        }
    }

    /// Lays out a call and returns the lengths of operation and payload.
    #[inline]
    fn begin(
        &mut self,
        operation: &str,
        payload: Bytes,
        within: Option<(Instant, Instant)>,
    ) -> Result<(u32, u32), CallError> {
        let Some(state) = self.engine.state() else { return Err(not_started()) };
        let clock = match within {
            Some((accepted, deadline)) => CallClock::until(accepted, deadline),
            None => CallClock::within(self.limits.deadline),
        };
        state.begin(operation, payload, clock)?;
        Ok(state.lengths())
    }

    /// Runs the guest on what was laid out.
    #[inline]
    fn run(&mut self, (operation, payload): (u32, u32)) -> Running<'_, i32, GuestExit> {
        self.alive = false;
        self.engine.call(operation, payload)
    }

    #[inline]
    fn finish(&mut self, returned: Result<i32, GuestExit>) -> Result<Bytes, CallError> {
        self.alive = returned.is_ok();
        match self.engine.state() {
            Some(state) => state.finish(returned),
            None => Err(not_started()),
        }
    }

    fn deadline(&self, within: Option<(Instant, Instant)>) -> Deadline {
        match within {
            Some((_, deadline)) => Deadline::At(deadline),
            None => self.limits.deadline.map_or(Deadline::Never, Deadline::After),
        }
    }

    fn exceeded(&mut self) -> GuestExit {
        match self.engine.state() {
            Some(state) => state.clock.exceeded(),
            None => CallClock::within(self.limits.deadline).exceeded(),
        }
    }

    /// The error of a start that was ended while it waited; what had been started is gone.
    fn start_exceeded(&self) -> LoadError {
        let limit = self.limits.deadline.unwrap_or_default();
        let exit = GuestExit::DeadlineExceeded { limit, elapsed: limit, in_host_call: true };
        LoadError::Start { function: "(while waiting)", exit }
    }
}

#[cold]
fn not_started() -> CallError {
    LoadError::Unsupported("calls before a start").into()
}

/// The result of work that did not have to wait.
fn at_once<T, E>(running: Running<'_, T, E>) -> Option<Result<T, E>> {
    match running {
        Running::Done(result) => Some(result),
        Running::Pending(_) => None,
    }
}
