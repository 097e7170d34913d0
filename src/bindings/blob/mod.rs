//! The `blob` binding: objects under names, in a directory, in memory, or in an S3-compatible store.
//!
//! | operation | request | answer | errors besides `bad_request` |
//! |---|---|---|---|
//! | `put` | `{name: str, data: bytes, only_if_absent?: bool, content_type?: str}` | `{etag?: str}` | `conflict`, `too_large` |
//! | `get` | `{name: str, offset?: int, length?: int}` | `{data: bytes, size: int, modified: int, etag?: str, content_type?: str}` | `not_found`, `too_large` |
//! | `head` | `{name: str}` | `{size: int, modified: int, etag?: str, content_type?: str}` | `not_found` |
//! | `list` | `{prefix?: str, limit?: int, after?: str}` | `{objects: [{name: str, size: int, modified: int}], next?: str}` | |
//! | `delete` | `{name: str}` | `{deleted: bool}` | |
//! | `copy` | `{from: str, to: str, only_if_absent?: bool}` | `{}` | `not_found`, `conflict`, `too_large` |
//!
//! Requests and answers are maps, in MessagePack or JSON (see [`payload`](super::payload)). A name is what `name` takes:
//! parts with `/` between them. Each module has names of its own, except where links share a space (see `space`).
//! `modified` is in milliseconds since 1970.
//!
//! A write is answered when it is done: in a directory, when it is on the disk. Nobody ever sees half an object: a `put`
//! or `copy` appears as a whole, in place of what was there. `get` without `length` reads to the end; at and behind the end
//! there are no bytes. `list` goes in the order of the names' bytes; where the answer has `next`, the rest is listed with
//! `after` set to it. Any operation can be answered with `unavailable`: the disk or the server fails, or the memory is full.
//!
//! ```text
//! actor.rs ── operations.rs: payload → Command ──▶ Store ─┬─ memory.rs: on the worker, under a lock
//!                                                         ├─ directory/: threads for the disk
//!                                                         └─ s3/: the threads of connections, behind a circuit
//! ```

mod actor;
mod directory;
mod memory;
mod name;
mod operations;
mod s3;
mod space;
mod store;

use std::sync::Arc;

pub(super) use self::operations::OPERATIONS;
use self::{actor::BlobFactory, directory::DirectoryStore, memory::MemoryStore, s3::S3Store, store::Store};
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::{BlobBackend, BlobSettings};

/// Opens the backend that the settings name.
pub(super) fn start(
    binding: Arc<str>,
    settings: &BlobSettings,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let max_object = settings.max_object;
    let store: Arc<dyn Store> = match &settings.backend {
        BlobBackend::Directory { path } => Arc::new(DirectoryStore::open(binding, path, max_object, context)?),
        BlobBackend::Memory { max_bytes } => Arc::new(MemoryStore::new(binding, *max_bytes, max_object)),
        BlobBackend::S3 { server, bucket, region, prefix } => {
            let place = s3::Place { server, bucket, region, prefix };
            Arc::new(S3Store::open(binding, &place, max_object, context)?)
        }
    };
    Ok(Arc::new(BlobFactory::new(max_object, store)))
}
