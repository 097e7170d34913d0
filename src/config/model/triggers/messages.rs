//! A `messages` trigger: calls for messages of a messaging binding.

use std::{sync::Arc, time::Duration};

use super::{PayloadFormat, Target};
use crate::config::Topic;

/// `[triggers.NAME]` of type `messages`.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagesSettings {
    /// Name of the messaging binding.
    pub binding: Arc<str>,
    /// Which messages; at least one pattern.
    pub topics: Vec<Topic>,
    /// Of all that listen as this group, each message goes to one.
    pub group: Option<String>,
    /// The consumer of a JetStream stream that keeps what is not done; `None`: messages are gone once delivered.
    pub durable: Option<DurableConsumer>,
    /// Whom.
    pub target: Target,
    /// A map of topic, headers and body in place of the body.
    pub envelope: Option<PayloadFormat>,
    /// Calls at once.
    pub concurrency: u32,
}

/// A consumer that the server keeps, with what it has delivered and what was done.
#[derive(Debug, Clone, PartialEq)]
pub struct DurableConsumer {
    /// Its name on the server.
    pub name: String,
    /// Name of the stream; `None`: the one that has the topics.
    pub stream: Option<String>,
    /// Deliveries of one message at most.
    pub max_deliveries: u32,
    /// How long after a failure a message is delivered again.
    pub retry_delay: Duration,
    /// After this time without a word of whoever has it a message is delivered again.
    pub ack_wait: Duration,
    /// Where a message goes that failed as often as it may; `None`: it is dropped, with an event. No pattern.
    pub dead_letter: Option<Topic>,
}
