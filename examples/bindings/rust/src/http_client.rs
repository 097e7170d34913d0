//! `http_client`: requests to HTTP servers.

use wapc_guest::prelude::*;

use crate::host::{ask, map, text, words};

/// `URL`: answers status and body; any status is an answer.
pub fn get(payload: &[u8]) -> CallResult {
    let [url] = words(payload)?;
    let answer = ask("http_client", "request", [("url", url.into())])?;
    text(format!("{} {}", answer.int("status")?, String::from_utf8_lossy(answer.bytes("body")?)))
}

/// `URL TEXT`: sends a text, waits two seconds at most, and answers the status and the body.
pub fn post(payload: &[u8]) -> CallResult {
    let [url, body] = words(payload)?;
    let request = [
        ("method", "POST".into()),
        ("url", url.into()),
        ("headers", map([("Content-Type", "text/plain".into())])),
        ("body", body.as_bytes().into()),
        ("timeout", "2s".into()),
    ];
    let answer = ask("http_client", "request", request)?;
    text(format!("{} {}", answer.int("status")?, String::from_utf8_lossy(answer.bytes("body")?)))
}
