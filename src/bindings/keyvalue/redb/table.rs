//! The tables in the file: records by key, and keys by the moment at which they expire.

use std::ops::Bound;

use ::redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};

use super::cache::Changes;
use crate::bindings::keyvalue::{
    operations::{OperationError, Table, TableMut, Visit},
    record::{Millis, Record, expired},
};

/// Stored key → stored record.
const RECORDS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("records");

/// Moment in milliseconds, eight bytes, then the stored key → nothing. In the order of the moments.
const EXPIRY: TableDefinition<'static, &'static [u8], ()> = TableDefinition::new("expiry");

/// Bytes of the moment before the key.
const MOMENT: usize = 8;

/// Makes the tables where they are not there yet; an error where they are of another kind. A file that has them is
/// not written to, so that a full disk can still be read.
pub(super) fn create(database: &Database) -> Result<(), ::redb::Error> {
    match check(database) {
        Err(::redb::Error::TableDoesNotExist(_)) => {}
        other => return other,
    }
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(EXPIRY)?;
    transaction.commit()?;
    Ok(())
}

fn check(database: &Database) -> Result<(), ::redb::Error> {
    let transaction = database.begin_read()?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(EXPIRY)?;
    Ok(())
}

fn storage(error: impl Into<::redb::Error>) -> OperationError {
    OperationError::Storage(error.into())
}

/// A snapshot of the records.
pub(super) struct Snapshot(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Snapshot {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, ::redb::TableError> {
        transaction.open_table(RECORDS).map(Self)
    }
}

impl Table for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, OperationError> {
        get(&self.0, key)
    }

    fn scan(&self, from: Bound<&[u8]>, visit: &mut Visit<'_>) -> Result<(), OperationError> {
        scan(&self.0, from, visit)
    }
}

/// The tables in a transaction that writes.
pub(super) struct Tables<'txn> {
    records: ::redb::Table<'txn, &'static [u8], &'static [u8]>,
    expiry: ::redb::Table<'txn, &'static [u8], ()>,
    /// Whether there is something to commit.
    pub(super) changed: bool,
    /// What the cache has to know of it.
    pub(super) changes: Changes,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction, changes: Changes) -> Result<Self, ::redb::TableError> {
        let (records, expiry) = (transaction.open_table(RECORDS)?, transaction.open_table(EXPIRY)?);
        Ok(Self { records, expiry, changed: false, changes })
    }

    fn forget_expiry(&mut self, key: &[u8], expires: Option<Millis>) -> Result<(), OperationError> {
        if let Some(at) = expires {
            self.expiry.remove(index(at, key).as_slice()).map_err(storage)?;
        }
        Ok(())
    }
}

impl Table for Tables<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, OperationError> {
        get(&self.records, key)
    }

    fn scan(&self, from: Bound<&[u8]>, visit: &mut Visit<'_>) -> Result<(), OperationError> {
        scan(&self.records, from, visit)
    }
}

impl TableMut for Tables<'_> {
    fn put(&mut self, key: &[u8], record: Record, _now: Millis) -> Result<(), OperationError> {
        self.changed = true;
        self.changes.put(key, &record);
        let stored = record.write();
        let old = self.records.insert(key, &*stored).map_err(storage)?.and_then(|old| known_expiry(old.value()));
        self.forget_expiry(key, old)?;
        if let Some(at) = record.expires {
            self.expiry.insert(index(at, key).as_slice(), ()).map_err(storage)?;
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8], now: Millis) -> Result<bool, OperationError> {
        let Some(expires) = self.records.remove(key).map_err(storage)?.map(|old| known_expiry(old.value())) else {
            return Ok(false);
        };
        self.changed = true;
        self.changes.remove(key);
        self.forget_expiry(key, expires)?;
        Ok(!expired(expires, now))
    }

    fn sweep(&mut self, now: Millis, at_most: usize) -> Result<usize, OperationError> {
        let mut due = Vec::new();
        // Everything before the first key of the next moment.
        let end = index(now.saturating_add(1), &[]);
        for entry in self.expiry.range::<&[u8]>(..end.as_slice()).map_err(storage)?.take(at_most) {
            due.push(entry.map_err(storage)?.0.value().to_vec());
        }
        for index in &due {
            self.changed = true;
            self.expiry.remove(index.as_slice()).map_err(storage)?;
            let Some((moment, key)) = index.split_first_chunk::<MOMENT>() else { continue };
            // An entry that was written anew by a version that knows no expiry is not removed by an old one.
            let stored = self.records.get(key).map_err(storage)?.and_then(|record| known_expiry(record.value()));
            if stored == Some(u64::from_be_bytes(*moment)) {
                self.changes.remove(key);
                self.records.remove(key).map_err(storage)?;
            }
        }
        Ok(due.len())
    }
}

fn index(at: Millis, key: &[u8]) -> Vec<u8> {
    let mut index = Vec::with_capacity(MOMENT + key.len());
    index.extend_from_slice(&at.to_be_bytes());
    index.extend_from_slice(key);
    index
}

/// When a record that is going away expires. One that is unreadable has no expiry that could be known, and may be
/// replaced or deleted nonetheless.
fn known_expiry(stored: &[u8]) -> Option<Millis> {
    Record::read_expires(stored).ok().flatten()
}

fn get(
    records: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Record>, OperationError> {
    let stored = records.get(key).map_err(storage)?;
    stored.map(|stored| Record::read(stored.value()).map_err(OperationError::from)).transpose()
}

fn scan(
    records: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: Bound<&[u8]>,
    visit: &mut Visit<'_>,
) -> Result<(), OperationError> {
    for entry in records.range::<&[u8]>((from, Bound::Unbounded)).map_err(storage)? {
        let (key, stored) = entry.map_err(storage)?;
        if visit(key.value(), Record::read_expires(stored.value())?).is_break() {
            break;
        }
    }
    Ok(())
}
