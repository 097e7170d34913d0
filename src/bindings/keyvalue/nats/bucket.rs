//! Reads and writes messages of the bucket: one request, one reply.

use std::sync::Arc;

use async_nats::{
    HeaderMap, Message, Request, StatusCode,
    jetstream::{self, ErrorCode},
};
use bytes::Bytes;
use serde::Deserialize;

use super::{
    connection::Connection,
    errors::{refused, strange, unanswered},
    names::Names,
};
use crate::bindings::{
    circuit::Failure,
    keyvalue::record::{Millis, Record},
};

/// The header with the moment at which an entry expires, in milliseconds since the Unix epoch.
pub(super) const EXPIRES: &str = "Wapcd-Expires";

/// The header of a message that says that an entry was deleted, or something else than put.
pub(super) const OPERATION: &str = "KV-Operation";

/// The header of such a message that the server made by itself.
const MARKER: &str = "Nats-Marker-Reason";

const SEQUENCE: &str = "Nats-Sequence";
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// The last message under a subject.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its number in the stream; 0 where there is none.
    pub(super) revision: u64,
    /// What it says, unless that the entry was deleted.
    pub(super) record: Option<Record>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// JetStream has it, under that revision.
    Done(u64),
    /// The last message was not the one that was expected.
    Outdated,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    seq: u64,
    error: Option<jetstream::Error>,
}

/// Reads the last message under a subject.
pub(super) async fn get(connection: &Arc<Connection>, names: &Names, subject: &str) -> Result<Found, Failure> {
    let message = request(connection, names.reading(subject), Request::new()).await?;
    match message.status {
        None | Some(StatusCode::OK) => {}
        Some(StatusCode::NOT_FOUND) => return Ok(Found::default()),
        Some(status) => {
            let what = message.description.unwrap_or_default();
            return Err(Failure::Server(format!("the server refused a read: {status} {what}").into()));
        }
    }
    let headers = message.headers.unwrap_or_default();
    let number = |name: &str| headers.get(name).and_then(|value| value.as_str().parse::<u64>().ok());
    let revision = number(SEQUENCE).ok_or_else(|| strange("a read"))?;
    let record = is_value(&headers).then(|| Record { value: message.payload, expires: expires(&headers) });
    Ok(Found { revision, record })
}

/// Whether a message with these headers is a value.
pub(super) fn is_value(headers: &HeaderMap) -> bool {
    headers.get(OPERATION).is_none_or(|operation| operation.as_str() == "PUT") && headers.get(MARKER).is_none()
}

/// When a message with these headers expires.
pub(super) fn expires(headers: &HeaderMap) -> Option<Millis> {
    headers.get(EXPIRES)?.as_str().parse().ok()
}

/// Writes a value, if the last message is the expected one where one is expected.
pub(super) async fn put(
    connection: &Arc<Connection>,
    subject: &str,
    value: Bytes,
    expires: Option<Millis>,
    expected: Option<u64>,
) -> Result<Written, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(expires) = expires {
        headers.insert(EXPIRES, expires.to_string());
    }
    write(connection, subject, value, headers, expected).await
}

/// Marks an entry as deleted, as the key-value clients of NATS do.
pub(super) async fn delete(connection: &Arc<Connection>, subject: &str, expected: u64) -> Result<Written, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, "DEL");
    write(connection, subject, Bytes::new(), headers, Some(expected)).await
}

async fn write(
    connection: &Arc<Connection>,
    subject: &str,
    payload: Bytes,
    mut headers: HeaderMap,
    expected: Option<u64>,
) -> Result<Written, Failure> {
    if let Some(expected) = expected {
        headers.insert(EXPECTED, expected.to_string());
    }
    let mut message = Request::new().payload(payload);
    if !headers.is_empty() {
        message = message.headers(headers);
    }
    let reply = request(connection, subject.to_owned(), message).await?;
    let reply: Reply = serde_json::from_slice(&reply.payload).map_err(|_not_json| strange("a write"))?;
    match reply.error {
        None if reply.seq > 0 => Ok(Written::Done(reply.seq)),
        None => Err(strange("a write")),
        Some(error) if error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Ok(Written::Outdated),
        Some(error) => Err(refused(error)),
    }
}

/// Removes the messages under a subject up to that revision for good. Nobody waits for it: what stays is removed when it is met
/// again.
pub(super) async fn forget(connection: &Arc<Connection>, names: &Names, subject: &str, revision: u64) {
    let Ok(asked) = connection.ask() else { return };
    let request = serde_json::json!({"filter": subject, "seq": revision.saturating_add(1)});
    let api = format!("$JS.API.STREAM.PURGE.{}", names.stream());
    let reply = asked.client.new_inbox();
    // The circuit learns of a lost connection from the next call.
    asked.client.publish_with_reply(api, reply, request.to_string().into()).await.ok();
    asked.replied();
}

async fn request(connection: &Arc<Connection>, subject: String, request: Request) -> Result<Message, Failure> {
    let asked = connection.ask().map_err(Failure::Server)?;
    let reply = asked.client.send_request(subject, request).await;
    asked.replied();
    reply.map_err(unanswered)
}
