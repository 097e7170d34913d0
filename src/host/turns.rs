//! Turns of the guests that compute on one thread: who of them may go on, and what the thread's other work gets before.
//!
//! A guest that has computed for a slice joins the end of its thread's queue. Only the first in the queue may go on, and
//! only after a round of the others: calls that begin, host calls and their answers. The round is over when the others
//! have been quiet, or when they have had as much time as a slice. So a call is held up by one slice for each slice's
//! time that it needs itself, however many turns of the thread it takes and however many guests compute beside it.
//!
//! Knows no engine. Guests stay on their thread in the daemon; where an executor moves them between threads, a guest
//! keeps the queue that it joined, and rounds are judged by the thread of that queue.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::task::yield_now;

/// How long a guest computes before others on its thread get a round, how long such a round may be, and how late a
/// deadline may be. Half of it doubles the interruptions (each some 100 ns a running guest); twice as much doubles what
/// a computing guest adds to the latency of its neighbours.
pub(super) const SLICE: Duration = Duration::from_millis(2);

/// Turns of the thread without a sign of the others after which nobody needs it. Sockets and timers are looked at in
/// each, so the first finds what came in during a slice; the second and third catch work that begins with a detour.
/// A turn costs a microsecond or two, which a guest that is alone pays for each slice.
const QUIET_TURNS: u32 = 3;

/// How long the others may be silent in a round in which they showed themselves: a caller with an answer makes its next
/// call within this time. Longer costs a computing guest its thread, and a slice is twenty times as long.
const AFTER_ANSWER: Duration = Duration::from_micros(100);

/// How long the others may be silent while they wait for host calls of this round: what another worker or thread answers
/// is back by then. A call with many of them would else pay a slice for each.
const AFTER_HOST_CALL: Duration = Duration::from_micros(500);

/// Looks of the second in the queue without one of the first, after which the first is passed over: its future is not
/// polled, so nobody may wait for it. The thread's tasks take turns, so two would do.
const PATIENCE: u32 = 16;

thread_local! {
    static THREAD: Arc<Thread> = Arc::default();
}

/// A call has begun on this thread.
#[inline]
pub(super) fn call_began() {
    THREAD.with(|thread| thread.show());
}

/// A guest on this thread waits for a host call.
#[inline]
pub(super) fn host_call_made() {
    THREAD.with(|thread| thread.host_call(1));
}

/// A guest on this thread has the answer to its host call.
#[inline]
pub(super) fn host_call_answered() {
    THREAD.with(|thread| thread.host_call(-1));
}

/// Lets everything else on this thread run once: for a guest that was interrupted early in its slice.
pub(super) async fn give_way() {
    call_began();
    yield_now().await;
}

/// What the guests of one thread share.
#[derive(Default)]
struct Thread {
    /// Counts signs of work beside the computing guests. Written by its own thread only, but for guests that moved.
    signs: AtomicU64,
    /// Host calls that were made and not answered; calls that were dropped meanwhile stay counted.
    open: AtomicI64,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    places: VecDeque<Waiting>,
    last_id: u64,
    /// Counts looks of whoever is first.
    looks: u64,
}

struct Waiting {
    id: u64,
    waker: Option<Waker>,
}

impl Thread {
    fn show(&self) {
        // No atomic addition: a sign that is lost between two threads does no harm.
        self.signs.store(self.signs.load(Relaxed).wrapping_add(1), Relaxed);
    }

    fn host_call(&self, more: i64) {
        self.show();
        self.open.store(self.open.load(Relaxed).wrapping_add(more), Relaxed);
    }

    fn signs(&self) -> Signs {
        Signs { count: self.signs.load(Relaxed), open: self.open.load(Relaxed) }
    }
}

impl Queue {
    /// Where `id` stands from the front; one that was passed over joins the end again.
    fn position(&mut self, id: u64) -> usize {
        self.places.iter().position(|waiting| waiting.id == id).unwrap_or_else(|| {
            self.places.push_back(Waiting { id, waker: None });
            self.places.len() - 1
        })
    }

    /// Takes `id` out, and wakes those who stand in front then.
    fn leave(&mut self, id: u64) {
        self.places.retain(|waiting| waiting.id != id);
        for front in self.places.iter_mut().take(2) {
            if let Some(waker) = front.waker.take() {
                waker.wake();
            }
        }
    }
}

/// A place in the queue of computing guests. Dropping it leaves the queue.
pub(super) struct Place {
    thread: Arc<Thread>,
    id: u64,
}

impl Place {
    /// Joins the end of this thread's queue.
    pub(super) fn take() -> Self {
        let thread = THREAD.with(Arc::clone);
        let mut queue = thread.queue.lock();
        queue.last_id += 1;
        let id = queue.last_id;
        queue.places.push_back(Waiting { id, waker: None });
        drop(queue);
        Self { thread, id }
    }

    /// Waits until the guest may go on.
    pub(super) async fn turn(self) {
        self.until_first().await;
        let mut round = Round::begin(self.thread.signs(), Instant::now());
        loop {
            yield_now().await;
            // Passed over, though it only was slow.
            if self.look() > 0 {
                self.until_first().await;
            }
            if round.is_over(self.thread.signs(), Instant::now()) {
                return;
            }
        }
    }

    /// Waits for the front, asleep until second: so a turn of the thread costs two looks, not one for each that waits.
    async fn until_first(&self) {
        let mut watch = Watch::default();
        loop {
            match self.near_front().await {
                0 => return,
                _ => self.pass_over(&mut watch),
            }
            yield_now().await;
        }
    }

    /// Waits until at most one stands before; returns how many do.
    async fn near_front(&self) -> usize {
        poll_fn(|cx| match self.look() {
            near @ (0 | 1) => Poll::Ready(near),
            far => {
                if let Some(waiting) = self.thread.queue.lock().places.get_mut(far) {
                    waiting.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }

    fn look(&self) -> usize {
        let mut queue = self.thread.queue.lock();
        let position = queue.position(self.id);
        if position == 0 {
            queue.looks = queue.looks.wrapping_add(1);
        }
        position
    }

    /// Takes the first out of the queue when it has not looked for too long.
    fn pass_over(&self, watch: &mut Watch) {
        let mut queue = self.thread.queue.lock();
        let Some(first) = queue.places.front().map(|waiting| waiting.id) else { return };
        if watch.is_too_long((first, queue.looks)) {
            queue.leave(first);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.thread.queue.lock().leave(self.id);
    }
}

/// Whether the first in the queue still looks, as the second sees it.
#[derive(Default)]
struct Watch {
    seen: (u64, u64),
    unchanged: u32,
}

impl Watch {
    fn is_too_long(&mut self, now: (u64, u64)) -> bool {
        self.unchanged = if self.seen == now { self.unchanged + 1 } else { 0 };
        self.seen = now;
        self.unchanged >= PATIENCE
    }
}

/// What can be seen of a thread's other work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signs {
    count: u64,
    open: i64,
}

/// One round of the others, as the guest sees it that waits for its end.
struct Round {
    began: Instant,
    first: Signs,
    last: Signs,
    last_at: Instant,
    quiet_turns: u32,
}

impl Round {
    fn begin(signs: Signs, now: Instant) -> Self {
        Self { began: now, first: signs, last: signs, last_at: now, quiet_turns: 0 }
    }

    /// Whether the guest goes on; asked once in each turn of the thread.
    fn is_over(&mut self, signs: Signs, now: Instant) -> bool {
        if signs.count == self.last.count {
            self.quiet_turns += 1;
        } else {
            (self.last, self.last_at, self.quiet_turns) = (signs, now, 0);
        }
        if now.duration_since(self.began) >= SLICE {
            return true;
        }
        self.quiet_turns >= QUIET_TURNS && now.duration_since(self.last_at) >= self.silence()
    }

    /// How long the others must have been silent.
    fn silence(&self) -> Duration {
        if self.last.open.wrapping_sub(self.first.open) > 0 {
            AFTER_HOST_CALL
        } else if self.last.count != self.first.count {
            AFTER_ANSWER
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests;
