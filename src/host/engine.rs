//! What the host asks of an engine. One trait serves both kinds of callback.

use std::{future::Future, pin::Pin};

use super::{
    error::{GuestExit, LoadError},
    limits::Limits,
    state::ModuleState,
};

/// Work of an engine: finished, or a future to be awaited.
///
/// An engine that has nothing to wait for returns `Done`, so that a plain call needs neither a fiber nor an executor.
pub enum Running<'a, T, E> {
    /// It is over.
    Done(Result<T, E>),
    /// It goes on while it is polled; dropping it ends the guest where it stands.
    Pending(Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>),
}

/// Runs guests. An engine value holds one module and at most one instance of it.
///
/// The engine keeps the [`ModuleState`] that it was given with the instance and calls it through
/// [`ModuleHost`](super::ModuleHost) when the guest calls the host. It suspends a guest only where
/// `ModuleHost::host_call` tells it to wait, or to let others run. When the state's callback is
/// [`Callback::Async`](super::Callback::Async) it may return futures; for the other kinds it should finish at once, and
/// says [`LoadError::NeedsAsync`] from `init` where it cannot.
pub trait WebAssemblyEngineProvider: Send {
    /// Drops the instance, if there is one, and makes a fresh one: instantiates the module and runs its start functions.
    ///
    /// # Errors
    /// When the module cannot be instantiated or a start function fails; then there is no instance.
    fn init(&mut self, state: ModuleState) -> Running<'_, (), LoadError>;

    /// Calls `__guest_call` with the two lengths and returns what it returned.
    ///
    /// # Errors
    /// When the instance ended; it is not called again.
    fn call(&mut self, operation_len: u32, payload_len: u32) -> Running<'_, i32, GuestExit>;

    /// Starts another module around `state` and, only when that has succeeded, drops the old instance.
    ///
    /// # Errors
    /// When the new module does not load or start; then the old instance is untouched. [`LoadError::Unsupported`] for
    /// an engine that cannot do this.
    fn replace(&mut self, bytes: &[u8], state: ModuleState) -> Running<'_, (), LoadError> {
        let _unused = (bytes, state);
        Running::Done(Err(LoadError::Unsupported("replacing a module")))
    }

    /// The state of the live instance, `None` before `init` has succeeded.
    fn state(&mut self) -> Option<&mut ModuleState>;

    /// Takes other limits of memory and tables for the live instance; called between two calls. What it has beyond them it
    /// keeps, and it grows no further.
    ///
    /// The [`ModuleState`] has the new limits already, and the host itself holds calls to all the others. So an engine that
    /// asks the state at every growth has nothing to do here, and only one that keeps a copy overrides this.
    fn set_limits(&mut self, limits: &Limits) {
        let _unused = limits;
    }

    /// Bytes of the live instance's linear memory; 0 without an instance, or where the engine does not tell. Asked after
    /// every call.
    fn memory_bytes(&mut self) -> u64 {
        0
    }
}
