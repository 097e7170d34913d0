//! Reads and compiles modules beside the workers, a few at a time.

use std::{
    collections::BTreeSet,
    io,
    os::unix::fs::MetadataExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    accept::{Facts, Rules},
    fingerprint::Fingerprint,
    generations::{FileSeen, Sha256},
    kept::{Held, Kept, Run, sha256, what_to_run},
    module_error::ModuleError,
    read::{ReadFile, read_settled},
    status::GenerationOrigin,
};
use crate::{
    config::ModuleLimits,
    host::{CodeCache, CompiledModule, Limits, LoadError, WasmtimeEngine, chain, panic_message},
};

/// Threads that read and compile. One compilation uses all cores by itself, so a second thread only hides the reading
/// of files and the parts of compiling that are not parallel.
const LOADERS: usize = 2;

/// Which dropped files are accepted, as all who read them share it.
pub(super) type Acceptance = Arc<Mutex<Rules>>;

/// How a load ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What was at the file's place before it was read.
    pub(super) seen: Option<Fingerprint>,
    /// What the file held, where it was read, whether it could be loaded or not.
    pub(super) file: Option<FileSeen>,
    pub(super) result: Result<Loaded, ModuleError>,
}

/// Where code comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The module's file, or what runs in its place: a start.
    Start(PathBuf),
    /// The module's file: a swap.
    File(PathBuf),
    /// An operator.
    Sent(Bytes),
}

/// Code that was read, and compiled unless it is known already.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What the file held, where it was read.
    pub(super) file: Option<FileSeen>,
    pub(super) sha256: Sha256,
    /// Bytes of the wasm.
    pub(super) size: u64,
    /// `None`: it is one of those that need not be compiled.
    pub(super) compiled: Option<CompiledModule>,
    pub(super) held: Held,
    pub(super) origin: GenerationOrigin,
    /// Why something else was loaded than what the file holds.
    pub(super) instead: Option<String>,
    /// Code that was rolled back before this file changed.
    pub(super) barred: BTreeSet<Sha256>,
}

/// One module to be loaded.
pub(super) struct Job {
    pub(super) module: Arc<str>,
    pub(super) source: Source,
    pub(super) limits: ModuleLimits,
    /// Which files are accepted, where not all are.
    pub(super) acceptance: Option<Acceptance>,
    pub(super) engine: WasmtimeEngine,
    /// Code that need not be compiled: it runs, or shall not.
    pub(super) known: Vec<Sha256>,
    /// Whether anybody still wants it when its turn comes.
    pub(super) wanted: Box<dyn Fn() -> bool + Send>,
    /// Told of the outcome.
    pub(super) done: Box<dyn FnOnce(Outcome) + Send>,
}

/// What the threads share.
#[derive(Debug, Clone)]
pub(super) struct Stores {
    pub(super) kept: Arc<Kept>,
    /// `None`: compiled code is not kept.
    pub(super) cache: Option<Arc<CodeCache>>,
}

/// The threads that load. They end when this is dropped, after what they are doing.
#[derive(Debug)]
pub(super) struct Loader {
    jobs: mpsc::Sender<Job>,
}

impl Loader {
    /// Starts the threads.
    pub(super) fn start(stores: &Stores) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for index in 0..LOADERS {
            let (queue, stores) = (Arc::clone(&queue), stores.clone());
            thread::Builder::new().name(format!("wapcd-load-{index}")).spawn(move || {
                loop {
                    let job = queue.lock().recv();
                    let Ok(job) = job else { return };
                    if (job.wanted)() {
                        stores.work(job);
                    }
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Queues a load; `false` when the threads are gone.
    pub(super) fn load(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

impl Stores {
    fn work(&self, job: Job) {
        let Job { module, source, limits, acceptance, engine, known, done, .. } = job;
        let began = Instant::now();
        let task = Task { stores: self, module: &module, limits: &limits, engine: &engine, known: &known, began };
        match source {
            Source::Start(path) => {
                let (seen, (result, code)) = (look(&path), task.start(&path, acceptance.as_ref()));
                self.finish(done, Outcome { seen, file: None, result }, code);
            }
            Source::File(path) => {
                let seen = look(&path);
                let (file, result, code) = match read(&path, limits.module_size, acceptance.as_ref()) {
                    Ok(read) => {
                        let file = seen_in(&read);
                        let result = task.file(&path, &read, file.clone(), GenerationOrigin::File);
                        (Some(file), result, Some(read.bytes))
                    }
                    Err(error) => (None, Err(error), None),
                };
                self.finish(done, Outcome { seen, file, result }, code);
            }
            Source::Sent(code) => done(Outcome { seen: None, file: None, result: task.sent(&code) }),
        }
    }

    /// Tells the outcome, and keeps the code of a file.
    fn finish(&self, done: Box<dyn FnOnce(Outcome) + Send>, outcome: Outcome, code: Option<Vec<u8>>) {
        let sha256 = outcome.result.as_ref().ok().map(|loaded| Arc::clone(&loaded.sha256));
        // Before anyone hears of it: a record of it waits until it is kept.
        let _announced = sha256.as_deref().map(|sha256| self.kept.announce(sha256));
        done(outcome);
        if let (Some(sha256), Some(code)) = (sha256, code) {
            self.keep_code(&sha256, &code);
        }
    }

    /// Keeps code to which a roll back may lead, also after the daemon was started anew. Nobody waits for that.
    fn keep_code(&self, sha256: &str, code: &[u8]) {
        if let Err(error) = self.kept.keep_code(sha256, code) {
            tracing::warn!(
                error = chain(&error),
                sha256,
                "cannot keep code: a roll back to it would not outlive the daemon"
            );
        }
    }
}

struct Task<'a> {
    stores: &'a Stores,
    module: &'a str,
    limits: &'a ModuleLimits,
    engine: &'a WasmtimeEngine,
    known: &'a [Sha256],
    began: Instant,
}

impl Task<'_> {
    /// Loads what runs in the file's place, if something does, else the file, whose bytes are returned too.
    fn start(&self, path: &Path, acceptance: Option<&Acceptance>) -> (Result<Loaded, ModuleError>, Option<Vec<u8>>) {
        let read = match read(path, self.limits.module_size, acceptance) {
            Ok(read) => read,
            Err(error) => return (Err(error), None),
        };
        let file = seen_in(&read);
        match self.kept_instead(path, &file) {
            (Some(kept), _) => (kept, None),
            (None, barred) => {
                let loaded = self.file(path, &read, file, GenerationOrigin::Start);
                (loaded.map(|loaded| Loaded { barred, ..loaded }), Some(read.bytes))
            }
        }
    }

    /// What runs in the file's place, if something does, and what was rolled back since the file changed.
    fn kept_instead(&self, path: &Path, file: &FileSeen) -> (Option<Result<Loaded, ModuleError>>, BTreeSet<Sha256>) {
        let record = self.stores.kept.record(self.module).unwrap_or_else(|error| {
            tracing::error!(
                error = chain(&error),
                module = self.module,
                "cannot read what runs instead of the file: the file runs"
            );
            None
        });
        let barred = record.iter().flat_map(|record| &record.barred).map(|sha256| Arc::from(&**sha256)).collect();
        match what_to_run(&file.sha256, record.as_ref()) {
            Run::Kept(sha256) => match self.stores.kept.code(&sha256) {
                Ok(code) => {
                    let (origin, why) =
                        record.map_or((GenerationOrigin::Start, None), |record| (record.origin, record.why));
                    let held = self.stores.kept.hold(&sha256);
                    let loaded = self.compile(path, &code, &sha256).map(|compiled| Loaded {
                        file: Some(file.clone()),
                        sha256: Arc::from(&*sha256),
                        size: code.len() as u64,
                        compiled: Some(compiled),
                        held,
                        origin,
                        instead: why,
                        barred: BTreeSet::clone(&barred),
                    });
                    return (Some(loaded), barred);
                }
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        module = self.module,
                        "cannot read what runs instead of the file: the file runs"
                    );
                }
            },
            Run::File => return (None, barred),
            Run::FileAndForget => {
                if let Err(error) = self.stores.kept.forget(self.module) {
                    tracing::warn!(
                        error = chain(&error),
                        module = self.module,
                        "cannot forget what ran instead of the file"
                    );
                }
            }
        }
        (None, BTreeSet::new())
    }

    fn file(
        &self,
        path: &Path,
        read: &ReadFile,
        file: FileSeen,
        origin: GenerationOrigin,
    ) -> Result<Loaded, ModuleError> {
        let sha256 = Arc::clone(&file.sha256);
        let compiled = match self.known.contains(&sha256) {
            true => None,
            false => Some(self.compile(path, &read.bytes, &sha256)?),
        };
        let size = read.bytes.len() as u64;
        let (held, barred) = (self.stores.kept.hold(&sha256), BTreeSet::new());
        Ok(Loaded { file: Some(file), sha256, size, compiled, held, origin, instead: None, barred })
    }

    fn sent(&self, code: &[u8]) -> Result<Loaded, ModuleError> {
        let (size, limit) = (code.len() as u64, self.limits.module_size);
        if size > limit {
            return Err(ModuleError::SentTooLarge { size, limit });
        }
        let sha256: Sha256 = sha256(code).into();
        let compiled = match self.known.contains(&sha256) {
            true => None,
            false => Some(self.compile_checked(code, &sha256).map_err(ModuleError::Sent)?),
        };
        let held = self.stores.kept.hold(&sha256);
        // It is nowhere else: without being kept it would not outlive the daemon.
        self.stores.kept.keep_code(&sha256, code).map_err(|error| ModuleError::Keep(io::Error::other(error)))?;
        let (origin, barred) = (GenerationOrigin::Operator, BTreeSet::new());
        Ok(Loaded { file: None, sha256, size, compiled, held, origin, instead: None, barred })
    }

    fn compile(&self, path: &Path, code: &[u8], sha256: &str) -> Result<CompiledModule, ModuleError> {
        self.compile_checked(code, sha256).map_err(|source| ModuleError::Load { path: path.to_owned(), source })
    }

    /// Compiles code, unless that was done before, and checks what every instance would be checked for.
    fn compile_checked(&self, code: &[u8], sha256: &str) -> Result<CompiledModule, LoadError> {
        let (read, began) = (self.began.elapsed(), Instant::now());
        let compiled = guarded(|| {
            let compiled = match (&self.stores.cache, bytes_of(sha256)) {
                (Some(cache), Some(sha256)) => self.engine.compile_cached(code, &sha256, cache)?,
                _ => self.engine.compile(code)?,
            };
            compiled.check_limits(&Limits::from(self.limits))?;
            Ok(compiled)
        })?;
        let (read_us, compile_us) = (read.as_micros() as u64, began.elapsed().as_micros() as u64);
        tracing::debug!(module = self.module, sha256, read_us, compile_us, "code loaded");
        Ok(compiled)
    }
}

/// Compiles; a compiler that panics over some code has refused it. Its thread goes on, and whoever waits hears of it.
fn guarded<T>(compile: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(compile)).unwrap_or_else(|panic| {
        Err(LoadError::Compile(format!("the compiler panicked: {}", panic_message(&*panic)).into()))
    })
}

fn read(path: &Path, limit: u64, acceptance: Option<&Acceptance>) -> Result<ReadFile, ModuleError> {
    let read = read_settled(path, limit).map_err(ModuleError::of_read)?;
    let Some(acceptance) = acceptance else { return Ok(read) };
    // Asked of the very file that was read.
    let facts = Facts { owner: read.owner, mode: read.mode, link_owner: link_owner(path) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut rules = acceptance.lock();
    // In a directory that everybody may write, the file may be one that was never meant for it.
    let directory = path.parent().and_then(|directory| Some((directory, std::fs::metadata(directory).ok()?.mode())));
    let checked = directory.map_or(Ok(()), |(directory, mode)| rules.check_directory(directory, mode));
    match checked.and_then(|()| rules.check_file(&name, facts)) {
        Ok(()) => Ok(read),
        Err(refusal) => Err(ModuleError::NotAccepted { path: path.to_owned(), why: refusal.to_string() }),
    }
}

/// Whose link it is, where it is one.
pub(super) fn link_owner(path: &Path) -> Option<u32> {
    let facts = std::fs::symlink_metadata(path).ok()?;
    facts.file_type().is_symlink().then(|| facts.uid())
}

/// What is there now; a path at which one cannot look is met again when it is read.
fn look(path: &Path) -> Option<Fingerprint> {
    Fingerprint::at(path).ok().flatten()
}

/// A hash in hexadecimal as bytes.
fn bytes_of(sha256: &str) -> Option<[u8; 32]> {
    let digit = |at: usize| sha256.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Vec<u8> = (0..sha256.len()).step_by(2).map(digit).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

fn seen_in(read: &ReadFile) -> FileSeen {
    FileSeen { sha256: sha256(&read.bytes).into(), fingerprint: read.fingerprint }
}

/// Reads and compiles a module on the calling thread.
///
/// # Errors
/// When the file cannot be read, is larger than `limit` bytes, or is no module that can run here.
pub fn compile(engine: &WasmtimeEngine, path: &Path, limit: u64) -> Result<CompiledModule, ModuleError> {
    let read = read(path, limit, None)?;
    engine.compile(&read.bytes).map_err(|source| ModuleError::Load { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::host::chain;

    #[test]
    fn a_compiler_that_panics_has_refused_the_code() {
        let refused = guarded::<()>(|| panic!("over this code")).unwrap_err();
        assert_eq!(chain(&refused), "the module does not compile: the compiler panicked: over this code");
    }
}
