//! Compiled code in a directory, so that a program that starts again does not compile again.
//!
//! ```text
//!   DIRECTORY/KEY.code     a header, and what wasmtime made of one module      entry.rs
//! ```
//!
//! Nothing depends on it: an entry that is not there, is damaged, or is another's is compiled again, and what cannot be
//! written is a warning. Entries are replaced as a whole, so any number of processes may use one directory. They are not
//! forced to the disk: one that a power failure has damaged is found by its hash.
//!
//! Compiled code is trusted as this program itself is: wasmtime does not check it. That is why the directory and every
//! entry must belong to the user of this process, with nobody else able to write to it, and why the hash is checked on the
//! very bytes that are then used. Whoever can act as that user, or as root, needs no cache to run code of his own.

mod entry;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use rustix::fs::FileType;
use thiserror::Error;
use wasmtime::{Engine, Module};

use self::entry::{HEADER, Key};
use super::{CompiledModule, WasmtimeEngine, module::check_header};
use crate::host::{
    error::{BoxError, LoadError, chain},
    private_dir::{DirectoryError, Durable, PrivateDir},
};

/// How names of entries end.
const ENTRY: &str = ".code";

/// The part of its room that a cache is freed of when it is full. With none, each further entry would list the directory
/// again.
const FREED: u64 = 8;

/// Why a cache cannot be used at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Its directory cannot be used: it must be a directory of the user of this process and closed to all others.
    #[error("cannot keep compiled code")]
    Directory(#[from] DirectoryError),
}

/// A directory of compiled code. Used by any number of threads and processes at the same time.
#[derive(Debug)]
pub struct CodeCache {
    path: PathBuf,
    max_bytes: u64,
    /// Another one after somebody removed the directory.
    directory: Mutex<Arc<PrivateDir>>,
    /// Bytes of all entries, as far as this process knows.
    bytes: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl CodeCache {
    /// Opens the cache in a directory, which is made where there is none, with room for so many bytes of compiled code; the
    /// entries that were not used for the longest go first. Removes what died writers left.
    ///
    /// # Errors
    /// [`CacheError`] when the directory cannot be made, or is one that others can reach into.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        let directory = Arc::new(PrivateDir::make(dir)?);
        if let Err(error) = directory.remove_leftovers() {
            tracing::warn!(path = %dir.display(), error = chain(&error), "cannot remove compiled code that is not whole");
        }
        let (path, bytes) = (dir.to_owned(), AtomicU64::new(0));
        let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
        let cache = Self { path, max_bytes, directory: Mutex::new(directory), bytes, hits, misses };
        cache.trim();
        Ok(cache)
    }

    /// Returns how many modules were found in it.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Returns how many modules were compiled because they were not found in it, or damaged.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// The module of this key; `None` where there is none that is whole.
    fn load(&self, engine: &Engine, key: &Key) -> Option<Module> {
        let directory = Arc::clone(&self.directory.lock());
        let name = name(key);
        match self.try_load(&directory, engine, key) {
            Ok(module) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Some(module);
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => {
                let path = directory.path_of(&name);
                tracing::warn!(path = %path.display(), error = chain(&*error), "compiled code is not usable, compiling again");
                if let Err(error) = directory.remove(&name) {
                    tracing::warn!(path = %path.display(), error = chain(&error), "cannot remove compiled code");
                }
            }
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn try_load(&self, directory: &PrivateDir, engine: &Engine, key: &Key) -> Result<Module, BoxError> {
        let mut file = directory.file(&name(key))?;
        let size = file.metadata()?.len();
        if size > self.max_bytes {
            return Err(format!("it has {size} bytes, more than all compiled code may have").into());
        }
        let mut entry = Vec::with_capacity(usize::try_from(size)?);
        file.read_to_end(&mut entry)?;
        let module = deserialize(engine, entry::code(key, &entry)?)?;
        // What was used last goes last; where that cannot be noted, it goes earlier and is compiled again.
        file.set_modified(SystemTime::now()).ok();
        Ok(module)
    }

    /// Keeps a module under this key, or says in the log why not.
    fn store(&self, key: &Key, module: &Module) {
        if let Err(error) = self.try_store(key, module) {
            let path = self.path.join(name(key));
            tracing::warn!(path = %path.display(), error = chain(&*error), "cannot keep compiled code");
        }
    }

    fn try_store(&self, key: &Key, module: &Module) -> Result<(), BoxError> {
        let code = module.serialize()?;
        let size = (HEADER + code.len()) as u64;
        if size > self.max_bytes {
            return Err(
                format!("it has {size} bytes, but all compiled code together may have {}", self.max_bytes).into()
            );
        }
        let (name, header) = (name(key), entry::header(key, &code));
        let write = |directory: &PrivateDir| directory.write(&name, &[&header, &code], Durable::No);
        let directory = Arc::clone(&self.directory.lock());
        match write(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => write(&*self.reopen()?)?,
            written => written?,
        }
        if self.bytes.fetch_add(size, Ordering::Relaxed).saturating_add(size) > self.max_bytes {
            self.trim();
        }
        Ok(())
    }

    /// The directory after somebody removed it, made anew and checked like the one before.
    fn reopen(&self) -> Result<Arc<PrivateDir>, DirectoryError> {
        let directory = Arc::new(PrivateDir::make(&self.path)?);
        *self.directory.lock() = Arc::clone(&directory);
        Ok(directory)
    }

    /// Counts what all entries take, and when that is too much removes those that were not used for the longest.
    fn trim(&self) {
        let directory = Arc::clone(&self.directory.lock());
        match self.try_trim(&directory) {
            Ok(bytes) => self.bytes.store(bytes, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), error = chain(&error), "cannot remove old compiled code");
            }
        }
    }

    fn try_trim(&self, directory: &PrivateDir) -> io::Result<u64> {
        let mut entries = Vec::new();
        for name in directory.names()?.into_iter().filter(|name| name.ends_with(ENTRY)) {
            // Another process may have removed it meanwhile.
            let Ok(facts) = directory.facts(&name) else { continue };
            if FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile {
                let size = u64::try_from(facts.st_size).unwrap_or(0);
                entries.push((facts.st_mtime, facts.st_mtime_nsec, size, name));
            }
        }
        let mut bytes = entries.iter().map(|(_, _, size, _)| size).sum();
        if bytes > self.max_bytes {
            entries.sort_unstable();
            let enough = self.max_bytes - self.max_bytes / FREED;
            for (_, _, size, name) in entries {
                if bytes <= enough {
                    break;
                }
                directory.remove(&name)?;
                bytes -= size;
            }
        }
        Ok(bytes)
    }
}

fn name(key: &Key) -> String {
    format!("{key}{ENTRY}")
}

fn is_missing(error: &BoxError) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Makes a module of code that [`entry::code`] has found to be what was written.
#[allow(unsafe_code, reason = "there is no other way to use compiled code again")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: wasmtime demands that these are the very bytes that `Module::serialize` gave, of any engine and version; it
    // refuses other versions and settings itself, and believes everything else.
    //
    // They are bytes that `CodeCache::try_store` wrote. They lie in memory of this process to which nobody else has access,
    // were hashed there after they were read, and are copied from there: no file is mapped that could change after the
    // check. The hash says that they are whole, against a disk or a writer that failed. It does not say who wrote them, since
    // anybody can hash; that follows from the file: `PrivateDir` has checked on the open descriptors that the directory is
    // one of this process's own user and closed to all others, and that the entry is a regular file of that user to which
    // nobody else can write. In such a directory only this user and root put entries, who both could change this process
    // and its program as well, and the only program that does is this one. An entry under another's name is refused by the
    // key in its header.
    unsafe { Module::deserialize(engine, code) }
}

impl WasmtimeEngine {
    /// Like [`Self::compile`], but takes the code from the cache where it is there, and puts it there where it is not.
    /// `sha256` is that of `bytes`: what is found under it is not compared with them.
    ///
    /// # Errors
    /// Those of [`Self::compile`]: code from the cache passes the same checks. The cache itself never makes this fail.
    pub fn compile_cached(
        &self,
        bytes: &[u8],
        sha256: &[u8; 32],
        cache: &CodeCache,
    ) -> Result<CompiledModule, LoadError> {
        check_header(bytes)?;
        let key = Key::new(&self.0.engine, sha256);
        if let Some(module) = cache.load(&self.0.engine, &key) {
            return CompiledModule::checked(self.clone(), module);
        }
        let compiled = self.compile(bytes)?;
        cache.store(&key, compiled.module());
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests;
