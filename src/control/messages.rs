//! `/v1/bindings/NAME/messages`: operators listen to topics, publish to them, and ask on them.
//!
//! Who listens has the queue of any other subscriber, and loses as they do what it is too slow for. Links restrict modules:
//! whoever may operate the daemon may use every topic.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, web, web::Data};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    body::{self, Allowed},
    feed::LINES,
    problem::Problem,
    query::{self, wrong},
    routes::{Api, bounded, decode, json, nothing_at},
    slots::busy,
};
use crate::{
    bindings::{
        messaging::{Broker, Headers, Message, Outgoing, Subscription},
        payload::Blob,
    },
    config::{TimeSpan, Topic},
};

/// Messages that are published or asked at one time. Each may hold a payload, and one that asks a connection for as long as
/// its answer takes.
pub(super) const AT_ONCE: usize = 64;

/// Bytes of messages, about, that are put into one piece of a stream.
const PIECE: usize = 256 * 1024;

/// How long an answer is waited for where the client does not say.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer may be waited for.
const LONGEST: Duration = Duration::from_secs(600);

/// A message in JSON: a line of the stream, and the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLine {
    /// Where it was published.
    pub topic: String,
    /// What it says, in base64.
    #[serde(deserialize_with = "owned")]
    pub payload: Blob<'static>,
    /// Its headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Where an answer goes, if one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

fn owned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Blob<'static>, D::Error> {
    Blob::deserialize(deserializer).map(Blob::into_owned)
}

impl From<&Message> for MessageLine {
    fn from(message: &Message) -> Self {
        Self {
            topic: message.topic.to_string(),
            payload: message.payload.to_vec().into(),
            headers: message.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            reply_to: message.reply_to.as_deref().map(str::to_owned),
        }
    }
}

/// Answers with a stream of messages.
pub(super) async fn listen(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let binding = binding(&request)?;
    let wanted = Wanted::parse(request.query_string())?;
    let permit = api.followers.clone().try_acquire_owned();
    let permit =
        permit.map_err(|_full| busy(format!("{} clients follow or listen already", api.settings.followers)))?;
    let broker = broker(&api, binding).await?;
    let begun = broker.subscribe(&wanted.topic, wanted.group.as_deref());
    let subscription = bounded("the subscription", api.settings.waits.answer, begun).await??;
    let listener = Listener { subscription, left: wanted.limit, stopping: api.stopping.clone(), _permit: permit };
    Ok(HttpResponse::Ok().content_type(LINES).streaming(stream::unfold(listener, Listener::next)))
}

/// Publishes a message, and waits for its answer where one is wanted.
pub(super) async fn publish(
    api: Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let binding = binding(&request)?;
    let sent = Sent::parse(request.query_string())?;
    let _permit = api
        .messages
        .try_acquire()
        .map_err(|_full| busy(format!("{AT_ONCE} messages of the control API are waiting already")))?;
    let broker = broker(&api, binding).await?;
    let waits = api.settings.waits;
    let bytes = broker.max_message();
    let limit = format!("{bytes} bytes, the `max_message` of the binding");
    let allowed = Allowed { bytes, limit, silence: waits.silence, whole: waits.body };
    let payload = body::read(&request, payload, &allowed).await?;
    let mut message = Outgoing::new(sent.topic, payload)?.with_headers(Headers::new(sent.headers)?);
    if let Some(reply_to) = sent.reply_to {
        message = message.with_reply_to(reply_to)?;
    }
    if !sent.request {
        return json(&bounded("the publish", waits.answer, broker.publish(message).done()).await??);
    }
    let answer = broker.request(message, Instant::now() + sent.timeout);
    let answer = bounded("the request", sent.timeout.saturating_add(waits.slack), answer).await??;
    json(&MessageLine::from(&answer))
}

/// The binding that the path names.
fn binding(request: &HttpRequest) -> Result<String, Problem> {
    let name = request.uri().path().strip_prefix("/v1/bindings/").and_then(|path| path.strip_suffix("/messages"));
    decode("binding's name", name.ok_or_else(|| nothing_at(request))?)
}

async fn broker(api: &Api, binding: String) -> Result<Arc<dyn Broker>, Problem> {
    Ok(bounded("the binding", api.settings.waits.answer, api.daemon.broker(binding)).await??)
}

/// What a client wants to hear.
#[derive(Debug)]
struct Wanted {
    topic: Topic,
    group: Option<String>,
    limit: usize,
}

impl Wanted {
    fn parse(query: &str) -> Result<Self, Problem> {
        let (mut topic, mut group, mut limit) = (None, None, usize::MAX);
        for (name, value) in query::pairs(query)? {
            match name.as_str() {
                "topic" => {
                    topic = Some(value.parse::<Topic>().map_err(|why| wrong(&name, &value, &why))?);
                }
                "group" if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                    return Err(wrong(&name, &value, "it is a name without white space"));
                }
                "group" => group = Some(value),
                "limit" => limit = usize::try_from(query::number(&name, &value)?).unwrap_or(usize::MAX),
                _ => return Err(query::unknown(&name, "there are `topic`, `group` and `limit`")),
            }
        }
        let topic = topic.ok_or_else(|| wrong("topic", "", "it is a topic, or a pattern such as `orders.>`"))?;
        Ok(Self { topic, group, limit })
    }
}

/// What a client sends.
#[derive(Debug)]
struct Sent {
    topic: String,
    headers: BTreeMap<String, String>,
    reply_to: Option<String>,
    request: bool,
    timeout: Duration,
}

impl Sent {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut sent =
            Self { topic: String::new(), headers: BTreeMap::new(), reply_to: None, request: false, timeout: PATIENCE };
        for (name, value) in query::pairs(query)? {
            match name.as_str() {
                "topic" => sent.topic = value,
                "reply_to" => sent.reply_to = Some(value),
                "request" => sent.request = query::flag(&name, &value)?,
                "timeout" => sent.timeout = timeout(&name, &value)?,
                "header" => {
                    let header = value.split_once(':').ok_or_else(|| wrong(&name, &value, "it is NAME:VALUE"))?;
                    sent.headers.insert(header.0.trim().to_owned(), header.1.trim().to_owned());
                }
                _ => {
                    let known = "there are `topic`, `reply_to`, `header`, `request` and `timeout`";
                    return Err(query::unknown(&name, known));
                }
            }
        }
        if sent.request && sent.reply_to.is_some() {
            return Err(wrong(
                "reply_to",
                sent.reply_to.as_deref().unwrap_or_default(),
                "a request waits for its answer",
            ));
        }
        Ok(sent)
    }
}

fn timeout(name: &str, value: &str) -> Result<Duration, Problem> {
    let span = value.parse().map(TimeSpan::duration).map_err(|error| wrong(name, value, &format!("{error}")))?;
    let fits = span > Duration::ZERO && span <= LONGEST;
    if fits { Ok(span) } else { Err(wrong(name, value, "it is more than nothing and at most 10m")) }
}

/// A client that listens.
struct Listener {
    subscription: Subscription,
    /// Messages that are still wanted.
    left: usize,
    stopping: watch::Receiver<bool>,
    /// One of the places for followers.
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// The next piece of the stream; `None` ends it.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.left == 0 || *self.stopping.borrow_and_update() {
            return None;
        }
        let mut next = tokio::select! {
            message = self.subscription.next() => message,
            // A server that is gone stops as well.
            _ = self.stopping.changed() => None,
        };
        let mut text = Vec::new();
        while let Some(message) = next.take() {
            write(&mut text, &message);
            self.left -= 1;
            if self.left > 0 && text.len() < PIECE {
                next = self.subscription.try_next();
            }
        }
        (!text.is_empty()).then(|| (Ok(text.into()), self))
    }
}

/// Adds a message as a line, after a line that tells of those that were lost before it.
fn write(text: &mut Vec<u8>, message: &Message) {
    if message.missed > 0 {
        text.extend_from_slice(json!({ "lost": message.missed }).to_string().as_bytes());
        text.push(b'\n');
    }
    // Texts always have a JSON form.
    text.extend_from_slice(&serde_json::to_vec(&MessageLine::from(message)).unwrap_or_default());
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn parameters_of_both_are_read_and_wrong_ones_named() {
        let wanted = Wanted::parse("topic=a.%3E&group=g&limit=3").unwrap();
        assert_eq!((wanted.topic.as_str(), wanted.group.as_deref(), wanted.limit), ("a.>", Some("g"), 3));
        for (query, named) in [
            ("", "`topic` cannot be ``"),
            ("topic=a..b", "`topic` cannot be `a..b`"),
            ("topic=a&group=", "`group` cannot be ``"),
            ("topic=a&limit=x", "`limit` cannot be `x`"),
            ("topics=a", "no parameter `topics`"),
        ] {
            let problem = Wanted::parse(query).unwrap_err();
            assert!(problem.status == 400 && problem.detail.contains(named), "{query}: {problem}");
        }
        let sent = Sent::parse("topic=a&header=x:%20y%20z&header=n:&request=true&timeout=2s").unwrap();
        assert_eq!((sent.topic.as_str(), sent.request, sent.timeout), ("a", true, Duration::from_secs(2)));
        assert_eq!(sent.headers, [("x".to_owned(), "y z".to_owned()), ("n".to_owned(), String::new())].into());
        for (query, named) in [
            ("topic=a&request=1", "`request` cannot be `1`"),
            ("topic=a&timeout=0s", "`timeout` cannot be `0s`"),
            ("topic=a&timeout=11m", "`timeout` cannot be `11m`"),
            ("topic=a&header=x", "`header` cannot be `x`: it is NAME:VALUE"),
            ("topic=a&request=true&reply_to=b", "`reply_to` cannot be `b`"),
            ("topic=a&qos=1", "no parameter `qos`"),
        ] {
            let problem = Sent::parse(query).unwrap_err();
            assert!(problem.status == 400 && problem.detail.contains(named), "{query}: {problem}");
        }
    }
}
