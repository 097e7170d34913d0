//! What the guest gets of a file.

use std::ffi::OsStr;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    bindings::payload::{Blob, Format, encode},
    config::PayloadFormat,
    files::read::ReadFile,
    host::HostCallError,
};

/// The map that a guest gets in place of the content.
#[derive(Debug, Serialize)]
struct Envelope<'f> {
    /// Its name in the inbox; what is no UTF-8 in it is replaced.
    name: &'f str,
    /// Bytes.
    size: u64,
    /// When its content changed last, in milliseconds since 1970.
    modified: i64,
    /// Its content.
    body: Blob<'f>,
}

/// Makes the payload.
///
/// # Errors
/// The map cannot be written, which none of its fields brings about.
pub(super) fn of(name: &OsStr, file: ReadFile, envelope: Option<PayloadFormat>) -> Result<Bytes, HostCallError> {
    let format = match envelope {
        None => return Ok(file.bytes.into()),
        Some(PayloadFormat::MessagePack) => Format::MessagePack,
        Some(PayloadFormat::Json) => Format::Json,
    };
    let name = name.to_string_lossy();
    let modified = i64::try_from(file.fingerprint.mtime_ns / 1_000_000).unwrap_or_default();
    encode(format, &Envelope { name: &name, size: file.fingerprint.size, modified, body: Blob::from(&*file.bytes) })
}
