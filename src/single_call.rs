//! One call to one guest without a daemon: what `wapcd call` does.
//!
//! Nothing is granted: host calls are answered with `no_such_binding`, WASI has no files, no environment, no arguments.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    config::{EngineKind, defaults},
    host::{
        CallError, EngineError, EngineSettings, HostOptions, Limits, LoadError, WapcHostAsync, WasiParams,
        WasmtimeEngine,
    },
    supervisor::{ModuleError, compile, execution},
};

/// Why a single call has no response.
#[derive(Debug, Error)]
pub enum SingleCallError {
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file is not a module that can run here.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// There is no instance.
    #[error("cannot start {}", path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: LoadError,
    },
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Loads a guest under the default limits, to run on this engine, and calls it once. Needs a tokio runtime with its timer.
///
/// # Errors
/// [`SingleCallError`].
pub async fn call_once(
    path: &Path,
    engine: EngineKind,
    operation: &str,
    payload: Bytes,
    deadline: Duration,
) -> Result<Bytes, SingleCallError> {
    let settings = EngineSettings { execution: execution(engine), instances: 1, ..EngineSettings::default() };
    let engine = WasmtimeEngine::new(settings)?;
    let module = compile(&engine, path, defaults::MODULE_SIZE)?;
    let limits = Limits { deadline: Some(deadline), ..Limits::default() };
    let options = HostOptions { limits, ..HostOptions::default() };
    let provider = Box::new(module.provider(WasiParams::default()));
    let host = WapcHostAsync::with_options(provider, None, options).await;
    let mut host = host.map_err(|source| SingleCallError::Start { path: path.to_owned(), source })?;
    Ok(host.call(operation, payload).await?)
}
