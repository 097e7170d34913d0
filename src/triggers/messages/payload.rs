//! What the guest gets: the body of the message, or a map with everything about it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    bindings::{
        messaging::Message,
        payload::{Blob, Format, encode},
    },
    config::PayloadFormat,
    host::HostCallError,
};

/// The map.
#[derive(Serialize)]
struct Envelope<'m> {
    topic: &'m str,
    headers: BTreeMap<&'m str, &'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'m str>,
    body: Blob<'m>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u64>,
}

/// The payload for a message; `deliveries` where a stream keeps it.
///
/// # Errors
/// None that these types bring about.
pub(super) fn payload(
    envelope: Option<PayloadFormat>,
    message: &Message,
    deliveries: Option<u64>,
) -> Result<Bytes, HostCallError> {
    let format = match envelope {
        None => return Ok(message.payload.clone()),
        Some(PayloadFormat::Json) => Format::Json,
        Some(PayloadFormat::MessagePack) => Format::MessagePack,
    };
    let envelope = Envelope {
        topic: &message.topic,
        headers: message.headers.iter().collect(),
        reply: message.reply_to.as_deref(),
        body: Blob::from(&*message.payload),
        deliveries,
    };
    encode(format, &envelope)
}
