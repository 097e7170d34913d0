//! What was read or written lately, in front of the file: whoever asks for it is answered on its own thread.
//!
//! The file is this process's alone, so the cache can hold one rule: **what is in it is what the database holds at that
//! moment**, absence included. A hit is therefore a read like any other, and nothing that is read before or after it, here
//! or from a snapshot, can be older than what was read first.
//!
//! ```text
//!  writer:  begin ─ keys leave, their buckets get this transaction's number ─▶ commit ─▶ publish: new values, number
//!  reader:  seen = number published last ─▶ snapshot ─▶ fill, unless the key's bucket has a greater number than seen
//!  opened anew: clear
//! ```
//!
//! Between `begin` and `publish` nobody can tell whether the commit has happened: the keys are not here, so that they are
//! read from a snapshot, and no snapshot that may be older fills them. Commits that fail never publish; the database is opened anew after
//! them, which clears all. Nothing of this waits for the disk, and a worker never waits here at all: an entry that is just
//! being changed is a miss.

mod changes;
mod reads;
mod shard;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use bytes::Bytes;
use parking_lot::RwLock;

pub(super) use self::{
    changes::{Begun, Changes},
    reads::Filling,
};
use self::{
    reads::Hits,
    shard::{Held, Shard, weight},
};
use crate::bindings::{
    CacheStatus,
    keyvalue::{
        command::Read,
        operations::{self, OperationError},
        record::Record,
        store::{Clock, Outcomes},
    },
};

/// Parts with a lock each, which hits share and changes have alone: as many as there are workers, or about.
const SHARDS: u64 = 16;

/// Bytes from which on the cache has parts: in smaller ones hardly anything would fit.
const PARTED: u64 = 1024 * 1024;

/// What part of a shard one entry may be at most, so that no value makes room for itself at the cost of all others. What is
/// larger takes longer to copy than the way to the file does.
const LARGEST: u64 = 4;

/// The cache of one database.
pub(super) struct Cache {
    /// None: it is off.
    shards: Box<[RwLock<Shard>]>,
    largest: u64,
    hasher: RandomState,
    /// The number of the last transaction that was begun ...
    begun: AtomicU64,
    /// ... and of the last that was published. There is one writer, so that they differ by one at most.
    published: AtomicU64,
    ended: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The transactions that a snapshot has seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen(u64);

impl Cache {
    /// One of so many bytes; without any it is off.
    pub(super) fn new(bytes: u64) -> Self {
        let parts = match bytes {
            0 => 0,
            1..PARTED => 1,
            _ => SHARDS,
        };
        let of_each = bytes.checked_div(parts).unwrap_or_default();
        Self {
            shards: (0..parts).map(|_| RwLock::new(Shard::new(of_each))).collect(),
            largest: of_each / LARGEST,
            hasher: RandomState::new(),
            begun: AtomicU64::new(0),
            published: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Answers a read, if all that it asks for is here. Never waits.
    pub(super) fn answer(&self, read: &Read, clock: &Clock) -> Option<Outcomes> {
        let several = match read {
            Read::Get(_) | Read::Exists(_) => false,
            Read::GetMany { .. } => true,
            Read::Keys(_) | Read::Probe => return None,
        };
        if !self.is_on() || self.ended.load(Relaxed) {
            return None;
        }
        let answer = if several { self.read_one_state(read, clock) } else { self.read_entries(read, clock) };
        let counter = if answer.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
        answer
    }

    /// The same for several entries: those of before and of after a transaction were never in one snapshot.
    fn read_one_state(&self, read: &Read, clock: &Clock) -> Option<Outcomes> {
        let before = self.begun.load(Acquire);
        if self.published.load(Acquire) != before {
            return None;
        }
        let answer = self.read_entries(read, clock);
        answer.filter(|_| self.begun.load(Acquire) == before)
    }

    fn read_entries(&self, read: &Read, clock: &Clock) -> Option<Outcomes> {
        let hits = Hits::new(self);
        let outcome = operations::read(read, &hits, clock());
        match outcome {
            _ if hits.missed() => None,
            Ok(outcome) => Some(Ok(outcome)),
            Err(OperationError::Refused(error)) => Some(Err(error)),
            // Nothing here is stored.
            Err(OperationError::Storage(_)) => None,
        }
    }

    /// What a snapshot sees that is taken after this.
    pub(super) fn seen(&self) -> Seen {
        Seen(self.published.load(Acquire))
    }

    /// Puts in what a snapshot has under a key, unless it may be older than the database.
    fn fill(&self, key: &[u8], held: &Held, Seen(seen): Seen) {
        let hash = self.hash(key);
        if weight(key, held) > self.largest {
            return;
        }
        if let Some(shard) = self.shard(hash) {
            let mut shard = shard.write();
            if shard.is_unchanged_since(hash, seen) {
                shard.put(hash, key, held.clone());
            }
        }
    }

    /// Makes room to note what a transaction changes.
    pub(super) fn changes(&self) -> Changes {
        Changes::new(self.is_on().then_some(self.largest))
    }

    /// Takes out what a transaction changes, before it is committed.
    pub(super) fn begin(&self, changes: Changes) -> Begun {
        let number = self.begun.load(Relaxed) + 1;
        self.begun.store(number, Release);
        for key in changes.keys() {
            let hash = self.hash(key);
            if let Some(shard) = self.shard(hash) {
                let mut shard = shard.write();
                shard.change(hash, number);
                shard.remove(hash, key);
            }
        }
        changes.begun()
    }

    /// Puts in what a transaction has changed, after it was committed and before anybody is told.
    pub(super) fn publish(&self, begun: Begun) {
        for (key, record) in begun.records() {
            let hash = self.hash(&key);
            // A copy: the value that came in is a part of a payload, which would stay as a whole.
            let record = Record { value: Bytes::copy_from_slice(&record.value), ..record };
            // No read can fill these keys before the number is published.
            if let Some(shard) = self.shard(hash) {
                shard.write().put(hash, &key, Some(record));
            }
        }
        self.published.store(self.begun.load(Relaxed), Release);
    }

    /// Forgets everything, while nobody reads or writes the database: it is opened anew, and may have lost commits.
    pub(super) fn clear(&self) {
        // As a transaction that changes everything.
        let number = self.begun.load(Relaxed) + 1;
        self.begun.store(number, Release);
        self.shards.iter().for_each(|shard| shard.write().clear());
        self.published.store(number, Release);
    }

    /// Answers nothing any more.
    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    /// How it does; `None` where it is off.
    pub(super) fn status(&self) -> Option<CacheStatus> {
        if !self.is_on() {
            return None;
        }
        let sizes = self.shards.iter().map(|shard| shard.read().size());
        let (bytes, entries) = sizes.fold((0, 0), |(bytes, entries), (more, others)| (bytes + more, entries + others));
        Some(CacheStatus { hits: self.hits.load(Relaxed), misses: self.misses.load(Relaxed), bytes, entries })
    }

    fn is_on(&self) -> bool {
        !self.shards.is_empty()
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        // Bits of its own: the table in the shard takes the lowest and the highest, its buckets those from the 32nd on.
        self.shards.get((hash >> 40) as usize % self.shards.len().max(1))
    }
}

#[cfg(test)]
mod tests;
