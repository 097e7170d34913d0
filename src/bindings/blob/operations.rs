//! From a host call to a command, and from its outcome to a reply.
//!
//! Everything that a guest can get wrong about a request is found here, before a backend sees it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    name::{Name, check_bound},
    space::Scope,
    store::{Command, Entry, Facts, Listed, Millis, Outcome, Page, Place, Span},
};
use crate::{
    bindings::{
        BindingCall, BindingReply,
        payload::{Blob, Format, bad_request, cut, decode, encode},
    },
    host::HostCallError,
};

/// Objects in one page where the guest does not say: a screen or two.
const DEFAULT_PAGE: u64 = 100;

/// Objects in one page at most: what S3 gives at once.
const MAX_PAGE: u64 = 1000;

/// Bytes of a content type at most: twice the longest that is registered.
const MAX_CONTENT_TYPE: usize = 255;

/// The operations.
pub(in crate::bindings) const OPERATIONS: [&str; 6] = ["put", "get", "head", "list", "delete", "copy"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutRequest<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    data: Blob<'a>,
    only_if_absent: Option<bool>,
    content_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetRequest<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    offset: Option<u64>,
    length: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameRequest<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListRequest {
    prefix: Option<String>,
    limit: Option<u64>,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyRequest<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    only_if_absent: Option<bool>,
}

/// Reads a host call.
pub(super) fn parse(call: &BindingCall, max_object: u64) -> Result<(Command, Format), HostCallError> {
    let reader = Reader { scope: Scope::of(call), max_object, payload: &call.payload };
    match call.operation.as_str() {
        "put" => reader.read(|request| reader.put(request)),
        "get" => reader.read(|request: GetRequest<'_>| {
            let span = Span { offset: request.offset.unwrap_or(0), length: request.length };
            Ok(Command::Get { place: reader.place("name", &request.name)?, span })
        }),
        "head" => reader.read(|request: NameRequest<'_>| Ok(Command::Head(reader.place("name", &request.name)?))),
        "list" => reader.read(|request| reader.page(request)),
        "delete" => reader.read(|request: NameRequest<'_>| Ok(Command::Delete(reader.place("name", &request.name)?))),
        "copy" => reader.read(|request| reader.copy(&request)),
        _ => Err(call.no_such_operation(&call.link.to, &OPERATIONS)),
    }
}

/// Checks the fields of one request.
struct Reader<'a> {
    scope: Scope,
    max_object: u64,
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

    fn place(&self, field: &str, name: &str) -> Result<Place, HostCallError> {
        Ok(Place { scope: self.scope.clone(), name: Name::parse(field, name)? })
    }

    fn put(&self, request: PutRequest<'_>) -> Result<Command, HostCallError> {
        let place = self.place("name", &request.name)?;
        let data = request.data.into_bytes(self.payload);
        place.check_size(data.len() as u64, self.max_object)?;
        if let Some(content_type) = &request.content_type {
            check_content_type(content_type)?;
        }
        let only_if_absent = request.only_if_absent.unwrap_or(false);
        Ok(Command::Put { place, data, only_if_absent, content_type: request.content_type })
    }

    fn page(&self, request: ListRequest) -> Result<Command, HostCallError> {
        let limit = request.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(bad_request(format!("field `limit`: {limit}, expected 1 to {MAX_PAGE}")));
        }
        let (prefix, after) = (request.prefix.unwrap_or_default(), request.after.unwrap_or_default());
        check_bound("prefix", &prefix)?;
        check_bound("after", &after)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Command::List(Page { scope: self.scope.clone(), prefix, after, limit }))
    }

    fn copy(&self, request: &CopyRequest<'_>) -> Result<Command, HostCallError> {
        if request.from == request.to {
            return Err(bad_request("field `to`: the same as `from`, expected another name"));
        }
        Ok(Command::Copy {
            from: self.place("from", &request.from)?,
            to: self.place("to", &request.to)?,
            only_if_absent: request.only_if_absent.unwrap_or(false),
        })
    }
}

/// Refuses what could not be a header's value, which it is for S3.
fn check_content_type(text: &str) -> Result<(), HostCallError> {
    let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if visible && !text.is_empty() && text.len() <= MAX_CONTENT_TYPE && text.trim() == text {
        return Ok(());
    }
    let found = cut(text);
    Err(bad_request(format!(
        "field `content_type`: `{found}`, expected 1 to {MAX_CONTENT_TYPE} visible ASCII characters, such as `text/plain`"
    )))
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct PutReply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
}

/// What is known of an object, with its bytes where they were asked for.
#[derive(Serialize)]
struct ObjectReply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Blob<'a>>,
    size: u64,
    modified: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
}

impl<'a> ObjectReply<'a> {
    fn new(data: Option<&'a [u8]>, facts: &'a Facts) -> Self {
        Self {
            data: data.map(Blob::from),
            size: facts.size,
            modified: facts.modified,
            etag: facts.etag.as_deref(),
            content_type: facts.content_type.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ListReply<'a> {
    objects: Vec<EntryReply<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct EntryReply<'a> {
    name: &'a str,
    size: u64,
    modified: Millis,
}

#[derive(Serialize)]
struct DeletedReply {
    deleted: bool,
}

/// Writes an outcome in the format of its request.
pub(super) fn reply(format: Format, outcome: &Outcome) -> BindingReply {
    match outcome {
        Outcome::Put { etag } => encode(format, &PutReply { etag: etag.as_deref() }),
        Outcome::Got { data, facts } => encode(format, &ObjectReply::new(Some(data), facts)),
        Outcome::Head(facts) => encode(format, &ObjectReply::new(None, facts)),
        Outcome::Listed(Listed { objects, next }) => {
            let objects = objects.iter().map(|Entry { name, size, modified }| EntryReply {
                name,
                size: *size,
                modified: *modified,
            });
            encode(format, &ListReply { objects: objects.collect(), next: next.as_deref() })
        }
        Outcome::Deleted(deleted) => encode(format, &DeletedReply { deleted: *deleted }),
        Outcome::Copied => encode(format, &Empty {}),
    }
}
