//! The connections, which all workers share.
//!
//! A connection carries many requests at once, and the more it carries the fewer bytes and system calls each of them costs: so the
//! first one is filled before the next is opened. What fails is replaced, never tried again: whether a request that got no
//! answer was done cannot be known.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;

use super::connect::Connector;
use crate::{config::Server, host::BoxError};

/// What one connection carries before the next one is used. One connection with 64 requests in flight serves more of them
/// than two with 32 each; with twice as many the first begins to hold back the others.
const FULL: usize = 128;

/// Bytes that weigh as much as a request: while they are on their way, the requests behind them wait.
const BYTES_OF_A_REQUEST: usize = 16 * 1024;

/// How long nobody tries to open a connection again after that failed while others are open or the circuit has not noticed yet:
/// as long as the first wait between two tries of a circuit.
const RETRY: Duration = Duration::from_millis(100);

/// Connections to one server.
pub(super) struct Pool {
    connector: Connector,
    connect_timeout: Duration,
    io: Handle,
    slots: Box<[Slot]>,
    opened: AtomicU64,
    closed: AtomicBool,
}

/// Room for one connection.
#[derive(Default)]
struct Slot {
    connection: Mutex<Option<Open>>,
    /// What it carries.
    load: AtomicUsize,
    /// Whether a request on it got no answer in its time since the last answer.
    in_doubt: AtomicBool,
    /// Whether somebody opens one.
    opening: AtomicBool,
}

struct Open {
    id: u64,
    connection: MultiplexedConnection,
}

/// The use of a connection for one request.
pub(super) struct Lease<'p> {
    pub(super) connection: MultiplexedConnection,
    slot: &'p Slot,
    weight: usize,
    answered: bool,
}

impl Lease<'_> {
    /// Gives it back after an answer.
    pub(super) fn answered(mut self) {
        self.answered = true;
        if self.slot.in_doubt.load(Relaxed) {
            self.slot.in_doubt.store(false, Relaxed);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.slot.load.fetch_sub(self.weight, Relaxed);
        if !self.answered {
            self.slot.in_doubt.store(true, Relaxed);
        }
    }
}

impl Pool {
    /// A pool without connections yet.
    pub(super) fn new(connector: Connector, server: &Server, io: Handle) -> Self {
        let slots = (0..server.connections.max(1)).map(|_| Slot::default()).collect();
        let connect_timeout = server.connect_timeout;
        Self { connector, connect_timeout, io, slots, opened: AtomicU64::new(0), closed: AtomicBool::new(false) }
    }

    /// A connection for a request that moves that many bytes.
    ///
    /// # Errors
    /// There is none; one is being opened.
    pub(super) fn lease(self: &Arc<Self>, bytes: usize) -> Result<Lease<'_>, BoxError> {
        let weight = 1 + bytes / BYTES_OF_A_REQUEST;
        let (mut least, mut empty) = (None, None);
        for slot in &self.slots {
            let load = slot.load.load(Relaxed);
            if least.as_ref().is_some_and(|(_, least, _)| *least <= load) {
                continue;
            }
            match &*slot.connection.lock() {
                Some(open) => least = Some((slot, load, open.connection.clone())),
                None => {
                    empty.get_or_insert(slot);
                    continue;
                }
            }
            if load < FULL {
                break;
            }
        }
        let is_full = least.as_ref().is_none_or(|(_, load, _)| *load >= FULL);
        if let Some(index) = empty.and_then(|slot| self.slots.iter().position(|other| std::ptr::eq(slot, other)))
            && is_full
        {
            self.open_behind(index);
        }
        let (slot, _, connection) = least.ok_or_else(|| self.connector.unconnected())?;
        slot.load.fetch_add(weight, Relaxed);
        Ok(Lease { connection, slot, weight, answered: false })
    }

    /// Asks the server, over a fresh connection where there is none or it is in doubt.
    pub(super) async fn probe(self: Arc<Self>) -> Result<(), BoxError> {
        let Some(first) = self.slots.first() else { return Err(self.connector.unconnected()) };
        let open = first.connection.lock().as_ref().map(|open| open.connection.clone());
        if let Some(connection) = open
            && !first.in_doubt.swap(true, Relaxed)
            && ping(connection).await.is_ok()
        {
            first.in_doubt.store(false, Relaxed);
            return Ok(());
        }
        // Until the fresh one is there the old ones stay: they may be well, and a caller only impatient.
        Arc::clone(&self).open(0).await?;
        for slot in self.slots.iter().skip(1) {
            *slot.connection.lock() = None;
        }
        Ok(())
    }

    /// Drops all connections, and opens no more.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        for slot in &self.slots {
            *slot.connection.lock() = None;
        }
    }

    /// Opens the connection of a slot without anybody waiting for it.
    fn open_behind(self: &Arc<Self>, index: usize) {
        let Some(slot) = self.slots.get(index) else { return };
        if self.closed.load(Relaxed) || slot.opening.swap(true, Relaxed) {
            return;
        }
        let pool = Arc::clone(self);
        self.io.spawn(async move {
            let opened = tokio::time::timeout(pool.connect_timeout, Arc::clone(&pool).open(index)).await;
            if !matches!(opened, Ok(Ok(()))) {
                tokio::time::sleep(RETRY).await;
            }
            if let Some(slot) = pool.slots.get(index) {
                slot.opening.store(false, Relaxed);
            }
        });
    }

    /// Opens the connection of a slot. Runs on the threads for connections.
    async fn open(self: Arc<Self>, index: usize) -> Result<(), BoxError> {
        let (connection, driver) = self.connector.connect().await?;
        let id = self.opened.fetch_add(1, Relaxed);
        let pool = Arc::downgrade(&self);
        self.io.spawn(async move {
            driver.await;
            if let Some(pool) = pool.upgrade() {
                pool.ended(index, id);
            }
        });
        ping(connection.clone()).await?;
        if self.closed.load(Relaxed) {
            return Err(self.connector.unconnected());
        }
        if let Some(slot) = self.slots.get(index) {
            slot.in_doubt.store(false, Relaxed);
            *slot.connection.lock() = Some(Open { id, connection });
        }
        Ok(())
    }

    /// A connection has ended: another one takes its place, for servers close those that were idle.
    fn ended(self: &Arc<Self>, index: usize, id: u64) {
        let Some(slot) = self.slots.get(index) else { return };
        let mut connection = slot.connection.lock();
        if connection.as_ref().is_some_and(|open| open.id == id) {
            *connection = None;
            drop(connection);
            if index == 0 {
                self.open_behind(index);
            }
        }
    }
}

async fn ping(mut connection: MultiplexedConnection) -> Result<(), BoxError> {
    Ok(redis::cmd("PING").query_async(&mut connection).await?)
}
