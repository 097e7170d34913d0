//! From a host call to a command.
//!
//! Everything that a guest can get wrong about a request is found here, before a backend sees it.

use std::{borrow::Cow, collections::HashSet, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Deserializer};

use super::{
    command::{Command, Entry, KeysPage, Limits, OPERATIONS, Read, Write},
    key::{Key, Scope},
};
use crate::{
    bindings::{
        BindingCall,
        payload::{Blob, Format, bad_request, cut, decode},
    },
    config::TimeSpan,
    host::{HostCallError, HostErrorKind},
};

/// Keys in one page where the guest does not say: a screen or two.
const DEFAULT_PAGE: u64 = 100;

/// Keys in one page at most, and entries in one `get_many` or `set_many`: more would only make the other guests of the
/// backend wait longer.
const MAX_ENTRIES: u64 = 1000;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetManyRequest<'a> {
    #[serde(borrow)]
    keys: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetManyRequest<'a> {
    #[serde(borrow)]
    entries: Vec<EntryRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryRequest<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
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
        "get_many" => reader.read(|request| reader.get_many(&request)),
        "set_many" => reader.read(|request| reader.set_many(request)),
        _ => Err(call.no_such_operation(&call.link.to, &OPERATIONS)),
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
        if !(1..=MAX_ENTRIES).contains(&limit) {
            return Err(bad_request(format!("field `limit`: {limit}, expected 1 to {MAX_ENTRIES}")));
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

    fn get_many(&self, request: &GetManyRequest<'_>) -> Result<Command, HostCallError> {
        entries("keys", request.keys.len())?;
        let keys = request.keys.iter().map(|key| self.key(key)).collect::<Result<_, _>>()?;
        Ok(Command::Read(Read::GetMany { keys, max_bytes: self.limits.max_many() }))
    }

    fn set_many(&self, request: SetManyRequest<'_>) -> Result<Command, HostCallError> {
        entries("entries", request.entries.len())?;
        let mut seen = HashSet::with_capacity(request.entries.len());
        if let Some(twice) = request.entries.iter().find(|entry| !seen.insert(&*entry.key)) {
            return Err(bad_request(format!("field `entries`: key `{}` is there twice", cut(&twice.key))));
        }
        let (mut bytes, mut read) = (0, Vec::with_capacity(request.entries.len()));
        for EntryRequest { key, value, ttl: time } in request.entries {
            let entry = Entry { key: self.key(&key)?, ttl: ttl(time.as_deref())?, value: self.value(value)? };
            bytes += entry.value.len();
            read.push(entry);
        }
        within("entries", bytes, self.limits.max_many())?;
        Ok(Command::Write(Write::SetMany(read)))
    }
}

fn entries(field: &str, count: usize) -> Result<(), HostCallError> {
    if count as u64 <= MAX_ENTRIES {
        return Ok(());
    }
    Err(bad_request(format!("field `{field}`: {count} of them, expected at most {MAX_ENTRIES}")))
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
