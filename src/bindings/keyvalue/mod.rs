//! The `keyvalue` binding: values under keys, in memory or in a durable database.
//!
//! | operation | request | answer | errors besides `bad_request` |
//! |---|---|---|---|
//! | `get` | `{key: str}` | `{value: bytes}` | `not_found` |
//! | `exists` | `{key: str}` | `{exists: bool}` | |
//! | `keys` | `{prefix?: str, limit?: int, after?: str}` | `{keys: [str], next?: str}` | |
//! | `set` | `{key: str, value: bytes, ttl?: str, only_if_absent?: bool}` | `{}` | `conflict`, `too_large` |
//! | `delete` | `{key: str}` | `{deleted: bool}` | |
//! | `increment` | `{key: str, by?: int}` | `{value: int}` | `conflict` |
//! | `compare_and_set` | `{key: str, expected: bytes or null, value: bytes, ttl?: str}` | `{}` | `conflict`, `too_large` |
//! | `get_many` | `{keys: [str]}` | `{values: [{key: str, value: bytes or null}]}` | `too_large` |
//! | `set_many` | `{entries: [{key: str, value: bytes, ttl?: str}]}` | `{}` | `too_large` |
//!
//! Requests and answers are maps, in MessagePack or JSON (see [`payload`](super::payload)). Keys are text, not empty and
//! at most `max_key` bytes; values are at most `max_value` bytes. Each module has keys of its own, except that links
//! with `shared = true` all see one common space.
//!
//! `ttl` is a duration with its unit (`"30s"`); an entry is invisible from the moment it expires, by the wall clock.
//! `set` and `compare_and_set` without `ttl` keep the entry for ever, `increment` leaves the time to live as it is.
//! `keys` lists in the order of bytes; where the answer has `next`, the rest is listed with `after` set to it.
//!
//! `get_many` answers in the order of its keys, with null where there is no value; `set_many` sets all or none, except with
//! `nats`. Both take 1000 entries at most, and 16 MiB of values (or one value, where they may be larger).
//!
//! `increment` starts at 0, keeps the number as decimal text, and refuses to pass the bounds of 64 bits. A write is
//! answered after it is done (with `redb`: after its commit), so the next read sees it. Any operation can be answered
//! with `unavailable`: the backend is too busy, full, or its disk fails.
//!
//! ```text
//! actor.rs ── requests.rs: payload → Command ──▶ Store ─┬─ memory.rs: on the worker, under a lock
//!                                                      ├─ redb/: a cache; a writer and a reader thread
//!                                                      ├─ redis/: connections to a server
//!                                                      └─ nats/: a connection to servers
//!                                  the first two run operations.rs over a Table
//! ```

mod actor;
mod command;
mod key;
mod listing;
mod memory;
mod nats;
mod operations;
mod record;
mod redb;
mod redis;
mod refusals;
mod replies;
mod requests;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use self::command::OPERATIONS;
use self::{
    actor::KeyValueFactory, memory::MemoryStore, nats::NatsStore, redb::RedbStore, redis::RedisStore, store::Store,
};
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::{KeyValueBackend, KeyValueSettings};

/// Opens the backend that the settings name.
pub(super) fn start(
    name: Arc<str>,
    settings: &KeyValueSettings,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let store: Arc<dyn Store> = match &settings.backend {
        KeyValueBackend::Memory { max_bytes } => Arc::new(MemoryStore::new(Arc::clone(&name), *max_bytes)),
        KeyValueBackend::Redb { path, durability, cache } => {
            Arc::new(RedbStore::open(Arc::clone(&name), path, *durability, *cache)?)
        }
        KeyValueBackend::Redis { server, prefix } => Arc::new(RedisStore::open(&name, server, prefix, context)?),
        KeyValueBackend::Nats { server, bucket } => Arc::new(NatsStore::open(&name, server, bucket, context)?),
    };
    Ok(Arc::new(KeyValueFactory::new(name, settings, store)))
}
