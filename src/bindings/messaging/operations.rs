//! The operations: from what a guest asks to what the broker is told, and from what comes of it to the answer.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    broker::Published,
    message::{Headers, Message, Outgoing},
};
use crate::{
    bindings::{
        BindingCall, BindingReply,
        payload::{Blob, Format, bad_request, cut, decode, encode},
    },
    config::{Rules, TimeSpan, Topic},
    host::{HostCallError, HostErrorKind},
};

/// The operations.
pub(in crate::bindings) const OPERATIONS: [&str; 2] = ["publish", "request"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishRequest<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    payload: Blob<'a>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    reply_to: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestRequest<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    payload: Blob<'a>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    timeout: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct RequestReply<'a> {
    payload: Blob<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
}

/// Reads a `publish`, and checks it against the rules of its link.
///
/// # Errors
/// `bad_request`, `not_allowed`.
pub(super) fn publish(call: &BindingCall) -> Result<(Outgoing<'_>, Format), HostCallError> {
    let (request, format) = decode::<PublishRequest<'_>>(&call.payload)?;
    let mut message = outgoing(call, request.topic, request.payload, request.headers)?;
    if let Some(reply_to) = request.reply_to {
        message = message.with_reply_to(reply_to)?;
        allow(&call.link.rules, "reply_to", message.reply_to().unwrap_or_default())?;
    }
    Ok((message, format))
}

/// Reads a `request`, checks it against the rules of its link, and says until when its answer is waited for.
///
/// # Errors
/// `bad_request`, `not_allowed`.
pub(super) fn request(call: &BindingCall) -> Result<(Outgoing<'_>, Instant, Format), HostCallError> {
    let (request, format) = decode::<RequestRequest<'_>>(&call.payload)?;
    let message = outgoing(call, request.topic, request.payload, request.headers)?;
    let timeout = request.timeout.as_deref().map(timeout).transpose()?;
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let deadline = call.caller.deadline;
    Ok((message, until.map_or(deadline, |until| until.min(deadline)), format))
}

fn outgoing<'c>(
    call: &'c BindingCall,
    topic: Cow<'c, str>,
    payload: Blob<'c>,
    headers: Option<BTreeMap<String, String>>,
) -> Result<Outgoing<'c>, HostCallError> {
    let message = Outgoing::new(topic, payload.into_bytes(&call.payload))?;
    allow(&call.link.rules, "topic", message.topic())?;
    match headers {
        Some(headers) => Ok(message.with_headers(Headers::new(headers)?)),
        None => Ok(message),
    }
}

fn timeout(text: &str) -> Result<Duration, HostCallError> {
    match text.parse().map(TimeSpan::duration) {
        Ok(Duration::ZERO) => Err(bad_request("field `timeout`: it is more than nothing, such as \"1s\"")),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(bad_request(format!("field `timeout`: {error}"))),
    }
}

/// Whether the rules of a link include a topic. Those of servers themselves, which begin with `$`, are included only where
/// a rule says so: a wildcard at a pattern's start does not mean the administration of the server.
fn allow(rules: &Rules, field: &str, topic: &str) -> Result<(), HostCallError> {
    let Rules::Topics(patterns) = rules else { return Ok(()) };
    let of_server = topic.starts_with('$');
    let includes = |pattern: &Topic| pattern.includes(topic) && (!of_server || pattern.as_str().starts_with('$'));
    if patterns.iter().any(includes) || (patterns.is_empty() && !of_server) {
        return Ok(());
    }
    let topic = cut(topic);
    let why = if patterns.is_empty() {
        "topics that begin with `$` belong to the server, and the link's `topics` names none".to_owned()
    } else {
        let patterns: Vec<&str> = patterns.iter().map(Topic::as_str).collect();
        format!("the link's `topics` are {}", cut(&patterns.join(", ")))
    };
    Err(HostCallError::new(
        HostErrorKind::NotAllowed,
        format!("field `{field}`: topic `{topic}` is not allowed: {why}"),
    ))
}

/// The answer to a `publish`.
///
/// # Errors
/// None that these types bring about.
pub(super) fn published(format: Format, published: &Published) -> BindingReply {
    encode(format, published)
}

/// The answer to a `request`.
///
/// # Errors
/// None that these types bring about.
pub(super) fn answered(format: Format, answer: &Message) -> BindingReply {
    let reply = RequestReply { payload: Blob::from(&*answer.payload), headers: answer.headers.iter().collect() };
    encode(format, &reply)
}

/// A request that nobody hears.
pub(super) fn nobody_listens(topic: &str) -> HostCallError {
    HostCallError::new(HostErrorKind::NotFound, format!("nobody listens to topic `{topic}`"))
}

/// A request that nobody has answered.
pub(super) fn nobody_answers(topic: &str) -> HostCallError {
    HostCallError::new(HostErrorKind::TimedOut, format!("nobody has answered on topic `{topic}` in time"))
}
