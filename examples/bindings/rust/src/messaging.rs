//! `messaging`: messages to whoever listens to a topic.

use wapc_guest::prelude::*;

use crate::host::{ask, text, words};

/// `TOPIC TEXT`: publishes a message, whether somebody hears it or not.
pub fn publish(payload: &[u8]) -> CallResult {
    let [topic, message] = words(payload)?;
    ask("messaging", "publish", [("topic", topic.into()), ("payload", message.as_bytes().into())])?;
    text("")
}

/// `TOPIC TEXT`: asks and waits a second for the reply; the error `not_found` where nobody listens.
pub fn request(payload: &[u8]) -> CallResult {
    let [topic, message] = words(payload)?;
    let request = [("topic", topic.into()), ("payload", message.as_bytes().into()), ("timeout", "1s".into())];
    let answer = ask("messaging", "request", request)?;
    Ok(answer.bytes("payload")?.to_vec())
}
