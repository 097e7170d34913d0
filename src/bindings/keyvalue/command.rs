//! What a backend can be asked, with everything checked that a guest can get wrong about it.

use std::{ops::Bound, time::Duration};

use bytes::Bytes;

use super::key::Key;
use crate::config::KeyValueSettings;

/// Bytes of all values of one `get_many` or `set_many`: what requests and answers of a binding have by default. A binding
/// with larger values takes one of them.
const MAX_MANY_BYTES: u64 = 16 * 1024 * 1024;

/// The operations.
pub(in crate::bindings) const OPERATIONS: [&str; 9] =
    ["get", "set", "delete", "exists", "keys", "increment", "compare_and_set", "get_many", "set_many"];

/// What a backend is asked.
#[derive(Debug)]
pub(super) enum Command {
    /// Changes nothing.
    Read(Read),
    /// Changes entries.
    Write(Write),
}

impl From<Read> for Command {
    fn from(read: Read) -> Self {
        Self::Read(read)
    }
}

impl From<Write> for Command {
    fn from(write: Write) -> Self {
        Self::Write(write)
    }
}

/// Operations that change nothing.
#[derive(Debug)]
pub(super) enum Read {
    Get(Key),
    Exists(Key),
    Keys(KeysPage),
    /// Several values, at most so many bytes of them.
    GetMany {
        keys: Vec<Key>,
        max_bytes: u64,
    },
    /// Whether the backend can be read at all; asked by the daemon, never by a guest.
    Probe,
}

/// A page of keys.
#[derive(Debug)]
pub(super) struct KeysPage {
    pub(super) prefix: Key,
    pub(super) after: Option<Key>,
    pub(super) limit: usize,
}

impl KeysPage {
    /// Where the page starts: behind `after`, where that is not before the prefix.
    pub(super) fn from(&self) -> Bound<&[u8]> {
        match &self.after {
            Some(after) if after.stored() >= self.prefix.stored() => Bound::Excluded(after.stored()),
            _ => Bound::Included(self.prefix.stored()),
        }
    }
}

/// One entry of several that are set together.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Bytes,
    pub(super) ttl: Option<Duration>,
}

/// Operations that change entries.
#[derive(Debug)]
pub(super) enum Write {
    Set {
        key: Key,
        value: Bytes,
        ttl: Option<Duration>,
        only_if_absent: bool,
    },
    Delete(Key),
    Increment {
        key: Key,
        by: i64,
    },
    CompareAndSet {
        key: Key,
        expected: Option<Bytes>,
        value: Bytes,
        ttl: Option<Duration>,
    },
    /// All or none; no key twice.
    SetMany(Vec<Entry>),
}

/// The bounds of one binding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of a key.
    pub(super) max_key: u64,
    /// Bytes of a value.
    pub(super) max_value: u64,
}

impl Limits {
    /// Bytes of the values of several entries together.
    pub(super) fn max_many(&self) -> u64 {
        self.max_value.max(MAX_MANY_BYTES)
    }
}

impl From<&KeyValueSettings> for Limits {
    fn from(settings: &KeyValueSettings) -> Self {
        Self { max_key: settings.max_key, max_value: settings.max_value }
    }
}
