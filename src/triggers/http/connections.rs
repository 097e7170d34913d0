//! All connections of a trigger: how many there are, what they are told, what they answered.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::triggers::sockets::Share;

/// A body that is small: as much as a connection reads at once.
const SMALL: u64 = 64 * 1024;

/// All connections of a trigger.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
    /// Told when the last one has ended.
    empty: Notify,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    tickets: HashMap<u64, Arc<Ticket>>,
    /// What all are told, those that come now included.
    order: Order,
    /// Of each worker.
    tallies: Vec<Arc<Tally>>,
}

/// What a connection is told. Later ones contain those before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    #[default]
    Serve,
    /// Take no request but those that are on their way.
    Drain,
    /// End now.
    Cut,
}

/// What a connection is told, and the way to wake it.
#[derive(Debug)]
struct Ticket {
    listener: u64,
    order: AtomicU8,
    waker: AtomicWaker,
}

/// What one worker counts. Each on lines of memory of its own: workers that count on the same line wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tally {
    /// Answers by the first digit of their status.
    answers: [AtomicU64; 5],
    /// Bytes of bodies that are in memory.
    bodies: AtomicU64,
}

/// Bytes of the bodies of one request, and then of its answer, as long as they are in memory.
#[derive(Debug)]
pub(super) struct Held {
    tally: Arc<Tally>,
    bytes: Cell<u64>,
}

/// One connection's place among all; dropping it says that it has ended.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    ticket: Arc<Ticket>,
    tally: Arc<Tally>,
    all: Arc<Connections>,
    share: Share,
}

impl Connections {
    /// One more, that came by this listener, if there may be one.
    pub(super) fn enter(self: &Arc<Self>, listener: u64, most: u32, share: impl FnOnce() -> Share) -> Option<Entry> {
        let mut open = self.open.lock();
        if open.tickets.len() >= most as usize {
            self.refuse();
            return None;
        }
        let ticket = Ticket::new(listener, open.order);
        Some(self.seat(&mut open, ticket, share()))
    }

    /// Puts a ticket among those of all, with a place on a worker.
    fn seat(self: &Arc<Self>, open: &mut Open, ticket: Ticket, share: Share) -> Entry {
        let (id, ticket) = (open.next, Arc::new(ticket));
        open.next += 1;
        open.tickets.insert(id, Arc::clone(&ticket));
        let known = open.tallies.len().max(share.worker() + 1);
        open.tallies.resize_with(known, Arc::default);
        let tally = open.tallies.get(share.worker()).map(Arc::clone).unwrap_or_default();
        Entry { id, ticket, tally, all: Arc::clone(self), share }
    }

    /// Counts one that there is no room for.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Tells all, and those that come later, where it is more than they were told before.
    pub(super) fn tell(&self, order: Order) {
        let mut open = self.open.lock();
        open.order = open.order.max(order);
        open.tickets.values().for_each(|ticket| ticket.tell(order));
    }

    /// Tells those that came by a listener.
    pub(super) fn tell_those_of(&self, listener: u64, order: Order) {
        let open = self.open.lock();
        open.tickets.values().filter(|ticket| ticket.listener == listener).for_each(|ticket| ticket.tell(order));
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.open.lock().tickets.len() as u64
    }

    /// How many were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Answers by the first digit of their status.
    pub(super) fn responses(&self) -> [u64; 5] {
        let open = self.open.lock();
        let mut sum = [0; 5];
        for tally in &open.tallies {
            for (sum, count) in sum.iter_mut().zip(&tally.answers) {
                *sum += count.load(Relaxed);
            }
        }
        sum
    }

    /// Waits until there is none.
    pub(super) async fn empty(&self) {
        loop {
            let empty = self.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Ticket {
    fn new(listener: u64, order: Order) -> Self {
        Self { listener, order: AtomicU8::new(order as u8), waker: AtomicWaker::new() }
    }

    fn tell(&self, order: Order) {
        if self.order.fetch_max(order as u8, AcqRel) < order as u8 {
            self.waker.wake();
        }
    }
}

impl Entry {
    /// The worker that it lives on.
    pub(super) fn worker(&self) -> usize {
        self.share.worker()
    }

    /// The same connection at another place. There is one more until this one is dropped, so that it is never missed.
    pub(super) fn again(&self, share: Share) -> Self {
        let mut open = self.all.open.lock();
        let ticket = Ticket::new(self.ticket.listener, self.order().max(open.order));
        self.all.seat(&mut open, ticket, share)
    }

    /// What it is told.
    pub(super) fn order(&self) -> Order {
        match self.ticket.order.load(Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Cut,
        }
    }

    /// Is woken when it is told something else.
    pub(super) fn listen(&self, waker: &Waker) {
        self.ticket.waker.register(waker);
    }

    /// Counts an answer.
    pub(super) fn count(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        self.tally.answers.get(class).map(|count| count.fetch_add(1, Relaxed)).unwrap_or_default();
    }
}

impl Entry {
    /// A request that holds nothing yet.
    pub(super) fn hold(&self) -> Held {
        Held { tally: Arc::clone(&self.tally), bytes: Cell::new(0) }
    }
}

impl Held {
    /// So many more came, of a worker that has room for so many; whether they have a place. Small ones may take all of it,
    /// large ones half, so that a few who send much leave room for the many who send little.
    pub(super) fn grow(&self, bytes: u64, room: u64) -> bool {
        let own = self.bytes.get() + bytes;
        self.bytes.set(own);
        let all = self.tally.bodies.fetch_add(bytes, Relaxed) + bytes;
        all <= if own > SMALL { room / 2 } else { room }
    }

    /// What came is gone, and the answer has so many; whether they have a place. The first large one always has, whatever
    /// its size.
    pub(super) fn replace(&self, bytes: u64, room: u64) -> bool {
        let before = self.bytes.take();
        let others = self.tally.bodies.fetch_sub(before, Relaxed) - before;
        let fits = bytes <= SMALL || others <= room / 2;
        if fits {
            self.bytes.set(bytes);
            self.tally.bodies.fetch_add(bytes, Relaxed);
        }
        fits
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tally.bodies.fetch_sub(self.bytes.get(), Relaxed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.all.open.lock();
        open.tickets.remove(&self.id);
        if open.tickets.is_empty() {
            self.all.empty.notify_waiters();
        }
    }
}
