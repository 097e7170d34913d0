//! Compiled modules: what waPC demands of them, checked once, and shared by any number of instances.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use wasmtime::{ExternType, InstancePre, Module, ValType};

use super::{
    WasmtimeEngine,
    instance::{StoreData, WasmtimeProvider},
    linker::{Path, is_wasi, kind_of},
};
use crate::host::{
    error::{LoadError, Resource},
    functions as names,
    limits::Limits,
    wasi::WasiParams,
};

/// Bytes of a page of linear memory.
const WASM_PAGE: u64 = 65_536;

/// A module that was compiled and passed all checks. Cheap to clone; clones share the code.
#[derive(Clone)]
pub struct CompiledModule(Arc<Compiled>);

struct Compiled {
    engine: WasmtimeEngine,
    module: Module,
    wasi: bool,
    starts: Vec<&'static str>,
    plain: OnceLock<InstancePre<StoreData>>,
    fiber: OnceLock<InstancePre<StoreData>>,
}

impl fmt::Debug for CompiledModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledModule").field("module", &self.0.module.name()).finish_non_exhaustive()
    }
}

impl CompiledModule {
    pub(super) fn new(engine: WasmtimeEngine, bytes: &[u8]) -> Result<Self, LoadError> {
        check_header(bytes)?;
        let module = Module::from_binary(&engine.0.engine, bytes).map_err(|error| compile_error(bytes, error))?;
        Self::checked(engine, module)
    }

    /// Checks what waPC demands of a module, whether it was compiled now or before.
    pub(super) fn checked(engine: WasmtimeEngine, module: Module) -> Result<Self, LoadError> {
        engine.0.linkers.check(&module)?;
        check_required(&module)?;
        let starts = start_functions(&module)?;
        let wasi = module.imports().any(|import| is_wasi(import.module()));
        let compiled = Compiled { engine, module, wasi, starts, plain: OnceLock::new(), fiber: OnceLock::new() };
        Ok(Self(Arc::new(compiled)))
    }

    /// Returns an engine for one host of this module. `wasi` matters only to guests that import WASI.
    #[must_use]
    pub fn provider(&self, wasi: WasiParams) -> WasmtimeProvider {
        WasmtimeProvider::new(self.clone(), wasi)
    }

    /// Whether the guest imports WASI and so needs a [`WapcHostAsync`](crate::host::WapcHostAsync).
    #[must_use]
    pub fn imports_wasi(&self) -> bool {
        self.0.wasi
    }

    /// Checks the memory and tables with which every instance starts.
    ///
    /// # Errors
    /// [`LoadError::InitialSize`].
    pub fn check_limits(&self, limits: &Limits) -> Result<(), LoadError> {
        let sizes = self.0.module.resources_required();
        let memory = sizes.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE);
        let table = sizes.max_initial_table_size.unwrap_or(0);
        for (resource, asked, limit) in
            [(Resource::Memory, memory, limits.memory), (Resource::Table, table, limits.table_elements)]
        {
            if asked > limit {
                return Err(LoadError::InitialSize { resource, asked, limit });
            }
        }
        Ok(())
    }

    /// Returns the engine that compiled it, in whose pool its instances live.
    #[must_use]
    pub fn engine(&self) -> &WasmtimeEngine {
        &self.0.engine
    }

    pub(super) fn module(&self) -> &Module {
        &self.0.module
    }

    /// The start functions that the module has, in the order in which they run.
    pub(super) fn starts(&self) -> &[&'static str] {
        &self.0.starts
    }

    pub(super) fn prepared(&self, path: Path) -> Result<&InstancePre<StoreData>, LoadError> {
        let slot = match path {
            Path::Plain => &self.0.plain,
            Path::Fiber => &self.0.fiber,
        };
        if let Some(prepared) = slot.get() {
            return Ok(prepared);
        }
        let prepared = self.0.engine.0.linkers.prepare(&self.0.module, path, self.0.wasi);
        let prepared = prepared.map_err(|error| LoadError::Engine(error.into()))?;
        Ok(slot.get_or_init(|| prepared))
    }
}

/// Says what bytes are that are not a module, before the compiler words it less kindly.
pub(super) fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    let what = match bytes {
        [] => "the file is empty",
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => {
            "this is a WebAssembly component; waPC guests are core modules (build for wasm32-wasip1 or \
             wasm32-unknown-unknown, without a component step)"
        }
        [0, b'a', b's', b'm', ..] if bytes.len() < 8 => "the file is truncated: it ends in its header",
        [0, b'a', b's', b'm', ..] => "unknown version of the WebAssembly format",
        [0x7f, b'E', b'L', b'F', ..] => "this is precompiled or native code (ELF); wapcd compiles guests itself",
        _ if b"\0asm".starts_with(bytes) => "the file is truncated: it ends in its header",
        _ if matches!(bytes.trim_ascii_start(), [b'(', ..] | [b';', b';', ..]) => {
            "this is WebAssembly text; assemble it first"
        }
        _ => "the file does not begin with the magic number of WebAssembly",
    };
    Err(LoadError::NotAModule(what.to_owned()))
}

/// Why a module does not compile: because its end is missing, or for the engine's own reason.
fn compile_error(bytes: &[u8], error: wasmtime::Error) -> LoadError {
    match is_truncated(bytes) {
        true => LoadError::NotAModule(format!("the file is truncated after {} bytes: {error:#}", bytes.len())),
        false => LoadError::Compile(error.into()),
    }
}

/// Ids of the sections that declare functions and hold their code: one is nothing without the other.
const FUNCTION_SECTION: u8 = 3;
const CODE_SECTION: u8 = 10;

/// Whether a module that does not compile ends within a section, or between the declarations of functions and their
/// code.
fn is_truncated(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    let mut seen = [false; 2];
    while let Some((&id, tail)) = rest.split_first() {
        seen = [seen[0] || id == FUNCTION_SECTION, seen[1] || id == CODE_SECTION];
        let Some((size, contents)) = leb128(tail) else { return true };
        let Some(next) = contents.get(size..) else { return true };
        rest = next;
    }
    seen == [true, false]
}

/// An unsigned number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at_checked(end + 1)?;
    let value = digits.iter().rev().fold(0u64, |value, digit| value << 7 | u64::from(digit & 0x7f));
    Some((usize::try_from(value).ok()?, rest))
}

fn check_required(module: &Module) -> Result<(), LoadError> {
    let wrong = |name, expected, found: Option<ExternType>| LoadError::Export {
        name,
        found: found.map_or_else(|| "is missing".to_owned(), |ty| format!("is {}", kind_of(&ty))),
        expected,
    };
    match module.get_export(names::MEMORY) {
        Some(ExternType::Memory(_)) => {}
        found => return Err(wrong(names::MEMORY, "a memory", found)),
    }
    match module.get_export(names::GUEST_CALL) {
        Some(ExternType::Func(ty))
            if ty.params().len() == 2
                && ty.results().len() == 1
                && ty.params().chain(ty.results()).all(|ty| matches!(ty, ValType::I32)) => {}
        found => return Err(wrong(names::GUEST_CALL, "(func (param i32 i32) (result i32))", found)),
    }
    Ok(())
}

/// `_start`, or `_initialize` where there is no `_start`; then `wapc_init`. Each that exists must be a function without
/// parameters and results.
fn start_functions(module: &Module) -> Result<Vec<&'static str>, LoadError> {
    let has = |name: &'static str| match module.get_export(name) {
        None => Ok(false),
        Some(ExternType::Func(ty)) if ty.params().len() == 0 && ty.results().len() == 0 => Ok(true),
        Some(ty) => Err(LoadError::Export { name, found: format!("is {}", kind_of(&ty)), expected: "(func)" }),
    };
    let (start, initialize, wapc_init) = (has(names::START)?, has(names::INITIALIZE)?, has(names::WAPC_INIT)?);
    if start && initialize {
        tracing::warn!("guest exports both _start and _initialize; only _start is called");
    }
    let first = if start { Some(names::START) } else { initialize.then_some(names::INITIALIZE) };
    Ok(first.into_iter().chain(wapc_init.then_some(names::WAPC_INIT)).collect())
}
