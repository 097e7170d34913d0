//! From a host call to a command, and from its outcome to a reply.
//!
//! Everything that a guest can get wrong about a request is found here, before a backend sees it.

use std::{borrow::Cow, ops::Bound, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    key::{Key, Scope},
    operations::Outcome,
};
use crate::{
    bindings::{
        BindingCall, BindingReply,
        payload::{Blob, Format, bad_request, cut, decode, encode},
    },
    config::{KeyValueSettings, TimeSpan},
    host::{HostCallError, HostErrorKind},
};

/// Keys in one page where the guest does not say: a screen or two.
const DEFAULT_PAGE: u64 = 100;

/// Keys in one page at most: a larger page only makes the other guests of the backend wait longer.
const MAX_PAGE: u64 = 1000;

/// The operations.
pub(in crate::bindings) const OPERATIONS: [&str; 7] =
    ["get", "set", "delete", "exists", "keys", "increment", "compare_and_set"];

/// What a backend is asked.
#[derive(Debug)]
pub(super) enum Command {
    /// Changes nothing.
    Read(Read),
    /// Changes at most one entry.
    Write(Write),
}

impl From<Read> for Command {
    fn from(read: Read) -> Self {
        Self::Read(read)
    }
}

impl From<Write> for Command {
    fn from(write: Write) -> Self {
        Self::Write(write)
    }
}

/// Operations that change nothing.
#[derive(Debug)]
pub(super) enum Read {
    Get(Key),
    Exists(Key),
    Keys(KeysPage),
    /// Whether the backend can be read at all; asked by the daemon, never by a guest.
    Probe,
}

/// A page of keys.
#[derive(Debug)]
pub(super) struct KeysPage {
    pub(super) prefix: Key,
    pub(super) after: Option<Key>,
    pub(super) limit: usize,
}

impl KeysPage {
    /// Where the page starts: behind `after`, where that is not before the prefix.
    pub(super) fn from(&self) -> Bound<&[u8]> {
        match &self.after {
            Some(after) if after.stored() >= self.prefix.stored() => Bound::Excluded(after.stored()),
            _ => Bound::Included(self.prefix.stored()),
        }
    }
}

/// Operations that change at most one entry.
#[derive(Debug)]
pub(super) enum Write {
    Set { key: Key, value: Bytes, ttl: Option<Duration>, only_if_absent: bool },
    Delete(Key),
    Increment { key: Key, by: i64 },
    CompareAndSet { key: Key, expected: Option<Bytes>, value: Bytes, ttl: Option<Duration> },
}

/// The bounds of one binding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    max_key: u64,
    max_value: u64,
}

impl From<&KeyValueSettings> for Limits {
    fn from(settings: &KeyValueSettings) -> Self {
        Self { max_key: settings.max_key, max_value: settings.max_value }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRequest<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysRequest<'a> {
    #[serde(borrow)]
    prefix: Option<Cow<'a, str>>,
    limit: Option<u64>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRequest<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Blob<'a>,
    #[serde(borrow)]
    ttl: Option<Cow<'a, str>>,
    only_if_absent: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IncrementRequest<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    by: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompareAndSetRequest<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "required")]
    expected: Option<Blob<'a>>,
    #[serde(borrow)]
    value: Blob<'a>,
    #[serde(borrow)]
    ttl: Option<Cow<'a, str>>,
}

/// A field that may be null but not be left out: who forgets `expected` must not be taken to expect nothing.
fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Blob<'de>>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads a host call.
pub(super) fn parse(call: &BindingCall, limits: Limits) -> Result<(Command, Format), HostCallError> {
    let reader = Reader { scope: Scope::of(call), limits, payload: &call.payload };
    match call.operation.as_str() {
        "get" => reader.read(|request: KeyRequest| Ok(Read::Get(reader.key(&request.key)?).into())),
        "exists" => reader.read(|request: KeyRequest| Ok(Read::Exists(reader.key(&request.key)?).into())),
        "keys" => reader.read(|request| reader.page(&request)),
        "set" => reader.read(|request| reader.set(request)),
        "delete" => reader.read(|request: KeyRequest| Ok(Write::Delete(reader.key(&request.key)?).into())),
        "increment" => reader.read(|request: IncrementRequest| {
            Ok(Write::Increment { key: reader.key(&request.key)?, by: request.by.unwrap_or(1) }.into())
        }),
        "compare_and_set" => reader.read(|request| reader.compare_and_set(request)),
        other => Err(HostCallError::new(
            HostErrorKind::NoSuchOperation,
            format!("binding `{}` has no operation `{}`: {}", call.link.to, cut(other), OPERATIONS.join(", ")),
        )),
    }
}

/// Checks the fields of one request.
struct Reader<'a> {
    scope: Scope,
    limits: Limits,
    payload: &'a Bytes,
}

impl<'a> Reader<'a> {
    fn read<T: Deserialize<'a>>(
        &self,
        build: impl FnOnce(T) -> Result<Command, HostCallError>,
    ) -> Result<(Command, Format), HostCallError> {
        let (request, format) = decode(self.payload)?;
        Ok((build(request)?, format))
    }

    fn key(&self, name: &str) -> Result<Key, HostCallError> {
        if name.is_empty() {
            return Err(bad_request("field `key`: empty, expected at least one character"));
        }
        self.part("key", name)
    }

    /// A key, or a text to compare keys with, which may be empty.
    fn part(&self, field: &str, text: &str) -> Result<Key, HostCallError> {
        within(field, text.len(), self.limits.max_key)?;
        Ok(self.scope.key(text))
    }

    fn value(&self, value: Blob<'_>) -> Result<Bytes, HostCallError> {
        let value = value.into_bytes(self.payload);
        within("value", value.len(), self.limits.max_value)?;
        Ok(value)
    }

    fn page(&self, request: &KeysRequest<'_>) -> Result<Command, HostCallError> {
        let limit = request.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(bad_request(format!("field `limit`: {limit}, expected 1 to {MAX_PAGE}")));
        }
        Ok(Command::Read(Read::Keys(KeysPage {
            prefix: self.part("prefix", request.prefix.as_deref().unwrap_or_default())?,
            after: request.after.as_deref().map(|after| self.part("after", after)).transpose()?,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })))
    }

    fn set(&self, request: SetRequest<'_>) -> Result<Command, HostCallError> {
        Ok(Command::Write(Write::Set {
            key: self.key(&request.key)?,
            ttl: ttl(request.ttl.as_deref())?,
            only_if_absent: request.only_if_absent.unwrap_or(false),
            value: self.value(request.value)?,
        }))
    }

    fn compare_and_set(&self, request: CompareAndSetRequest<'_>) -> Result<Command, HostCallError> {
        Ok(Command::Write(Write::CompareAndSet {
            key: self.key(&request.key)?,
            expected: request.expected.map(|expected| expected.into_bytes(self.payload)),
            ttl: ttl(request.ttl.as_deref())?,
            value: self.value(request.value)?,
        }))
    }
}

fn within(field: &str, size: usize, limit: u64) -> Result<(), HostCallError> {
    if size as u64 <= limit {
        return Ok(());
    }
    let why = format!("field `{field}`: {size} bytes are over the limit of {limit} bytes");
    Err(HostCallError::new(HostErrorKind::TooLarge, why))
}

fn ttl(text: Option<&str>) -> Result<Option<Duration>, HostCallError> {
    let Some(text) = text else { return Ok(None) };
    match text.parse().map(TimeSpan::duration) {
        Ok(Duration::ZERO) => Err(bad_request("field `ttl`: zero, expected a positive duration")),
        Ok(ttl) => Ok(Some(ttl)),
        Err(error) => Err(bad_request(format!("field `ttl`: found `{}`: {}", cut(text), cut(&error.to_string())))),
    }
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct ValueReply<T> {
    value: T,
}

#[derive(Serialize)]
struct DeletedReply {
    deleted: bool,
}

#[derive(Serialize)]
struct ExistsReply {
    exists: bool,
}

#[derive(Serialize)]
struct KeysReply {
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Writes an outcome in the format of its request.
pub(super) fn reply(format: Format, outcome: Outcome) -> BindingReply {
    match outcome {
        Outcome::Done => encode(format, &Empty {}),
        Outcome::Value(value) => encode(format, &ValueReply { value: Blob::from(&*value) }),
        Outcome::Integer(value) => encode(format, &ValueReply { value }),
        Outcome::Deleted(deleted) => encode(format, &DeletedReply { deleted }),
        Outcome::Exists(exists) => encode(format, &ExistsReply { exists }),
        Outcome::Keys { keys, next } => encode(format, &KeysReply { keys, next }),
    }
}
