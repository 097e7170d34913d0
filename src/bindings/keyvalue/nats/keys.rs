//! `keys`: a page of names in their order, out of a stream that has them in the order of their writes.
//!
//! JetStream is asked for the last message under every subject of the space, without values, by way of a consumer that lives as long as
//! the page takes. So a page costs as much as the space has entries (some 50 ms for 10,000), and no more memory than
//! the page.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use futures_util::StreamExt;

use super::{
    bucket::{expires, forget, is_value},
    connection::Connection,
    names::{Names, unescape},
};
use crate::{
    bindings::{
        circuit::Failure,
        keyvalue::{
            command::KeysPage,
            listing::Listing,
            operations::Outcome,
            record::{Millis, expired},
        },
    },
    host::BoxError,
};

/// Names that are asked for at once.
const STEP: usize = 1000;

/// After which time the server forgets a consumer that nobody asks any more: that of a call that ended before its page was there.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// Lists a page.
pub(super) async fn keys(
    names: &Names,
    connection: &Arc<Connection>,
    page: &KeysPage,
    now: Millis,
) -> Result<Outcome, Failure> {
    let asked = connection.ask().map_err(Failure::Server)?;
    let space = names.space(&page.prefix);
    let jetstream = jetstream::new((*asked.client).clone());
    let listed = list(names, connection, &jetstream, &space, Listing::new(page), now).await;
    asked.replied();
    listed.map_err(Failure::Server)
}

async fn list(
    names: &Names,
    connection: &Arc<Connection>,
    jetstream: &jetstream::Context,
    space: &str,
    mut listing: Listing<'_>,
    now: Millis,
) -> Result<Outcome, BoxError> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::LastPerSubject,
        ack_policy: AckPolicy::None,
        filter_subject: format!("{space}*"),
        headers_only: true,
        inactive_threshold: FORGOTTEN,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = jetstream.create_consumer_on_stream(config, names.stream()).await?;
    let mut pending = usize::try_from(consumer.cached_info().num_pending)?;
    while pending > 0 {
        let mut messages = consumer.fetch().max_messages(pending.min(STEP)).messages().await?;
        let before = pending;
        while let Some(message) = messages.next().await {
            let message = message?;
            pending = pending.saturating_sub(1);
            let headers = message.headers.as_ref();
            if headers.is_some_and(|headers| !is_value(headers)) {
                continue;
            }
            if expired(headers.and_then(expires), now) {
                forget(connection, names, &message.subject, message.info()?.stream_sequence).await;
                continue;
            }
            if let Some(name) = message.subject.strip_prefix(space).and_then(unescape) {
                listing.offer(&name);
            }
        }
        if pending == before {
            // What is missing went away meanwhile.
            break;
        }
    }
    let done = format!("$JS.API.CONSUMER.DELETE.{}.{}", names.stream(), consumer.cached_info().name);
    let client = jetstream.client();
    // Else the server forgets it by itself.
    client.publish_with_reply(done, client.new_inbox(), bytes::Bytes::new()).await.ok();
    Ok(listing.outcome())
}
