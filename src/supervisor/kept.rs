//! What runs instead of a module's file: an operator's code, or the last good one after a roll-back, kept over restarts of
//! the daemon in `swaps/` of the state directory.
//!
//! ```text
//!   swaps/NAME.json      a Record: which code runs, as long as the file is the one that it was decided for
//!   swaps/SHA256.wasm    code that records name, each once
//! ```
//!
//! Code is there before the record that names it and goes after the last one: at any moment, and after the process or the
//! machine died at any moment, a record is the old one or the new one, and its code is there. Whatever is damaged all the
//! same is an error that names the file; the module's file then runs.
//!
//! Everything here waits for the disk and belongs on a thread that may. It decides nothing but [`what_to_run`].

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::status::GenerationOrigin;
use crate::config::SWAPS_DIRECTORY;
use crate::host::{DirectoryError, Durable, PrivateDir, chain};

/// How names of records end.
const RECORD: &str = ".json";
/// How names of code end.
const CODE: &str = ".wasm";

/// Which code runs instead of a module's file, and until when. Hashes are SHA-256 in hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Hash of the file's code when this was decided: what is said here holds as long as it is that. `None`: the file could
    /// not be read then, so any file is another.
    pub(super) file: Option<String>,
    /// Hash of the code that runs.
    pub(super) runs: String,
    /// Bytes of that code.
    pub(super) size: u64,
    /// Where that code came from.
    pub(super) origin: GenerationOrigin,
    /// When this was decided, in seconds since the Unix epoch.
    pub(super) at: f64,
    /// Hashes of code that was rolled back.
    #[serde(default)]
    pub(super) barred: Vec<String>,
    /// Why this runs, in words.
    #[serde(default)]
    pub(super) why: Option<String>,
}

/// Why something was not kept, or cannot be had back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(super) enum KeptError {
    /// The directory cannot be used.
    #[error("cannot keep what runs instead of files")]
    Directory(#[from] DirectoryError),
    /// A record or code cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A record or code cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A record cannot be removed.
    #[error("cannot remove `{}`", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A record is not what was written.
    #[error("`{}` is damaged", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Code is not what its name says.
    #[error("`{}` is damaged: its SHA-256 is {found}", path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// The hash of what is in it.
        found: String,
    },
}

/// The directory of records and code. Made at the first use.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    path: PathBuf,
    held: Arc<Mutex<HashMap<String, usize>>>,
    /// Code that is being kept, with how many do so; told when one is done.
    announced: Arc<(Mutex<HashMap<String, usize>>, Condvar)>,
}

/// Somebody keeps code: records that name it wait for that.
#[derive(Debug)]
pub(super) struct Announced {
    hash: String,
    announced: Arc<(Mutex<HashMap<String, usize>>, Condvar)>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        let (announced, done) = &*self.announced;
        let mut announced = announced.lock();
        if let Some(count) = announced.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                announced.remove(&self.hash);
            }
        }
        done.notify_all();
    }
}

/// Code that is not removed while this is there, whether a record names it or not: it runs, or could run again.
#[derive(Debug)]
pub(super) struct Held {
    hash: String,
    held: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(count) = held.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.hash);
            }
        }
    }
}

impl Kept {
    /// What is kept in this state directory.
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(SWAPS_DIRECTORY), held: Arc::default(), announced: Arc::default() }
    }

    /// Keeps code from being removed as long as the returned value lives.
    pub(super) fn hold(&self, hash: &str) -> Held {
        *self.held.lock().entry(hash.to_owned()).or_default() += 1;
        Held { hash: hash.to_owned(), held: Arc::clone(&self.held) }
    }

    /// Says that code is about to be kept, for as long as the returned value lives.
    pub(super) fn announce(&self, hash: &str) -> Announced {
        *self.announced.0.lock().entry(hash.to_owned()).or_default() += 1;
        Announced { hash: hash.to_owned(), announced: Arc::clone(&self.announced) }
    }

    /// Keeps code under its hash, unless it is there. Without a record or a [`Held`] it goes with the next that goes.
    ///
    /// # Errors
    /// When it could not be written.
    pub(super) fn keep_code(&self, hash: &str, code: &[u8]) -> Result<(), KeptError> {
        let directory = PrivateDir::make(&self.path)?;
        let name = code_name(hash);
        let failed = |source| KeptError::Write { path: directory.path_of(&name), source };
        directory.hold().map_err(failed)?;
        if read_code(&directory, hash).is_ok() {
            return Ok(());
        }
        directory.write(&name, &[code], Durable::Yes).map_err(failed)
    }

    /// Keeps a module's record, in place of the one before; forgets code that nothing names or holds any more.
    ///
    /// # Errors
    /// When the code that it names is not there, and when it could not be written: then the record is the one before,
    /// except after [`KeptError::Write`] of the record itself, when it may be either.
    pub(super) fn keep(&self, module: &str, record: &Record) -> Result<(), KeptError> {
        let (announced, done) = &*self.announced;
        // Whoever keeps the code ends with that, or drops it.
        done.wait_while(&mut announced.lock(), |announced| announced.contains_key(&record.runs));
        let directory = PrivateDir::make(&self.path)?;
        let name = record_name(module);
        let failed = |name: &str, source| KeptError::Write { path: directory.path_of(name), source };
        directory.hold().map_err(|error| failed(&name, error))?;
        read_code(&directory, &record.runs)?;
        let json = serde_json::to_vec_pretty(record).map_err(io::Error::from).map_err(|error| failed(&name, error))?;
        directory.write(&name, &[&json], Durable::Yes).map_err(|error| failed(&name, error))?;
        self.sweep(&directory);
        Ok(())
    }

    /// The record of a module; `None` where its file is what runs.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub(super) fn record(&self, module: &str) -> Result<Option<Record>, KeptError> {
        match PrivateDir::open(&self.path)? {
            Some(directory) => read_record(&directory, &record_name(module)),
            None => Ok(None),
        }
    }

    /// The code of this hash.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is not what it was.
    pub(super) fn code(&self, hash: &str) -> Result<Vec<u8>, KeptError> {
        match PrivateDir::open(&self.path)? {
            Some(directory) => read_code(&directory, hash),
            None => {
                let path = self.path.join(code_name(hash));
                Err(KeptError::Read { path, source: io::ErrorKind::NotFound.into() })
            }
        }
    }

    /// Forgets a module's record, damaged or not, and then code that no record names any more.
    ///
    /// # Errors
    /// When the record is still there, or may be there again after a power failure.
    pub(super) fn forget(&self, module: &str) -> Result<(), KeptError> {
        let Some(directory) = PrivateDir::open(&self.path)? else { return Ok(()) };
        let name = record_name(module);
        let failed = |source| KeptError::Remove { path: directory.path_of(&name), source };
        directory.hold().map_err(failed)?;
        directory.remove(&name).and_then(|()| directory.sync()).map_err(failed)?;
        self.sweep(&directory);
        Ok(())
    }

    /// Removes code that no record names and nobody holds, and what writers left that died. What fails here costs room on
    /// the disk and nothing else, and is tried again the next time.
    fn sweep(&self, directory: &PrivateDir) {
        let leftovers = directory.remove_leftovers();
        let leftovers = leftovers.map_err(|source| KeptError::Remove { path: directory.path_of(""), source });
        let held: HashSet<String> = self.held.lock().keys().map(|hash| code_name(hash)).collect();
        if let Err(error) = leftovers.and_then(|()| remove_unnamed(directory, held)) {
            tracing::warn!(error = chain(&error), "cannot remove code that nothing runs");
        }
    }
}

/// What a module runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Run {
    /// Its file.
    File,
    /// The kept code of this hash.
    Kept(String),
    /// Its file, which is another one than the record was made for: the record is to be forgotten.
    FileAndForget,
}

/// Decides what a module runs whose file has this hash: what its record says, as long as the file is the one that the
/// record was made for. A file that changed is what somebody wants now, whatever was decided before.
pub(super) fn what_to_run(file: &str, record: Option<&Record>) -> Run {
    match record {
        None => Run::File,
        Some(record) if record.file.as_deref() != Some(file) => Run::FileAndForget,
        // The record stays for what it bars.
        Some(record) if record.runs == file => Run::File,
        Some(record) => Run::Kept(record.runs.clone()),
    }
}

/// The SHA-256 of code, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn code_name(hash: &str) -> String {
    format!("{}{CODE}", file_name(hash))
}

/// Name of a module's record. Names of modules have at most 64 characters, so that this fits any file system.
fn record_name(module: &str) -> String {
    format!("{}{RECORD}", file_name(module))
}

/// A name of which neither a path nor another name can be made: everything but small letters, digits, `_` and `-` becomes
/// `%` and the byte in hexadecimal.
fn file_name(name: &str) -> String {
    let letter = |byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02x}"),
    };
    name.bytes().map(letter).collect()
}

fn read(directory: &PrivateDir, name: &str) -> Result<Option<Vec<u8>>, KeptError> {
    let failed = |source| KeptError::Read { path: directory.path_of(name), source };
    let mut bytes = Vec::new();
    match directory.file(name).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn read_record(directory: &PrivateDir, name: &str) -> Result<Option<Record>, KeptError> {
    let Some(json) = read(directory, name)? else { return Ok(None) };
    let damaged = |source| KeptError::Record { path: directory.path_of(name), source };
    serde_json::from_slice(&json).map(Some).map_err(damaged)
}

fn read_code(directory: &PrivateDir, hash: &str) -> Result<Vec<u8>, KeptError> {
    let name = code_name(hash);
    let path = || directory.path_of(&name);
    let Some(code) = read(directory, &name)? else {
        return Err(KeptError::Read { path: path(), source: io::ErrorKind::NotFound.into() });
    };
    match sha256(&code) {
        found if found == hash => Ok(code),
        found => Err(KeptError::Code { path: path(), found }),
    }
}

/// A record that cannot be read may name any code, so none is removed then.
fn remove_unnamed(directory: &PrivateDir, mut named: HashSet<String>) -> Result<(), KeptError> {
    let names = directory.names().map_err(|source| KeptError::Read { path: directory.path_of(""), source })?;
    for name in names.iter().filter(|name| name.ends_with(RECORD)) {
        named.extend(read_record(directory, name)?.map(|record| code_name(&record.runs)));
    }
    for name in names.iter().filter(|name| name.ends_with(CODE) && !named.contains(*name)) {
        directory.remove(name).map_err(|source| KeptError::Remove { path: directory.path_of(name), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
