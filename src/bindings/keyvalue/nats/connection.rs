//! The connection, which all workers share, and its replacement when it fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::Client;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::connect::Connector;
use crate::host::BoxError;

/// How long nobody tries again behind the calls to connect after that failed, and the circuit has not noticed yet: as long as the
/// first wait between two tries of a circuit.
const RETRY: Duration = Duration::from_millis(100);

/// The connection to the servers.
pub(super) struct Connection {
    connector: Connector,
    timeout: Duration,
    io: Handle,
    open: Mutex<Option<Open>>,
    opened: AtomicU64,
    /// Whether a request got no reply in its time since the last reply.
    in_doubt: AtomicBool,
    opening: AtomicBool,
    closed: AtomicBool,
}

struct Open {
    id: u64,
    client: Arc<Client>,
}

/// A request that has no reply yet.
pub(super) struct Asked<'c> {
    pub(super) client: Arc<Client>,
    connection: &'c Connection,
    replied: bool,
}

impl Asked<'_> {
    /// After its reply.
    pub(super) fn replied(mut self) {
        self.replied = true;
        if self.connection.in_doubt.load(Relaxed) {
            self.connection.in_doubt.store(false, Relaxed);
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.replied {
            self.connection.in_doubt.store(true, Relaxed);
        }
    }
}

impl Connection {
    /// None yet.
    pub(super) fn new(connector: Connector, timeout: Duration, io: Handle) -> Self {
        Self {
            connector,
            timeout,
            io,
            open: Mutex::default(),
            opened: AtomicU64::new(0),
            in_doubt: AtomicBool::new(false),
            opening: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// The connection, for one request.
    ///
    /// # Errors
    /// There is none; one is being made.
    pub(super) fn ask(self: &Arc<Self>) -> Result<Asked<'_>, BoxError> {
        let client = self.open.lock().as_ref().map(|open| Arc::clone(&open.client));
        match client {
            Some(client) => Ok(Asked { client, connection: self, replied: false }),
            None => {
                self.open_behind();
                Err(self.connector.unconnected())
            }
        }
    }

    /// Asks for the bucket, over a fresh connection where there is none or it is in doubt, and makes it where it is missing.
    pub(super) async fn probe(self: Arc<Self>) -> Result<(), BoxError> {
        let open = self.open.lock().as_ref().map(|open| Arc::clone(&open.client));
        if let Some(client) = open
            && !self.in_doubt.swap(true, Relaxed)
            && self.connector.prepare(&client).await.is_ok()
        {
            self.in_doubt.store(false, Relaxed);
            return Ok(());
        }
        // Until the fresh one is there the old one stays: it may be well, and a caller only impatient.
        self.open().await
    }

    /// Drops the connection, and makes no other.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        *self.open.lock() = None;
    }

    /// Connects without anybody waiting for it.
    fn open_behind(self: &Arc<Self>) {
        if self.closed.load(Relaxed) || self.opening.swap(true, Relaxed) {
            return;
        }
        let connection = Arc::clone(self);
        self.io.spawn(async move {
            let opened = tokio::time::timeout(connection.timeout, Arc::clone(&connection).open()).await;
            if !matches!(opened, Ok(Ok(()))) {
                tokio::time::sleep(RETRY).await;
            }
            connection.opening.store(false, Relaxed);
        });
    }

    /// Connects. Runs on the threads for connections.
    async fn open(self: Arc<Self>) -> Result<(), BoxError> {
        let id = self.opened.fetch_add(1, Relaxed);
        let connection = Arc::downgrade(&self);
        let ended = move || {
            if let Some(connection) = connection.upgrade() {
                connection.ended(id);
            }
        };
        let client = self.connector.connect(ended).await?;
        self.connector.prepare(&client).await?;
        if self.closed.load(Relaxed) {
            return Err(self.connector.unconnected());
        }
        self.in_doubt.store(false, Relaxed);
        *self.open.lock() = Some(Open { id, client: Arc::new(client) });
        Ok(())
    }

    /// A connection has ended: another one takes its place, for servers end those of their own accord that are in their way.
    fn ended(self: &Arc<Self>, id: u64) {
        let mut open = self.open.lock();
        if open.as_ref().is_some_and(|open| open.id == id) {
            *open = None;
            drop(open);
            self.open_behind();
        }
    }
}
