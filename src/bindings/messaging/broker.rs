//! Who carries messages: one interface for every backend, to whoever publishes and to whoever listens.

use std::{
    any::Any,
    future::poll_fn,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::{
    durable::{Consumer, Durable},
    message::{Message, Outgoing},
    queue::Queue,
};
use crate::{
    bindings::{BackendStatus, Check},
    config::Topic,
    host::HostCallError,
};

/// Carries messages from those who publish to those who listen. Shared by all workers and by the rest of the daemon.
///
/// The futures are polled inside a tokio runtime; dropping one gives up what it waits for.
pub trait Broker: Send + Sync + 'static {
    /// Bytes of the largest message, with its headers.
    fn max_message(&self) -> u64;

    /// Publishes a message. Never blocks, and never waits for who listens. What one thread publishes, one message after
    /// the answer to the one before, arrives in that order.
    fn publish(&self, message: Outgoing<'_>) -> Publishing;

    /// Publishes a message with a topic for its answer, and waits for the first, at most until that moment.
    ///
    /// # Errors
    /// `not_found` where nobody listens, `timed_out` where nobody answers, and those of a publish.
    fn request(&self, message: Outgoing<'_>, until: Instant) -> BoxFuture<'static, Result<Message, HostCallError>>;

    /// Listens to all topics that the pattern includes, from the moment of the answer on. Of all that listen as the same
    /// group, each message goes to one.
    ///
    /// # Errors
    /// `unavailable` where the server is down, or the binding has stopped.
    fn subscribe(
        &self,
        pattern: &Topic,
        group: Option<&str>,
    ) -> BoxFuture<'static, Result<Subscription, HostCallError>>;

    /// Publishes the answer to a message, which no stream is asked to store.
    fn answer(&self, message: Outgoing<'_>) -> Publishing {
        self.publish(message)
    }

    /// Publishes a message, and is done when a stream has stored it.
    ///
    /// # Errors
    /// `not_found` where none does, `bad_request` where the backend has no streams.
    fn keep(&self, message: Outgoing<'_>) -> Publishing;

    /// Begins to take messages that a stream keeps, by a consumer that the server keeps; it is made where there is none.
    ///
    /// # Errors
    /// `not_found` where there is no such stream, `conflict` where there is such a consumer and it cannot be used so,
    /// `unavailable` where the server is down, `bad_request` where the backend has no streams.
    fn consume(&self, durable: Durable) -> BoxFuture<'static, Result<Box<dyn Consumer>, HostCallError>>;

    /// Why it carries nothing at the moment, where that is known.
    fn trouble(&self) -> Option<Trouble>;
}

/// Why a broker carries nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Its server is not reached: it may be later.
    Down(String),
    /// It has stopped, for good.
    Stopped,
}

/// What the factory of the binding needs of its backend besides.
pub(super) trait Carrier: Broker {
    /// How it stands with the server; `None` where there is none.
    fn status(&self) -> Option<BackendStatus> {
        None
    }

    /// Asks the server whether it is well.
    fn check(&self) -> Option<Check> {
        None
    }

    /// Ends it: those who listen hear the end, those who wait for an answer get `unavailable`, as who comes later does.
    fn stop(&self);
}

/// The end of a publish.
pub enum Publishing {
    /// It is known.
    Now(Result<Published, HostCallError>),
    /// It comes.
    Later(BoxFuture<'static, Result<Published, HostCallError>>),
}

impl Publishing {
    /// Waits for it.
    ///
    /// # Errors
    /// Those of the publish.
    pub async fn done(self) -> Result<Published, HostCallError> {
        match self {
            Self::Now(outcome) => outcome,
            Self::Later(outcome) => outcome.await,
        }
    }
}

impl std::fmt::Debug for Publishing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(outcome) => f.debug_tuple("Now").field(outcome).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// What is known of a message that was published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The stream that has stored it, where one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its number in that stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// Somebody who listens. Dropping it ends that.
pub struct Subscription {
    queue: Arc<Queue>,
    /// Ends the delivery when it is dropped.
    delivery: Option<Box<dyn Any + Send + Sync>>,
    /// Asks the delivery to bring what is on its way, and to end the queue then; `None` where nothing is on its way.
    closing: Option<Arc<Notify>>,
}

impl Subscription {
    pub(super) fn new(queue: Arc<Queue>, delivery: impl Any + Send + Sync) -> Self {
        Self { queue, delivery: Some(Box::new(delivery)), closing: None }
    }

    /// This subscription with a delivery that ends by itself when it is told so.
    pub(super) fn closing(mut self, closing: Arc<Notify>) -> Self {
        self.closing = Some(closing);
        self
    }

    /// Waits for the next message; `None` when the binding has stopped, and for ever after.
    ///
    /// Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.queue.poll(cx)).await
    }

    /// The next message, if it is there.
    pub fn try_next(&mut self) -> Option<Message> {
        self.queue.try_next()
    }

    /// Counts messages that found no room here, those before included, as they are lost.
    pub fn count_losses(&self, counter: Arc<AtomicU64>) {
        self.queue.count_losses(counter);
    }

    /// Listens no more: what was delivered is still there, and then comes the end.
    pub fn close(&mut self) {
        match &self.closing {
            Some(closing) => closing.notify_one(),
            None => {
                self.delivery = None;
                self.queue.end();
            }
        }
    }

    /// Tells whether it hears messages at the moment: not between one connection and the next.
    #[must_use]
    pub fn hears(&self) -> watch::Receiver<bool> {
        self.queue.hears()
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}
