//! Runs a test once with a plain closure and once with an asynchronous one.

use std::{fmt, panic::resume_unwind, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use wapcd::host::{
    BoxError, CallError, CompiledModule, GuestExit, HostCall, HostCallFuture, HostOptions, Limits, LoadError, WapcHost,
    WapcHostAsync, WasiParams, WebAssemblyEngineProvider,
};

use crate::guest::MENU;

/// Which kind of callback a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Async,
}

/// Runs a test body with both kinds of callback, each on a thread that is named for its kind, so that a failure says
/// which it was.
pub(crate) fn both(test: impl Fn(Kind) + Send + Sync) {
    for kind in [Kind::Plain, Kind::Async] {
        thread::scope(|scope| {
            let named = thread::Builder::new().name(format!("with {kind:?} callback"));
            let ended = named.spawn_scoped(scope, || test(kind)).unwrap().join();
            ended.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }
}

/// Answers host calls in tests, for either kind of callback.
pub(crate) type Answer = Arc<dyn Fn(u64, &HostCall) -> Result<Bytes, BoxError> + Send + Sync>;

/// What a test's host is made with.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) options: HostOptions,
    pub(crate) wasi: WasiParams,
    pub(crate) answer: Option<Answer>,
}

/// A host of either kind, called as if it were plain.
pub(crate) enum Host {
    Plain(WapcHost),
    Async(WapcHostAsync, Runtime),
}

impl Setup {
    /// Answers host calls with the payload, turned around.
    pub(crate) fn reversing() -> Self {
        Self::answering(|_, call| Ok(call.payload.iter().rev().copied().collect()))
    }

    pub(crate) fn answering(
        answer: impl Fn(u64, &HostCall) -> Result<Bytes, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Some(Arc::new(answer)), ..Self::default() }
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.options.limits.deadline = Some(deadline);
        self
    }

    /// Starts the menu guest.
    pub(crate) fn menu(self, kind: Kind) -> Host {
        self.start(&MENU, kind).unwrap()
    }

    pub(crate) fn start(self, module: &CompiledModule, kind: Kind) -> Result<Host, LoadError> {
        let engine = Box::new(module.provider(self.wasi.clone()));
        self.start_engine(engine, kind)
    }

    pub(crate) fn start_engine(
        self,
        engine: Box<dyn WebAssemblyEngineProvider>,
        kind: Kind,
    ) -> Result<Host, LoadError> {
        match kind {
            Kind::Plain => {
                let answer = self.answer.map(|answer| {
                    Box::new(move |id: u64, binding: &str, namespace: &str, operation: &str, payload: &[u8]| {
                        let payload = Bytes::copy_from_slice(payload);
                        answer(id, &HostCall::new(binding, namespace, operation, payload))
                    }) as _
                });
                Ok(Host::Plain(WapcHost::with_options(engine, answer, self.options)?))
            }
            Kind::Async => {
                let answer = self.answer.map(|answer| {
                    Box::new(move |id: u64, call: HostCall| {
                        let answer = Arc::clone(&answer);
                        let work: HostCallFuture = Box::pin(async move {
                            // So that the guest really waits.
                            tokio::task::yield_now().await;
                            answer(id, &call)
                        });
                        work
                    }) as _
                });
                let runtime = runtime();
                let host = runtime.block_on(WapcHostAsync::with_options(engine, answer, self.options))?;
                Ok(Host::Async(host, runtime))
            }
        }
    }
}

impl Host {
    pub(crate) fn id(&self) -> u64 {
        match self {
            Self::Plain(host) => host.id(),
            Self::Async(host, _) => host.id(),
        }
    }

    pub(crate) fn call(&mut self, operation: &str, payload: impl Into<Bytes>) -> Result<Bytes, CallError> {
        match self {
            Self::Plain(host) => host.call(operation, payload),
            Self::Async(host, runtime) => runtime.block_on(host.call(operation, payload)),
        }
    }

    pub(crate) fn replace(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        match self {
            Self::Plain(host) => host.replace_module(bytes),
            Self::Async(host, runtime) => runtime.block_on(host.replace_module(bytes)),
        }
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        match self {
            Self::Plain(host) => host.set_limits(limits),
            Self::Async(host, _) => host.set_limits(limits),
        }
    }

    pub(crate) fn restart(&mut self) -> Result<(), LoadError> {
        match self {
            Self::Plain(host) => host.restart(),
            Self::Async(host, runtime) => runtime.block_on(host.restart()),
        }
    }

    /// How many calls the menu guest's instance has taken, this one included.
    pub(crate) fn count(&mut self) -> u32 {
        u32::from_le_bytes(self.call("count", "").unwrap()[..].try_into().unwrap())
    }

    /// Calls and expects that the instance ends.
    pub(crate) fn exit(&mut self, operation: &str, payload: impl Into<Bytes>) -> GuestExit {
        match self.call(operation, payload) {
            Err(CallError::Exit(exit)) => exit,
            other => panic!("expected an exit of the instance, got {other:?}"),
        }
    }

    /// Calls and expects a guest error; returns its text.
    pub(crate) fn error(&mut self, operation: &str, payload: impl Into<Bytes>) -> String {
        match self.call(operation, payload) {
            Err(CallError::Guest(text)) => text,
            other => panic!("expected a guest error, got {other:?}"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(host) => host.fmt(f),
            Self::Async(host, _) => host.fmt(f),
        }
    }
}

/// A runtime of one thread, with a timer.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}
