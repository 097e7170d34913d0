//! Messages and errors as NATS has them, and as the daemon has them.

use std::{collections::BTreeMap, error::Error as _, str::FromStr as _};

use async_nats::{
    HeaderMap, HeaderName, HeaderValue,
    client::PublishErrorKind,
    jetstream::{self, context::PublishErrorKind as StoreErrorKind},
};

use crate::{
    bindings::{
        circuit::Failure,
        messaging::{
            message::{Headers, Message, Outgoing},
            operations::nobody_listens,
        },
        payload::bad_request,
    },
    host::{HostCallError, HostErrorKind},
};

/// Where answers to a message go that a stream stores: NATS has no room for it, since the acknowledgement goes to the
/// message's own reply topic. Empty where no answer is wanted, so that nobody answers in place of the stream.
const REPLY_TO: &str = "Wapcd-Reply-To";

/// The headers of a message, `None` where it has none.
///
/// # Errors
/// `bad_request` for a header that NATS does not carry.
pub(super) fn headers(message: &Outgoing<'_>) -> Result<Option<HeaderMap>, HostCallError> {
    if message.headers().is_empty() {
        return Ok(None);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in message.headers().iter() {
        let wrong = |error: &dyn std::fmt::Display| bad_request(format!("field `headers`: `{name}`: {error}"));
        headers.insert(
            HeaderName::from_str(name).map_err(|error| wrong(&error))?,
            HeaderValue::from_str(value).map_err(|error| wrong(&error))?,
        );
    }
    Ok(Some(headers))
}

/// The headers of a message that a stream is to store.
///
/// # Errors
/// As [`headers`].
pub(super) fn stored_headers(message: &Outgoing<'_>) -> Result<HeaderMap, HostCallError> {
    let mut headers = headers(message)?.unwrap_or_default();
    headers.insert(REPLY_TO, message.reply_to().unwrap_or_default());
    Ok(headers)
}

/// A message as it was received.
pub(super) fn received(message: async_nats::Message) -> Message {
    let async_nats::Message { subject, reply, payload, headers, .. } = message;
    let mut reply_to = reply.map(|reply| reply.as_str().into());
    let mut kept = BTreeMap::new();
    for (name, values) in headers.iter().flat_map(HeaderMap::iter) {
        let values: Vec<&str> = values.iter().map(HeaderValue::as_str).collect();
        let name: &str = name.as_ref();
        if name.eq_ignore_ascii_case(REPLY_TO) {
            reply_to = values.last().filter(|topic| !topic.is_empty()).map(|topic| (*topic).into());
        } else {
            kept.insert(name.to_owned(), values.join(", "));
        }
    }
    let headers = Headers::unchecked(kept);
    Message { topic: subject.as_str().into(), payload, headers, reply_to, missed: 0 }
}

/// Why a message could not be handed to the server.
pub(super) fn not_sent(error: async_nats::PublishError) -> Failure {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Failure::Request(too_large(error)),
        PublishErrorKind::InvalidSubject => Failure::Request(bad_request(format!("field `topic`: {error}"))),
        PublishErrorKind::Send => Failure::Server(error.into()),
    }
}

/// Why a message is not known to be stored.
pub(super) fn not_stored(topic: &str, error: jetstream::context::PublishError) -> Failure {
    let request = |kind, text: String, error| Failure::Request(HostCallError::with_source(kind, text, error));
    match error.kind() {
        StoreErrorKind::StreamNotFound => {
            let text = format!("no stream of the server stores topic `{topic}`");
            Failure::Request(HostCallError::new(HostErrorKind::NotFound, text))
        }
        StoreErrorKind::WrongLastMessageId | StoreErrorKind::WrongLastSequence => {
            let text = format!("the stream of topic `{topic}` is not as the message's headers expect");
            request(HostErrorKind::Conflict, text, error)
        }
        StoreErrorKind::MaxPayloadExceeded => Failure::Request(too_large(error)),
        StoreErrorKind::MaxAckPending => {
            let text = "too many messages wait for their acknowledgement".to_owned();
            request(HostErrorKind::Unavailable, text, error)
        }
        StoreErrorKind::Other if refused(&error) => {
            let text = format!("the stream of topic `{topic}` refused the message");
            request(HostErrorKind::Unavailable, text, error)
        }
        StoreErrorKind::TimedOut | StoreErrorKind::BrokenPipe | StoreErrorKind::Other => Failure::Server(error.into()),
    }
}

/// Whether a stream, or whoever else answered in its place, said no: the connection is well.
fn refused(error: &jetstream::context::PublishError) -> bool {
    error.source().is_some_and(|source| source.is::<jetstream::Error>() || source.is::<serde_json::Error>())
}

/// The server takes less than the binding's `max_message`.
fn too_large(error: impl std::error::Error + Send + Sync + 'static) -> HostCallError {
    HostCallError::with_source(HostErrorKind::TooLarge, "the server takes no message of that size", error)
}

/// What comes of an answer: the server itself answers where nobody listens.
///
/// # Errors
/// `not_found`.
pub(super) fn answer(topic: &str, message: async_nats::Message) -> Result<Message, HostCallError> {
    match message.status {
        Some(async_nats::StatusCode::NO_RESPONDERS) => Err(nobody_listens(topic)),
        _ => Ok(received(message)),
    }
}
