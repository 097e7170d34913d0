//! A part of the cache: entries by key within its part of the bytes, of which those go first that nobody asked for lately.
//!
//! A hand goes round over the entries where there is no room (CLOCK): one that was asked for since it last came by is passed over,
//! another leaves. So a hit only sets a mark, for which it needs no lock of its own.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hashbrown::{HashTable, hash_table::OccupiedEntry};

use crate::bindings::keyvalue::record::Record;

/// What the database has under a key; `None`: nothing.
pub(super) type Held = Option<Record>;

/// Bytes that an entry is charged besides its key and value: its places in the lists, which grow by doubling, and what the
/// allocator adds to three pieces. Without it, absent keys would cost nothing and take any amount of memory.
const ENTRY: u64 = 256;

/// Entries that the hand passes over for one that leaves: with all of a large cache marked, whoever puts something in must not
/// clear it all. Half as many would let go of what is in use; more than some microseconds' worth is no use in a full one.
const PASSED: usize = 64;

/// Parts of the keys of a shard whose last change is known apart from the others'. A write keeps the reads that are under way from
/// filling that part of the keys, a 1024th of all, which nobody notices.
const BUCKETS: usize = 64;

/// Bytes of an entry.
pub(super) fn weight(key: &[u8], held: &Held) -> u64 {
    (key.len() + held.as_ref().map_or(0, |record| record.value.len())) as u64 + ENTRY
}

/// A part of the cache, behind a lock.
pub(super) struct Shard {
    max_bytes: u64,
    bytes: u64,
    /// Where the entry of a key is.
    places: HashTable<usize>,
    /// The entries, and `None` where one has left.
    ring: Vec<Option<Entry>>,
    /// Places in the ring without an entry.
    free: Vec<usize>,
    hand: usize,
    /// The number of the last transaction that changed a key of the bucket.
    changed: [u64; BUCKETS],
}

struct Entry {
    hash: u64,
    key: Box<[u8]>,
    held: Held,
    /// Whether somebody asked for it since the hand came by.
    used: AtomicBool,
}

impl Shard {
    /// One for so many bytes.
    pub(super) fn new(max_bytes: u64) -> Self {
        let (places, ring, free) = (HashTable::new(), Vec::new(), Vec::new());
        Self { max_bytes, bytes: 0, places, ring, free, hand: 0, changed: [0; BUCKETS] }
    }

    /// What is here under a key.
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<Held> {
        let place = self.places.find(hash, |&place| is_at(&self.ring, place, key))?;
        let entry = self.ring.get(*place)?.as_ref()?;
        // Read first: written by every hit, the mark would travel between the workers all the time.
        if !entry.used.load(Relaxed) {
            entry.used.store(true, Relaxed);
        }
        Some(entry.held.clone())
    }

    /// Puts an entry in, in place of what is here under its key. It fits in.
    pub(super) fn put(&mut self, hash: u64, key: &[u8], held: Held) {
        self.remove(hash, key);
        let weight = weight(key, &held);
        while self.bytes + weight > self.max_bytes && self.evict() {}
        self.bytes += weight;
        let entry = Some(Entry { hash, key: key.into(), held, used: AtomicBool::new(false) });
        // The place that became free last is just behind the hand, so that the entry has a whole round.
        let place = match self.free.pop().and_then(|place| Some((place, self.ring.get_mut(place)?))) {
            Some((place, free)) => {
                *free = entry;
                place
            }
            None => {
                self.ring.push(entry);
                self.ring.len() - 1
            }
        };
        let ring = &self.ring;
        self.places
            .insert_unique(hash, place, |&place| ring.get(place).and_then(Option::as_ref).map_or(0, |it| it.hash));
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) {
        let ring = &self.ring;
        if let Ok(found) = self.places.find_entry(hash, |&place| is_at(ring, place, key)) {
            let place = taken(found);
            self.free(place);
        }
    }

    /// Takes all entries out.
    pub(super) fn clear(&mut self) {
        let Self { max_bytes, changed, .. } = *self;
        *self = Self { changed, ..Self::new(max_bytes) };
    }

    /// Notes that a transaction changes the key.
    pub(super) fn change(&mut self, hash: u64, number: u64) {
        if let Some(changed) = self.changed.get_mut(bucket(hash)) {
            *changed = number;
        }
    }

    /// Whether no transaction after that one has changed the key.
    pub(super) fn is_unchanged_since(&self, hash: u64, number: u64) -> bool {
        self.changed.get(bucket(hash)).is_some_and(|changed| *changed <= number)
    }

    /// Bytes and entries that are here.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.bytes, self.places.len() as u64)
    }

    /// Lets go of the entry under the hand, or of one further on; false where there is none.
    fn evict(&mut self) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let mut passed = 0;
        loop {
            self.hand = if self.hand + 1 < self.ring.len() { self.hand + 1 } else { 0 };
            let Some(Some(entry)) = self.ring.get_mut(self.hand) else { continue };
            if passed < PASSED && std::mem::take(entry.used.get_mut()) {
                passed += 1;
                continue;
            }
            let (hash, hand) = (entry.hash, self.hand);
            if let Ok(found) = self.places.find_entry(hash, |&place| place == hand) {
                taken(found);
            }
            self.free(hand);
            return true;
        }
    }

    /// Empties a place of the ring.
    fn free(&mut self, place: usize) {
        if let Some(entry) = self.ring.get_mut(place).and_then(Option::take) {
            self.bytes -= weight(&entry.key, &entry.held);
            self.free.push(place);
        }
    }
}

fn is_at(ring: &[Option<Entry>], place: usize, key: &[u8]) -> bool {
    ring.get(place).and_then(Option::as_ref).is_some_and(|entry| *entry.key == *key)
}

fn taken(found: OccupiedEntry<'_, usize>) -> usize {
    found.remove().0
}

/// Other bits than those that choose the shard and the place in the table.
fn bucket(hash: u64) -> usize {
    (hash >> 32) as usize % BUCKETS
}
