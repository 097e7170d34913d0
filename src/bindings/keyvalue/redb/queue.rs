//! The bounded queue between the workers and one thread of the database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::Instant,
};

use tokio::sync::oneshot;

use super::weigh::Weigh;
use crate::{
    bindings::keyvalue::store::Outcomes,
    host::{HostCallError, HostErrorKind},
};

/// Requests that may wait. A disk that syncs in 10 ms drains this in 40 ms; twice as many wait twice as long on a slow
/// one, and half as many refuse bursts that every disk could take.
const MAX_WAITING: usize = 1024;

/// Bytes of keys and values that may wait, so that large values cannot fill the memory: 16 of 4 MiB, the default limit of
/// a value. A larger one is taken while nothing else waits.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Requests in one group: enough to share the cost of a sync, few enough that the first does not wait for long.
const MAX_GROUP: usize = 256;

/// A request that waits.
pub(super) struct Job<C> {
    pub(super) command: C,
    pub(super) reply: Reply,
}

/// Where the answer to a request goes.
pub(super) struct Reply {
    sender: oneshot::Sender<Outcomes>,
    deadline: Instant,
    charge: Charge,
}

/// Requests that are answered together.
pub(super) type Batch<C> = Vec<Job<C>>;

/// The workers' end.
pub(super) struct Queue<C> {
    name: Arc<str>,
    what: &'static str,
    sender: SyncSender<Item<C>>,
    bytes: Arc<AtomicUsize>,
    /// Whether the thread was told to end.
    ended: AtomicBool,
}

/// The thread's end.
pub(super) struct Jobs<C> {
    name: Arc<str>,
    receiver: Receiver<Item<C>>,
}

enum Item<C> {
    Job(Job<C>),
    End,
}

/// The bytes that a request weighs in the queue, given back when it is dropped.
struct Charge {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Relaxed);
    }
}

/// Makes a queue of that binding; `what` is in it.
pub(super) fn queue<C: Weigh>(name: Arc<str>, what: &'static str) -> (Queue<C>, Jobs<C>) {
    let (sender, receiver) = sync_channel(MAX_WAITING);
    let jobs = Jobs { name: Arc::clone(&name), receiver };
    (Queue { name, what, sender, bytes: Arc::default(), ended: AtomicBool::new(false) }, jobs)
}

impl<C: Weigh> Queue<C> {
    /// Puts a request into the queue, or says why not.
    pub(super) fn push(
        &self,
        command: C,
        deadline: Instant,
        reply: oneshot::Sender<Outcomes>,
    ) -> Result<(), HostCallError> {
        let bytes = command.weight();
        let waiting = self.bytes.fetch_add(bytes, Relaxed);
        let charge = Charge { total: Arc::clone(&self.bytes), bytes };
        if waiting.saturating_add(bytes) > MAX_WAITING_BYTES && waiting > 0 {
            return Err(self.unavailable(&format!("is busy: {waiting} bytes of {} wait", self.what)));
        }
        let job = Job { command, reply: Reply { sender: reply, deadline, charge } };
        self.sender.try_send(Item::Job(job)).map_err(|error| match error {
            TrySendError::Full(_) => self.unavailable(&format!("is busy: {MAX_WAITING} {} wait", self.what)),
            TrySendError::Disconnected(_) if self.ended.load(Relaxed) => self.unavailable("was stopped"),
            TrySendError::Disconnected(_) => self.unavailable(&format!("has lost its thread for {}", self.what)),
        })
    }

    /// Tells the thread to end behind what waits now.
    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
        // A thread that is gone needs no word.
        self.sender.send(Item::End).ok();
    }

    fn unavailable(&self, why: &str) -> HostCallError {
        HostCallError::new(HostErrorKind::Unavailable, format!("binding `{}` {why}", self.name))
    }
}

/// What a thread of the database does.
pub(super) trait Work<C> {
    /// Answers a group of requests.
    fn serve(&mut self, batch: Batch<C>);

    /// When it has to settle, if it has to.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Finishes what was put off, at the latest when it is due, and at the end.
    fn settle(&mut self) {}
}

impl<C, F: FnMut(Batch<C>)> Work<C> for F {
    fn serve(&mut self, batch: Batch<C>) {
        self(batch);
    }
}

impl<C> Jobs<C> {
    /// Serves groups of requests until the end.
    pub(super) fn serve(self, mut work: impl Work<C>) {
        while let Some((batch, ended)) = self.group(work.due()) {
            if !batch.is_empty() {
                work.serve(batch);
            }
            if work.due().is_some_and(|due| due <= Instant::now()) {
                work.settle();
            }
            if ended {
                break;
            }
        }
        work.settle();
    }

    /// All that waits, once something does, or nothing at that moment; and whether it is the last group. `None` where nobody
    /// can put anything in any more.
    fn group(&self, until: Option<Instant>) -> Option<(Batch<C>, bool)> {
        let first = match until {
            None => self.receiver.recv().ok()?,
            Some(until) => match self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(item) => item,
                Err(RecvTimeoutError::Timeout) => return Some((Vec::new(), false)),
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        };
        let (mut batch, mut next) = (Vec::new(), Some(first));
        while let Some(item) = next {
            match item {
                Item::Job(job) => batch.extend(self.still_wanted(job)),
                Item::End => return Some((batch, true)),
            }
            next = if batch.len() < MAX_GROUP { self.receiver.try_recv().ok() } else { None };
        }
        Some((batch, false))
    }

    /// The request, unless nobody waits for it any more: what is expired is never started.
    fn still_wanted(&self, job: Job<C>) -> Option<Job<C>> {
        if job.reply.sender.is_closed() {
            return None;
        }
        if job.reply.deadline <= Instant::now() {
            let why = format!("binding `{}` did not reach the request before the deadline", self.name);
            job.reply.send(Err(HostCallError::new(HostErrorKind::TimedOut, why)));
            return None;
        }
        Some(job)
    }
}

impl Reply {
    /// Sends the answer; a guest that no longer waits has its own error.
    pub(super) fn send(self, outcome: Outcomes) {
        let Self { sender, charge, .. } = self;
        // Before the answer: who has it finds the room that it took free again.
        drop(charge);
        sender.send(outcome).ok();
    }
}
