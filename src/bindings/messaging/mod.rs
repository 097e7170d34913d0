//! The `messaging` binding: messages from whoever publishes to whoever listens, by topics.
//!
//! | operation | request | answer |
//! |---|---|---|
//! | `publish` | `topic: str, payload: bytes, headers?: {str: str}, reply_to?: str` | `{}`; with `jetstream = true` `{stream: str, sequence: int}` |
//! | `request` | `topic: str, payload: bytes, headers?: {str: str}, timeout?: str` | `{payload: bytes, headers?: {str: str}}` |
//!
//! A topic has parts between dots, at most 255 bytes, no white space and no wildcards. A link's `topics` say what may be
//! published to, asked on and given as `reply_to`; topics that begin with `$` only where a rule begins so as well.
//!
//! Errors: `bad_request`, `not_allowed`, `too_large` (a message over `max_message`), `not_found` (a request that nobody
//! hears; with `jetstream = true` a publish that no stream stores), `conflict` (a header asked the stream for a condition
//! that does not hold), `timed_out`, `unavailable`, `no_such_operation`.
//!
//! ```text
//!  guests ──▶ actor, operations ──▶ dyn Broker ◀── control API, and whatever else listens
//!                                    │      │
//!                                 local    nats ── Circuit ──▶ server
//!                                    └──┬───┘└──▶ Consumer::next          what a stream keeps, until it is acknowledged
//!                                     Queue ──▶ Subscription::next        one for each subscriber, bounded
//! ```
//!
//! `publish` never waits for a subscriber: one that is too slow loses messages, alone, and is told how many.

mod actor;
mod broker;
mod durable;
mod inboxes;
mod local;
mod message;
mod nats;
mod operations;
mod queue;

use std::sync::Arc;

pub(super) use self::operations::OPERATIONS;
use self::{actor::MessagingFactory, broker::Carrier, local::LocalBroker, nats::NatsBroker, queue::Room};
pub use self::{
    broker::{Broker, Published, Publishing, Subscription, Trouble},
    durable::{Consumer, Delivery, Durable, Verdict},
    message::{Headers, MAX_TOPIC, Message, Outgoing},
};
use super::{BindingContext, BindingError, BindingFactory};
use crate::config::{MessagingBackend, MessagingSettings};

/// Opens the backend that the settings name.
///
/// # Errors
/// A secret or a file of TLS cannot be read, or there is no thread for connections.
pub(super) fn start(
    binding: Arc<str>,
    settings: &MessagingSettings,
    context: &BindingContext,
) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let carrier: Arc<dyn Carrier> = match &settings.backend {
        MessagingBackend::Local => Arc::new(LocalBroker::new(Arc::clone(&binding), settings)),
        MessagingBackend::Nats { server, jetstream } => {
            Arc::new(NatsBroker::start(&binding, settings, (server, *jetstream), context)?)
        }
    };
    Ok(Arc::new(MessagingFactory::new(binding, carrier)))
}

impl From<&MessagingSettings> for Room {
    fn from(settings: &MessagingSettings) -> Self {
        Self { messages: settings.queue as usize, bytes: usize::try_from(settings.queue_bytes).unwrap_or(usize::MAX) }
    }
}
