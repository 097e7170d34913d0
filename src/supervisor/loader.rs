//! Reads and compiles modules beside the workers, a few at a time.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use actix::{Message, Recipient};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::host::{CompiledModule, LoadError, WasmtimeEngine};

/// Threads that read and compile. One compilation uses all cores by itself, so a second thread only hides the reading
/// of files and the parts of compiling that are not parallel.
const LOADERS: usize = 2;

/// Why a module's file did not become code.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The file cannot be read.
    #[error("cannot read module file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is larger than the module may be.
    #[error("module file `{}` of {size} bytes is over the module_size limit of {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file was read and is not a module that can run here.
    #[error("cannot load module file `{}`", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: LoadError,
    },
}

/// Reads a module's file, whose size is checked before.
///
/// # Errors
/// When the file cannot be read, is no file, or is larger than `limit` bytes.
fn read_module(path: &Path, limit: u64) -> Result<Vec<u8>, ModuleError> {
    let read_error = |source| ModuleError::Read { path: path.to_owned(), source };
    let too_large = |size| ModuleError::TooLarge { path: path.to_owned(), size, limit };
    let facts = std::fs::metadata(path).map_err(read_error)?;
    // Opening a pipe would wait for a writer, and a device may never end.
    if !facts.is_file() {
        return Err(read_error(io::Error::other("it is not a regular file")));
    }
    if facts.len() > limit {
        return Err(too_large(facts.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(facts.len()).unwrap_or(0));
    // The file may grow while it is read.
    let mut file = File::open(path).map_err(read_error)?.take(limit.saturating_add(1));
    file.read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Code that was read and compiled.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) compiled: CompiledModule,
    /// SHA-256 of the bytes, in hexadecimal.
    pub(super) sha256: String,
}

/// Tells the supervisor how a load ended. Nobody answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct ModuleLoaded {
    pub(super) module: usize,
    /// Which load this is; a later one makes it stale.
    pub(super) load: u64,
    pub(super) result: Result<Loaded, ModuleError>,
}

/// One module to be loaded.
#[derive(Debug)]
pub(super) struct LoadRequest {
    pub(super) module: usize,
    pub(super) load: u64,
    /// The module's load that counts: where it has gone on, this one is not done at all.
    pub(super) current: Arc<AtomicU64>,
    pub(super) path: PathBuf,
    pub(super) limit: u64,
}

/// The threads that load. They end when this is dropped, after what they are doing.
#[derive(Debug)]
pub(super) struct Loader {
    requests: mpsc::Sender<LoadRequest>,
}

impl Loader {
    /// Starts the threads. Each module has at most one request that
    /// counts; stale ones are passed over when their turn comes.
    pub(super) fn start(engine: &WasmtimeEngine, done: &Recipient<ModuleLoaded>) -> io::Result<Self> {
        let (requests, queue) = mpsc::channel::<LoadRequest>();
        let queue = Arc::new(parking_lot::Mutex::new(queue));
        for index in 0..LOADERS {
            let (queue, engine, done) = (Arc::clone(&queue), engine.clone(), done.clone());
            thread::Builder::new().name(format!("wapcd-load-{index}")).spawn(move || {
                loop {
                    let request = queue.lock().recv();
                    let Ok(LoadRequest { module, load, current, path, limit }) = request else { return };
                    if current.load(Ordering::Acquire) != load {
                        continue;
                    }
                    let result = load_module(&engine, &path, limit);
                    // One notice for each request, and the supervisor outlives this thread.
                    done.do_send(ModuleLoaded { module, load, result });
                }
            })?;
        }
        Ok(Self { requests })
    }

    /// Queues a load; `false` when the threads are gone.
    pub(super) fn load(&self, request: LoadRequest) -> bool {
        self.requests.send(request).is_ok()
    }
}

fn load_module(engine: &WasmtimeEngine, path: &Path, limit: u64) -> Result<Loaded, ModuleError> {
    let bytes = read_module(path, limit)?;
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let compiled = engine.compile(&bytes).map_err(|source| ModuleError::Load { path: path.to_owned(), source })?;
    Ok(Loaded { compiled, sha256 })
}

/// Reads and compiles a module on the calling thread.
///
/// # Errors
/// When the file cannot be read, is larger than `limit` bytes, or is no module that can run here.
pub fn compile(engine: &WasmtimeEngine, path: &Path, limit: u64) -> Result<CompiledModule, ModuleError> {
    load_module(engine, path, limit).map(|loaded| loaded.compiled)
}
