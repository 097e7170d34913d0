//! From an answer of a server to the reply that the guest reads.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderValue},
};
use serde::Serialize;
use url::Url;

use crate::bindings::{
    BindingReply,
    payload::{Blob, Format, encode},
};

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Where it came from.
    pub(super) url: Url,
}

#[derive(Serialize)]
struct Reply<'a> {
    status: u16,
    headers: BTreeMap<&'a str, Vec<Cow<'a, str>>>,
    body: Blob<'a>,
    url: &'a str,
}

/// Writes an answer in the format of its request.
pub(super) fn write(format: Format, answered: &Answered) -> BindingReply {
    let Answered { status, headers, body, url } = answered;
    let names = headers.keys().map(|name| (name.as_str(), headers.get_all(name).iter().map(text).collect()));
    let reply =
        Reply { status: status.as_u16(), headers: names.collect(), body: Blob::from(&**body), url: url.as_str() };
    encode(format, &reply)
}

/// A value as text: UTF-8, or else ISO 8859-1, which every sequence of bytes is.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_other_bytes) => Cow::Owned(value.as_bytes().iter().copied().map(char::from).collect()),
    }
}
