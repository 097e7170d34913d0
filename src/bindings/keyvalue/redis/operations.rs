//! The operations as commands and scripts of Redis, each of which happens as a whole or not at all.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Cmd, Script, Value};

use super::{
    errors::{failure, strange},
    names::Names,
    pool::Pool,
    scan,
};
use crate::bindings::{
    circuit::Failure,
    keyvalue::{
        command::{Command, Entry, Read, Write},
        key::Key,
        operations::{Outcome, Values},
        refusals::{not_found, taken, too_many_bytes, unexpected},
    },
};

/// Sets a value in place of an expected one. Answers 0 where it did, 1 where there is none, 2 where it is another.
const COMPARE_AND_SET: &str = "
local found = redis.call('GET', KEYS[1])
if ARGV[1] == '0' then
    if found then return 2 end
elseif not found then return 1
elseif found ~= ARGV[2] then return 2 end
if ARGV[4] then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) else redis.call('SET', KEYS[1], ARGV[3]) end
return 0";

/// Several values, or nothing where they have too many bytes.
const GET_MANY: &str = "
local bytes = 0
for i = 1, #KEYS do bytes = bytes + redis.call('STRLEN', KEYS[i]) end
if bytes > tonumber(ARGV[1]) then return false end
return redis.call('MGET', unpack(KEYS))";

/// The longest time to live that Redis is told, in milliseconds: what is longer is for ever. Redis adds the time of day to it, in
/// 64 bits.
const FOR_EVER: u128 = 1 << 62;

/// Runs commands on the server.
pub(super) struct Operations {
    names: Names,
    compare_and_set: Script,
    get_many: Script,
}

impl Operations {
    pub(super) fn new(names: Names) -> Self {
        Self { names, compare_and_set: Script::new(COMPARE_AND_SET), get_many: Script::new(GET_MANY) }
    }

    /// Runs one command.
    pub(super) async fn run(&self, pool: &Arc<Pool>, command: Command) -> Result<Outcome, Failure> {
        match command {
            Command::Read(read) => self.read(pool, read).await,
            Command::Write(write) => self.write(pool, write).await,
        }
    }

    async fn read(&self, pool: &Arc<Pool>, read: Read) -> Result<Outcome, Failure> {
        match read {
            Read::Get(key) => match self.ask(pool, "GET", &key).await? {
                Value::BulkString(value) => Ok(Outcome::Value(value.into())),
                Value::Nil => Err(not_found(&key).into()),
                _ => Err(strange("GET")),
            },
            Read::Exists(key) => Ok(Outcome::Exists(self.is_one(pool, "EXISTS", &key).await?)),
            Read::Keys(page) => scan::keys(&self.names, pool, &page).await,
            Read::GetMany { keys, max_bytes } => self.get_many(pool, &keys, max_bytes).await,
            Read::Probe => Ok(Outcome::Done),
        }
    }

    async fn write(&self, pool: &Arc<Pool>, write: Write) -> Result<Outcome, Failure> {
        match write {
            Write::Set { key, value, ttl, only_if_absent } => {
                let mut command = self.set(&key, &value, ttl);
                if only_if_absent {
                    command.arg("NX");
                }
                match send(pool, &command, Some(&key), value.len()).await? {
                    Value::Okay => Ok(Outcome::Done),
                    Value::Nil if only_if_absent => Err(taken(&key).into()),
                    _ => Err(strange("SET")),
                }
            }
            Write::Delete(key) => Ok(Outcome::Deleted(self.is_one(pool, "UNLINK", &key).await?)),
            Write::Increment { key, by } => {
                let mut command = redis::cmd("INCRBY");
                command.arg(self.names.of(&key)).arg(by);
                match send(pool, &command, Some(&key), 0).await? {
                    Value::Int(number) => Ok(Outcome::Integer(number)),
                    _ => Err(strange("INCRBY")),
                }
            }
            Write::CompareAndSet { key, expected, value, ttl } => {
                self.compare_and_set(pool, &key, expected, &value, ttl).await
            }
            Write::SetMany(entries) => self.set_many(pool, &entries).await,
        }
    }

    async fn ask(&self, pool: &Arc<Pool>, command: &str, key: &Key) -> Result<Value, Failure> {
        let mut command = redis::cmd(command);
        command.arg(self.names.of(key));
        send(pool, &command, Some(key), 0).await
    }

    async fn is_one(&self, pool: &Arc<Pool>, command: &str, key: &Key) -> Result<bool, Failure> {
        match self.ask(pool, command, key).await? {
            Value::Int(count) => Ok(count == 1),
            _ => Err(strange(command)),
        }
    }

    fn set(&self, key: &Key, value: &Bytes, ttl: Option<Duration>) -> Cmd {
        let mut command = redis::cmd("SET");
        command.arg(self.names.of(key)).arg(&**value);
        if let Some(millis) = milliseconds(ttl) {
            command.arg("PX").arg(millis);
        }
        command
    }

    async fn compare_and_set(
        &self,
        pool: &Arc<Pool>,
        key: &Key,
        expected: Option<Bytes>,
        value: &Bytes,
        ttl: Option<Duration>,
    ) -> Result<Outcome, Failure> {
        let mut script = self.compare_and_set.key(self.names.of(key));
        script.arg(i32::from(expected.is_some())).arg(expected.as_deref().unwrap_or_default()).arg(&**value);
        if let Some(millis) = milliseconds(ttl) {
            script.arg(millis);
        }
        let mut lease = pool.lease(value.len()).map_err(Failure::Server)?;
        let answer = script.invoke_async(&mut lease.connection).await;
        lease.answered();
        match answer.map_err(|error| failure(Some(key), error))? {
            Value::Int(0) => Ok(Outcome::Done),
            Value::Int(found) => Err(unexpected(key, found == 2).into()),
            _ => Err(strange("EVALSHA")),
        }
    }

    async fn get_many(&self, pool: &Arc<Pool>, keys: &[Key], max_bytes: u64) -> Result<Outcome, Failure> {
        let mut values = Values::new(keys.len(), max_bytes);
        if keys.is_empty() {
            return Ok(values.outcome());
        }
        let mut script = self.get_many.arg(max_bytes);
        for key in keys {
            script.key(self.names.of(key));
        }
        let mut lease = pool.lease(keys.len() * 1024).map_err(Failure::Server)?;
        let answer = script.invoke_async(&mut lease.connection).await;
        lease.answered();
        let found = match answer.map_err(|error| failure(None, error))? {
            Value::Array(found) if found.len() == keys.len() => found,
            Value::Nil => return Err(too_many_bytes(max_bytes).into()),
            _ => return Err(strange("MGET")),
        };
        for (key, value) in keys.iter().zip(found) {
            let value = match value {
                Value::BulkString(value) => Some(value.into()),
                Value::Nil => None,
                _ => return Err(strange("MGET")),
            };
            values.push(key, value)?;
        }
        Ok(values.outcome())
    }

    async fn set_many(&self, pool: &Arc<Pool>, entries: &[Entry]) -> Result<Outcome, Failure> {
        if entries.is_empty() {
            return Ok(Outcome::Done);
        }
        let mut transaction = redis::pipe();
        transaction.atomic();
        for Entry { key, value, ttl } in entries {
            transaction.add_command(self.set(key, value, *ttl)).ignore();
        }
        let bytes = entries.iter().map(|entry| 1024 + entry.value.len()).sum();
        let mut lease = pool.lease(bytes).map_err(Failure::Server)?;
        let answer = transaction.query_async(&mut lease.connection).await;
        lease.answered();
        answer.map(|()| Outcome::Done).map_err(|error| failure(None, error))
    }
}

async fn send(pool: &Arc<Pool>, command: &Cmd, key: Option<&Key>, bytes: usize) -> Result<Value, Failure> {
    let mut lease = pool.lease(bytes).map_err(Failure::Server)?;
    let answer = command.query_async(&mut lease.connection).await;
    lease.answered();
    answer.map_err(|error| failure(key, error))
}

/// A time to live as Redis is told; no shorter than it is.
fn milliseconds(ttl: Option<Duration>) -> Option<u64> {
    let millis = ttl?.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).ok().filter(|_| millis < FOR_EVER)
}
