//! A NATS server, plain (core) or with streams that store what is published (JetStream).
//!
//! ```text
//!  publish, request ──▶ Circuit ──▶ Link ──▶ Connection ──▶ server         one connection, shared by all workers
//!                          │ tries    ▲ lost      │
//!                          └──────────┴───────────┘
//!  Subscription ◀── Queue ◀── Listening (a task each, on every connection anew)
//!  Delivery ◀── Puller: asks a consumer of a stream for as many messages as there is room for; ends with its connection
//! ```
//!
//! * A plain publish is answered when the message is written to a connection that is up. Nobody acknowledges it: it arrives
//!   at most once, and is lost with the connection, or with a server that ends before it reads it.
//! * With JetStream it is answered when the stream has stored it.
//! * An error does not say that the message did not arrive: the connection may be lost after the message went out.
//! * Nothing is kept for a connection that is to come.

mod connection;
mod consumer;
mod consumer_settings;
mod link;
mod subscription;
mod wire;

use std::{sync::Arc, time::Instant};

use async_nats::{ConnectOptions, ServerAddr};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use self::{
    connection::Way,
    link::Link,
    subscription::{Listening, subscribe},
};
use super::{
    broker::{Broker, Carrier, Published, Publishing, Subscription, Trouble},
    durable::{Consumer, Durable},
    inboxes,
    message::{Message, Outgoing},
    operations::nobody_answers,
    queue::{Queue, Room},
};
use crate::{
    bindings::{BackendStatus, BindingContext, BindingError, Check, circuit::Failure, secret_file, tls},
    config::{MessagingSettings, Server, TlsFiles, Topic},
    host::{HostCallError, HostErrorKind},
};

/// The broker that has a NATS server do the work.
pub(super) struct NatsBroker {
    binding: Arc<str>,
    link: Arc<Link>,
    max_message: u64,
    room: Room,
    jetstream: bool,
}

impl NatsBroker {
    /// Begins to connect.
    ///
    /// # Errors
    /// A secret or a file of TLS cannot be read, or there is no thread for connections.
    pub(super) fn start(
        binding: &Arc<str>,
        settings: &MessagingSettings,
        (server, jetstream): (&Server, bool),
        context: &BindingContext,
    ) -> Result<Self, BindingError> {
        let io = context.io.handle_for(binding)?;
        let servers = server.urls.iter().map(|url| url.parse::<ServerAddr>()).collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(|error| BindingError::Backend {
            binding: Arc::clone(binding),
            what: "use the URL of its server".to_owned(),
            source: error.into(),
        })?;
        let options = options(binding, server, context)?;
        let link = Link::start(Way::new(Arc::clone(binding), servers, options), server, io, context);
        let (max_message, room) = (settings.max_message, Room::from(settings));
        Ok(Self { binding: Arc::clone(binding), link, max_message, room, jetstream })
    }
}

/// Who the daemon is to the server, and how the connection is secured.
fn options(binding: &Arc<str>, server: &Server, context: &BindingContext) -> Result<ConnectOptions, BindingError> {
    let mut options = ConnectOptions::new()
        .name(format!("wapcd/{binding}"))
        .connection_timeout(server.connect_timeout)
        // A server that is silent for some of these is given up.
        .ping_interval(server.connect_timeout)
        .ignore_discovered_servers();
    if let Some(source) = &server.password {
        let secret = secret_file::text(binding, source, context.credentials.as_deref())?;
        options = match &server.user {
            Some(user) => options.user_and_password(user.clone(), secret),
            // A secret alone is what NATS calls a token.
            None => options.token(secret),
        };
    }
    let is_secured = server.urls.iter().any(|url| url.starts_with("tls:"));
    if is_secured || server.tls != TlsFiles::default() {
        options = options.tls_client_config(tls::client(binding, &server.tls)?);
        // Where files are given, nothing is sent in the clear.
        options = options.require_tls(true);
    }
    Ok(options)
}

impl Broker for NatsBroker {
    fn max_message(&self) -> u64 {
        self.max_message
    }

    fn publish(&self, message: Outgoing<'_>) -> Publishing {
        if let Err(error) = message.check_size(self.max_message) {
            return Publishing::Now(Err(error));
        }
        // An answer is for the one who waits for it, and no stream's.
        let is_answer = message.topic().starts_with(inboxes::PREFIX);
        if self.jetstream && !is_answer { self.store(&message) } else { self.hand_over(&message) }
    }

    fn request(&self, message: Outgoing<'_>, until: Instant) -> BoxFuture<'static, Result<Message, HostCallError>> {
        let sized = message.check_size(self.max_message);
        let (topic, headers, payload) =
            (message.topic().to_owned(), wire::headers(&message), message.payload().clone());
        let (link, binding) = (Arc::clone(&self.link), Arc::clone(&self.binding));
        Box::pin(async move {
            sized?;
            let headers = headers?;
            let asking = async {
                let asked = link.run(async {
                    let connection = link.connection()?;
                    let inbox = connection.inboxes.open();
                    let (client, reply) = (connection.client.clone(), inbox.topic());
                    let sent = match headers {
                        None => client.publish_with_reply(topic.clone(), reply, payload).await,
                        Some(headers) => {
                            client.publish_with_reply_and_headers(topic.clone(), reply, headers, payload).await
                        }
                    };
                    sent.map_err(wire::not_sent)?;
                    Ok((inbox, connection))
                });
                // Who answers may be slow: that says nothing of the server, so it is waited for outside of the circuit.
                let (mut inbox, _in_use) = asked.await?;
                match (&mut inbox.answer).await {
                    Ok(answer) => wire::answer(&topic, answer),
                    Err(_lost) => {
                        let text = format!("the connection of binding `{binding}` was lost before the answer came");
                        Err(HostCallError::new(HostErrorKind::Unavailable, text))
                    }
                }
            };
            tokio::time::timeout_at(until.into(), asking).await.unwrap_or_else(|_elapsed| Err(nobody_answers(&topic)))
        })
    }

    fn subscribe(
        &self,
        pattern: &Topic,
        group: Option<&str>,
    ) -> BoxFuture<'static, Result<Subscription, HostCallError>> {
        let queue = Arc::new(Queue::new(Arc::clone(&self.binding), pattern.to_string(), self.room));
        let closing = Arc::new(Notify::new());
        let listening = Listening {
            closing,
            link: Arc::downgrade(&self.link),
            states: self.link.states(),
            pattern: pattern.clone(),
            group: group.map(str::to_owned),
            queue,
        };
        let link = Arc::clone(&self.link);
        Box::pin(async move { link.run(subscribe(&link.io, listening)).await })
    }

    fn answer(&self, message: Outgoing<'_>) -> Publishing {
        match message.check_size(self.max_message) {
            Ok(()) => self.hand_over(&message),
            Err(error) => Publishing::Now(Err(error)),
        }
    }

    fn keep(&self, message: Outgoing<'_>) -> Publishing {
        self.store(&message)
    }

    fn consume(&self, durable: Durable) -> BoxFuture<'static, Result<Box<dyn Consumer>, HostCallError>> {
        let (link, binding) = (Arc::clone(&self.link), Arc::clone(&self.binding));
        Box::pin(async move {
            let begun = consumer::begin(&link, &binding, &durable);
            link.run(begun).await.map(|puller| Box::new(puller) as Box<dyn Consumer>)
        })
    }

    fn trouble(&self) -> Option<Trouble> {
        self.link.trouble()
    }
}

impl NatsBroker {
    /// Writes a message to the connection.
    fn hand_over(&self, message: &Outgoing<'_>) -> Publishing {
        let headers = match wire::headers(message) {
            Ok(headers) => headers,
            Err(error) => return Publishing::Now(Err(error)),
        };
        let (topic, payload) = (message.topic().to_owned(), message.payload().clone());
        let reply_to = message.reply_to().map(str::to_owned);
        let link = Arc::clone(&self.link);
        Publishing::Later(Box::pin(async move {
            let work = async {
                let connection = link.connection()?;
                let client = &connection.client;
                let sent = match (reply_to, headers) {
                    (None, None) => client.publish(topic, payload).await,
                    (None, Some(headers)) => client.publish_with_headers(topic, headers, payload).await,
                    (Some(reply), None) => client.publish_with_reply(topic, reply, payload).await,
                    (Some(reply), Some(headers)) => {
                        client.publish_with_reply_and_headers(topic, reply, headers, payload).await
                    }
                };
                sent.map_err(wire::not_sent)?;
                client.flush().await.map_err(|error| Failure::Server(error.into()))?;
                Ok(Published::default())
            };
            link.run(work).await
        }))
    }

    /// Has a stream store a message.
    fn store(&self, message: &Outgoing<'_>) -> Publishing {
        let headers = match wire::stored_headers(message) {
            Ok(headers) => headers,
            Err(error) => return Publishing::Now(Err(error)),
        };
        let (topic, payload) = (message.topic().to_owned(), message.payload().clone());
        let link = Arc::clone(&self.link);
        Publishing::Later(Box::pin(async move {
            let work = async {
                let connection = link.connection()?;
                let sent = connection.jetstream.publish_with_headers(topic.clone(), headers, payload);
                let stored = async { sent.await?.await };
                let stored = stored.await.map_err(|error| wire::not_stored(&topic, error))?;
                Ok(Published { stream: Some(stored.stream), sequence: Some(stored.sequence) })
            };
            link.run(work).await
        }))
    }
}

impl Carrier for NatsBroker {
    fn status(&self) -> Option<BackendStatus> {
        self.link.status()
    }

    fn check(&self) -> Option<Check> {
        Some(self.link.check())
    }

    fn stop(&self) {
        self.link.stop();
    }
}
