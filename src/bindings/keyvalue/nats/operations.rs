//! The operations over a bucket. What reads before it writes says which revision it read, and begins anew where that is not the
//! last one any more.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use super::{
    bucket::{self, Found, Written},
    connection::Connection,
    keys,
    names::Names,
};
use crate::{
    bindings::{
        circuit::Failure,
        keyvalue::{
            command::{Command, Entry, Read, Write},
            key::Key,
            operations::{Outcome, Values, expiry, incremented},
            record::Record,
            refusals::{not_found, taken, unexpected},
            store::Clock,
        },
    },
    host::{HostCallError, HostErrorKind},
};

/// How often a write begins anew because others wrote in between. Each time one of them got through, so that this many fail only
/// where others write the same key all the time.
const ROUNDS: usize = 100;

/// Requests of one `get_many` or `set_many` that are on their way together: they hide the time of the network from each other, and
/// leave room for other calls.
const TOGETHER: usize = 32;

/// Locks for the increments of this daemon: those of one key wait for each other here, rather than fail at the server. A few
/// dozen keep different keys apart well enough.
const LOCKS: usize = 64;

/// Runs commands on the bucket.
pub(super) struct Operations {
    names: Names,
    clock: Clock,
    increments: Vec<Mutex<()>>,
}

impl Operations {
    pub(super) fn new(names: Names, clock: Clock) -> Self {
        Self { names, clock, increments: (0..LOCKS).map(|_| Mutex::default()).collect() }
    }

    /// Runs one command.
    pub(super) async fn run(&self, connection: &Arc<Connection>, command: Command) -> Result<Outcome, Failure> {
        match command {
            Command::Read(read) => self.read(connection, read).await,
            Command::Write(write) => self.write(connection, write).await,
        }
    }

    async fn read(&self, connection: &Arc<Connection>, read: Read) -> Result<Outcome, Failure> {
        match read {
            Read::Get(key) => match self.get(connection, &self.names.of(&key)?).await?.record {
                Some(record) => Ok(Outcome::Value(record.value)),
                None => Err(not_found(&key).into()),
            },
            Read::Exists(key) => {
                Ok(Outcome::Exists(self.get(connection, &self.names.of(&key)?).await?.record.is_some()))
            }
            Read::Keys(page) => keys::keys(&self.names, connection, &page, (self.clock)()).await,
            Read::GetMany { keys, max_bytes } => self.get_many(connection, &keys, max_bytes).await,
            Read::Probe => Ok(Outcome::Done),
        }
    }

    async fn write(&self, connection: &Arc<Connection>, write: Write) -> Result<Outcome, Failure> {
        match write {
            Write::Set { key, value, ttl, only_if_absent: false } => self.set(connection, &key, value, ttl).await,
            Write::Set { key, value, ttl, only_if_absent: true } => self.set_absent(connection, &key, value, ttl).await,
            Write::Delete(key) => self.delete(connection, &key).await,
            Write::Increment { key, by } => self.increment(connection, &key, by).await,
            Write::CompareAndSet { key, expected, value, ttl } => {
                self.compare_and_set(connection, &key, expected.as_deref(), &value, ttl).await
            }
            Write::SetMany(entries) => {
                let sets = entries
                    .into_iter()
                    .map(|Entry { key, value, ttl }| async move { self.set(connection, &key, value, ttl).await });
                stream::iter(sets).buffer_unordered(TOGETHER).try_for_each(|_done| async { Ok(()) }).await?;
                Ok(Outcome::Done)
            }
        }
    }

    /// Reads what is under a subject. What has expired is not there, and removed.
    async fn get(&self, connection: &Arc<Connection>, subject: &str) -> Result<Found, Failure> {
        let found = bucket::get(connection, &self.names, subject).await?;
        if found.record.as_ref().is_some_and(|record| record.expired((self.clock)())) {
            bucket::forget(connection, &self.names, subject, found.revision).await;
            // The removal may come before or after the next write: that one must hold in both cases.
            return Ok(Found { revision: found.revision, record: None });
        }
        Ok(found)
    }

    async fn get_many(&self, connection: &Arc<Connection>, keys: &[Key], max_bytes: u64) -> Result<Outcome, Failure> {
        let found = stream::iter(keys).map(|key| async move { self.get(connection, &self.names.of(key)?).await });
        let mut found = std::pin::pin!(found.buffered(TOGETHER).zip(stream::iter(keys)));
        let mut values = Values::new(keys.len(), max_bytes);
        while let Some((found, key)) = found.next().await {
            values.push(key, found?.record.map(|record| record.value))?;
        }
        Ok(values.outcome())
    }

    async fn set(
        &self,
        connection: &Arc<Connection>,
        key: &Key,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<Outcome, Failure> {
        let expires = expiry(ttl, (self.clock)());
        bucket::put(connection, &self.names.of(key)?, value, expires, None).await?;
        Ok(Outcome::Done)
    }

    async fn set_absent(
        &self,
        connection: &Arc<Connection>,
        key: &Key,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<Outcome, Failure> {
        let subject = self.names.of(key)?;
        // Most often there never was anything.
        let mut revision = 0;
        for _ in 0..ROUNDS {
            let expires = expiry(ttl, (self.clock)());
            match bucket::put(connection, &subject, value.clone(), expires, Some(revision)).await? {
                Written::Done(_) => return Ok(Outcome::Done),
                Written::Outdated => match self.get(connection, &subject).await? {
                    Found { record: Some(_), .. } => return Err(taken(key).into()),
                    found => revision = found.revision,
                },
            }
        }
        Err(contended(key))
    }

    async fn delete(&self, connection: &Arc<Connection>, key: &Key) -> Result<Outcome, Failure> {
        let subject = self.names.of(key)?;
        for _ in 0..ROUNDS {
            let Found { revision, record: Some(_) } = self.get(connection, &subject).await? else {
                return Ok(Outcome::Deleted(false));
            };
            if let Written::Done(marker) = bucket::delete(connection, &subject, revision).await? {
                // Else the marks of all that was ever deleted would stay.
                bucket::forget(connection, &self.names, &subject, marker).await;
                return Ok(Outcome::Deleted(true));
            }
        }
        Err(contended(key))
    }

    async fn increment(&self, connection: &Arc<Connection>, key: &Key, by: i64) -> Result<Outcome, Failure> {
        let subject = self.names.of(key)?;
        let _turn = match self.lock_of(&subject) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        for _ in 0..ROUNDS {
            let Found { revision, record } = self.get(connection, &subject).await?;
            let (number, Record { value, expires }) = incremented(key, by, record)?;
            match bucket::put(connection, &subject, value, expires, Some(revision)).await? {
                Written::Done(_) => return Ok(Outcome::Integer(number)),
                Written::Outdated => {}
            }
        }
        Err(contended(key))
    }

    async fn compare_and_set(
        &self,
        connection: &Arc<Connection>,
        key: &Key,
        expected: Option<&[u8]>,
        value: &Bytes,
        ttl: Option<Duration>,
    ) -> Result<Outcome, Failure> {
        let subject = self.names.of(key)?;
        for _ in 0..ROUNDS {
            let Found { revision, record } = self.get(connection, &subject).await?;
            if record.as_ref().map(|record| &*record.value) != expected {
                return Err(unexpected(key, record.is_some()).into());
            }
            let expires = expiry(ttl, (self.clock)());
            match bucket::put(connection, &subject, value.clone(), expires, Some(revision)).await? {
                Written::Done(_) => return Ok(Outcome::Done),
                Written::Outdated => {}
            }
        }
        Err(contended(key))
    }

    fn lock_of(&self, subject: &str) -> Option<&Mutex<()>> {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let index = hasher.finish() % self.increments.len() as u64;
        usize::try_from(index).ok().and_then(|index| self.increments.get(index))
    }
}

fn contended(key: &Key) -> Failure {
    let why = format!("the value under key `{}` changed {ROUNDS} times while it was to be written", key.shown());
    HostCallError::new(HostErrorKind::Unavailable, why).into()
}
