//! One connection to a NATS server, from its handshake to its loss.
//!
//! A connection that is lost is not repaired: the client's own reconnecting keeps what was published meanwhile and sends it
//! later, long after its publisher was told that it failed. Here everything that waits for a lost connection fails at once,
//! and the next try of the circuit makes a new one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event, Message, ReconnectToServer, ServerAddr, Subscriber,
    connection::State,
    jetstream::{self, context::ContextBuilder},
};
use futures_util::StreamExt as _;
use tokio::task::AbortHandle;

use crate::{
    bindings::messaging::inboxes::{self, Inboxes},
    host::{BoxError, chain},
};

/// An address at which nobody can listen: where the client looks for a lost server, to give up at once.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// Messages that the client holds for one subscription until they are put into its queue, which takes microseconds.
const BEFORE_QUEUE: usize = 4096;

/// How long the acknowledgement of a stream is waited for: it takes milliseconds, and none comes where somebody listens to
/// a topic that no stream stores. Shorter than calls usually may take, so that a guest reads an error instead of being ended.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(3);

/// How long an echo is waited for. Less than what a suspected server is given, so that it can be connected to anew in what
/// is left.
const ECHO: Duration = Duration::from_millis(500);

/// How to connect.
pub(super) struct Way {
    /// Name of the binding.
    pub(super) binding: Arc<str>,
    /// The servers, any of which will do.
    pub(super) servers: Vec<ServerAddr>,
    /// Who the daemon is, and TLS.
    pub(super) options: ConnectOptions,
    /// Where the next try begins.
    next: AtomicU64,
}

/// One connection.
pub(super) struct Connection {
    /// Its number, of all connections of this process.
    pub(super) id: u64,
    pub(super) client: Client,
    pub(super) jetstream: jetstream::Context,
    /// Requests that wait for their answers.
    pub(super) inboxes: Inboxes<Message>,
    /// Ends the task that hears the answers, and with it the last use of the connection.
    answers: AbortHandle,
}

impl Way {
    pub(super) fn new(binding: Arc<str>, servers: Vec<ServerAddr>, options: ConnectOptions) -> Self {
        Self { binding, servers, options, next: AtomicU64::new(0) }
    }

    /// Connects to the first server that answers. `lost` is told the number of the connection when it is lost.
    ///
    /// Called on the threads of connections, where its tasks live.
    ///
    /// # Errors
    /// What went wrong with each of them.
    pub(super) async fn connect(
        &self,
        lost: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<Connection, BoxError> {
        let first = usize::try_from(self.next.fetch_add(1, Relaxed)).unwrap_or_default() % self.servers.len().max(1);
        let (before, from) = self.servers.split_at(first.min(self.servers.len()));
        let mut errors = Vec::new();
        for server in from.iter().chain(before) {
            match self.connect_to(server, lost.clone()).await {
                Ok(connection) => return Ok(connection),
                Err(error) => errors.push(format!("{}: {}", shown(server), chain(&*error))),
            }
        }
        Err(errors.join("; ").into())
    }

    async fn connect_to(
        &self,
        server: &ServerAddr,
        lost: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<Connection, BoxError> {
        /// Counts connections.
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        let id = CONNECTIONS.fetch_add(1, Relaxed);
        let binding = Arc::clone(&self.binding);
        let was_connected = AtomicBool::new(false);
        let addresses = vec![server.clone(), NOWHERE.parse()?];
        let options = self.options.clone().max_reconnects(1).subscription_capacity(BEFORE_QUEUE);
        let options = options.reconnect_to_server_callback(move |pool, _info| {
            let at = usize::from(was_connected.swap(true, Relaxed));
            let address = pool.get(at).map(|server| server.addr.clone());
            std::future::ready(address.map(|addr| ReconnectToServer { addr, delay: Some(Duration::ZERO) }))
        });
        let options = options.event_callback(move |event| {
            match event {
                Event::Disconnected | Event::Closed => lost(id),
                Event::ServerError(error) => {
                    tracing::warn!(binding = &*binding, %error, "the binding's server refused something");
                }
                Event::SlowConsumer(_) => {
                    tracing::warn!(binding = &*binding, "messages were lost before they reached their subscriber");
                }
                _ => {}
            }
            std::future::ready(())
        });
        let client = options.connect(addresses).await?;
        let jetstream = ContextBuilder::new().timeout(ACKNOWLEDGEMENT).build(client.clone());
        let inboxes = Inboxes::new(format!("{}{:032x}.", inboxes::PREFIX, rand::random::<u128>()));
        let answers = client.subscribe(inboxes.all()).await?;
        let answers = tokio::spawn(hear(answers, inboxes.clone())).abort_handle();
        Ok(Connection { id, client, jetstream, inboxes, answers })
    }
}

impl Connection {
    /// Whether it is not lost yet.
    pub(super) fn is_alive(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Waits until the server has done everything that it was told before; `false` where it does not say so in time, or
    /// lets nobody publish to such topics.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn echo(&self) -> Result<bool, BoxError> {
        let mut inbox = self.inboxes.open();
        let echo = async {
            self.client.publish(inbox.topic(), bytes::Bytes::new()).await?;
            (&mut inbox.answer).await?;
            Ok(true)
        };
        tokio::time::timeout(ECHO, echo).await.unwrap_or(Ok(false))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.answers.abort();
        self.inboxes.end();
    }
}

/// Hands answers to those who wait for them, until the connection is lost.
async fn hear(mut answers: Subscriber, inboxes: Inboxes<Message>) {
    while let Some(message) = answers.next().await {
        let topic = message.subject.clone();
        inboxes.answer(&topic, || message);
    }
    inboxes.end();
}

/// A server without what it may have been given besides.
fn shown(server: &ServerAddr) -> String {
    format!("{}:{}", server.host(), server.port())
}
