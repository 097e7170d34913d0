//! wapcd's host library.

use anyhow::Result;
use bytes::Bytes;
use wapcd::host::{
    CompiledModule, EngineSettings, HostCallback, HostCallbackAsync, HostOptions, Limits, WapcHost, WapcHostAsync,
    WasiParams, WasmtimeEngine,
};

/// The guest, compiled.
///
/// # Errors
/// When the engine does not start or the guest does not compile.
pub fn compile(guest: &[u8]) -> Result<CompiledModule> {
    Ok(WasmtimeEngine::new(EngineSettings::default())?.compile(guest)?)
}

/// A host with a plain callback.
///
/// # Errors
/// When the guest does not start.
pub fn host(module: &CompiledModule) -> Result<WapcHost> {
    let callback: Box<HostCallback> = Box::new(|_, _, _, _, payload| Ok(Bytes::copy_from_slice(payload)));
    Ok(WapcHost::new(Box::new(module.provider(WasiParams::default())), Some(callback))?)
}

/// A host with an asynchronous callback.
///
/// # Errors
/// When the guest does not start.
pub async fn host_async(module: &CompiledModule) -> Result<WapcHostAsync> {
    let callback: Box<HostCallbackAsync> = Box::new(|_, call| Box::pin(async move { Ok(call.payload) }));
    Ok(WapcHostAsync::new(Box::new(module.provider(WasiParams::default())), Some(callback)).await?)
}

/// A host with an asynchronous callback and a deadline, as the daemon makes them.
///
/// # Errors
/// When the guest does not start.
pub async fn host_with_deadline(module: &CompiledModule) -> Result<WapcHostAsync> {
    let callback: Box<HostCallbackAsync> = Box::new(|_, call| Box::pin(async move { Ok(call.payload) }));
    let deadline = Some(std::time::Duration::from_secs(5));
    let options = HostOptions { limits: Limits { deadline, ..Limits::default() }, ..HostOptions::default() };
    let engine = Box::new(module.provider(WasiParams::default()));
    Ok(WapcHostAsync::with_options(engine, Some(callback), options).await?)
}
