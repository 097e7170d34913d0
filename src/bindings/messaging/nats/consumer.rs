//! A consumer of a stream, by one connection: asks for as many messages as there is room for, one request at a time.
//!
//! ```text
//!  next(room) ── MSG.NEXT, at most `room` ──▶ server
//!       ▲                                       │ messages, and a status when the request is over
//!       └──────────── inbox ◀───────────────────┘
//!  Delivery::tell ── on the connection of the moment, whichever it came by ──▶ server
//! ```
//!
//! A request is over when all that it asked for came, or the server says so. Whatever else happens (the connection is lost,
//! the consumer is gone, the server is silent) ends the consumer, and whoever wants more begins again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_nats::{
    StatusCode, Subject, Subscriber,
    jetstream::{self, AckKind, consumer::PullConsumer, consumer::pull::BatchConfig},
};
use futures_util::{StreamExt as _, future::BoxFuture};
use tokio::{sync::watch, time::Instant};

use super::{
    connection::Connection,
    consumer_settings::bind,
    link::{Link, State},
    wire,
};
use crate::{
    bindings::{
        circuit::Failure,
        messaging::durable::{Consumer, Delivery, Durable, Ear, Verdict},
    },
    host::{HostCallError, HostErrorKind},
};

/// How long the server keeps a request for which there are no messages. Each takes a message there and one back.
const EXPIRES: Duration = Duration::from_secs(30);

/// How long after that it may take to say so.
const SILENCE: Duration = Duration::from_secs(5);

/// Messages of one request at most: fewer than the client holds for one subscription, and enough that asking costs little.
const MOST: usize = 256;

/// Takes messages by one connection.
pub(super) struct Puller {
    binding: Arc<str>,
    /// Keeps it, as long as it is used.
    connection: Arc<Connection>,
    states: watch::Receiver<State>,
    consumer: PullConsumer,
    name: Arc<str>,
    stream: Arc<str>,
    inbox: Subject,
    messages: Subscriber,
    /// Messages of the present request that have not come.
    wanted: usize,
    /// When the server is silent for too long.
    until: Instant,
    ear: Arc<dyn Ear>,
}

/// Finds or makes the consumer, and prepares to take messages.
pub(super) async fn begin(link: &Arc<Link>, binding: &Arc<str>, durable: &Durable) -> Result<Puller, Failure> {
    let connection = link.connection()?;
    let consumer = bind(&connection.jetstream, durable).await?;
    let inbox = Subject::from(connection.client.new_inbox());
    let messages = connection.client.subscribe(inbox.clone()).await.map_err(|error| Failure::Server(error.into()))?;
    Ok(Puller {
        binding: Arc::clone(binding),
        states: link.states(),
        stream: consumer.cached_info().stream_name.as_str().into(),
        name: durable.name.as_str().into(),
        consumer,
        inbox,
        messages,
        wanted: 0,
        until: Instant::now(),
        ear: Arc::new(Server(Arc::downgrade(link))),
        connection,
    })
}

impl Consumer for Puller {
    fn next(&mut self, room: usize) -> BoxFuture<'_, Result<Delivery, HostCallError>> {
        Box::pin(async move {
            loop {
                if self.wanted == 0 {
                    self.ask(room).await?;
                }
                tokio::select! {
                    message = self.messages.next() => {
                        let message = message.ok_or_else(|| self.over("the connection was lost"))?;
                        if let Some(delivery) = self.look_at(message)? {
                            return Ok(delivery);
                        }
                    }
                    changed = self.states.changed() => {
                        let same = matches!(&*self.states.borrow_and_update(), State::Up(now) if now.id == self.connection.id);
                        if changed.is_err() || !same {
                            return Err(self.over("the connection was lost"));
                        }
                    }
                    () = tokio::time::sleep_until(self.until) => return Err(self.over("the server is silent")),
                }
            }
        })
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, Vec<Delivery>> {
        Box::pin(async move {
            let mut rest = Vec::new();
            let taken = async {
                if self.messages.drain().await.is_ok() {
                    while let Some(message) = self.messages.next().await {
                        // What is no message says that nothing more comes.
                        rest.extend(self.look_at(message).ok().flatten());
                    }
                }
            };
            if tokio::time::timeout(SILENCE, taken).await.is_err() {
                tracing::debug!(binding = &*self.binding, "the server did not say that a request has ended");
            }
            rest
        })
    }
}

impl Puller {
    async fn ask(&mut self, room: usize) -> Result<(), HostCallError> {
        let batch = room.clamp(1, MOST);
        let wanted = BatchConfig { batch, expires: Some(EXPIRES), ..BatchConfig::default() };
        if let Err(error) = self.consumer.request_batch(wanted, self.inbox.clone()).await {
            let text = format!("binding `{}` cannot ask for messages", self.binding);
            return Err(HostCallError::with_source(HostErrorKind::Unavailable, text, error));
        }
        self.wanted = batch;
        self.until = Instant::now() + EXPIRES + SILENCE;
        Ok(())
    }

    /// A message that came, or `None` where the server merely says something.
    fn look_at(&mut self, message: async_nats::Message) -> Result<Option<Delivery>, HostCallError> {
        match message.status {
            None | Some(StatusCode::OK) => {}
            Some(StatusCode::IDLE_HEARTBEAT) => return Ok(None),
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                self.wanted = 0;
                return Ok(None);
            }
            Some(StatusCode::NO_RESPONDERS) => return Err(self.over("it is gone")),
            Some(status) => {
                let why = message.description.unwrap_or_else(|| status.to_string());
                return Err(self.over(&why));
            }
        }
        self.wanted = self.wanted.saturating_sub(1);
        let context = self.connection.jetstream.clone();
        let mut message = jetstream::Message { message, context };
        let (sequence, deliveries) = match message.info() {
            Ok(info) => (info.stream_sequence, u64::try_from(info.delivered).unwrap_or(1)),
            Err(error) => {
                tracing::warn!(binding = &*self.binding, error = &*error, "a message is not as streams send them");
                return Ok(None);
            }
        };
        let Some(at) = message.message.reply.take() else { return Ok(None) };
        Ok(Some(Delivery {
            message: wire::received(message.message),
            stream: Arc::clone(&self.stream),
            sequence,
            deliveries,
            consumer: Arc::clone(&self.name),
            at: at.as_str().into(),
            ear: Arc::clone(&self.ear),
        }))
    }

    fn over(&self, why: &str) -> HostCallError {
        let (consumer, stream) = (&self.name, &self.stream);
        let text = format!("consumer `{consumer}` of stream `{stream}` brings no messages: {why}");
        HostCallError::new(HostErrorKind::Unavailable, text)
    }
}

/// Whoever hears what became of messages, by the connection of the moment.
struct Server(Weak<Link>);

impl Ear for Server {
    fn tell(&self, at: &Arc<str>, verdict: Verdict) -> BoxFuture<'static, Result<(), HostCallError>> {
        let (link, at) = (self.0.upgrade(), Arc::clone(at));
        Box::pin(async move {
            let Some(link) = link else {
                return Err(HostCallError::new(HostErrorKind::Unavailable, "the binding has stopped"));
            };
            let kind = match verdict {
                Verdict::Done => AckKind::Ack,
                Verdict::Again(after) => AckKind::Nak((!after.is_zero()).then_some(after)),
                Verdict::Working => AckKind::Progress,
                Verdict::Never => AckKind::Term,
            };
            let told = async {
                let connection = link.connection()?;
                connection.client.publish(at.to_string(), kind.into()).await.map_err(wire::not_sent)
            };
            link.run(told).await
        })
    }
}
