//! wasmtime with the nine imports as short closures: the floor under every host library.
//!
//! Pointers are checked, since nobody could leave that out; there are no limits, no deadline and no errors of guests.

use anyhow::{Context, Result};
use bytes::Bytes;
use wasmtime::{
    Caller, Config, Engine, Extern, InstanceAllocationStrategy, InstancePre, Linker, Memory, Module, Store, TypedFunc,
};

/// What the guest asks for and says.
#[derive(Default)]
struct Data {
    operation: &'static str,
    payload: Bytes,
    response: Vec<u8>,
    host_response: Vec<u8>,
    memory: Option<Memory>,
}

/// The guest, compiled and prepared for both ways to run it.
pub struct Prepared {
    plain: InstancePre<Data>,
    fiber: InstancePre<Data>,
}

/// One instance.
pub struct Guest {
    store: Store<Data>,
    guest_call: TypedFunc<(u32, u32), u32>,
}

/// Compiles the guest for an engine with a pool.
///
/// # Errors
/// When the guest does not compile.
pub fn prepare(guest: &[u8]) -> Result<Prepared> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, guest)?;
    let mut plain = Linker::new(&engine);
    link_common(&mut plain)?;
    plain.func_wrap(
        "wapc",
        "__host_call",
        |mut caller: Caller<'_, Data>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, ptr: u32, len: u32| {
            let (memory, data) = parts(&mut caller)?;
            data.host_response = at(memory, ptr, len)?.to_vec();
            Ok(1_u32)
        },
    )?;
    let mut fiber = Linker::new(&engine);
    link_common(&mut fiber)?;
    type Names = (u32, u32, u32, u32, u32, u32, u32, u32);
    fiber.func_wrap_async(
        "wapc",
        "__host_call",
        |mut caller: Caller<'_, Data>, (_, _, _, _, _, _, ptr, len): Names| {
            Box::new(async move {
                let (memory, data) = parts(&mut caller)?;
                data.host_response = at(memory, ptr, len)?.to_vec();
                Ok(1_u32)
            })
        },
    )?;
    Ok(Prepared { plain: plain.instantiate_pre(&module)?, fiber: fiber.instantiate_pre(&module)? })
}

impl Prepared {
    /// Makes an instance that runs on the caller's stack.
    ///
    /// # Errors
    /// When the guest does not start.
    pub fn start(&self) -> Result<Guest> {
        let mut store = Store::new(self.plain.module().engine(), Data::default());
        let instance = self.plain.instantiate(&mut store)?;
        ready(store, &instance)
    }

    /// Makes an instance that runs on a fiber.
    ///
    /// # Errors
    /// When the guest does not start.
    pub async fn start_async(&self) -> Result<Guest> {
        let mut store = Store::new(self.fiber.module().engine(), Data::default());
        let instance = self.fiber.instantiate_async(&mut store).await?;
        ready(store, &instance)
    }
}

fn ready(mut store: Store<Data>, instance: &wasmtime::Instance) -> Result<Guest> {
    let guest_call = instance.get_typed_func(&mut store, "__guest_call")?;
    store.data_mut().memory = instance.get_memory(&mut store, "memory");
    Ok(Guest { store, guest_call })
}

impl Guest {
    /// Calls an operation on the caller's stack.
    ///
    /// # Errors
    /// When the guest traps.
    pub fn call(&mut self, operation: &'static str, payload: Bytes) -> Result<Vec<u8>> {
        let lengths = self.begin(operation, payload);
        self.guest_call.call(&mut self.store, lengths)?;
        Ok(std::mem::take(&mut self.store.data_mut().response))
    }

    /// Calls an operation on a fiber.
    ///
    /// # Errors
    /// When the guest traps.
    pub async fn call_async(&mut self, operation: &'static str, payload: Bytes) -> Result<Vec<u8>> {
        let lengths = self.begin(operation, payload);
        self.guest_call.call_async(&mut self.store, lengths).await?;
        Ok(std::mem::take(&mut self.store.data_mut().response))
    }

    fn begin(&mut self, operation: &'static str, payload: Bytes) -> (u32, u32) {
        let lengths = (operation.len() as u32, payload.len() as u32);
        let data = self.store.data_mut();
        (data.operation, data.payload) = (operation, payload);
        lengths
    }
}

/// The functions in which a guest cannot wait. The two for errors and the log are never called by this guest.
fn link_common(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    linker.func_wrap("wapc", "__guest_request", |mut caller: Caller<'_, Data>, op_ptr: u32, ptr: u32| {
        let (memory, data) = parts(&mut caller)?;
        put(memory, op_ptr, data.operation.as_bytes())?;
        put(memory, ptr, &data.payload)
    })?;
    linker.func_wrap("wapc", "__guest_response", |mut caller: Caller<'_, Data>, ptr: u32, len: u32| {
        let (memory, data) = parts(&mut caller)?;
        data.response = at(memory, ptr, len)?.to_vec();
        Ok(())
    })?;
    linker.func_wrap("wapc", "__guest_error", |_: u32, _: u32| {})?;
    linker.func_wrap("wapc", "__host_response_len", |caller: Caller<'_, Data>| {
        caller.data().host_response.len() as u32
    })?;
    linker.func_wrap("wapc", "__host_response", |mut caller: Caller<'_, Data>, ptr: u32| {
        let (memory, data) = parts(&mut caller)?;
        put(memory, ptr, &data.host_response)
    })?;
    linker.func_wrap("wapc", "__host_error_len", || 0_u32)?;
    linker.func_wrap("wapc", "__host_error", |_: u32| {})?;
    linker.func_wrap("wapc", "__console_log", |_: u32, _: u32| {})?;
    Ok(())
}

fn parts<'a>(caller: &'a mut Caller<'_, Data>) -> wasmtime::Result<(&'a mut [u8], &'a mut Data)> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => caller.get_export("memory").and_then(Extern::into_memory).context("no memory").map_err(error)?,
    };
    Ok(memory.data_and_store_mut(caller))
}

fn at(memory: &[u8], ptr: u32, len: u32) -> wasmtime::Result<&[u8]> {
    let tail = memory.get(ptr as usize..).unwrap_or_default();
    tail.get(..len as usize).ok_or_else(|| wasmtime::Error::msg("out of bounds"))
}

fn put(memory: &mut [u8], ptr: u32, bytes: &[u8]) -> wasmtime::Result<()> {
    let tail = memory.get_mut(ptr as usize..).unwrap_or_default();
    let place = tail.get_mut(..bytes.len()).ok_or_else(|| wasmtime::Error::msg("out of bounds"))?;
    place.copy_from_slice(bytes);
    Ok(())
}

fn error(error: anyhow::Error) -> wasmtime::Error {
    wasmtime::Error::msg(error.to_string())
}
