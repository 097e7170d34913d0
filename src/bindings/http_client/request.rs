//! From a payload to a request that could be sent: everything that a guest can get wrong is found here.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use super::{headers::Headers, redirect::Hop};
use crate::{
    bindings::payload::{Blob, Format, bad_request, cut, decode},
    config::TimeSpan,
    host::HostCallError,
};

/// Bytes of a URL: what servers take at least, and browsers send.
pub(super) const MAX_URL: usize = 8 * 1024;

/// Bytes of a method: the longest registered one has 17.
const MAX_METHOD: usize = 32;

/// A request as the guest meant it.
#[derive(Debug)]
pub(super) struct Request {
    /// What is sent first.
    pub(super) hop: Hop,
    /// How long the whole may take, redirects included; `None`: as long as the call.
    pub(super) timeout: Option<Duration>,
    /// Whether redirects are followed.
    pub(super) redirects: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    headers: Option<Headers>,
    #[serde(borrow)]
    body: Option<Blob<'a>>,
    #[serde(borrow)]
    timeout: Option<Cow<'a, str>>,
    redirects: Option<bool>,
}

/// Reads a payload.
///
/// # Errors
/// `bad_request`, with the field and what is wrong with it.
pub(super) fn parse(payload: &Bytes) -> Result<(Request, Format), HostCallError> {
    let (written, format) = decode::<Written<'_>>(payload)?;
    let hop = Hop {
        method: method(written.method.as_deref().unwrap_or("GET"))?,
        url: url(&written.url)?,
        headers: written.headers.unwrap_or_default().check()?,
        body: written.body.map_or_else(Bytes::new, |body| body.into_bytes(payload)),
    };
    let timeout = timeout(written.timeout.as_deref())?;
    Ok((Request { hop, timeout, redirects: written.redirects.unwrap_or(true) }, format))
}

/// In upper case, as links list them.
fn method(text: &str) -> Result<Method, HostCallError> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    let wrong = |why: &str| bad_request(format!("field `method`: found `{}`, {why}", cut(text)));
    if text.is_empty() || text.len() > MAX_METHOD || !is_name(text) {
        return Err(wrong("expected a method such as `GET`"));
    }
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|error| wrong(&error.to_string()))?;
    if method == Method::CONNECT {
        return Err(wrong("which asks for a tunnel and not for an answer"));
    }
    Ok(method)
}

/// What is written is not repeated in errors: there may be a password in it.
fn url(text: &str) -> Result<Url, HostCallError> {
    let wrong = |why: &str| bad_request(format!("field `url`: {why}"));
    if text.len() > MAX_URL {
        return Err(wrong(&format!("{} bytes, expected at most {MAX_URL}", text.len())));
    }
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!("scheme `{}`, expected `http` or `https`", cut(url.scheme()))));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it has a user or a password, which belong into the header `authorization`"));
    }
    Ok(url)
}

fn timeout(text: Option<&str>) -> Result<Option<Duration>, HostCallError> {
    let Some(text) = text else { return Ok(None) };
    match text.parse().map(TimeSpan::duration) {
        Ok(Duration::ZERO) => Err(bad_request("field `timeout`: zero, expected a positive duration")),
        Ok(timeout) => Ok(Some(timeout)),
        Err(error) => Err(bad_request(format!("field `timeout`: found `{}`: {}", cut(text), cut(&error.to_string())))),
    }
}

#[cfg(test)]
mod tests;
