//! Messages that a stream of the server keeps until somebody says that they are done: what is wanted, what is delivered, and
//! what becomes of it.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::message::{Headers, Message, Outgoing, RESERVED_HEADERS};
use crate::{bindings::payload::cut, config::Topic, host::HostCallError};

/// Headers of the server itself begin so, in any case of letters: each asks it for something when a message is published.
const SERVER_HEADERS: &str = "nats-";

/// A message with the value of this header is stored once, however often it is published.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Which messages of which stream, and by which consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    /// Name of the consumer, which the server keeps; whoever uses the same takes part.
    pub name: String,
    /// Name of the stream; `None`: the one that has the first topic.
    pub stream: Option<String>,
    /// Which messages; at least one pattern.
    pub topics: Vec<Topic>,
    /// After this time without a word a message is delivered again.
    pub ack_wait: Duration,
    /// Messages at most that this one of all who take part has at once.
    pub at_once: u32,
}

/// Takes messages by a consumer. Ends with its connection: whoever wants more begins again.
pub trait Consumer: Send + 'static {
    /// Waits for the next message; never has more than `room` that were not taken. Nothing is lost where the future is
    /// dropped.
    ///
    /// # Errors
    /// Why none comes any more.
    fn next(&mut self, room: usize) -> BoxFuture<'_, Result<Delivery, HostCallError>>;

    /// Asks for nothing more, and gives what was sent and not taken.
    fn close(self: Box<Self>) -> BoxFuture<'static, Vec<Delivery>>;
}

/// One message, this time.
pub struct Delivery {
    /// The message. Its `reply_to` is where whoever published it wants an answer, never the server.
    pub message: Message,
    /// The stream that keeps it.
    pub stream: Arc<str>,
    /// Its number in the stream.
    pub sequence: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    pub(super) consumer: Arc<str>,
    /// Where the server hears what became of it.
    pub(super) at: Arc<str>,
    pub(super) ear: Arc<dyn Ear>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It is to be delivered again after this time.
    Again(Duration),
    /// It is being worked on: the server waits on.
    Working,
    /// It is never to be delivered again.
    Never,
}

/// The server that wants to know what becomes of messages.
pub(super) trait Ear: Send + Sync {
    /// Tells it. It does not acknowledge that.
    fn tell(&self, at: &Arc<str>, verdict: Verdict) -> BoxFuture<'static, Result<(), HostCallError>>;
}

impl Delivery {
    /// Tells the server what becomes of the message. The server does not acknowledge that: where it is lost the message is
    /// delivered again.
    ///
    /// # Errors
    /// `unavailable` where there is no connection.
    pub async fn tell(&self, verdict: Verdict) -> Result<(), HostCallError> {
        self.ear.tell(&self.at, verdict).await
    }

    /// The message as it goes to where messages are kept that failed: with headers that say where it comes from and why, and
    /// such that a stream stores it once, also where it is published twice. Without headers that asked the server for
    /// something when it was published first.
    ///
    /// # Errors
    /// `bad_request` where nothing can be published to that topic.
    pub fn dead_letter(&self, topic: &Topic, why: &str) -> Result<Outgoing<'static>, HostCallError> {
        let Self { message, stream, sequence, deliveries, consumer, .. } = self;
        let starts = |name: &str, with: &str| name.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
        let kept =
            message.headers.iter().filter(|(name, _)| !starts(name, SERVER_HEADERS) && !starts(name, RESERVED_HEADERS));
        let mut headers: BTreeMap<String, String> =
            kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        headers.extend([
            ("Wapcd-Topic".to_owned(), message.topic.to_string()),
            ("Wapcd-Stream".to_owned(), stream.to_string()),
            ("Wapcd-Sequence".to_owned(), sequence.to_string()),
            ("Wapcd-Deliveries".to_owned(), deliveries.to_string()),
            ("Wapcd-Error".to_owned(), header_value(why)),
            (MESSAGE_ID.to_owned(), format!("{stream}/{consumer}/{sequence}")),
        ]);
        let outgoing = Outgoing::new(topic.as_str().to_owned(), message.payload.clone())?;
        let outgoing = outgoing.with_headers(Headers::unchecked(headers));
        match &message.reply_to {
            Some(reply_to) => outgoing.with_reply_to(reply_to.to_string()),
            None => Ok(outgoing),
        }
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { message, stream, sequence, deliveries, .. } = self;
        write!(f, "Delivery {deliveries} of {sequence} of {stream}: {message:?}")
    }
}

/// A text as a header takes it: the start of it, on one line.
fn header_value(text: &str) -> String {
    let line: Cow<'_, str> =
        if text.chars().any(char::is_control) { text.replace(char::is_control, " ").into() } else { text.into() };
    cut(line.trim()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    struct Deaf;

    impl Ear for Deaf {
        fn tell(&self, _: &Arc<str>, _: Verdict) -> BoxFuture<'static, Result<(), HostCallError>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[test]
    fn a_dead_letter_says_where_it_comes_from_and_asks_the_server_for_nothing_old() {
        let headers = ["nats-msg-id", "Nats-Expected-Stream", "Wapcd-Error", "trace"];
        let headers = headers.map(|name| (name.to_owned(), "1".to_owned())).into();
        let message = Outgoing::new("orders.new", "body".into()).unwrap().with_headers(Headers::unchecked(headers));
        let message = message.with_reply_to("answers").unwrap().received();
        let delivery = Delivery {
            message,
            stream: "S".into(),
            sequence: 7,
            deliveries: 3,
            consumer: "c".into(),
            at: "x".into(),
            ear: Arc::new(Deaf),
        };
        let letter = delivery.dead_letter(&"dead.orders".parse().unwrap(), "it\nfailed ").unwrap();
        let headers: Vec<_> = letter.headers().iter().collect();
        let expected = [
            ("Nats-Msg-Id", "S/c/7"),
            ("Wapcd-Deliveries", "3"),
            ("Wapcd-Error", "it failed"),
            ("Wapcd-Sequence", "7"),
            ("Wapcd-Stream", "S"),
            ("Wapcd-Topic", "orders.new"),
            ("trace", "1"),
        ];
        assert_eq!(headers, expected);
        assert_eq!((letter.topic(), &letter.payload()[..]), ("dead.orders", &b"body"[..]));
        assert_eq!(letter.reply_to(), Some("answers"));
    }
}
