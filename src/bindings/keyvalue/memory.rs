//! The backend in the daemon's memory: an ordered map under one lock, shared by all workers, gone at a stop.
//!
//! A lock is held for one operation, which touches one entry or reads one page, so a worker never waits for long.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use parking_lot::RwLock;

use super::{
    command::Command,
    operations::{self, OperationError, Table, TableMut, Visit},
    record::{Millis, Record},
    store::{Clock, Outcomes, Store, Submitted, wall_clock},
};
use crate::host::{HostCallError, HostErrorKind, chain};

/// Bytes that an entry is charged besides its key and value, for what the map needs: without it, `max_bytes` of empty
/// values would be a hundred times as much memory.
const ENTRY: u64 = 96;

/// Expired entries that one write removes in passing: more than one write can add, so they never pile up.
const SWEPT: usize = 16;

/// Expired entries that a write removes when there is no room: enough to find some, few enough to stay under a
/// millisecond.
const SWEPT_WHEN_FULL: usize = 1024;

type StoredKey = Box<[u8]>;

/// Entries in memory.
pub(super) struct MemoryStore {
    table: RwLock<MemoryTable>,
    clock: Clock,
}

impl MemoryStore {
    pub(super) fn new(name: Arc<str>, max_bytes: u64) -> Self {
        Self::with_clock(name, max_bytes, wall_clock())
    }

    pub(super) fn with_clock(name: Arc<str>, max_bytes: u64, clock: Clock) -> Self {
        let table = MemoryTable { name, max_bytes, bytes: 0, entries: BTreeMap::new(), expiry: BTreeSet::new() };
        Self { table: RwLock::new(table), clock }
    }

    fn run(&self, command: Command) -> Outcomes {
        let now = (self.clock)();
        let outcome = match command {
            Command::Read(read) => operations::read(&read, &*self.table.read(), now),
            Command::Write(write) => {
                let mut table = self.table.write();
                table.sweep(now, SWEPT).and_then(|_| operations::write(write, &mut *table, now))
            }
        };
        outcome.map_err(|error| match error {
            OperationError::Refused(error) => error,
            other => HostCallError::new(HostErrorKind::Internal, chain(&other)),
        })
    }
}

impl Store for MemoryStore {
    fn submit(&self, command: Command, _deadline: Instant) -> Submitted {
        Submitted::Done(self.run(command))
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

struct MemoryTable {
    name: Arc<str>,
    max_bytes: u64,
    bytes: u64,
    entries: BTreeMap<StoredKey, Record>,
    /// The entries that expire, in that order.
    expiry: BTreeSet<(Millis, StoredKey)>,
}

impl MemoryTable {
    fn charge(key: &[u8], record: &Record) -> u64 {
        (key.len() + record.value.len()) as u64 + ENTRY
    }

    fn forget(&mut self, key: &[u8]) -> Option<Record> {
        let (key, record) = self.entries.remove_entry(key)?;
        self.bytes -= Self::charge(&key, &record);
        if let Some(at) = record.expires {
            self.expiry.remove(&(at, key));
        }
        Some(record)
    }

    /// Whether that many bytes fit in beside the rest.
    fn check_room(&self, needed: u64, freed: u64) -> Result<(), OperationError> {
        let (name, limit) = (&self.name, self.max_bytes);
        let refuse = |kind, why| Err(OperationError::Refused(HostCallError::new(kind, why)));
        if needed > limit {
            let why = format!("{needed} bytes are over the `max_bytes` of binding `{name}`, {limit}");
            return refuse(HostErrorKind::TooLarge, why);
        }
        if self.bytes - freed + needed > limit {
            let why = format!("binding `{name}` is full: {} of its `max_bytes`, {limit}, are used", self.bytes);
            return refuse(HostErrorKind::Unavailable, why);
        }
        Ok(())
    }
}

impl Table for MemoryTable {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, OperationError> {
        Ok(self.entries.get(key).cloned())
    }

    fn scan(&self, from: Bound<&[u8]>, visit: &mut Visit<'_>) -> Result<(), OperationError> {
        for (key, record) in self.entries.range::<[u8], _>((from, Bound::Unbounded)) {
            if visit(key, record.expires).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl TableMut for MemoryTable {
    fn put(&mut self, key: &[u8], record: Record, now: Millis) -> Result<(), OperationError> {
        self.reserve(&[(key, &record)], now)?;
        self.forget(key);
        self.bytes += Self::charge(key, &record);
        if let Some(at) = record.expires {
            self.expiry.insert((at, key.into()));
        }
        // A copy: the value that came in is a part of a payload, which would stay as a whole.
        let record = Record { value: Bytes::copy_from_slice(&record.value), ..record };
        self.entries.insert(key.into(), record);
        Ok(())
    }

    fn reserve(&mut self, records: &[(&[u8], &Record)], now: Millis) -> Result<(), OperationError> {
        let needed = records.iter().map(|(key, record)| Self::charge(key, record)).sum();
        let freed = |table: &Self| {
            let old = |(key, _): &(&[u8], &Record)| table.entries.get(*key).map_or(0, |old| Self::charge(key, old));
            records.iter().map(old).sum()
        };
        if self.check_room(needed, freed(self)).is_err() {
            self.sweep(now, SWEPT_WHEN_FULL)?;
            self.check_room(needed, freed(self))?;
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8], now: Millis) -> Result<bool, OperationError> {
        Ok(self.forget(key).is_some_and(|record| !record.expired(now)))
    }

    fn sweep(&mut self, now: Millis, at_most: usize) -> Result<usize, OperationError> {
        let mut swept = 0;
        while swept < at_most && self.expiry.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.expiry.pop_first() else { break };
            self.forget(&key);
            swept += 1;
        }
        Ok(swept)
    }
}
