//! The operations, written once over a [`Table`], so that both backends mean the same by them.
//!
//! Plain functions: the moment is a parameter, and every check comes before the change that an operation makes, so
//! one that is refused has changed nothing.

use std::{
    ops::{Bound, ControlFlow},
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;

use super::{
    command::{Entry, KeysPage, Read, Write},
    key::Key,
    record::{Millis, Record, RecordError, expired},
    refusals::{NO_NUMBER, OVERFLOW, conflict, not_found, taken, too_many_bytes, unexpected},
};
use crate::host::{HostCallError, HostErrorKind};

/// Entries that one `keys` looks at before it answers with what it has: a page over many expired entries must not hold
/// a lock for long. 4096 take well under a millisecond in memory; half as many would split full pages of 1000 more often.
const MAX_SCANNED: usize = 4096;

/// Bytes of keys in one answer of `keys`, beyond which the page ends early: 1000 keys of the largest size would not
/// fit into many guests.
const MAX_PAGE_BYTES: usize = 256 * 1024;

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// The value.
    Value(Bytes),
    /// Whether there was something to delete.
    Deleted(bool),
    /// Whether there is an entry.
    Exists(bool),
    /// The number after the increment.
    Integer(i64),
    /// What was asked for, in that order: the guest's key, and the value where there is one.
    Values(Vec<(String, Option<Bytes>)>),
    /// A page of keys, and after which one the rest follows.
    Keys { keys: Vec<String>, next: Option<String> },
}

/// Why an operation has no outcome.
#[derive(Debug, Error)]
pub(super) enum OperationError {
    /// This request is refused; others are not concerned.
    #[error(transparent)]
    Refused(#[from] HostCallError),
    /// The storage failed, and with it the whole transaction.
    #[error("the database failed")]
    Storage(#[source] ::redb::Error),
}

impl From<RecordError> for OperationError {
    fn from(error: RecordError) -> Self {
        Self::Refused(HostCallError::with_source(HostErrorKind::Internal, "the stored record is unreadable", error))
    }
}

/// Receives stored keys, each with its expiry, and says whether to go on.
pub(super) type Visit<'a> = dyn FnMut(&[u8], Option<Millis>) -> ControlFlow<()> + 'a;

/// What operations need for reading.
pub(super) trait Table {
    /// What is stored under the key, expired or not.
    fn get(&self, key: &[u8]) -> Result<Option<Record>, OperationError>;

    /// Visits stored keys in order, each with its expiry, until told to stop.
    fn scan(&self, from: Bound<&[u8]>, visit: &mut Visit<'_>) -> Result<(), OperationError>;
}

/// What operations need for writing.
pub(super) trait TableMut: Table {
    /// Stores a record, in place of what was there.
    fn put(&mut self, key: &[u8], record: Record, now: Millis) -> Result<(), OperationError>;

    /// Makes sure that all these can be stored, one after the other, or refuses.
    fn reserve(&mut self, _records: &[(&[u8], &Record)], _now: Millis) -> Result<(), OperationError> {
        Ok(())
    }

    /// Removes a record; whether there was one that had not expired.
    fn remove(&mut self, key: &[u8], now: Millis) -> Result<bool, OperationError>;

    /// Removes at most so many expired records; how many it were.
    fn sweep(&mut self, now: Millis, at_most: usize) -> Result<usize, OperationError>;
}

/// Runs an operation that changes nothing.
pub(super) fn read(read: &Read, table: &impl Table, now: Millis) -> Result<Outcome, OperationError> {
    match read {
        Read::Get(key) => match live(table, key, now)? {
            Some(record) => Ok(Outcome::Value(record.value)),
            None => Err(not_found(key).into()),
        },
        Read::Exists(key) => Ok(Outcome::Exists(live(table, key, now)?.is_some())),
        Read::Keys(page) => keys(page, table, now),
        Read::GetMany { keys, max_bytes } => get_many(keys, *max_bytes, table, now),
        Read::Probe => {
            table.scan(Bound::Unbounded, &mut |_, _| ControlFlow::Break(()))?;
            Ok(Outcome::Done)
        }
    }
}

/// Runs an operation that changes entries.
pub(super) fn write(write: Write, table: &mut impl TableMut, now: Millis) -> Result<Outcome, OperationError> {
    match write {
        Write::Set { key, value, ttl, only_if_absent } => {
            if only_if_absent && live(table, &key, now)?.is_some() {
                return Err(taken(&key).into());
            }
            table.put(key.stored(), Record { value, expires: expiry(ttl, now) }, now)?;
            Ok(Outcome::Done)
        }
        Write::Delete(key) => table.remove(key.stored(), now).map(Outcome::Deleted),
        Write::Increment { key, by } => increment(&key, by, table, now),
        Write::CompareAndSet { key, expected, value, ttl } => {
            let found = live(table, &key, now)?.map(|record| record.value);
            if found != expected {
                return Err(unexpected(&key, found.is_some()).into());
            }
            table.put(key.stored(), Record { value, expires: expiry(ttl, now) }, now)?;
            Ok(Outcome::Done)
        }
        Write::SetMany(entries) => set_many(entries, table, now),
    }
}

fn get_many(keys: &[Key], max_bytes: u64, table: &impl Table, now: Millis) -> Result<Outcome, OperationError> {
    let mut values = Values::new(keys.len(), max_bytes);
    for key in keys {
        values.push(key, live(table, key, now)?.map(|record| record.value))?;
    }
    Ok(values.outcome())
}

/// The values of a `get_many`, as they come in.
pub(super) struct Values {
    found: Vec<(String, Option<Bytes>)>,
    bytes: u64,
    max_bytes: u64,
}

impl Values {
    pub(super) fn new(keys: usize, max_bytes: u64) -> Self {
        Self { found: Vec::with_capacity(keys), bytes: 0, max_bytes }
    }

    /// Adds the next one, unless they get too large.
    pub(super) fn push(&mut self, key: &Key, value: Option<Bytes>) -> Result<(), HostCallError> {
        self.bytes += value.as_ref().map_or(0, |value| value.len() as u64);
        if self.bytes > self.max_bytes {
            return Err(too_many_bytes(self.max_bytes));
        }
        self.found.push((key.name().into_owned(), value));
        Ok(())
    }

    pub(super) fn outcome(self) -> Outcome {
        Outcome::Values(self.found)
    }
}

fn set_many(entries: Vec<Entry>, table: &mut impl TableMut, now: Millis) -> Result<Outcome, OperationError> {
    let records: Vec<(Key, Record)> = entries
        .into_iter()
        .map(|Entry { key, value, ttl }| (key, Record { value, expires: expiry(ttl, now) }))
        .collect();
    let wanted: Vec<(&[u8], &Record)> = records.iter().map(|(key, record)| (key.stored(), record)).collect();
    table.reserve(&wanted, now)?;
    for (key, record) in records {
        table.put(key.stored(), record, now)?;
    }
    Ok(Outcome::Done)
}

fn live(table: &impl Table, key: &Key, now: Millis) -> Result<Option<Record>, OperationError> {
    Ok(table.get(key.stored())?.filter(|record| !record.expired(now)))
}

fn increment(key: &Key, by: i64, table: &mut impl TableMut, now: Millis) -> Result<Outcome, OperationError> {
    let (number, record) = incremented(key, by, live(table, key, now)?)?;
    table.put(key.stored(), record, now)?;
    Ok(Outcome::Integer(number))
}

/// The number after an increment, and what is stored for it in place of what was there.
pub(super) fn incremented(key: &Key, by: i64, old: Option<Record>) -> Result<(i64, Record), HostCallError> {
    let expires = old.as_ref().and_then(|record| record.expires);
    let number = match &old {
        None => 0,
        Some(record) => decimal(&record.value).ok_or_else(|| conflict(key, NO_NUMBER))?,
    };
    let number = number.checked_add(by).ok_or_else(|| conflict(key, OVERFLOW))?;
    Ok((number, Record { value: number.to_string().into(), expires }))
}

/// A number as `increment` writes it: no sign but `-`, no zeros in front, no spaces. Every backend can read these, and
/// no other texts.
fn decimal(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn keys(page: &KeysPage, table: &impl Table, now: Millis) -> Result<Outcome, OperationError> {
    let (prefix, mut found, mut bytes, mut scanned) = (page.prefix.stored(), Vec::new(), 0, 0);
    let (mut last, mut next) = (None, None);
    table.scan(page.from(), &mut |key, expires| {
        if !key.starts_with(prefix) {
            return ControlFlow::Break(());
        }
        if found.len() >= page.limit || bytes >= MAX_PAGE_BYTES || scanned >= MAX_SCANNED {
            next = last.take();
            return ControlFlow::Break(());
        }
        scanned += 1;
        let name = page.prefix.name_of(key);
        if !expired(expires, now) {
            bytes += name.len();
            found.push(name.clone());
        }
        last = Some(name);
        ControlFlow::Continue(())
    })?;
    Ok(Outcome::Keys { keys: found, next })
}

/// A page out of names in their order, of which there is one more than fits where there is a next page.
pub(super) fn page_of(names: impl IntoIterator<Item = String>, limit: usize) -> Outcome {
    let (mut keys, mut bytes, mut next) = (Vec::new(), 0, None);
    for name in names {
        if keys.len() >= limit || bytes >= MAX_PAGE_BYTES {
            next = keys.last().cloned();
            break;
        }
        bytes += name.len();
        keys.push(name);
    }
    Outcome::Keys { keys, next }
}

/// When an entry that is written now expires; a time beyond the end of the clock is never.
pub(super) fn expiry(ttl: Option<Duration>, now: Millis) -> Option<Millis> {
    let millis = u64::try_from(ttl?.as_nanos().div_ceil(1_000_000)).ok()?;
    now.checked_add(millis)
}
