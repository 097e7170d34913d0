//! The crates `wapc` and `wasmtime-provider`, made as their documentation makes them.

use anyhow::Result;
use wapc::{HostCallback, HostCallbackAsync, WapcHost, WapcHostAsync};
use wasmtime_provider::{WasmtimeEngineProviderBuilder, WasmtimeEngineProviderPre};

/// The guest, compiled and prepared for many instances.
///
/// # Errors
/// When the guest does not compile.
pub fn prepare(guest: &[u8]) -> Result<WasmtimeEngineProviderPre> {
    Ok(WasmtimeEngineProviderBuilder::new().module_bytes(guest).build_pre()?)
}

/// The same on an engine with a pool for instances, which its documentation does not suggest.
///
/// # Errors
/// When the guest does not compile.
pub fn prepare_pooled(guest: &[u8]) -> Result<WasmtimeEngineProviderPre> {
    let mut config = wasmtime::Config::new();
    config.allocation_strategy(wasmtime::InstanceAllocationStrategy::pooling());
    let engine = wasmtime::Engine::new(&config)?;
    Ok(WasmtimeEngineProviderBuilder::new().engine(engine).module_bytes(guest).build_pre()?)
}

/// A host with a plain callback, in a fresh instance.
///
/// # Errors
/// When the guest does not start.
pub fn host(prepared: &WasmtimeEngineProviderPre) -> Result<WapcHost> {
    let callback: Box<HostCallback> = Box::new(|_, _, _, _, payload| Ok(payload.to_vec()));
    Ok(WapcHost::new(Box::new(prepared.rehydrate(None)?), Some(callback))?)
}

/// A host with an asynchronous callback.
///
/// # Errors
/// When the guest does not compile or start.
pub async fn host_async(guest: &[u8]) -> Result<WapcHostAsync> {
    let callback: Box<HostCallbackAsync> = Box::new(|_, _, _, _, payload| Box::pin(async move { Ok(payload) }));
    let provider = WasmtimeEngineProviderBuilder::new().module_bytes(guest).build_async()?;
    Ok(WapcHostAsync::new(Box::new(provider), Some(callback)).await?)
}
