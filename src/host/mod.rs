//! The waPC host library: runs guests, knows no actor and no configuration file. Programs can embed it as it is.
//!
//! ```text
//!  WapcHost / WapcHostAsync          one guest instance, its calls, its deadline      wapc_host.rs, waiting.rs, errand.rs, turns.rs
//!        │ begin, finish
//!  ModuleState (ModuleHost)          the protocol: requests, responses, host calls    state.rs, memory.rs, …
//!        │ owned by
//!  WebAssemblyEngineProvider         runs wasm: init, call, replace                   engine.rs
//!        │ first implementation
//!  WasmtimeEngine → CompiledModule → WasmtimeProvider                                 wasmtime/
//! ```
//!
//! A guest call: the host lays operation and payload into the state, the engine enters the guest, the guest asks for
//! them and may call the host in between, and what it said last becomes the outcome. A guest that traps, runs out of
//! time or exits is never called again; the next call runs in a fresh instance.
//!
//! `docs/protocol.md` says row by row what guests can rely on. A program that embeds this library:
//!
//! ```
#![doc = include_str!("../../examples/embed.rs")]
//! ```

mod callback;
mod clock;
mod console;
#[doc(hidden)]
pub mod doc;
mod engine;
pub(crate) mod errand;
mod error;
pub mod functions;
mod limits;
mod line_limit;
mod memory;
mod private_dir;
mod state;
mod turns;
mod waiting;
mod wapc_host;
mod wasi;
mod wasmtime;

#[cfg(test)]
pub(crate) use self::private_dir::faults;
pub(crate) use self::private_dir::{Durable, PrivateDir};
pub use self::{
    callback::{HostCall, HostCallError, HostCallFuture, HostCallback, HostCallbackAsync, HostErrorKind},
    console::{Console, MAX_LINE, Stream, TracingConsole},
    engine::{Running, WebAssemblyEngineProvider},
    error::{BoxError, CallError, Frame, GuestExit, LoadError, Part, Resource, Trap, TrapKind, chain},
    limits::Limits,
    line_limit::LineLimit,
    private_dir::DirectoryError,
    state::{
        Callback, HostCallNames, HostCallStep, MAX_OPERATION, ModuleHost, ModuleState, PendingHostCall, panic_message,
    },
    wapc_host::{HostOptions, WapcHost, WapcHostAsync},
    wasi::WasiParams,
    wasmtime::{
        CacheError, CodeCache, CompiledModule, EngineError, EngineSettings, Execution, MappingLimit, TooManyMappings,
        WasmtimeEngine, WasmtimeProvider, WeakEngine,
    },
};
