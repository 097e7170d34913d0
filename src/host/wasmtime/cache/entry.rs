//! What an entry of the cache looks like: a header that says what follows, and compiled code.
//!
//! ```text
//!   magic 8 · version 4 · key 32 · length 8 · SHA-256 of the code 32 · code
//! ```
//!
//! Every byte of the header is compared with what is expected and every byte of the code is hashed, so that none can be
//! another than it was.

use std::{fmt, hash::Hash};

use sha2::{Digest, Sha256};
use thiserror::Error;
use wasmtime::Engine;

/// How every entry begins.
const MAGIC: &[u8; 8] = b"wapcode\0";

/// Counts up when the form of entries changes.
const VERSION: u32 = 1;

/// Bytes before the code.
pub(super) const HEADER: usize = 8 + 4 + 32 + 8 + 32;

/// What compiled code is found by: the hash of the module, and of everything that decides whether an engine can run it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of a module of this SHA-256 that was compiled by an engine like this one: by this version, for this
    /// processor, with these settings.
    pub(super) fn new(engine: &Engine, wasm: &[u8; 32]) -> Self {
        let mut hasher = Hasher(Sha256::new());
        hasher.0.update(VERSION.to_le_bytes());
        hasher.0.update(env!("CARGO_PKG_VERSION"));
        hasher.0.update(wasm);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes what the engine says of itself; 64 bits, which is what other hashers give, would be few for a key.
struct Hasher(Sha256);

impl std::hash::Hasher for Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Flaw {
    /// Something else, an entry of another version, or one under another's name.
    #[error("its header is not that of this entry")]
    Foreign,
    /// Its end is missing, or something follows it.
    #[error("it has {found} bytes, expected {expected}")]
    Length {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// The code is not what was written.
    #[error("its SHA-256 is not that of its code")]
    Hash,
}

/// What comes before this code.
pub(super) fn header(key: &Key, code: &[u8]) -> Vec<u8> {
    let hash: [u8; 32] = Sha256::digest(code).into();
    [MAGIC.as_slice(), &VERSION.to_le_bytes(), &key.0, &(code.len() as u64).to_le_bytes(), &hash].concat()
}

/// The code of an entry, which is what was written under this key.
pub(super) fn code<'a>(key: &Key, entry: &'a [u8]) -> Result<&'a [u8], Flaw> {
    let short = Flaw::Length { expected: HEADER as u64, found: entry.len() as u64 };
    let (header, code) = entry.split_at_checked(HEADER).ok_or(short)?;
    let rest = header.strip_prefix(MAGIC.as_slice());
    let rest = rest.and_then(|rest| rest.strip_prefix(VERSION.to_le_bytes().as_slice()));
    let rest = rest.and_then(|rest| rest.strip_prefix(key.0.as_slice())).ok_or(Flaw::Foreign)?;
    let (length, hash) = rest.split_first_chunk::<8>().ok_or(Flaw::Foreign)?;
    let (length, found) = (u64::from_le_bytes(*length), code.len() as u64);
    if length != found {
        let header = HEADER as u64;
        return Err(Flaw::Length { expected: length.saturating_add(header), found: found + header });
    }
    if hash != Sha256::digest(code).as_slice() {
        return Err(Flaw::Hash);
    }
    Ok(code)
}
