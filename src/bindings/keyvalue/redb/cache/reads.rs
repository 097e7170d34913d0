//! The cache as a table: one to read from, and a snapshot that fills it.

use std::{cell::Cell, ops::Bound};

use super::{Cache, Seen};
use crate::{
    bindings::keyvalue::{
        operations::{OperationError, Table, Visit},
        record::Record,
    },
    host::{HostCallError, HostErrorKind},
};

/// The entries of the cache, which notes that it was asked for something else.
pub(super) struct Hits<'c> {
    cache: &'c Cache,
    missed: Cell<bool>,
}

impl<'c> Hits<'c> {
    pub(super) fn new(cache: &'c Cache) -> Self {
        Self { cache, missed: Cell::new(false) }
    }

    /// Whether something was not there, which makes the outcome worthless.
    pub(super) fn missed(&self) -> bool {
        self.missed.get()
    }

    /// Ends the operation.
    fn miss<T>(&self) -> Result<T, OperationError> {
        self.missed.set(true);
        Err(HostCallError::new(HostErrorKind::Internal, "not in the cache").into())
    }
}

impl Table for Hits<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, OperationError> {
        let hash = self.cache.hash(key);
        // A worker does not wait for who changes the shard.
        let shard = self.cache.shard(hash).and_then(|shard| shard.try_read());
        match shard.and_then(|shard| shard.get(hash, key)) {
            Some(held) => Ok(held),
            None => self.miss(),
        }
    }

    fn scan(&self, _: Bound<&[u8]>, _: &mut Visit<'_>) -> Result<(), OperationError> {
        self.miss()
    }
}

/// A snapshot that puts into the cache what is read from it.
pub(in super::super) struct Filling<'c, T> {
    table: T,
    cache: &'c Cache,
    seen: Seen,
}

impl<'c, T: Table> Filling<'c, T> {
    /// A snapshot that was taken after `seen`.
    pub(in super::super) fn new(table: T, cache: &'c Cache, seen: Seen) -> Self {
        Self { table, cache, seen }
    }
}

impl<T: Table> Table for Filling<'_, T> {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, OperationError> {
        let held = self.table.get(key)?;
        self.cache.fill(key, &held, self.seen);
        Ok(held)
    }

    fn scan(&self, from: Bound<&[u8]>, visit: &mut Visit<'_>) -> Result<(), OperationError> {
        self.table.scan(from, visit)
    }
}
