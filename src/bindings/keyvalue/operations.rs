//! The operations, written once over a [`Table`], so that both backends mean the same by them.
//!
//! Plain functions: the moment is a parameter, and every check comes before the one change that an operation makes, so
//! one that is refused has changed nothing.

use std::{
    ops::{Bound, ControlFlow},
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;

use super::{
    command::{KeysPage, Read, Write},
    key::Key,
    record::{Millis, Record, RecordError, expired},
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
            None => Err(refused(HostErrorKind::NotFound, format!("no value under key `{}`", key.shown()))),
        },
        Read::Exists(key) => Ok(Outcome::Exists(live(table, key, now)?.is_some())),
        Read::Keys(page) => keys(page, table, now),
        Read::Probe => {
            table.scan(Bound::Unbounded, &mut |_, _| ControlFlow::Break(()))?;
            Ok(Outcome::Done)
        }
    }
}

/// Runs an operation that changes at most one entry.
pub(super) fn write(write: Write, table: &mut impl TableMut, now: Millis) -> Result<Outcome, OperationError> {
    match write {
        Write::Set { key, value, ttl, only_if_absent } => {
            if only_if_absent && live(table, &key, now)?.is_some() {
                let why = format!("there is a value under key `{}`", key.shown());
                return Err(refused(HostErrorKind::Conflict, why));
            }
            table.put(key.stored(), Record { value, expires: expiry(ttl, now) }, now)?;
            Ok(Outcome::Done)
        }
        Write::Delete(key) => table.remove(key.stored(), now).map(Outcome::Deleted),
        Write::Increment { key, by } => increment(&key, by, table, now),
        Write::CompareAndSet { key, expected, value, ttl } => {
            let found = live(table, &key, now)?.map(|record| record.value);
            if found != expected {
                let found = if found.is_some() { "is not what was expected" } else { "is absent" };
                return Err(refused(HostErrorKind::Conflict, format!("the value under key `{}` {found}", key.shown())));
            }
            table.put(key.stored(), Record { value, expires: expiry(ttl, now) }, now)?;
            Ok(Outcome::Done)
        }
    }
}

fn live(table: &impl Table, key: &Key, now: Millis) -> Result<Option<Record>, OperationError> {
    Ok(table.get(key.stored())?.filter(|record| !record.expired(now)))
}

fn increment(key: &Key, by: i64, table: &mut impl TableMut, now: Millis) -> Result<Outcome, OperationError> {
    let old = live(table, key, now)?;
    let expires = old.as_ref().and_then(|record| record.expires);
    let conflict = |why: &str| refused(HostErrorKind::Conflict, format!("the value under key `{}` {why}", key.shown()));
    let number = match &old {
        None => 0,
        Some(record) => std::str::from_utf8(&record.value)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| conflict("is no decimal number of 64 bits"))?,
    };
    let number = number.checked_add(by).ok_or_else(|| conflict("would leave the range of 64 bits"))?;
    table.put(key.stored(), Record { value: number.to_string().into(), expires }, now)?;
    Ok(Outcome::Integer(number))
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

/// When an entry that is written now expires; a time beyond the end of the clock is never.
fn expiry(ttl: Option<Duration>, now: Millis) -> Option<Millis> {
    let millis = u64::try_from(ttl?.as_nanos().div_ceil(1_000_000)).ok()?;
    now.checked_add(millis)
}

fn refused(kind: HostErrorKind, why: String) -> OperationError {
    OperationError::Refused(HostCallError::new(kind, why))
}
