//! Where an answer sends a request, as a pure function: what is kept of it, and where it may not go.

use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName},
};
use url::Url;

use super::{
    request::MAX_URL,
    rules::{not_allowed, place},
};
use crate::host::{HostCallError, HostErrorKind};

/// What only the server that a guest named may see.
const FOR_ONE_ORIGIN: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// What describes a body, and goes with it.
const OF_THE_BODY: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION];

/// One request on its way to an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Whether an answer with that status and those headers sends the request elsewhere.
pub(super) fn leads_on(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) && headers.contains_key(header::LOCATION)
}

/// The request that follows; it has still to be checked against the rules of the link.
///
/// # Errors
/// `unavailable` where the location is no URL, `not_allowed` where the way leads from `https` to `http`.
pub(super) fn follow(hop: &mut Hop, status: StatusCode, headers: &HeaderMap) -> Result<(), HostCallError> {
    let url = location(&hop.url, headers)?;
    if hop.url.scheme() == "https" && url.scheme() == "http" {
        let (from, to) = (place(&hop.url), place(&url));
        return Err(not_allowed(format!("host `{from}` redirects from `https` to `http` at host `{to}`")));
    }
    let is_get = match status.as_u16() {
        301 | 302 => hop.method == Method::POST,
        303 => hop.method != Method::HEAD,
        _ => false,
    };
    if is_get {
        hop.method = Method::GET;
        hop.body = Bytes::new();
        remove(&mut hop.headers, &OF_THE_BODY);
    }
    if url.origin() != hop.url.origin() {
        remove(&mut hop.headers, &FOR_ONE_ORIGIN);
    }
    hop.url = url;
    Ok(())
}

fn location(from: &Url, headers: &HeaderMap) -> Result<Url, HostCallError> {
    let wrong = |why: &str| {
        let why = format!("host `{}` redirects to a location that {why}", place(from));
        HostCallError::new(HostErrorKind::Unavailable, why)
    };
    let location = headers.get(header::LOCATION).map_or(&b""[..], |location| location.as_bytes());
    let location = std::str::from_utf8(location).map_err(|error| wrong(&format!("is no text: {error}")))?;
    if location.len() > MAX_URL {
        return Err(wrong(&format!("has {} bytes, which is over the limit of {MAX_URL}", location.len())));
    }
    let url = from.join(location).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(not_allowed(format!("host `{}` redirects to a URL with a user or a password", place(from))));
    }
    Ok(url)
}

fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
