//! What guests can import: the nine functions of waPC, AssemblyScript's `abort`, and WASI preview 1 under both names.

use std::collections::BTreeMap;

use rand::RngCore as _;
use wasmtime::{
    Caller, Engine, Extern, ExternType, FuncType, ImportType, InstancePre, Linker, Memory, Module, Result, Store,
};

use super::{
    exit::abort_message,
    instance::{StoreData, waited},
};
use crate::host::{
    callback::HostCallError,
    error::{GuestExit, LoadError, Trap, TrapKind},
    functions as names,
    memory::room,
    state::{HostCallNames, HostCallStep, ModuleHost},
    turns,
};

/// How an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// On the caller's stack.
    Plain,
    /// On a fiber.
    Fiber,
}

/// The linkers of an engine, made once.
pub(super) struct Linkers {
    plain: Linker<StoreData>,
    fiber: Linker<StoreData>,
    wasi: Linker<StoreData>,
    /// Type of every function that is offered, by module and name.
    offered: BTreeMap<(String, String), FuncType>,
}

/// Whether an import belongs to WASI.
pub(super) fn is_wasi(module: &str) -> bool {
    module == names::WASI_PREVIEW1 || module == names::WASI_UNSTABLE
}

impl Linkers {
    pub(super) fn new(engine: &Engine) -> Result<Self> {
        let mut plain = Linker::new(engine);
        link_common(&mut plain)?;
        link_host_call(&mut plain)?;
        let mut fiber = Linker::new(engine);
        link_common(&mut fiber)?;
        link_host_call_async(&mut fiber)?;
        let mut wasi = fiber.clone();
        link_wasi(&mut wasi)?;
        let offered = types_of(engine, &wasi);
        Ok(Self { plain, fiber, wasi, offered })
    }

    /// Refuses a module that imports what nobody offers; names all of it.
    pub(super) fn check(&self, module: &Module) -> Result<(), LoadError> {
        let unknown: Vec<String> = module.imports().filter_map(|import| self.objection(&import)).collect();
        if unknown.is_empty() { Ok(()) } else { Err(LoadError::UnknownImports(unknown)) }
    }

    fn objection(&self, import: &ImportType<'_>) -> Option<String> {
        let name = format!("{}.{}", import.module(), import.name());
        let ExternType::Func(wanted) = import.ty() else {
            return Some(format!("{name}: {}", kind_of(&import.ty())));
        };
        match self.offered.get(&(import.module().to_owned(), import.name().to_owned())) {
            None => Some(format!("{name}: {wanted}")),
            Some(offered) if !offered.matches(&wanted) => Some(format!("{name}: {wanted} (offered as {offered})")),
            Some(_) => None,
        }
    }

    /// Prepares a module for many instances.
    pub(super) fn prepare(&self, module: &Module, path: Path, wasi: bool) -> Result<InstancePre<StoreData>> {
        match (path, wasi) {
            (_, true) => self.wasi.instantiate_pre(module),
            (Path::Plain, false) => self.plain.instantiate_pre(module),
            (Path::Fiber, false) => self.fiber.instantiate_pre(module),
        }
    }
}

/// A word for an import or export that is not a function.
pub(super) fn kind_of(ty: &ExternType) -> String {
    match ty {
        ExternType::Func(func) => func.to_string(),
        ExternType::Global(_) => "a global".to_owned(),
        ExternType::Table(_) => "a table".to_owned(),
        ExternType::Memory(_) => "a memory".to_owned(),
        ExternType::Tag(_) => "a tag".to_owned(),
    }
}

fn types_of(engine: &Engine, linker: &Linker<StoreData>) -> BTreeMap<(String, String), FuncType> {
    let mut store = Store::new(engine, StoreData::default());
    let functions: Vec<_> = linker
        .iter(&mut store)
        .filter_map(|(module, name, item)| match item {
            Extern::Func(func) => Some((module.to_owned(), name.to_owned(), func)),
            _ => None,
        })
        .collect();
    functions.into_iter().map(|(module, name, func)| ((module, name), func.ty(&store))).collect()
}

/// The functions in which a guest cannot wait.
fn link_common(linker: &mut Linker<StoreData>) -> Result<()> {
    let wapc = names::HOST_NAMESPACE;
    linker.func_wrap(wapc, names::GUEST_REQUEST, |mut caller: Caller<'_, StoreData>, op_ptr: u32, ptr: u32| {
        let (memory, data) = parts(&mut caller)?;
        Ok(data.state()?.guest_request(memory, op_ptr, ptr)?)
    })?;
    linker.func_wrap(wapc, names::GUEST_RESPONSE, |mut caller: Caller<'_, StoreData>, ptr: u32, len: u32| {
        let (memory, data) = parts(&mut caller)?;
        Ok(data.state()?.guest_response(memory, ptr, len)?)
    })?;
    linker.func_wrap(wapc, names::GUEST_ERROR, |mut caller: Caller<'_, StoreData>, ptr: u32, len: u32| {
        let (memory, data) = parts(&mut caller)?;
        Ok(data.state()?.guest_error(memory, ptr, len)?)
    })?;
    linker.func_wrap(wapc, names::HOST_RESPONSE_LEN, |mut caller: Caller<'_, StoreData>| {
        Ok(caller.data_mut().state()?.host_response_len())
    })?;
    linker.func_wrap(wapc, names::HOST_RESPONSE, |mut caller: Caller<'_, StoreData>, ptr: u32| {
        let (memory, data) = parts(&mut caller)?;
        Ok(data.state()?.host_response(memory, ptr)?)
    })?;
    linker.func_wrap(wapc, names::HOST_ERROR_LEN, |mut caller: Caller<'_, StoreData>| {
        Ok(caller.data_mut().state()?.host_error_len())
    })?;
    linker.func_wrap(wapc, names::HOST_ERROR, |mut caller: Caller<'_, StoreData>, ptr: u32| {
        let (memory, data) = parts(&mut caller)?;
        Ok(data.state()?.host_error(memory, ptr)?)
    })?;
    linker.func_wrap(wapc, names::CONSOLE_LOG, |mut caller: Caller<'_, StoreData>, ptr: u32, len: u32| {
        let (memory, data) = parts(&mut caller)?;
        Ok(data.state()?.console_log(memory, ptr, len)?)
    })?;
    linker.func_wrap(names::ENV_NAMESPACE, names::ABORT, abort)?;
    Ok(())
}

/// AssemblyScript's `abort`: a trap that carries what the guest says about it.
fn abort(mut caller: Caller<'_, StoreData>, message: u32, file: u32, line: u32, column: u32) -> Result<()> {
    let (memory, _) = parts(&mut caller)?;
    let message = abort_message(memory, message, file, line, column);
    let trap = Trap { kind: TrapKind::Abort, message, backtrace: Vec::new(), guest_error: None };
    Err(GuestExit::Trapped(Box::new(trap)).into())
}

fn link_host_call(linker: &mut Linker<StoreData>) -> Result<()> {
    linker.func_wrap(
        names::HOST_NAMESPACE,
        names::HOST_CALL,
        |mut caller: Caller<'_, StoreData>, b: u32, bl: u32, n: u32, nl: u32, o: u32, ol: u32, p: u32, pl: u32| {
            let parts_of = HostCallNames { binding: (b, bl), namespace: (n, nl), operation: (o, ol), payload: (p, pl) };
            let (memory, data) = parts(&mut caller)?;
            let state = data.state()?;
            match state.host_call(memory, parts_of)? {
                HostCallStep::Done(answer) => Ok(answer),
                // The plain linker serves plain callbacks only, and those are done at once.
                HostCallStep::Wait(_) => Ok(state.finish_host_call(Err(HostCallError::new(
                    crate::host::HostErrorKind::Internal,
                    "an asynchronous callback on the synchronous path",
                )
                .into()))?),
            }
        },
    )?;
    Ok(())
}

fn link_host_call_async(linker: &mut Linker<StoreData>) -> Result<()> {
    type Arguments = (u32, u32, u32, u32, u32, u32, u32, u32);
    linker.func_wrap_async(
        names::HOST_NAMESPACE,
        names::HOST_CALL,
        |mut caller: Caller<'_, StoreData>, (b, bl, n, nl, o, ol, p, pl): Arguments| {
            Box::new(async move {
                let names =
                    HostCallNames { binding: (b, bl), namespace: (n, nl), operation: (o, ol), payload: (p, pl) };
                let (memory, data) = parts(&mut caller)?;
                match data.state()?.host_call(memory, names)? {
                    HostCallStep::Done(answer) => Ok(answer),
                    HostCallStep::Wait(pending) => {
                        turns::host_call_made();
                        let result = pending.await;
                        turns::host_call_answered();
                        waited(&mut caller);
                        Ok(caller.data_mut().state()?.finish_host_call(result)?)
                    }
                }
            })
        },
    )?;
    Ok(())
}

fn link_wasi(linker: &mut Linker<StoreData>) -> Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, StoreData::wasi)?;
    wasmtime_wasi::p0::add_to_linker_async(linker, StoreData::wasi)?;
    // wasmtime's own loses codes of 126 and more.
    linker.allow_shadowing(true);
    for namespace in [names::WASI_PREVIEW1, names::WASI_UNSTABLE] {
        linker.func_wrap(namespace, "proc_exit", |code: u32| -> Result<()> { Err(GuestExit::Exited(code).into()) })?;
        // wasmtime's own fills any number of bytes without letting others run.
        linker.func_wrap_async(
            namespace,
            RANDOM_GET,
            |mut caller: Caller<'_, StoreData>, (ptr, len): (u32, u32)| {
                Box::new(async move { random_get(&mut caller, ptr, len).await })
            },
        )?;
    }
    Ok(())
}

const RANDOM_GET: &str = "random_get";

/// Random bytes that a guest gets at once, in some 100 µs: short beside a slice, long beside giving way.
const RANDOM_CHUNK: usize = 128 * 1024;

/// Fills the guest's bytes at `ptr`; others on the thread run in between.
async fn random_get(caller: &mut Caller<'_, StoreData>, ptr: u32, len: u32) -> Result<i32> {
    let mut done = 0;
    loop {
        let (memory, _) = parts(caller)?;
        let rest = room(memory, ptr, len as usize, RANDOM_GET)?.get_mut(done..).unwrap_or_default();
        let last = rest.len() <= RANDOM_CHUNK;
        let chunk = if last { rest } else { rest.get_mut(..RANDOM_CHUNK).unwrap_or_default() };
        rand::rng().fill_bytes(chunk);
        if last {
            return Ok(0);
        }
        done += RANDOM_CHUNK;
        turns::give_way().await;
    }
}

/// The guest's memory and the instance's data, side by side.
#[inline]
fn parts<'a>(caller: &'a mut Caller<'_, StoreData>) -> Result<(&'a mut [u8], &'a mut StoreData)> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => first_memory(caller)?,
    };
    Ok(memory.data_and_store_mut(caller))
}

/// A start section runs before the exports are known.
#[cold]
fn first_memory(caller: &mut Caller<'_, StoreData>) -> Result<Memory> {
    let memory = caller.get_export(names::MEMORY).and_then(Extern::into_memory);
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("the guest exports no memory"))?;
    caller.data_mut().memory = Some(memory);
    Ok(memory)
}
