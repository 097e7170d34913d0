//! What a transaction changes, as the cache has to know it.

use std::collections::HashMap;

use super::shard::{Held, weight};
use crate::bindings::keyvalue::record::Record;

/// The keys that a transaction writes, with what is under each of them at its end.
pub(in super::super) struct Changes {
    /// Bytes of an entry that the cache keeps; `None`: nothing is noted.
    largest: Option<u64>,
    /// `None` under a key: nothing, or nothing that is kept.
    keys: HashMap<Box<[u8]>, Held>,
}

/// The changes of a transaction that was begun, which are not in the cache yet.
#[must_use = "what is not published stays out of the cache until that is cleared"]
pub(in super::super) struct Begun(HashMap<Box<[u8]>, Held>);

impl Changes {
    pub(super) fn new(largest: Option<u64>) -> Self {
        Self { largest, keys: HashMap::new() }
    }

    /// Notes a record that is written.
    pub(in super::super) fn put(&mut self, key: &[u8], record: &Record) {
        let Some(largest) = self.largest else { return };
        let held = Some(record.clone());
        let held = if weight(key, &held) > largest { None } else { held };
        self.keys.insert(key.into(), held);
    }

    /// Notes a record that is removed.
    pub(in super::super) fn remove(&mut self, key: &[u8]) {
        if self.largest.is_some() {
            self.keys.insert(key.into(), None);
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().map(|key| &**key)
    }

    pub(super) fn begun(self) -> Begun {
        Begun(self.keys)
    }
}

impl Begun {
    /// The records that are new. What is absent comes in with those who ask for it.
    pub(super) fn records(self) -> impl Iterator<Item = (Box<[u8]>, Record)> {
        self.0.into_iter().filter_map(|(key, held)| Some((key, held?)))
    }
}
